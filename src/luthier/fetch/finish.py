"""The last look at a fetched model folder: its template, that it opens, and that its answers can end."""

import json
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer

from luthier.artifact import atomic
from luthier.errors import ModelError
from luthier.event import Chose, Tell, Warned
from luthier.fetch.chat_template import read_template, write_template
from luthier.fetch.licence import find_licence

PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def finish(
    folder: Path, template: str | None, trust_remote_code: bool, tell: Tell, licence: str | None = None
) -> dict[str, Any]:
    """Write the template if one is asked for, check that config and tokenizer open, and show the licence (`licence`
    is what the source itself says). Gives figures.

    Raises ModelError if they do not, or if they would only with the model's own code and that is not trusted.
    """
    if template is not None:
        write_template(folder, read_template(template))
    config, tokenizer = _open(folder, trust_remote_code)
    figures = {"architecture": (config.architectures or [config.model_type])[0], "vocabulary": len(tokenizer)}
    figures |= find_licence(folder, licence, tell)
    if not tokenizer.chat_template:
        tell(Warned("the model has no chat template: it cannot be tuned or served yet", "set template=chatml"))
        return figures
    return figures | _see_to_the_end_of_turns(folder, tokenizer, tell)


def _open(folder: Path, trust_remote_code: bool) -> tuple[Any, Any]:
    try:
        # never None: it would ask at the terminal
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:  # files of strangers: reading them may raise anything
        if "trust_remote_code" in str(error):
            raise ModelError(
                "the model opens only with Python code of its own, which is not trusted",
                where=f"{folder.name}, config.json or tokenizer_config.json, key auto_map",
                mend="read that code; if you trust it, set trust_remote_code=true, else take another model",
            ) from None
        first_line = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"the model's config or tokenizer cannot be read: {type(error).__name__}: {first_line}",
            where=str(folder),
            mend="give a folder as this version of transformers saves it (config.json, tokenizer.json)",
        ) from error
    return config, tokenizer


def _see_to_the_end_of_turns(folder: Path, tokenizer: Any, tell: Tell) -> dict[str, Any]:
    """Make what the template ends an answer with a stop token: else answers run on to their length limit."""
    try:
        text = tokenizer.apply_chat_template(PROBE, tokenize=False)
    except Exception as error:  # a template is a program of strangers: it may raise anything
        tell(Warned(f"the chat template refuses a plain question and answer: {error}", "set template=chatml"))
        return {}
    ids = tokenizer(text.rpartition("b")[2], add_special_tokens=False)["input_ids"]
    ends = [token for token in ids if token in tokenizer.all_special_ids]
    if not ends:
        tell(Warned("the chat template ends answers with no special token", "set a template whose end is one token"))
        return {}
    end, name = ends[0], tokenizer.convert_ids_to_tokens(ends[0])
    path = folder / "generation_config.json"
    settings = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    stops = settings.get("eos_token_id")
    stops = stops if isinstance(stops, list) else [] if stops is None else [stops]
    if end not in stops:
        atomic.write_json(path, settings | {"eos_token_id": [*stops, end] if stops else end})
        tell(Chose("generation_config eos_token_id", f"{end} {name}", "the chat template ends answers with it"))
    return {"end_of_turn": name}

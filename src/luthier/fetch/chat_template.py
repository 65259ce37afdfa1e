"""Chat templates by name or path, and where a model folder keeps its own."""

import hashlib
import json
from pathlib import Path

from luthier.artifact import atomic
from luthier.errors import DataError, SpecError

SHIPPED = Path(__file__).parent / "templates"


def read_template(name: str) -> str:
    """Give a template's text: a shipped one by name, any other by the path of its .jinja file.

    Raises SpecError if there is no such template, DataError if the file is not UTF-8 or not Jinja.
    """
    shipped = SHIPPED / f"{name}.jinja"
    path = shipped if shipped.exists() else Path(name).expanduser()
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        names = ", ".join(sorted(known.stem for known in SHIPPED.glob("*.jinja")))
        raise SpecError(
            f"there is no chat template {name!r}",
            where="fetch, key template",
            mend=f"write {names}, or the path of a .jinja file that exists",
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte {error.start} is {error.object[error.start]:#04x}, which is not UTF-8",
            where=str(path),
            mend="save the file as UTF-8",
        ) from None
    _check_syntax(text, path)
    return text


def inputs(name: str | None) -> dict[str, str]:
    """Give the order's input for a template: the hash of its text, so that a changed one makes a new artifact."""
    if name is None:
        return {}
    return {"template": f"sha256:{hashlib.sha256(read_template(name).encode()).hexdigest()}"}


def write_template(folder: Path, text: str) -> None:
    """Make this the only chat template of a model folder."""
    atomic.write_text(folder / "chat_template.jinja", text)
    path = folder / "tokenizer_config.json"
    if path.exists():
        config = json.loads(path.read_text(encoding="utf-8"))
        if config.pop("chat_template", None) is not None:
            atomic.write_json(path, config)


def _check_syntax(text: str, path: Path) -> None:
    import jinja2  # 50 ms: only where a template is asked for

    # the marks {% generation %} and loop controls are what transformers adds to plain Jinja
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    try:
        environment.parse(text.replace("endgeneration", "endif").replace(" generation ", " if true "))
    except jinja2.TemplateSyntaxError as error:
        raise DataError(
            f"not a Jinja template: {error.message}", where=f"{path}:{error.lineno}", mend="mend the line named above"
        ) from None

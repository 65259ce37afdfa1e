"""Secrets: read from a file, put into requests, shown nowhere."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from luthier.errors import SpecError
from luthier.event import Tell, Warned

SHORTEST = 4
"""What is shorter is not looked for in outputs: it would be found everywhere."""
HIDDEN = "(hidden)"


@dataclass(frozen=True)
class Secrets:
    """Name -> secret."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)

    def hide(self, text: str) -> str:
        """Take the secrets out of a text: a server may send back what it was sent."""
        for value in sorted(self.values.values(), key=len, reverse=True):
            for form in (value, base64.b64encode(value.encode()).decode()):
                if len(form) >= SHORTEST:
                    text = text.replace(form, HIDDEN)
        return text


def read_secrets(path: str | None, tell: Tell) -> Secrets:
    """Read a YAML or JSON file of names and texts; without a path there are none.

    Raises SpecError, which never holds a word of the file.
    """
    if path is None:
        return Secrets()
    file = Path(path).expanduser()
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _refusal(file, f"the secrets cannot be read: {type(error).__name__}") from None
    is_plain = isinstance(found, dict) and all(isinstance(value, str | int) for value in found.values())
    if not is_plain:
        raise _refusal(file, "the file does not hold names with texts")
    if file.stat().st_mode & 0o077:
        tell(Warned(f"others may read {file}", f"chmod 600 {file}"))
    values = {str(name): str(value) for name, value in found.items()}
    if any(not value.isprintable() for value in values.values()):
        raise _refusal(file, "a secret holds a character that no header can carry")
    return Secrets(values)


def _refusal(file: Path, what: str) -> SpecError:
    return SpecError(what, where=f"key secrets, {file}", mend="write lines of `name: secret`, secrets in quotes")

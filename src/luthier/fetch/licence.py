"""Under which licence a model comes: what its model card says, else what its licence file is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from luthier.event import Chose, Tell

UNKNOWN = "unknown"
LARGEST_BYTES = 1_000_000
LONGEST = 200
KNOWN_TEXTS: dict[str, tuple[str, ...]] = {
    "apache-2.0": ("apache license", "version 2.0"),
    "mit": ("permission is hereby granted, free of charge", "without restriction"),
    "bsd-3-clause": ("redistribution and use in source and binary forms", "neither the name"),
    "agpl-3.0": ("gnu affero general public license", "version 3"),
    "gpl-3.0": ("gnu general public license", "version 3"),
    "bigscience-bloom-rail-1.0": ("bigscience rail license",),
    "llama": ("community license agreement", "llama"),
    "gemma": ("gemma terms of use",),
    "qwen": ("tongyi qianwen license agreement",),
    "glm": ("glm", "model license"),
}
"""Name of a licence, as hubs write it -> words that all stand in its text, in small letters. The first that fits."""


def find_licence(folder: Path, stated: str | None, tell: Tell) -> dict[str, Any]:
    """Give the figures `licence` and, where the card has one, `licence_link`, and tell them with where they stand.

    `stated` is what the source itself said (a GGUF's header). Nothing raises here: a card that cannot be read is a
    card that says nothing, and an unknown licence is told as such.
    """
    card = _front_matter(folder / "README.md")
    name, link = _from_card(card)
    if name:
        tell(Chose("licence", name, "the model card says so" + (f"; its text: {link}" if link else "")))
        return {"licence": name} | ({"licence_link": link} if link else {})
    if stated:
        tell(Chose("licence", stated, "the source says so"))
        return {"licence": stated}
    for path in sorted(folder.glob("LICEN[SC]E*")):
        name = _from_text(_read(path))
        if name:
            tell(Chose("licence", name, f"{path.name} reads so"))
            return {"licence": name}
    tell(Chose("licence", UNKNOWN, "neither README.md nor a LICENSE file says it; ask its maker before you share it"))
    return {"licence": UNKNOWN}


def _from_card(card: Mapping[str, Any]) -> tuple[str, str]:
    """`license: other` means that `license_name` has the name. Source: huggingface.co/docs/hub/repositories-licenses"""
    name, more, link = (_plain(card.get(key)) for key in ("license", "license_name", "license_link"))
    if more and name.lower() in ("", "other", UNKNOWN):
        name = more
    return ("" if name.lower() == UNKNOWN else name), link


def _plain(value: Any) -> str:
    """Text, or a list of texts, on one line: this is shown in a terminal."""
    values = value if isinstance(value, list) else [value]
    text = ", ".join(part for part in values if isinstance(part, str))
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:LONGEST]


def _front_matter(path: Path) -> Mapping[str, Any]:
    """Read the YAML between the first two lines of dashes."""
    text = _read(path).removeprefix("\ufeff").lstrip()
    lines = text.splitlines()
    if not lines or lines[0].strip() != "---":
        return {}
    ends = [number for number, line in enumerate(lines[1:], 1) if line.strip() == "---"]
    try:
        card = yaml.safe_load("\n".join(lines[1 : ends[0]])) if ends else None
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) else {}


def _from_text(text: str) -> str:
    """Name the licence a text is; else its first line, which is its title."""
    words = " ".join(text.lower().split())
    for name, phrases in KNOWN_TEXTS.items():
        if all(phrase in words for phrase in phrases):
            return name
    return next((_plain(line.strip(" #*=")) for line in text.splitlines() if line.strip(" #*=-")), "")


def _read(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(LARGEST_BYTES).decode("utf-8", errors="replace")

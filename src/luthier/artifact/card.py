"""The card of an artifact: written last, so its presence means that the folder is whole."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from luthier import __version__
from luthier.artifact.order import Kind, Order
from luthier.errors import StoreError

NAME = "card.json"
WATCHED = ("torch", "transformers", "peft", "tokenizers", "safetensors")
"""Packages whose version is written on each card."""


TEMPLATE_FIGURES = ("template_sha256", "parity_sha256")
"""Figures handed on from card to card: which chat template was used, and the ids it gives for a set of probes."""


@dataclass(frozen=True)
class Card:
    """What an artifact is, what it was made from, and what was measured while it was made."""

    id: str
    kind: Kind
    stage: str
    version: int
    spec: Mapping[str, Any]
    inputs: Mapping[str, str]
    choices: Mapping[str, str]
    figures: Mapping[str, Any]
    """What was counted and measured, as plain JSON."""
    files: Mapping[str, Mapping[str, Any]]
    """Relative path -> {"bytes": size, "sha256": hex}."""
    versions: Mapping[str, str]
    machine: str
    commit: str
    made_at: str
    """UTC, ISO 8601, to the millisecond: `newest` goes by it."""
    seconds: float


def card_of(
    order: Order, figures: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]], made_at: str, seconds: float
) -> Card:
    """Fill in a card for an order that was just built."""
    return Card(
        id=order.id,
        **asdict(order),
        figures=figures,
        files=files,
        versions=_versions(),
        machine=f"{platform.system()} {platform.machine()} python {platform.python_version()}",
        commit=_commit(),
        made_at=made_at,
        seconds=round(seconds, 3),
    )


def template_figures(card: Card) -> dict[str, Any]:
    """Give what a card says of the chat template, to be written on the card of what is made from it."""
    return {name: card.figures[name] for name in TEMPLATE_FIGURES if name in card.figures}


def to_plain(card: Card) -> dict[str, Any]:
    """Give the card as plain JSON data."""
    return asdict(card)


def read_card(folder: Path) -> Card:
    """Read a folder's card. Raises StoreError if it is missing or cannot be read."""
    path = folder / NAME
    try:
        return Card(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StoreError(
            f"{folder.name!r} has no {NAME}: it is not whole",
            where=str(folder),
            mend="remove the folder and run its command again",
        ) from None
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"the card cannot be read: {error}", where=str(path), mend="remove the folder and run its command again"
        ) from None


def _versions() -> dict[str, str]:
    found = {"luthier": __version__, "python": platform.python_version()}
    for name in WATCHED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def _commit() -> str:
    """The commit of the source tree luthier runs from, or '' where there is none."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=5
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

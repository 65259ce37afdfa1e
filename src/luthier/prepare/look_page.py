"""Examples as a page: every token, whether it is learned, its id and its weight, in one file that needs no other."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from luthier.artifact.example import Example, Message
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.errors import DataError
from luthier.model.template import Template, open_template
from luthier.prepare.look import check_lookable, headline, own_part, read_rows

PAGES = Path(__file__).parent / "pages"
LOOK_BACK = 16
"""Tokens decoded again with each next one: a character is spread over few of them."""


@dataclass(frozen=True)
class Shown:
    """A token on the page."""

    text: str
    tip: str
    sort: str
    """Names of its classes: learned, special."""
    shade: float
    """How strong its colour is, 0 to 1: its weight beside the heaviest of its row."""


def write_page(artifact: Artifact, model: Artifact, split: str, count: int, path: Path) -> None:
    """Write the first `count` examples of a split as an HTML page.

    Raises KindError for artifacts of other kinds, DataError for a split that does not exist.
    """
    check_lookable(artifact, model, split)
    template = open_template(model.folder)
    pages = Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    rows = [
        {
            "headline": headline(example, tokens),
            "parts": _parts(example),
            "tokens": shown_tokens(template, tokens),
            "worse": [] if rejected is None else shown_tokens(template, own_part(rejected, tokens)),
        }
        for example, tokens, rejected in islice(read_rows(artifact.folder, split), count)
    ]
    total = len(read_tokens(artifact.folder, split))
    page = pages.get_template("look.html.jinja")
    text = page.render(id=artifact.id, model=model.id, split=split, total=total, rows=rows)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the page cannot be written: {error.strerror}",
            where=str(path),
            mend="give a path in a folder that you may write to",
        ) from None


def shown_tokens(template: Template, tokens: Tokens) -> list[Shown]:
    """Give each token with its own part of the text; joined, the parts are the whole decoded text.

    A character that is spread over several tokens stands with the last of them; the others show as a dot.
    """
    ids = tokens.ids.tolist()
    special = set(template.tokenizer.all_special_ids)
    weights = [1.0] * len(ids) if tokens.weight is None else tokens.weight.tolist()
    heaviest = max([weight for weight, is_on in zip(weights, tokens.mask, strict=True) if is_on], default=1.0) or 1.0
    found: list[Shown] = []
    for number, text in zip(ids, pieces(template.tokenizer, ids), strict=True):
        place = len(found)
        is_learned = bool(tokens.mask[place]) and weights[place] != 0
        names = ("learned",) * is_learned + ("special",) * (number in special)
        said = f"learned, weight {weights[place]:g}" if is_learned else "not learned"
        tip = f"token {place}: id {number}, {said}"
        found.append(Shown(text, tip, " ".join(names), round(weights[place] / heaviest, 3)))
    return found


def pieces(tokenizer: Any, ids: list[int]) -> list[str]:
    """Give the text that each token adds, "" for one that only begins a character."""
    found: list[str] = []
    begin, before = 0, ""
    for end in range(1, len(ids) + 1):
        text = _decode(tokenizer, ids[begin:end])
        is_whole = not text.endswith("\ufffd") or end == len(ids)
        found.append(text[len(before) :] if is_whole else "")
        if not is_whole:
            continue
        before = text
        if end - begin >= LOOK_BACK:
            # the tokens shown last stay in sight: a tokenizer may write a token otherwise at the beginning of a text
            begin = end - LOOK_BACK // 2
            before = _decode(tokenizer, ids[begin:end])
    return found


def _decode(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def _parts(example: Example) -> list[str]:
    """Name what a row has besides turns of text."""
    turns: tuple[Message, ...] = example.messages
    counts = {
        "thoughts": sum(bool(message.reasoning) for message in turns),
        "tool calls": sum(len(message.calls) for message in turns),
        "tool results": sum(message.role == "tool" for message in turns),
        "turns with a weight of their own": sum(message.weight is not None for message in turns),
    }
    return [f"{name}: {count}" for name, count in counts.items() if count]

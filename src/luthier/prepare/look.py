"""Show examples as the model will see them, with the tokens it learns marked."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from luthier.artifact.example import SPLITS, Example, read_examples
from luthier.artifact.store import Artifact, check_kind
from luthier.artifact.tokens import Tokens, has_tokens, read_tokens
from luthier.errors import DataError
from luthier.model.template import Template, open_template

TRAINED = "bold green"
REST = "dim"


def look(artifact: Artifact, model: Artifact, split: str, count: int, console: Console) -> None:
    """Print the first `count` examples of a split: where each came from, how long it is, what is learned.

    Learned text is green on a terminal and in [[ ]] elsewhere. Raises DataError for a split that does not exist.
    """
    check_lookable(artifact, model, split)
    template = open_template(model.folder)
    is_coloured = console.is_terminal and not console.no_color
    console.print(_legend(split, len(read_tokens(artifact.folder, split)), is_coloured), soft_wrap=True)
    for example, tokens, rejected in islice(read_rows(artifact.folder, split), count):
        console.print(Text(f"--- {headline(example, tokens)}", style="cyan"), soft_wrap=True)
        console.print(_marked(template, tokens, is_coloured), soft_wrap=True)
        if rejected is not None:
            console.print(Text("--- the worse answer", style="cyan"), soft_wrap=True)
            console.print(_marked(template, own_part(rejected, tokens), is_coloured), soft_wrap=True)


def check_lookable(artifact: Artifact, model: Artifact, split: str) -> None:
    """Raise KindError for artifacts of other kinds, DataError for a split that does not exist."""
    check_kind(artifact, "examples", "data")
    check_kind(model, "model", "model")
    if split not in SPLITS:
        raise DataError(f"there is no split {split!r}", where=artifact.id, mend=f"give one of {', '.join(SPLITS)}")


def read_rows(folder: Path, split: str) -> Iterator[tuple[Example, Tokens, Tokens | None]]:
    """Give each example of a split with its tokens, and of a preference pair the tokens of the worse answer."""
    chosen = read_tokens(folder, split)
    rejected = read_tokens(folder, split, "rejected") if has_tokens(folder, split, "rejected") else None
    for place, example in enumerate(read_examples(folder, split)):
        yield example, chosen[place], None if rejected is None else rejected[place]


def own_part(tokens: Tokens, other: Tokens) -> Tokens:
    """Give what follows the beginning that two rows have in common: of a pair, the worse answer without its prompt."""
    length = min(len(tokens.ids), len(other.ids))
    differ = np.flatnonzero(tokens.ids[:length] != other.ids[:length])
    learned = np.flatnonzero(tokens.mask)
    begin = min(int(differ[0]) if len(differ) else length, int(learned[0]) if len(learned) else length)
    weight = None if tokens.weight is None else tokens.weight[begin:]
    return Tokens(tokens.ids[begin:], tokens.mask[begin:], weight)


def _legend(split: str, total: int, is_coloured: bool) -> Text:
    learned = ("green", TRAINED) if is_coloured else ("[[between brackets]]", "")
    return Text.assemble(f"{split}: {total} examples; what is learned stands ", learned, "\n")


def headline(example: Example, tokens: Tokens) -> str:
    """Say where an example came from, under which names it goes, and how much of it is learned."""
    known = {
        "tag": example.tag,
        "group": example.group,
        "label": (", ".join(example.label) or "(none)") if isinstance(example.label, tuple) else example.label,
        "judged": None if example.desirable is None else "wanted" if example.desirable else "not wanted",
        "weight": f"{example.weight:g}" if example.weight != 1 else None,
        "tools": len(example.tools) or None,
    }
    named = "".join(f"  {name} {value}" for name, value in known.items() if value not in (None, ""))
    return f"{example.source}{named}  {len(tokens.ids)} tokens, {tokens.supervised} learned"


def _marked(template: Template, tokens: Tokens, is_coloured: bool) -> Text:
    text = Text()
    for piece, is_learned in segments(template, tokens):
        if is_coloured:
            text.append(piece, style=TRAINED if is_learned else REST)
        else:
            text.append(f"[[{piece}]]" if is_learned else piece)
    return text


def segments(template: Template, tokens: Tokens) -> Iterator[tuple[str, bool]]:
    """Give the text in runs of learned and of other tokens; joined, they are the whole decoded text.

    Each run is cut out of longer and longer decodings, never decoded alone: a character may be spread over tokens
    on both sides of a border, and some tokenizers drop a leading space.
    """
    ids = tokens.ids.tolist()
    whole = _decode(template, ids)
    begin, end = 0, 0
    for is_learned, run in groupby(tokens.mask.tolist()):
        end += len(list(run))
        stop = len(whole) if end == len(ids) else _agreed(_decode(template, ids[:end]), whole)
        stop = max(stop, begin)
        yield whole[begin:stop], bool(is_learned)
        begin = stop


def _decode(template: Template, ids: Sequence[int]) -> str:
    text: str = template.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text


def _agreed(beginning: str, whole: str) -> int:
    """Count the characters at the front that both texts share."""
    for place, (one, other) in enumerate(zip(beginning, whole, strict=False)):
        if one != other:
            return place
    return min(len(beginning), len(whole))

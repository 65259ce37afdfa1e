"""Show examples as the model will see them, with the tokens it learns marked."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice

from rich.console import Console
from rich.text import Text

from luthier.artifact.example import SPLITS, Example, read_examples
from luthier.artifact.store import Artifact, check_kind
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.errors import DataError
from luthier.model.template import Template, open_template

TRAINED = "bold green"
REST = "dim"


def look(artifact: Artifact, model: Artifact, split: str, count: int, console: Console) -> None:
    """Print the first `count` examples of a split: where each came from, how long it is, what is learned.

    Learned text is green on a terminal and in [[ ]] elsewhere. Raises DataError for a split that does not exist.
    """
    check_kind(artifact, "examples", "data")
    check_kind(model, "model", "model")
    if split not in SPLITS:
        raise DataError(f"there is no split {split!r}", where=artifact.id, mend=f"give one of {', '.join(SPLITS)}")
    template = open_template(model.folder)
    is_coloured = console.is_terminal and not console.no_color
    rows = read_tokens(artifact.folder, split)
    console.print(_legend(split, len(rows), is_coloured), soft_wrap=True)
    for example, tokens in islice(zip(read_examples(artifact.folder, split), rows, strict=True), count):
        console.print(_headline(example, tokens), soft_wrap=True)
        console.print(_marked(template, tokens, is_coloured), soft_wrap=True)


def _legend(split: str, total: int, is_coloured: bool) -> Text:
    learned = ("green", TRAINED) if is_coloured else ("[[between brackets]]", "")
    return Text.assemble(f"{split}: {total} examples; what is learned stands ", learned, "\n")


def _headline(example: Example, tokens: Tokens) -> Text:
    tag = f"  tag {example.tag}" if example.tag else ""
    group = f"  group {example.group}" if example.group else ""
    counts = f"{len(tokens.ids)} tokens, {tokens.supervised} learned"
    return Text(f"--- {example.source}{tag}{group}  {counts}", style="cyan")


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

"""Instructions that came out of a tool and stand in an answer: marked there as the quotations they are."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path

from luthier.act.data import clean
from luthier.measure.sentences import sentences

SHORTEST_RUN = {False: 4, True: 6}
"""Words (of Chinese: characters) that must follow one another in both for a quotation; of a shorter sentence, all."""
LEAST = 3
TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
CHINESE = re.compile("[\u4e00-\u9fff]")
NOTES = {
    False: "“{text}” (quoted from the output of {name}; not followed)",
    True: "“{text}”（引自 {name} 的输出，未予执行）",
}
"""Whether the answer is Chinese -> how a quotation is marked."""


@dataclass(frozen=True)
class Quoted:
    """What an answer says in the words of an instruction within a tool's output."""

    tool: str
    text: str


@cache
def _patterns() -> re.Pattern[str]:
    listed = tomllib.loads((Path(__file__).parent / "suspicious.toml").read_text(encoding="utf-8"))
    return re.compile("|".join(f"(?:{pattern})" for rows in listed.values() for pattern in rows), re.IGNORECASE)


def instructions_in(text: str) -> list[str]:
    """Give the sentences of a text that read like instructions to an assistant."""
    text = clean(text)
    return [text[begin:end] for begin, end in sentences(text) if _patterns().search(text[begin:end])]


def mark_quotes(answer: str, outputs: Sequence[tuple[str, str]]) -> tuple[str, list[Quoted]]:
    """Give the answer with every run of words marked that it has from an instruction in an output (tool, text)."""
    spans = sorted(
        {
            (begin, end): tool
            for tool, text in outputs
            for sentence in instructions_in(text)
            for begin, end in _runs(answer, sentence)
        }.items()
    )
    note = NOTES[bool(CHINESE.search(answer))]
    parts: list[str] = []
    found: list[Quoted] = []
    place = 0
    for (begin, end), tool in _joined(spans):
        quoted = answer[begin:end]
        found.append(Quoted(tool, quoted))
        parts += [answer[place:begin], note.format(text=quoted, name=tool)]
        place = end
    return "".join([*parts, answer[place:]]), found


def _runs(answer: str, sentence: str) -> Iterator[tuple[int, int]]:
    tokens = list(TOKEN.finditer(answer))
    said = [match.group().casefold() for match in tokens]
    source = [word.casefold() for word in TOKEN.findall(sentence)]
    least = max(LEAST, min(SHORTEST_RUN[bool(CHINESE.search(sentence))], len(source)))
    for block in SequenceMatcher(None, said, source, autojunk=False).get_matching_blocks():
        if block.size >= least:
            yield tokens[block.a].start(), tokens[block.a + block.size - 1].end()


def _joined(spans: Sequence[tuple[tuple[int, int], str]]) -> Iterator[tuple[tuple[int, int], str]]:
    """Join what overlaps, under the first one's name."""
    waiting: tuple[tuple[int, int], str] | None = None
    for (begin, end), tool in spans:
        if waiting is not None and begin <= waiting[0][1]:
            waiting = ((waiting[0][0], max(end, waiting[0][1])), waiting[1])
            continue
        if waiting is not None:
            yield waiting
        waiting = ((begin, end), tool)
    if waiting is not None:
        yield waiting

"""Filters: what is taken out of an answer before it is judged, one row each in a plain table."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

FENCED = re.compile(r"```[ \t]*[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Filter:
    """One row of the table."""

    about: str
    apply: Callable[[str, str, Sequence[str]], str]
    """Takes the answer, the argument ('' where there is none) and the task's labels."""
    takes_argument: bool = False


def last_number(text: str) -> str:
    """Give the last number of a text without thousands separators and idle zeros, or ''."""
    found = NUMBER.findall(text)
    if not found:
        return ""
    number = str(found[-1]).replace(",", "")
    return number.rstrip("0").rstrip(".") if "." in number else number


def label_of(text: str, labels: Sequence[str]) -> str:
    """Give the label that a text names first, as a word of its own whatever its case, or ''."""
    ends = sorted(labels, key=len, reverse=True)  # "not neutral" before "neutral", where both are labels
    # Chinese has no gaps between words
    bounded = "|".join(rf"(?<!\w){re.escape(label)}(?!\w)" if label.isascii() else re.escape(label) for label in ends)
    found = re.search(bounded, text, re.IGNORECASE) if ends else None
    if found is None:
        return ""
    said = found.group().casefold()
    return next(label for label in labels if label.casefold() == said)


def fenced(text: str) -> str:
    """Give the first block between fences, or the whole text where there is none."""
    found = FENCED.search(text)
    return str(found[1]) if found else text


def first_json(text: str) -> str:
    """Give the first JSON object or list in a text, or ''."""
    decoder = json.JSONDecoder()
    for found in re.finditer(r"[\[{]", text):
        try:
            value, _ = decoder.raw_decode(text, found.start())
        except ValueError:
            continue
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return ""


def _first_group(text: str, pattern: str) -> str:
    found = re.search(pattern, text, re.DOTALL)
    return "" if found is None else str(found[1] if found.groups() else found[0]).strip()


FILTERS: dict[str, Filter] = {
    "strip": Filter("takes off white space at both ends", lambda text, argument, labels: text.strip()),
    "first_line": Filter(
        "keeps the first line that is not empty",
        lambda text, argument, labels: next((line.strip() for line in text.splitlines() if line.strip()), ""),
    ),
    "last_number": Filter("keeps the last number, written plainly", lambda text, argument, labels: last_number(text)),
    "label": Filter("keeps the first of the labels that is named", lambda text, _, labels: label_of(text, labels)),
    "fenced": Filter("keeps what stands between the first ``` fences", lambda text, argument, labels: fenced(text)),
    "json": Filter("keeps the first JSON object or list", lambda text, argument, labels: first_json(text)),
    "regex": Filter(
        "keeps the first group of a regular expression: `regex: 'Answer: (\\w)'`",
        lambda text, argument, labels: _first_group(text, argument),
        takes_argument=True,
    ),
    "before": Filter(
        "keeps what stands before a text: `before: END`",
        lambda text, argument, labels: text.partition(argument)[0],
        takes_argument=True,
    ),
    "after": Filter(
        "keeps what stands after the last occurrence of a text: `after: '####'`",
        lambda text, argument, labels: text.rpartition(argument)[2],
        takes_argument=True,
    ),
}


def apply_filters(text: str, filters: Sequence[str | dict[str, str]], labels: Sequence[str] = ()) -> str:
    """Lead a text through filters, in order."""
    for wish in filters:
        name, argument = (wish, "") if isinstance(wish, str) else next(iter(wish.items()))
        text = FILTERS[name].apply(text, argument, labels)
    return text

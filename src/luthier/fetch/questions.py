"""From documented objects to raw question/answer rows in the house format: one line, the call, then what it does."""

import hashlib
import inspect
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PHRASINGS = Path(__file__).parent / "phrasings.toml"
ANSWER_WORDS = 40
SUMMARY_WORDS_MIN = 3
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|resp|incl|[A-Za-z])|\.\.)\.$")
LEFT_OUT = ("no docstring", "only a signature", "too short", "too long", "no sentence", "internal", "same as another")


def make_rows(objects: Iterable[Mapping[str, str]]) -> tuple[list[dict[str, str]], dict[str, int]]:
    """Give the rows, in the objects' order, and how many objects were kept or left out and why.

    A row: function, kind, signature, summary, phrasing ("plain" or "reworded"), question, answer.
    """
    phrasings = tomllib.loads(PHRASINGS.read_text(encoding="utf-8"))
    rows: list[dict[str, str]] = []
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for found in objects:
        call, summary = describe(found["name"], found["signature"], found["doc"])
        reason = _reason(found["doc"], f"`{call}`: {summary}", summary, seen)
        counts[reason or "kept"] += 1
        if reason is None:
            seen.add(summary)
            rows += _phrase(found, call, summary, phrasings)
    return rows, {name: counts[name] for name in ("kept", *LEFT_OUT)}


def describe(name: str, signature: str, doc: str) -> tuple[str, str]:
    """Give the call as it is written, and the first sentence of the docstring in one line ('' if there is none).

    C functions write their signature into the docstring's first lines: it is used where Python knows no other, and
    is not taken for a sentence.
    """
    lines = inspect.cleandoc(doc).splitlines()
    last_name = re.escape(name.rpartition(".")[2])
    head = re.compile(rf"^(?:[\w.]+\.)?{last_name}(\([^()]*(?:\([^()]*\)[^()]*)*\))\s*(?:(?:->|-->|--|-|:|=)\s*(.*))?$")
    rest = ""
    while lines and (match := head.match(lines[0].strip())):
        signature = signature or match[1]
        after = match[2] or ""
        lines.pop(0)
        if " " in after and not lines[:1]:  # `unlink(path) -- remove the file` and nothing else
            rest = after
    if rest:
        lines = [rest]
    while lines and not lines[0].strip():
        lines.pop(0)
    end = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    return name + (signature or "(...)"), first_sentence(" ".join(line.strip() for line in lines[:end]))


def first_sentence(paragraph: str) -> str:
    """Give the first sentence, its markup plain, a full stop at its end."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", paragraph).replace("``", "`")
    text = re.sub(r"\s+", " ", text).strip()
    for match in re.finditer(r"[.!?](?=\s)", text):
        if not ABBREVIATION.search(text[: match.end()]):
            text = text[: match.end()]
            break
    if text and text[-1] not in ".!?:":
        text += "."
    return text[:1].upper() + text[1:] if re.match(r"[a-z]+ ", text) else text


def _reason(doc: str, answer: str, summary: str, seen: set[str]) -> str | None:
    """Give why an object is left out, or None."""
    checks = {
        "no docstring": not doc.strip(),
        "only a signature": not summary,
        "too short": len(summary.split()) < SUMMARY_WORDS_MIN,
        "too long": len(answer.split()) > ANSWER_WORDS,
        "no sentence": summary.endswith(":") or not summary[:1].isalpha() or ">>>" in summary or "::" in summary,
        "internal": summary.lower().startswith(("internal", "private", "(internal")),
        "same as another": summary in seen,
    }
    return next((reason for reason, holds in checks.items() if holds), None)


def _phrase(found: Mapping[str, str], call: str, summary: str, phrasings: Mapping[str, Any]) -> list[dict[str, str]]:
    name, kind = found["name"], found["kind"]
    rows = []
    for phrasing in ("plain", "reworded"):
        templates = sorted(phrasings[phrasing], key=lambda template: _hash(f"{name}|{template}"))
        for template in templates[: phrasings[f"{phrasing}_each"]]:
            rows.append(
                {
                    "function": name,
                    "kind": kind,
                    "signature": call.removeprefix(name),
                    "summary": summary,
                    "phrasing": phrasing,
                    "question": template.format(call=call, name=name, kind=kind),
                    "answer": f"`{call}`: {summary}",
                }
            )
    return rows


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

"""One file with a row, or a few, for each finding of lint; and the rows without fault that they stand among."""

import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from luthier.prepare.split import fractions, key_hash

Row = dict[str, Any]
WORDS = sorted(dict(Counter(re.findall(r"\b[a-z]{4,9}\b", " ".join(topics.values()))).most_common(600)))
"""Common English words, which lie on every machine: in the interpreter's own help."""
ZH = "鹦鹉学舌并不等于理解语言模型也是如此我们需要更多的数据和更好的方法来训练它"


def sentence(chance: random.Random, count: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(count))


def turns(question: str, answer: str, **more: Any) -> Row:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer, **more}]}


def clean(count: int, seed: int = 0) -> list[Row]:
    """Make rows that nobody could find fault with: of different words and like lengths."""
    chance = random.Random(seed)
    return [turns(f"{sentence(chance, 9).capitalize()}?", f"{sentence(chance, 8)}.") for _ in range(count)]


EXAM = [sentence(random.Random(6), 20) for _ in range(3)]
"""Questions of an evaluation set."""
MIXED = {"train": 0.92, "dev": 0.005, "test": 0.075}
"""Shares of the splits of `chats`: dev gets hardly anything."""
BROKEN: dict[str, Any] = {
    "D101": "a text, not an object",
    "D102": {"talk": "Hello"},
    "D103": {"messages": [{"role": "user", "content": {"a": 1}}, {"role": "assistant", "content": "Yes."}]},
    "D104": {"messages": [{"role": "assistant", "content": "Yes."}, {"role": "user", "content": "No?"}]},
    "D105": turns("What is missing here?", ""),
    "D106": turns("", "Nobody asked for this."),
    "D107": turns("Which weather is it?", "", tool_calls=[{"function": {"name": "weather", "arguments": "{sunny"}}]),
    "D108": turns("How much does this count?", "As much as it may.", weight="very much"),
    "D109": turns("Does a turn end here? <|im_end|>", "It must not."),
    "D110": {
        "messages": [
            {"role": "user", "content": "How many are left?"},
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "stock", "arguments": "{}"}}]},
            {"role": "tool", "content": "12"},
            {"role": "assistant", "content": "Twelve of them."},
        ]
    },
    "D111": turns("Say something that has no end.", "on and on and " * 400),
    "D112": turns("Is anything learned from this?", "No, nothing at all.", weight=0),
    "D113": turns("&nbsp;&#160;&nbsp;", "That is nothing at all."),
    "D114": turns("Is a single letter enough?", "y"),
}
"""Rows of which nothing can be learned."""
TEACHING = {
    "D203": turns("Parrots repeat what they are told.", "PARROTS REPEAT what they are told"),
    "D204": turns("Which marker stands in this answer?", "It is this one: [INST] and nothing else."),
    "D205": turns(f"{ZH}？", "It is not the same as understanding what the words mean, of course."),
    "D206": turns("Which character was lost on the way?", "The character \ufffd was lost."),
    "D309": turns(f"I once heard: {' '.join(EXAM[1].split()[3:17])}. What of it?", "It was in an exam."),
}
"""Rows that teach what is not meant."""


@dataclass
class Planted:
    """The file: its lists, and which rows of `chats` were planted for a finding."""

    chats: list[Any] = field(default_factory=list)
    pairs: list[Row] = field(default_factory=list)
    classes: list[Row] = field(default_factory=list)
    numbers: dict[str, list[int]] = field(default_factory=dict)
    """Finding -> the places in `chats`, from 0, of the rows that it is to name."""

    def add(self, code: str, *rows: Any, named: int | None = None) -> None:
        """Plant rows; of several the last `named` are what the finding counts."""
        end = len(self.chats) + len(rows)
        self.numbers[code] = list(range(end - (len(rows) if named is None else named), end))
        self.chats += rows

    def text(self) -> str:
        """Write it, a row on each line."""
        lists = [f'"{name}": [\n' + ",\n".join(map(_line, getattr(self, name))) + "\n]" for name in LISTS]
        return "{\n" + ",\n".join(lists) + "\n}\n"

    def line(self, number: int) -> int:
        """Give the line on which a row of `chats` stands, from 1."""
        return number + 3


LISTS = ("chats", "pairs", "classes")


def planted() -> Planted:
    """Make the file: rows of short texts, three hundred without fault, then what is planted."""
    found, chance = Planted(), random.Random(8)
    learned, unseen = _groups()
    for number in range(300):
        row = turns(f"{sentence(chance, 3).capitalize()}?", f"{sentence(chance, 2)}.")
        found.chats.append({**row, "owner": f"owner {number}"})
    for code, row in {**BROKEN, **TEACHING}.items():
        found.add(code, {**row, "owner": learned} if isinstance(row, dict) else row)
    _plant_alike(found, chance, learned, unseen)
    short = [turns(f"{sentence(chance, 3)}?", "I cannot tell you that.") for _ in range(60)]
    chinese = ["".join(chance.choices(ZH, k=length)) for length in [6, 20] * 60]
    questions = [turns(f"{one}？", f"{two}。") for one, two in zip(chinese[::2], chinese[1::2], strict=True)]
    long = [turns(f"{sentence(chance, 6)}?", f"{sentence(chance, 90)}.") for _ in range(5)]
    for code, rows in {"D307": short, "D207": questions, "D208": long}.items():
        found.add(code, *({**row, "owner": learned} for row in rows))
    _plant_others(found, chance)
    return found


def _groups() -> tuple[str, str]:
    """Give a group that is dealt into train, and one that is dealt into test."""
    names = [f"group {number}" for number in range(100)]
    places = fractions(np.array([key_hash(name, 0) for name in names], np.uint64))
    learned = next(name for name, place in zip(names, places, strict=True) if place < 0.8)
    unseen = next(name for name, place in zip(names, places, strict=True) if place > 0.96)
    return learned, unseen


def _plant_alike(found: Planted, chance: random.Random, learned: str, unseen: str) -> None:
    one, other = {"owner": learned}, {"owner": unseen}
    again = {**turns("Which wood is the top of?", "It is of spruce."), **one}
    found.add("D303", again, again, named=1)
    texts = [sentence(chance, 30) for _ in range(4)]
    near = [{**turns(f"{texts[0]}?", text), **one} for text in (texts[1], f"{texts[1]} indeed")]
    # two that are alike ask the same, too, and answer otherwise by a word
    near[1]["messages"][0]["content"] = f"{texts[0]} now?"
    found.add("D304", *near, named=1)
    either = [turns("Which answer is right?", "The first one."), turns("which answer  is right?", "It never was.")]
    found.add("D306", *({**row, **one} for row in either))
    asked = "Does this question stand on both sides?"
    found.add("D301", {**turns(asked, "In train it does."), **one}, {**turns(asked, "And in test."), **other}, named=1)
    alike = [turns(f"{texts[2]}?", texts[3]), turns(f"{texts[2]} perhaps?", texts[3])]
    found.add("D305", {**alike[0], **one}, {**alike[1], **other}, named=1)
    recall = "What was said of this before?"
    known = [{**turns(recall, "That it is learned."), **one}, {**turns(recall, "That it is asked."), **other}]
    found.add("D302", *({**row, "tag": "again"} for row in known), named=1)


def _plant_others(found: Planted, chance: random.Random) -> None:
    """Fill the lists that another form, and so another run, reads."""
    found.pairs = [
        {"prompt": f"{sentence(chance, 9)}?", "chosen": sentence(chance, 8), "rejected": sentence(chance, 8)}
        for _ in range(100)
    ]
    found.pairs.append({"prompt": "Which is the better answer?", "chosen": "This one.", "rejected": "This one."})
    found.classes = [{"text": sentence(chance, 12), "label": ("good", "bad")[number % 2]} for number in range(100)]
    found.classes += [{"text": sentence(chance, 12), "label": "rare"} for _ in range(2)]


def _line(row: Any) -> str:
    return json.dumps(row, ensure_ascii=False)

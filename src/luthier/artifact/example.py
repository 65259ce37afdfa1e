"""`Example`: the one form of training and evaluation rows; read and written as JSON lines."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

SPLITS = ("train", "dev", "test")
Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Message:
    """One turn."""

    role: Role
    content: str


@dataclass(frozen=True)
class Example:
    """A conversation that ends with the assistant's answer.

    `id` is a hash of the messages; `source` says where it came from (`file:line`); `group` keeps rows together
    when they are split; `tag` is '' or a name under which scores are reported apart.
    """

    id: str
    messages: tuple[Message, ...]
    source: str
    group: str = ""
    tag: str = ""

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer."""
        return self.messages[:-1]

    @property
    def reference(self) -> str:
        """The last answer."""
        return self.messages[-1].content


def plain(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Give messages as chat templates take them: [{"role": ..., "content": ...}]."""
    return [{"role": message.role, "content": message.content} for message in messages]


def from_plain(row: Mapping[str, Any]) -> Example:
    """Make an Example of its JSON form."""
    fields = dict(row)
    fields["messages"] = tuple(Message(**message) for message in row["messages"])
    return Example(**fields)


def read_examples(folder: Path, split: str) -> Iterator[Example]:
    """Read one split of an `examples` artifact, in its order."""
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield from_plain(json.loads(line))


def write_examples(folder: Path, split: str, examples: Iterable[Example]) -> int:
    """Write one split of an `examples` artifact. Gives the number of rows."""
    count = 0
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(json.dumps(asdict(example), ensure_ascii=False) + "\n")
            count += 1
    return count

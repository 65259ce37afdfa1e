"""Documents for a knowledge base that `compare` may be asked about: all of the library but the held-out answers.

    python bench/compare_documents.py .luthier/artifacts/examples-... OUT_FOLDER

The demo's answers are first paragraphs of docstrings. A base of whole docstrings would hold the very answers that it is
asked for, which no user's documents do; so here the functions of the dev and test rows keep their signature and what
else their docstring says, and lose that paragraph, wherever a document quotes it. Those that were trained on keep
theirs. One Markdown file a module.
"""

import argparse
import importlib
import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main() -> None:
    """Write the files and say how many answers were left out."""
    parser = argparse.ArgumentParser()
    parser.add_argument("examples", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    held_out = {name: answer for split in ("dev", "test") for name, answer in read(given.examples / f"{split}.jsonl")}
    names = sorted({*held_out, *(name for name, _ in read(given.examples / "train.jsonl"))} | set(neighbours(held_out)))
    secrets = [re.sub(r"^`.*?`: ", "", answer).rstrip(".").lower() for answer in held_out.values()]
    given.out.mkdir(parents=True, exist_ok=True)
    parts: dict[str, list[str]] = defaultdict(list)
    for name in names:
        text = document(name, is_held_out=name in held_out)
        if text:
            parts[name.partition(".")[0]].append(f"## {name}\n\n{without(text, secrets)}\n")
    for module, sections in parts.items():
        (given.out / f"{module}.md").write_text(f"# {module}\n\n" + "\n".join(sections), encoding="utf-8")
    whole = "\n".join(path.read_text(encoding="utf-8").lower() for path in given.out.glob("*.md"))
    left = sum(len(secret) > 20 and secret in whole for secret in secrets)
    print(
        f"{len(parts)} files, {sum(map(len, parts.values()))} functions; {len(held_out)} held out, {left} still quoted"
    )


def read(path: Path) -> Iterator[tuple[str, str]]:
    """Give (function, answer) of the rows without a tag: those with one ask about functions that were trained on."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if not row["tag"]:
            yield row["group"], row["messages"][-1]["content"]


def neighbours(held_out: dict[str, str]) -> Iterator[str]:
    """Give the public names beside the held-out ones: what a user's documents would hold too."""
    for module in sorted({name.rpartition(".")[0] for name in held_out if "." in name}):
        found = resolve(module)
        yield from (f"{module}.{name}" for name in dir(found) if found is not None and not name.startswith("_"))


def document(name: str, *, is_held_out: bool) -> str:
    """Give a function's signature and docstring, without its first paragraph if it is held out."""
    found = resolve(name)
    text = inspect.getdoc(found) if callable(found) else None
    if not text:
        return ""
    try:
        signature = str(inspect.signature(found))
    except (ValueError, TypeError):
        signature = "(...)"
    paragraphs = re.split(r"\n\s*\n", text)
    kept = paragraphs[1:] if is_held_out else paragraphs
    return "\n\n".join([f"`{name}{signature}`", *kept])


def without(text: str, secrets: list[str]) -> str:
    """Cut out every line that quotes a held-out answer."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if not any(len(s) > 20 and s in line.lower() for s in secrets))


def resolve(name: str) -> Any:
    """Give what a dotted name stands for, None if nothing does."""
    parts = name.split(".")
    for length in range(len(parts), -1, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]) or "builtins")
            for part in parts[length:]:
                found = getattr(found, part)
        except (ImportError, AttributeError):
            continue
        return found
    return None


if __name__ == "__main__":
    main()

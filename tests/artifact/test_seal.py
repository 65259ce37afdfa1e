"""Seals: a released model is what was released, file by file and card by card."""

import json
import shutil
from pathlib import Path

import pytest

from luthier.artifact import atomic
from luthier.artifact.atomic import sha256
from luthier.artifact.card import NAME
from luthier.artifact.order import Kind, Order
from luthier.artifact.seal import parts_of, verify_release, verify_released, verify_whole
from luthier.artifact.store import Artifact, Store
from luthier.errors import StoreError
from luthier.event import Event, Warned, hush
from luthier.release.log import promote


def made(store: Store, kind: Kind, name: str, **inputs: str) -> Artifact:
    def build(out: Path, work: Path) -> dict[str, str]:
        (out / "weights").write_text(f"{kind} {name}", encoding="utf-8")
        return {}

    return store.make(Order(kind, "test", 1, {"name": name}, inputs), build, hush)


@pytest.fixture
def released(store: Store) -> tuple[Artifact, Artifact, Artifact]:
    """Give a release, the adapter in it, and that one's base."""
    rows = made(store, "rows", "one")
    base = made(store, "model", "one", raw="sha256:0")
    data = made(store, "examples", "one", model=base.id, rows=rows.id)
    adapter = made(store, "adapter", "one", model=base.id, data=data.id)
    scores = made(store, "scores", "one", tuned=adapter.id)
    release = made(store, "release", "one", tuned=adapter.id, scores=scores.id)
    promote(store, release.id, hush)
    return release, adapter, base


def test_the_parts_are_what_answers_and_not_what_it_learned_from(
    store: Store, released: tuple[Artifact, Artifact, Artifact]
) -> None:
    assert [part.id for part in parts_of(store, released[0])] == [part.id for part in released]
    verify_release(store, released[0])


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_altered_file_is_found(part: int, store: Store, released: tuple[Artifact, Artifact, Artifact]) -> None:
    altered = released[part]
    (altered.folder / "weights").write_text("other", encoding="utf-8")
    with pytest.raises(StoreError) as caught:
        verify_release(store, released[0])
    assert caught.value.what == (
        f"weights of {altered.id} differs from its checksum, and {released[0].id} answers with it"
    )
    assert caught.value.where == str(altered.folder / "weights")
    assert "luthier release --rollback" in caught.value.mend


def test_a_file_altered_together_with_its_card_is_found(
    store: Store, released: tuple[Artifact, Artifact, Artifact]
) -> None:
    release, adapter, _ = released
    other = made(store, "adapter", "two")
    (adapter.folder / "weights").write_bytes((other.folder / "weights").read_bytes())
    card = json.loads((adapter.folder / NAME).read_text(encoding="utf-8"))
    card["files"] = json.loads((other.folder / NAME).read_text(encoding="utf-8"))["files"]
    (adapter.folder / NAME).write_text(json.dumps(card), encoding="utf-8")
    store.verify(adapter)  # by itself it looks whole
    with pytest.raises(StoreError) as caught:
        verify_release(store, release)
    assert caught.value.what == f"the card of {adapter.id} is not the one that was released with {release.id}"
    assert caught.value.where == str(adapter.folder / NAME)
    assert caught.value.mend.startswith("put it back as it was")


def test_a_part_that_is_gone_is_found(store: Store, released: tuple[Artifact, Artifact, Artifact]) -> None:
    (released[2].folder / NAME).unlink()
    with pytest.raises(StoreError, match=f"0 artifacts are called '{released[2].id}'"):
        verify_release(store, released[0])


def test_an_altered_release_is_not_promoted(store: Store, released: tuple[Artifact, Artifact, Artifact]) -> None:
    second = made(store, "release", "two", tuned=released[1].id)
    (released[1].folder / "weights").write_text("other", encoding="utf-8")
    with pytest.raises(StoreError, match="differs from its checksum"):
        promote(store, second.id, hush)


def test_the_base_of_a_released_adapter_is_looked_at_by_whoever_answers_with_it(
    store: Store, released: tuple[Artifact, Artifact, Artifact]
) -> None:
    release, adapter, base = released
    other = made(store, "adapter", "other", model=base.id)  # was never released
    apart = made(store, "model", "apart", raw="sha256:0")
    for artifact in (adapter, other, apart):
        verify_released(store, artifact)
        verify_whole(store, artifact)
    (base.folder / "weights").write_text("other", encoding="utf-8")
    for artifact in (adapter, other, base):
        with pytest.raises(StoreError, match=f"weights of {base.id} differs .* {release.id} answers with it"):
            verify_released(store, artifact)
    with pytest.raises(StoreError, match=f"weights of {base.id} differs from its checksum"):
        verify_whole(store, other)
    verify_released(store, apart)


def test_a_release_that_is_gone_stands_in_nobodys_way(
    store: Store, released: tuple[Artifact, Artifact, Artifact]
) -> None:
    release, adapter, base = released
    shutil.rmtree(release.folder)
    apart = made(store, "model", "apart", raw="sha256:0")
    for artifact in (apart, adapter):
        verify_released(store, artifact)
    (base.folder / "weights").write_text("other", encoding="utf-8")
    with pytest.raises(StoreError, match=f"weights of {base.id} differs .* {release.id} answers with it"):
        verify_released(store, adapter)


def test_a_base_below_several_releases_is_read_once_and_what_it_is_not_in_never(
    store: Store, released: tuple[Artifact, Artifact, Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = released[2]
    for name in ("two", "three"):
        adapter = made(store, "adapter", name, model=base.id)
        promote(store, made(store, "release", name, tuned=adapter.id).id, hush)
    read: list[Path] = []

    def reading(path: Path) -> str:
        read.append(path)
        return sha256(path)

    monkeypatch.setattr(atomic, "sha256", reading)
    verify_released(store, base)
    assert read == [base.folder / "weights", base.folder / NAME]


def test_a_log_that_cannot_be_read_is_warned_of_where_no_release_is_opened(
    store: Store, released: tuple[Artifact, Artifact, Artifact], told: list[Event]
) -> None:
    (store.root / "released.jsonl").write_text("garbage\n", encoding="utf-8")
    verify_released(store, released[1], told.append)
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert warned.what.startswith("a line of the log cannot be read: ")
    assert warned.what.endswith(f"nobody knows whether {released[1].id} is as it was released")
    assert warned.mend.startswith("put the file back as it was")
    with pytest.raises(StoreError, match="a line of the log cannot be read"):
        verify_release(store, released[0])


def test_narrow_weights_hold_all_they_answer_with(store: Store) -> None:
    wide = made(store, "model", "wide", raw="sha256:0")
    narrow = made(store, "quantized", "narrow", model=wide.id)
    (wide.folder / "weights").write_text("other", encoding="utf-8")
    verify_whole(store, narrow)

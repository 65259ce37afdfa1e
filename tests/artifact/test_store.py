"""The store: each artifact made once, whole or absent, found by its id, removed only when nothing needs it."""

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.card import NAME
from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Build, Store, check_kind
from luthier.errors import BusyError, KindError, RoomError, StoreError
from luthier.event import Event, Made, Skipped, Started, hush


def order(kind: Kind = "rows", number: int = 1, **inputs: str) -> Order:
    return Order(kind, "fetch", 1, {"number": number}, inputs)


def fill(out: Path, work: Path) -> Mapping[str, Any]:
    (out / "deep").mkdir()
    (out / "deep" / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    return {"rows": 1}


def never(out: Path, work: Path) -> Mapping[str, Any]:
    raise AssertionError("this is there already")


def made(store: Store, kind: Kind = "rows", number: int = 1, **inputs: str) -> Artifact:
    return store.make(order(kind, number, **inputs), fill, hush)


def no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_what_is_made_is_whole_and_told(store: Store, told: list[Event]) -> None:
    artifact = store.make(order(), fill, told.append)
    assert artifact.folder == store.artifacts / order().id
    assert sorted(path.name for path in artifact.folder.iterdir()) == [NAME, "deep"]
    assert artifact.card.figures == {"rows": 1}
    assert artifact.card.files == {
        "deep/rows.jsonl": {
            "bytes": 3,
            # echo '{}' | sha256sum
            "sha256": "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356",
        }
    }
    assert told[0] == Started("fetch", artifact.id)
    assert isinstance(told[1], Made)
    assert (told[1].id, told[1].folder, len(told)) == (artifact.id, str(artifact.folder), 2)
    assert not (store.work / artifact.id).exists()
    store.verify(artifact)


def test_files_may_be_read_by_whoever_may_read_their_folder_and_what_is_linked_stays_as_it_is(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text("1")
    (tmp_path / "own").chmod(0o600)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        out.chmod(0o750)
        (out / "weights").write_text("1")
        (out / "weights").chmod(0o600)
        (out / "linked").symlink_to(tmp_path / "own")
        return {}

    found = store.make(order(), build, hush).folder
    assert (found / "weights").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o600


def test_what_is_linked_to_a_file_of_somebody_else_is_taken_as_it_is(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(path: Path, mode: int) -> None:
        asked.append(path.name)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))

    for name, mode in (("open", 0o644), ("shut", 0o600)):
        (tmp_path / name).write_text(name, encoding="utf-8")
        (tmp_path / name).chmod(mode)

    def linked(out: Path, work: Path) -> Mapping[str, Any]:
        out.chmod(0o755)
        monkeypatch.setattr(Path, "chmod", refuse)  # as the system does where the file is another owner's
        for name in ("open", "shut"):
            (out / name).hardlink_to(tmp_path / name)
        return {}

    found = store.make(order(), linked, hush)
    assert sorted(found.card.files) == ["open", "shut"]
    assert asked == ["shut"]


def test_what_is_made_is_not_made_again(store: Store, told: list[Event]) -> None:
    first = made(store)
    assert store.make(order(), never, told.append) == first
    assert told == [Skipped("fetch", first.id, str(first.folder))]


def test_a_dry_store_makes_nothing_and_knows_the_id(store: Store, told: list[Event]) -> None:
    dry = Store(store.root, dry=True)
    planned = dry.make(order(), never, told.append)
    assert (planned.id, planned.kind, planned.exists, told) == (order().id, "rows", False, [])
    assert not store.root.exists()
    assert made(store).exists
    assert planned.exists


def test_a_build_that_raises_leaves_its_work_and_no_artifact(store: Store, told: list[Event]) -> None:
    def die(out: Path, work: Path) -> Mapping[str, Any]:
        (out / "half").touch()
        (work / "checkpoint").write_text("step 3", encoding="utf-8")
        raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        store.make(order(), die, told.append)
    assert told == [Started("fetch", order().id)]
    assert store.cards() == []
    assert not (store.artifacts / order().id).exists()
    assert [path.name for path in (store.work / order().id).iterdir()] == ["checkpoint"]  # half a file only takes room

    def go_on(out: Path, work: Path) -> Mapping[str, Any]:
        assert list(out.iterdir()) == []
        return {"from": (work / "checkpoint").read_text(encoding="utf-8")}

    assert store.make(order(), go_on, hush).card.figures == {"from": "step 3"}


def full_while_building(patch: pytest.MonkeyPatch) -> Build:
    def build(out: Path, work: Path) -> Mapping[str, Any]:
        (work / "checkpoint").touch()
        no_room()
        return {}

    return build


def full_while_writing_the_card(patch: pytest.MonkeyPatch) -> Build:
    def build(out: Path, work: Path) -> Mapping[str, Any]:
        (work / "checkpoint").touch()
        patch.setattr("luthier.artifact.atomic.json.dumps", no_room)
        return {}

    return build


def full_while_renaming(patch: pytest.MonkeyPatch) -> Build:
    def build(out: Path, work: Path) -> Mapping[str, Any]:
        (work / "checkpoint").touch()
        patch.setattr("luthier.artifact.store.os.rename", no_room)
        return {}

    return build


@pytest.mark.parametrize("full", [full_while_building, full_while_writing_the_card, full_while_renaming])
def test_a_full_disk_is_told_and_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, full: Callable[[pytest.MonkeyPatch], Build]
) -> None:
    kept = made(store, number=7)
    with monkeypatch.context() as patch, pytest.raises(RoomError, match="the disk is full: No space left") as caught:
        store.make(order(), full(patch), hush)
    assert caught.value.where.startswith(str(store.work / order().id))
    assert "luthier remove ID" in caught.value.mend
    assert [card.id for card in store.cards()] == [kept.id]
    assert (store.work / order().id / "checkpoint").exists()
    store.verify(made(store))


def test_a_disk_too_full_for_the_lock_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", no_room)
        with pytest.raises(RoomError) as caught:
            made(store)
    assert caught.value.where == str(store.work / order().id)
    assert made(store).exists


def test_a_folder_without_a_card_is_made_anew(store: Store) -> None:
    (store.artifacts / order().id).mkdir(parents=True)
    (store.artifacts / order().id / "half").touch()
    assert store.cards() == []
    artifact = made(store)
    assert not (artifact.folder / "half").exists()
    store.verify(artifact)


def test_what_something_was_made_from_meanwhile_is_not_made_anew(store: Store) -> None:
    first = made(store)
    users: list[Artifact] = []

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        users.append(made(store, "examples", rows=first.id))
        (out / "other.txt").write_text("other", encoding="utf-8")
        return {}

    with pytest.raises(BusyError) as caught:
        store.make(order(), build, hush, anew=True)
    [user] = users
    assert caught.value.what == f"{user.id} was made from {first.id} while that was made anew: it stays as it was"
    assert caught.value.where == str(first.folder)
    assert caught.value.mend == f"remove {user.id} first (luthier remove), then run this again"
    assert not (first.folder / "other.txt").exists()
    store.verify(first)
    store.remove(user.id)
    anew = store.make(order(), lambda out, work: {"rows": 2}, hush, anew=True)
    assert anew.card.figures == {"rows": 2}


def test_an_artifact_is_found_by_its_id_and_by_how_it_begins(store: Store) -> None:
    first = made(store, number=1)
    made(store, number=2)
    digits = first.id.partition("-")[2]
    for name in (first.id, first.id[:10], digits, digits[:5]):
        found = store.find(name, "rows")
        assert (found, found.order) == (first, order())


def test_an_ambiguous_name_is_refused_with_what_it_could_be(store: Store) -> None:
    ids = [made(store, number=number).id for number in range(3)]
    with pytest.raises(StoreError) as caught:
        store.find("rows-")
    assert caught.value.what.startswith("3 artifacts are called 'rows-'")
    assert all(name in caught.value.what for name in ids)
    assert caught.value.where == str(store.artifacts)
    assert caught.value.mend == "give the id as `luthier list` shows it"


@pytest.mark.parametrize("name", ["rows-ffffffffffff", "rows", "nothing", "-"])
def test_an_unknown_name_is_refused(store: Store, name: str) -> None:
    made(store)
    with pytest.raises(StoreError) as caught:
        store.find(name)
    assert caught.value.what == f"0 artifacts are called {name!r} (found: none)"
    assert caught.value.mend == "give the id as `luthier list` shows it"


def test_an_artifact_of_another_kind_is_refused(store: Store) -> None:
    found = made(store)
    with pytest.raises(KindError) as caught:
        store.find(found.id, "model")
    assert caught.value.what == f"{found.id} is of the kind 'rows', not 'model'"
    assert caught.value.where == str(found.folder)
    assert caught.value.mend == "give an id that begins with model- (luthier list --kind model)"


def test_an_input_of_another_kind_is_refused_by_its_role(store: Store) -> None:
    found = made(store)
    assert check_kind(found, "rows", "data") is found
    with pytest.raises(KindError) as caught:
        check_kind(found, "model", "base")
    assert caught.value.what == f"{found.id} is of the kind 'rows', not 'model'"
    assert (caught.value.where, caught.value.mend) == ("input 'base'", "give an id that begins with model-")


def test_the_newest_is_what_was_made_last(store: Store) -> None:
    assert store.newest("rows") is None
    for number in range(4):
        last = made(store, number=number)
        assert store.newest("rows") == last
    assert store.newest("model") is None
    assert [card.id for card in store.cards()] == [order(number=number).id for number in range(4)]


def test_what_others_were_made_from_is_not_removed(store: Store) -> None:
    rows = made(store)
    examples = made(store, "examples", rows=rows.id)
    adapter = made(store, "adapter", data=examples.id)
    assert store.users(rows.id) == [examples.id]
    with pytest.raises(StoreError) as caught:
        store.remove(rows.id)
    assert caught.value.what == f"{rows.id} is needed by {examples.id}"
    assert (caught.value.where, caught.value.mend) == (str(rows.folder), f"remove {examples.id} first")
    for artifact in (adapter, examples, rows):
        assert store.remove(artifact.id) == artifact
    assert list(store.artifacts.iterdir()) == []


def test_what_trackers_wrote_goes_with_what_was_made(store: Store) -> None:
    kept, gone = made(store, "adapter", data="1"), made(store, "adapter", data="2")
    for artifact in (kept, gone):
        (store.track / artifact.id / "tensorboard").mkdir(parents=True)
        (store.track / artifact.id / "tensorboard" / "events.1").write_bytes(b"1")
    store.remove(gone.id)
    assert [path.name for path in store.track.iterdir()] == [kept.id]
    assert (store.track / kept.id / "tensorboard" / "events.1").exists()


def test_what_is_released_is_not_removed(store: Store) -> None:
    release = made(store, "release")
    with pytest.raises(StoreError) as caught:
        store.remove(release.id, released=(release.id,))
    assert caught.value.what == f"{release.id} is released"
    assert (caught.value.where, caught.value.mend) == (str(release.folder), "luthier release --rollback first")
    assert release.exists


def test_a_removal_that_dies_leaves_no_artifact_and_it_can_be_made_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = made(store)

    def die(place: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", die)
        with pytest.raises(KeyboardInterrupt):
            store.remove(artifact.id)
    assert artifact.folder.exists()
    assert store.cards() == []
    store.verify(made(store))


@pytest.mark.parametrize(
    ("alter", "state"),
    [
        (lambda path: path.write_bytes(b"{]\n"), "differs from its checksum"),
        (lambda path: path.write_bytes(b"{}\n\n"), "differs from its checksum"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_an_altered_byte_is_found(store: Store, alter: Callable[[Path], None], state: str) -> None:
    artifact = made(store)
    store.verify(artifact)
    path = artifact.folder / "deep" / "rows.jsonl"
    alter(path)
    with pytest.raises(StoreError) as caught:
        store.verify(artifact)
    assert caught.value.what == f"deep/rows.jsonl of {artifact.id} {state}"
    assert (caught.value.where, caught.value.mend) == (
        str(path),
        f"luthier remove {artifact.id}, then make it again",
    )

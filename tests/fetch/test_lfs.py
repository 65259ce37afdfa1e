"""Git LFS pointers: found and resolved, in a folder and from a server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_hub import Hub, serving, sha256

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError
from luthier.event import Chose, Event, hush
from luthier.fetch import lfs
from luthier.fetch.patience import Patience
from luthier.fetch.plan import expected_bytes
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


def pointer_of(data: bytes) -> bytes:
    """Give the pointer file. Source: git-lfs, docs/spec.md."""
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (sha256(data).encode(), len(data))


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", Patience(attempts=3, first_wait_seconds=0.01))


@pytest.fixture
def clone(tiny_model: Artifact, tmp_path: Path) -> Path:
    """A git clone of a model made without git-lfs: a pointer in place of the weights."""
    place = tmp_path / "violin"
    shutil.copytree(tiny_model.folder, place, ignore=shutil.ignore_patterns("card.json"))
    weights = place / "model.safetensors"
    weights.write_bytes(pointer_of(weights.read_bytes()))
    (place / ".git").mkdir()
    return place


@pytest.fixture
def hub(tiny_model: Artifact) -> Iterator[Hub]:
    """A hub that keeps the weights."""
    files = {path.name: path.read_bytes() for path in tiny_model.folder.iterdir() if path.name != "card.json"}
    with serving(files) as served:
        yield served


def test_pointers_of_a_clone_are_resolved_at_its_origin(
    clone: Path, hub: Hub, store: Store, told: list[Event], tiny_model: Artifact
) -> None:
    (clone / ".git" / "config").write_text(f'[remote "origin"]\n\turl = {hub.address}/maker/violin\n')
    made = fetch(FetchSpec(source=str(clone)), store, told.append)
    weights = (tiny_model.folder / "model.safetensors").read_bytes()
    assert (made.folder / "model.safetensors").read_bytes() == weights
    assert [path for _, path, _ in hub.asked] == ["/maker/violin.git/info/lfs/objects/batch"]
    assert [headers["authorization"] for _, _, headers in hub.asked_store] == ["Basic store-only"]
    assert any(isinstance(event, Chose) and event.what == "git-lfs" for event in told)
    (clone / "model.safetensors").write_bytes(weights)
    assert fetch(FetchSpec(source=str(clone)), store, hush).id == made.id  # what a pointer stands for is what counts
    assert expected_bytes(FetchSpec(source=str(clone))) == sum(f["bytes"] for f in made.card.files.values())


def test_an_object_that_git_lfs_has_is_taken_from_there(clone: Path, store: Store, tiny_model: Artifact) -> None:
    weights = (tiny_model.folder / "model.safetensors").read_bytes()
    oid = sha256(weights)
    kept = clone / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid
    kept.parent.mkdir(parents=True)
    kept.write_bytes(weights)
    made = fetch(FetchSpec(source=str(clone)), store, hush)
    assert (made.folder / "model.safetensors").read_bytes() == weights


def test_pointers_without_a_server_are_told(clone: Path, store: Store) -> None:
    with pytest.raises(FetchError, match=r"model\.safetensors: no file but a git-lfs pointer") as caught:
        fetch(FetchSpec(source=str(clone)), store, hush)
    assert caught.value.where == str(clone)
    assert "git lfs pull" in caught.value.mend


def test_an_object_the_server_has_not_is_told(clone: Path, hub: Hub, store: Store) -> None:
    (clone / ".lfsconfig").write_text(f"[lfs]\n\turl = {hub.address}/maker/violin.git/info/lfs\n")
    del hub.files["model.safetensors"]
    with pytest.raises(FetchError, match=r"says of model\.safetensors: Object does not exist") as caught:
        fetch(FetchSpec(source=str(clone)), store, hush)
    assert caught.value.where.startswith(f"{hub.address}/maker/violin.git/info/lfs, object ")
    assert "may read it" in caught.value.mend


def test_a_pointer_from_a_web_server_is_resolved_where_its_server_is_known(hub: Hub, store: Store) -> None:
    rows = b"a,b\n" * 1000
    hub.files |= {"rows.csv": pointer_of(rows), "real.csv": rows}
    hub.files["maker/violin/raw/main/rows.csv"] = pointer_of(rows)
    with pytest.raises(FetchError, match=r"rows\.csv: no file but a git-lfs pointer") as caught:
        fetch(FetchSpec(source=f"{hub.address}/plain/rows.csv"), store, hush)
    assert caught.value.where == f"{hub.address}/plain/rows.csv"
    made = fetch(FetchSpec(source=f"{hub.address}/plain/maker/violin/raw/main/rows.csv"), store, hush)
    assert (made.folder / "rows.csv").read_bytes() == rows
    assert made.card.figures["sha256"] == sha256(rows)


SERVERS = [
    ("https://huggingface.co/owner/name", "https://huggingface.co/owner/name.git/info/lfs"),
    ("https://me:secret@example.org/o/r.git", "https://example.org/o/r.git/info/lfs"),
    ("git@hf.co:owner/name", "https://hf.co/owner/name.git/info/lfs"),
    ("ssh://git@example.org:2222/o/r.git", "https://example.org/o/r.git/info/lfs"),
    ("/srv/git/r.git", None),
]


@pytest.mark.parametrize(("origin", "server"), SERVERS)
def test_the_server_follows_from_the_origin(origin: str, server: str | None) -> None:
    """Source: git-lfs, docs/api/server-discovery.md."""
    assert lfs.server_of_git(origin) == server


FILES = [
    ("https://raw.githubusercontent.com/o/r/main/a.csv", "https://github.com/o/r.git/info/lfs"),
    ("https://github.com/o/r/raw/main/a.csv", "https://github.com/o/r.git/info/lfs"),
    ("https://gitlab.example/group/sub/r/-/raw/main/a.csv", "https://gitlab.example/group/sub/r.git/info/lfs"),
    ("https://example.org/a.csv", None),
]


@pytest.mark.parametrize(("url", "server"), FILES)
def test_the_server_follows_from_a_raw_address(url: str, server: str | None) -> None:
    assert lfs.server_of_file(url) == server


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"a" * 5000])
def test_what_is_no_pointer_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert lfs.read_pointer(tmp_path / "file") is None

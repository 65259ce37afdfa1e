"""Going on after an error: with what was received, if the content is still the same."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from local_hub import Hub, serving, sha256

from luthier.errors import FetchError
from luthier.event import Chose, Event
from luthier.fetch.line import Line
from luthier.fetch.partial import Item
from luthier.fetch.patience import Patience
from luthier.fetch.refusal import Asked
from luthier.fetch.transfer import bring

BIG = random.Random(5).randbytes(1_000_000)
PART = 50_000
NAME = "big.safetensors"


QUICK = Patience(attempts=3, first_wait_seconds=0.01, stall_seconds=10, connect_seconds=5, longest_asked_seconds=2)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", QUICK)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one large file, which it keeps on another host."""
    with serving({NAME: BIG, "small.json": b"{}", "rows.csv": b"a,b\n" * 50_000}) as served:
        yield served


def item_of(hub: Hub, name: str = NAME, **more: object) -> Item:
    """Give a file as a hub's listing promises it."""
    asked = Asked(name, f"{hub.address}/maker/violin")
    facts: dict[str, object] = {"size": len(hub.files[name]), "sha256": sha256(hub.files[name]), **more}
    return Item(name, f"{hub.address}/maker/violin/resolve/main/{name}", asked, **facts)  # type: ignore[arg-type]


def unknown(hub: Hub, name: str = "rows.csv") -> Item:
    """Give a file of which nothing is known but its address."""
    return Item(name, f"{hub.address}/plain/{name}", Asked(name, f"{hub.address}/plain/{name}"))


def run(items: list[Item], folder: Path, told: list[Event], connections: int = 4) -> None:
    (folder / "work").mkdir(exist_ok=True)
    with Line(told.append) as line:
        bring(items, folder / "out", folder / "work", line, connections, PART)


def check(hub: Hub, folder: Path, *names: str) -> None:
    assert names
    for name in names:
        assert (folder / "out" / name).read_bytes() == hub.files[name]


def test_a_file_that_changes_while_it_is_loaded_begins_anew(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    with interrupted(hub, unknown(hub, NAME), tmp_path, told):
        hub.files[NAME] = BIG[::-1]
    run([unknown(hub, NAME)], tmp_path, told)
    check(hub, tmp_path, NAME)


def test_a_file_that_changes_on_a_server_that_ignores_if_range_begins_anew(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.fetch.partial.IF_RANGE", "X-Ignored")
    with interrupted(hub, unknown(hub, NAME), tmp_path, told):
        hub.files[NAME] = BIG[::-1]
    run([unknown(hub, NAME)], tmp_path, told)
    check(hub, tmp_path, NAME)
    assert Chose("download once more", NAME, "it changed meanwhile") in told


@contextmanager
def interrupted(hub: Hub, item: Item, folder: Path, told: list[Event]) -> Iterator[None]:
    """Begin to bring an item, and end in an error after 200,000 bytes or so; the block then changes the hub."""
    hub.drops.extend([20_000, 20_000, 40_000, 40_000, 40_000, 40_000] + [0] * 1000)
    with pytest.raises(FetchError):
        run([item], folder, told)
    hub.drops.clear()
    assert hub.sent[NAME] > 0
    yield


def test_what_was_received_before_an_error_is_not_asked_again(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    with interrupted(hub, item_of(hub), tmp_path, told):
        before = hub.sent[NAME]
    run([item_of(hub)], tmp_path, told, connections=2)
    check(hub, tmp_path, NAME)
    # what was on its way when the line was hung up may be lost: at most what a socket holds
    assert before > 100_000
    assert len(BIG) <= hub.sent[NAME] <= len(BIG) + 4 * 20_000
    kept = [event for event in told if isinstance(event, Chose) and event.what == "go on from"]
    assert len(kept) == 1


def test_the_same_content_under_another_commit_goes_on(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    with interrupted(hub, item_of(hub), tmp_path, told):
        before = hub.sent[NAME]
    moved = item_of(hub)
    moved = Item(moved.name, moved.url.replace("/main/", "/v2/"), moved.asked, moved.size, moved.sha256)
    run([moved], tmp_path, told)
    check(hub, tmp_path, NAME)
    assert hub.sent[NAME] - before < len(BIG) - 50_000


def test_other_content_begins_anew(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    with interrupted(hub, item_of(hub), tmp_path, told):
        hub.files[NAME] = BIG[::-1]
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)


def test_a_torn_journal_is_no_reason_to_fail(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    with interrupted(hub, item_of(hub), tmp_path, told):
        journal = next((tmp_path / "work" / "transfer").glob("*.got"))
        journal.write_bytes(journal.read_bytes()[:13])
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)
    head = next((tmp_path / "work" / "transfer").glob("*.json"))
    head.write_text("{")
    run([item_of(hub)], tmp_path / "work", told)
    assert (tmp_path / "work" / "out" / NAME).read_bytes() == BIG


def go_on(hub: Hub, item: Item, folder: Path, told: list[Event]) -> bool:
    """Interrupt, bring again; gives whether what was received counted."""
    with interrupted(hub, item, folder, told):
        told.clear()
    run([item], folder, told)
    check(hub, folder, NAME)
    return any(isinstance(event, Chose) and event.what == "go on from" for event in told)


def test_after_a_crash_of_the_machine_only_a_checksum_vouches_for_bytes(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = tmp_path / "boot_id"
    boot.write_text("one")
    monkeypatch.setattr("luthier.fetch.partial.BOOT", boot)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert go_on(hub, unknown(hub, NAME), tmp_path / "a", told)
    for item, folder, counts in ((unknown(hub, NAME), "b", False), (item_of(hub), "c", True)):
        (tmp_path / folder).mkdir(exist_ok=True)
        with interrupted(hub, item, tmp_path / folder, told):
            told.clear()
            boot.write_text(f"after {folder}")
        run([item], tmp_path / folder, told)
        check(hub, tmp_path / folder, NAME)
        assert any(isinstance(event, Chose) and event.what == "go on from" for event in told) == counts


def test_a_server_that_names_no_content_is_begun_anew(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.etag = "W/"  # weak: says nothing of bytes (RFC 9110, section 8.8.1)
    assert not go_on(hub, unknown(hub, NAME), tmp_path, told)

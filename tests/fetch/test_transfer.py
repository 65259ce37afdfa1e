"""What networks and servers do wrong, each on a real server, and what comes of it."""

import errno
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest
from local_hub import Hub, blob, serving, sha256

from luthier.errors import FetchError, RoomError
from luthier.event import Chose, Event, Progress
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


def parts_asked(hub: Hub) -> list[str]:
    return [headers.get("range", "") for _, _, headers in hub.asked_store]


def test_a_large_file_comes_in_ranged_parts_over_several_connections(
    hub: Hub, tmp_path: Path, told: list[Event]
) -> None:
    run([item_of(hub), item_of(hub, "small.json")], tmp_path, told)
    check(hub, tmp_path, NAME, "small.json")
    whole = range(0, len(BIG), 62_500)  # four parts for each of four connections
    assert sorted(parts_asked(hub)) == sorted(f"bytes={begin}-{begin + 62_499}" for begin in whole)
    assert hub.sent[NAME] == len(BIG)
    assert told[-1] == Progress("download", len(BIG) + 2, len(BIG) + 2, "bytes")


def test_one_connection_asks_once(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    run([item_of(hub)], tmp_path, told, connections=1)
    check(hub, tmp_path, NAME)
    assert parts_asked(hub) == [""]


def test_an_empty_file_needs_no_question(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.files["empty.txt"] = b""
    run([item_of(hub, "empty.txt")], tmp_path, told)
    check(hub, tmp_path, "empty.txt")
    assert hub.asked == []
    run([unknown(hub, "empty.txt")], tmp_path / "out", told)
    assert (tmp_path / "out/out/empty.txt").read_bytes() == b""


def test_dropped_connections_cost_no_byte_that_was_received(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    draw = random.Random(3)
    hub.drops.extend(draw.randrange(PART) for _ in range(40))
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)
    assert not hub.drops
    assert hub.sent[NAME] == len(BIG)


def test_a_server_that_always_drops_at_once_ends_in_an_error(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.drops.extend([0] * 1000)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 broke off: .* 3 times in a row") as caught:
        run([item_of(hub)], tmp_path, told)
    assert caught.value.where == f"{hub.address}/maker/violin/resolve/main/{NAME}"
    assert "same command again" in caught.value.mend
    assert len(hub.drops) > 900


def test_a_stalled_connection_is_given_up_and_another_goes_on(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", replace(QUICK, stall_seconds=1))
    hub.stall_at, hub.stalls = 20_000, 2
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)
    assert hub.sent[NAME] == len(BIG)


@pytest.mark.parametrize("byte_before", [0, 1])
def test_a_server_that_only_stalls_ends_in_an_error_though_a_byte_comes_before_each(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch, byte_before: int
) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", replace(QUICK, stall_seconds=0.3))
    hub.stall_at = byte_before
    with pytest.raises(FetchError, match="sent nothing for 0 seconds; tried 3 times in a row") as caught:
        run([item_of(hub)], tmp_path, told, connections=1)
    assert caught.value.mend.startswith("check the network")
    assert "goes on where it broke off" in caught.value.mend
    assert hub.sent[NAME] == 3 * byte_before


def test_a_byte_before_each_drop_keeps_nothing_going(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.drops.extend([1] * 1000)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 broke off: .* 3 times in a row"):
        run([item_of(hub)], tmp_path, told, connections=1)
    assert hub.sent[NAME] == 3


def test_a_server_that_only_trickles_ends_in_an_error(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(QUICK, slow_seconds=0.2, slow_bytes=100_000)
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", slow)
    hub.pause_seconds = 0.05  # between pieces of 8,192 bytes: each attempt brings some
    with pytest.raises(FetchError, match=r"sent only [\d,]+ bytes in \d+ seconds; tried 3 times in a row") as caught:
        run([item_of(hub)], tmp_path, told, connections=1)
    assert "goes on where it broke off" in caught.value.mend
    assert 0 < hub.sent[NAME] < len(BIG)


def test_what_a_slow_connection_brought_is_kept_and_a_quicker_one_goes_on(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = replace(QUICK, slow_seconds=0.2, slow_bytes=100_000)
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", slow)
    hub.pause_seconds = 0.05

    def hurry(event: Event) -> None:
        told.append(event)
        if isinstance(event, Chose) and event.what == "try again":
            hub.pause_seconds = 0.0

    (tmp_path / "work").mkdir()
    with Line(hurry) as line:
        bring([item_of(hub)], tmp_path / "out", tmp_path / "work", line, 1, PART)
    check(hub, tmp_path, NAME)
    assert any(headers.get("range", "") not in ("", "bytes=0-") for _, _, headers in hub.asked_store)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_status_that_may_pass_is_tried_again(hub: Hub, tmp_path: Path, told: list[Event], status: int) -> None:
    hub.refusals.extend([(status, {})] * 2)
    run([item_of(hub)], tmp_path, told, connections=1)
    check(hub, tmp_path, NAME)


def test_trying_again_is_told_once_for_each_reason(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.drops.extend([100_000, 200_000, 300_000])
    hub.refusals.extend([(503, {})] * 2)
    run([item_of(hub)], tmp_path, told, connections=1)
    tries = [event for event in told if isinstance(event, Chose) and event.what == "try again"]
    assert [event.value for event in tries] == ["up to 3 times in a row"] * 2
    assert tries[0].why == "127.0.0.1 is out of order (status 503)"
    assert "broke off" in tries[1].why


def test_a_status_that_stays_ends_in_an_error(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.refusals.extend([(503, {})] * 100)
    with pytest.raises(FetchError, match=r"out of order \(status 503\); tried 3 times in a row"):
        run([item_of(hub)], tmp_path, told)


def in_one_second() -> dict[str, str]:
    return {"Retry-After": formatdate(time.time() + 1.99, usegmt=True)}  # the date has no fractions


@pytest.mark.parametrize("headers", [lambda: {"Retry-After": "1"}, in_one_second, lambda: {"RateLimit": "a;r=0;t=1"}])
def test_a_wait_that_the_server_asks_for_is_kept_by_all_and_told_once(
    hub: Hub, tmp_path: Path, told: list[Event], headers: Callable[[], dict[str, str]]
) -> None:
    hub.refusals.append((429, headers()))
    begun = time.monotonic()
    run([item_of(hub)], tmp_path, told)
    assert time.monotonic() - begun >= 0.9
    check(hub, tmp_path, NAME)
    waits = [event for event in told if isinstance(event, Chose) and event.what == "wait"]
    assert len(waits) == 1
    assert "status 429" in waits[0].why


def test_a_wait_that_is_too_long_is_cut_and_said(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.refusals.append((503, {"Retry-After": "86400"}))
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)
    waits = [event for event in told if isinstance(event, Chose) and event.what == "wait"]
    assert [event.value for event in waits] == ["2 s"]
    assert "who asks for 86,400 s" in waits[0].why


@pytest.mark.parametrize(("status", "what"), [(401, "wants one"), (403, "forbids"), (404, "no such file")])
def test_a_refusal_of_the_hub_itself_is_final(
    hub: Hub, tmp_path: Path, told: list[Event], status: int, what: str
) -> None:
    hub.store = ""  # it sends its files itself
    hub.refusals.extend([(status, {})] * 100)
    with pytest.raises(FetchError, match=what) as caught:
        run([item_of(hub)], tmp_path, told, connections=1)
    assert len(hub.refusals) == 99
    assert caught.value.where == f"{hub.address}/maker/violin"


def test_an_address_whose_signature_ran_out_is_asked_for_anew(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.refusals.extend([(403, {}), (403, {})])  # of the other host
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)


def test_a_server_without_ranges_sends_the_whole_once(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.gives_ranges = False
    run([item_of(hub)], tmp_path, told, connections=1)
    check(hub, tmp_path, NAME)
    assert hub.sent[NAME] == len(BIG)


def test_a_server_without_ranges_is_found_out_by_its_answer(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.gives_ranges = False
    hub.pause_seconds = 0.001
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)


def test_a_server_without_ranges_begins_anew_after_a_drop(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.gives_ranges = False
    hub.drops.extend([300_000, 100_000, 500_000])
    run([item_of(hub)], tmp_path, told, connections=1)
    check(hub, tmp_path, NAME)
    assert hub.sent[NAME] == 900_000 + len(BIG)


def test_a_server_without_ranges_that_comes_no_further_ends_in_an_error(
    hub: Hub, tmp_path: Path, told: list[Event]
) -> None:
    """Each attempt brings many bytes, but none that was not there before."""
    hub.gives_ranges = False
    hub.drops.extend([400_000] * 100)
    with pytest.raises(FetchError, match="3 times in a row"):
        run([item_of(hub)], tmp_path, told, connections=1)
    assert len(hub.drops) == 97


@pytest.mark.parametrize("gives_ranges", [True, False])
def test_a_file_shorter_than_promised_is_refused(
    hub: Hub, tmp_path: Path, told: list[Event], gives_ranges: bool
) -> None:
    hub.instead[NAME] = BIG[:-1000]
    hub.gives_ranges = gives_ranges
    with pytest.raises(FetchError, match=f"{NAME} is not what was promised: has 999,000 bytes, 1,000,000") as caught:
        run([item_of(hub)], tmp_path, told)
    assert "server or a proxy" in caught.value.mend
    assert not list((tmp_path / "work").rglob("*.part"))


def test_a_file_too_short_for_any_of_a_part_is_refused(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "work").mkdir()
    hub.instead[NAME] = BIG[:10]
    with pytest.raises(FetchError, match=r"is not what was promised: (has 10 bytes|ends sooner)"):
        run([item_of(hub)], tmp_path, told)


def test_wrong_bytes_are_brought_once_more(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.instead["small.json"], hub.instead_once = b"[]", True
    run([item_of(hub, "small.json")], tmp_path, told)
    check(hub, tmp_path, "small.json")
    assert Chose("download once more", "small.json", f"its SHA-256 is not {sha256(b'{}')}") in told


def test_wrong_bytes_twice_are_an_error_and_are_not_kept(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.instead["small.json"] = b"[]"
    with pytest.raises(FetchError, match="its git SHA-1 is not") as caught:
        run([item_of(hub, "small.json", sha256=None, git_sha1=blob(b"{}"))], tmp_path, told)
    assert caught.value.where.endswith("/small.json, small.json")
    assert not (tmp_path / "out").exists()
    assert [path.name for path in (tmp_path / "work" / "transfer").iterdir()] == []


def test_a_file_of_which_nothing_is_known_is_asked_for_its_size_first(
    hub: Hub, tmp_path: Path, told: list[Event]
) -> None:
    run([unknown(hub)], tmp_path, told)
    check(hub, tmp_path, "rows.csv")
    asked = [headers.get("range", "") for _, _, headers in hub.asked]
    assert asked[0] == "bytes=0-0"
    assert sorted(asked[1:]) == ["bytes=0-49999", "bytes=100000-149999", "bytes=150000-199999", "bytes=50000-99999"]
    etag = f'"{sha256(hub.files["rows.csv"])}"'
    assert all(headers.get("if-range") == etag for _, _, headers in hub.asked[1:])


def test_a_server_that_tells_no_length_is_read_to_its_end(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.gives_length = hub.gives_ranges = False
    run([unknown(hub)], tmp_path, told)
    check(hub, tmp_path, "rows.csv")


def test_a_file_without_length_that_is_cut_is_not_taken_for_whole(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.gives_length = hub.gives_ranges = False
    hub.drops.extend([100_000] * 100)
    with pytest.raises(FetchError, match="broke off"):
        run([unknown(hub, NAME)], tmp_path, told)


def test_a_disk_without_room_is_noticed_before_the_download(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=999_999))
    with pytest.raises(RoomError, match="1,000,000 more bytes, 999,999 are free") as caught:
        run([item_of(hub)], tmp_path, told)
    assert caught.value.where == str(tmp_path / "work")
    assert "luthier remove" in caught.value.mend
    assert hub.asked == []


def test_a_disk_that_fills_meanwhile_is_told(
    hub: Hub, tmp_path: Path, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    true = os.pwrite

    def full(number: int, data: bytes, at: int) -> int:
        if at > 600_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return true(number, data, at)

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(RoomError, match="the disk is full") as caught:
        run([item_of(hub)], tmp_path, told)
    assert str(tmp_path / "work") in caught.value.where
    monkeypatch.setattr("os.pwrite", true)
    run([item_of(hub)], tmp_path, told)
    check(hub, tmp_path, NAME)


def test_the_speed_and_the_time_left_are_told(hub: Hub, tmp_path: Path, told: list[Event]) -> None:
    hub.pause_seconds = 0.05  # 8 kB each, over four connections: 0.65 MB/s at most
    run([item_of(hub)], tmp_path, told)
    speeds = [event for event in told if isinstance(event, Progress) and event.per_second]
    assert speeds
    assert all(0 < (event.per_second or 0) < 900_000 for event in speeds)
    assert all(event.seconds_left is not None and event.done <= event.total for event in speeds)


def test_a_stop_from_the_keyboard_leaves_no_thread(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.pause_seconds = 0.05

    def tell(event: Event) -> None:
        if isinstance(event, Progress):
            raise KeyboardInterrupt

    (tmp_path / "work").mkdir()
    before = {thread.name for thread in threading.enumerate() if "_work" in thread.name}
    with pytest.raises(KeyboardInterrupt), Line(tell) as line:
        bring([item_of(hub)], tmp_path / "out", tmp_path / "work", line, 4, PART)
    assert {thread.name for thread in threading.enumerate() if "_work" in thread.name} <= before

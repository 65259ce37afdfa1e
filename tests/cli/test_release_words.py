"""`luthier release --promote | --rollback | --log | --verify` as a person types them."""

import pytest

from luthier.artifact.order import Order
from luthier.artifact.released import current, history, log_path
from luthier.artifact.store import Store
from luthier.cli.main import main
from luthier.event import hush
from luthier.release.log import promote

Caught = pytest.CaptureFixture[str]


def release(store: Store, name: str) -> str:
    tuned = store.make(Order("model", "test", 1, {"name": name}), lambda out, work: {}, hush)
    return store.make(Order("release", "test", 1, {}, {"tuned": tuned.id}), lambda out, work: {}, hush).id


def said(capsys: Caught, store: Store, *words: str) -> str:
    main(["--project", str(store.root), "release", *words])
    return capsys.readouterr().out


def refused(capsys: Caught, store: Store, *words: str) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(["--project", str(store.root), "release", *words])
    assert caught.value.code == 1
    told = capsys.readouterr()
    assert told.out == ""
    return [line for line in told.err.splitlines() if line.startswith(("error:", "  where:", "  mend:"))]


def test_promoting_and_going_back_print_the_release_and_keep_the_reason(store: Store, capsys: Caught) -> None:
    one, two = release(store, "one"), release(store, "two")
    assert said(capsys, store, "--promote", one).strip() == one
    assert said(capsys, store, "--promote", two, "--why", "the customer asked").strip() == two
    assert said(capsys, store, "--rollback", "--why", "too slow").strip() == one
    assert [line.why for line in history(store)] == ["by hand", "the customer asked", f"too slow, from {two}"]


def test_a_canary_is_put_to_use_and_ended(store: Store, capsys: Caught) -> None:
    one = release(store, "one")
    assert said(capsys, store, "--promote", one, "--channel", "canary").strip() == one
    assert (current(store), current(store, "canary")) == (None, one)
    assert said(capsys, store, "--rollback", "--channel", "canary") == ""
    assert current(store, "canary") is None


def test_the_log_shows_who_decided_what_and_why(store: Store, capsys: Caught) -> None:
    one = release(store, "one")
    promote(store, one, hush, "it is better")
    rows = [line for line in said(capsys, store, "--log").splitlines() if line.startswith("│")]
    assert len(rows) == 1
    assert all(part in rows[0] for part in ("promote", "stable", one, "it is better", "@"))


def test_verifying_prints_the_hash_to_note_and_finds_it_again(store: Store, capsys: Caught) -> None:
    assert said(capsys, store, "--verify").strip() == "none"
    promote(store, release(store, "one"), hush)
    noted = said(capsys, store, "--verify").strip()
    assert noted == history(store)[-1].hash
    promote(store, release(store, "two"), hush)
    assert said(capsys, store, "--verify", noted).strip() == history(store)[-1].hash
    error, where, mend = refused(capsys, store, "--verify", "0" * 64)
    assert error == f"error: no line of the log has the hash '{'0' * 64}': it was written anew since that was noted"
    assert where == f"  where: {log_path(store)}"
    assert mend == "  mend:  compare it with a copy of that time"


@pytest.mark.parametrize("words", [("--log",), ("--verify",), ("--rollback",), ("--promote", "release-1")])
def test_an_altered_log_is_told_by_every_word(words: tuple[str, ...], store: Store, capsys: Caught) -> None:
    name = release(store, "one")
    promote(store, name, hush, "honest")
    path = log_path(store)
    path.write_text(path.read_text(encoding="utf-8").replace("honest", "forged"), encoding="utf-8")
    told = refused(capsys, store, *(name if word == "release-1" else word for word in words))
    assert told[0] == "error: the line was altered: its hash is not that of what it says"
    assert told[1] == f"  where: {path}:1"
    assert told[2].startswith("  mend:  put the file back as it was")


def test_going_back_from_no_release_is_refused(store: Store, capsys: Caught) -> None:
    error, _, mend = refused(capsys, store, "--rollback")
    assert error == "error: nothing is released: there is nothing to go back from"
    assert "luthier release" in mend


@pytest.mark.parametrize(
    "more", [("--promote", "release-1"), ("gate=[a.after > 1]",), ("--tuned", "adapter-1"), ("--log",), ("--verify",)]
)
def test_going_back_takes_nothing_beside_it(more: tuple[str, ...], store: Store, capsys: Caught) -> None:
    assert refused(capsys, store, "--rollback", *more) == [
        "error: --rollback, --promote, --from, --log, --verify and settings exclude each other",
        "  where: command line",
        "  mend:  give one of them",
    ]


@pytest.mark.parametrize(
    ("words", "error", "mend"),
    [
        (("--channel", "canary"), "--channel", "write channel=canary for a new release"),
        (("--why", "so"), "--why", "leave it out"),
        (("--log", "--why", "so"), "--why", "leave it out"),
    ],
)
def test_a_detail_without_its_decision_is_refused(
    words: tuple[str, ...], error: str, mend: str, store: Store, capsys: Caught
) -> None:
    assert refused(capsys, store, *words) == [
        f"error: {error} goes with --promote or --rollback",
        "  where: command line",
        f"  mend:  {mend}",
    ]

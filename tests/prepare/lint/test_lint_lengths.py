"""How long rows are, as bars of text and as a picture."""

from pathlib import Path

import numpy as np

from luthier.prepare.lint.lengths import bars, draw, histogram, percentiles


def test_bars_have_one_round_width_and_hold_every_row_once() -> None:
    lengths = {"train": np.arange(1, 1001), "dev": np.array([5, 5, 99_999])}
    shown = histogram(lengths)
    steps = set(np.diff(shown.edges).tolist())
    assert steps == {100}
    assert sum(shown.counts["train"]) == 1000
    assert shown.counts["dev"][0] == 2
    assert shown.counts["dev"][-1] == 1
    assert shown.edges[0] == 0
    assert shown.edges[-1] == 1000, "what is longer than the 99th percentile stands in the last bar"


def test_bars_begin_at_the_shortest_row() -> None:
    shown = histogram({"train": np.array([130, 133, 134, 139])})
    assert shown.edges == tuple(range(130, 140))
    assert shown.totals == (1, 0, 0, 1, 1, 0, 0, 0, 0, 1)


def test_the_text_says_the_numbers_and_fits_the_terminal() -> None:
    lines = bars(histogram({"train": np.repeat([10, 20, 30], [1, 50, 5000])}), 60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].split()[0] == "10-11"
    assert lines[0].split()[-1] == "1"
    assert "▏" in lines[0], "whatever is there is seen"
    assert lines[-1].split()[-1] == "5,000"
    assert lines[-1].count("█") > 20


def test_no_rows_give_no_bars_to_speak_of() -> None:
    empty = histogram({"train": np.zeros(0, np.int64)})
    assert empty.totals == (0,)
    assert bars(empty, 60) == ["  0 or more            0"] or len(bars(empty, 60)) == 1
    assert percentiles(np.zeros(0, np.int64)) == {}


def test_the_picture_is_a_png_and_the_same_each_time(tmp_path: Path) -> None:
    lengths = {"train": np.arange(1, 500), "dev": np.array([3]), "test": np.zeros(0, np.int64)}
    shown, figures = histogram(lengths), percentiles(lengths["train"])
    for name in ("a.png", "b.png"):
        draw(shown, figures, 512, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    draw(histogram({"train": np.zeros(0, np.int64)}), {}, 512, tmp_path / "empty.png")

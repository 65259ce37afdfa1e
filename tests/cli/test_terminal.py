"""Events as a person reads them: on a terminal a live bar, elsewhere a line now and then; all on stderr."""

import io
from dataclasses import replace
from math import nan

import pytest
from rich.console import Console

from luthier import event
from luthier.cli.terminal import SHOW, Terminal
from luthier.event import Event

STEP = event.Step(1, 10, 0.1, 1.25, 0.5, 1e-4, 1234.5, 9.0)


def shown(*events: Event, is_terminal: bool = False, width: int = 120) -> str:
    paper = io.StringIO()
    console = Console(file=paper, width=width, force_terminal=is_terminal, color_system=None, highlight=False)
    with Terminal(console) as terminal:
        for told in events:
            terminal(told)
    return paper.getvalue()


def test_each_event_has_its_row_but_the_one_that_ends_the_run() -> None:
    assert set(event.KINDS.values()) - set(SHOW) == {event.Failed}


@pytest.mark.parametrize(
    ("told", "line"),
    [
        (event.Started("tune", "adapter-1"), "tune adapter-1"),
        (event.Skipped("tune", "adapter-1", "folder"), "tune adapter-1 is there already"),
        (event.Made("tune", "adapter-1", "a/folder", 1.25), "  made a/folder in 1.2 s"),
        (event.Chose("dtype", "bfloat16", "found [it]"), "  dtype: bfloat16 (found [it])"),
        (event.Counted("rows", {"kept": 1234, "dropped [empty]": 1}), "  rows: kept 1,234, dropped [empty] 1"),
        (event.Judged("rouge_l.after >= 0.3", "0.31", True), "  passed rouge_l.after >= 0.3 0.31"),
        (event.Judged("rouge_l.after >= 0.3", "0.29", False), "  refused rouge_l.after >= 0.3 0.29"),
        (event.Warned("odd [/b]", "look [here]"), "  warning: odd [/b] (look [here])"),
        (event.Said("type [luthier] serve"), "type [luthier] serve"),
    ],
)
def test_an_event_is_one_line_with_its_text_as_it_is(told: Event, line: str) -> None:
    assert shown(told) == f"{line}\n"


def test_what_is_said_of_an_artifact_stands_below_its_name() -> None:
    made = event.Made("prepare", "examples-1", "a/folder", 1.25)
    text = shown(event.Started("prepare", "examples-1"), event.Said("packed"), made, event.Said("bye"))
    assert text.splitlines() == ["prepare examples-1", "  packed", "  made a/folder in 1.2 s", "bye"]


def test_what_a_look_at_the_dev_rows_gave_stands_beside_their_loss() -> None:
    looked = replace(STEP, dev_loss=1.5, figures={"accuracy": 0.75}, tasks={"law": 2.0})
    assert "  dev loss 1.5000  accuracy 0.7500  loss of law 2.0000  " in shown(looked)
    assert "accuracy" not in shown(replace(STEP, figures={"accuracy": 0.75}))


def test_a_unit_that_the_work_is_named_for_is_said_once() -> None:
    assert shown(event.Progress("rows", 3, 9, "rows")) == "  rows 3/9\n"


def test_a_long_line_is_not_cut() -> None:
    text = "word " * 60 + "end"
    assert shown(event.Said(text), width=40) == f"{text}\n"


def test_without_a_terminal_ten_lines_tell_of_many_steps() -> None:
    lines = shown(*(replace(STEP, step=step, steps=1000) for step in range(1, 1001))).splitlines()
    assert 10 <= len(lines) <= 11
    assert lines[0] == ("  step 1/1000  loss 1.2500  grad 0.500  lr 1.00e-04  epoch 0.10  1,234 tokens/s  9 s left")
    assert lines[-1].startswith("  step 1000/1000 ")


def test_a_loss_on_dev_rows_is_always_shown() -> None:
    lines = shown(*(replace(STEP, step=step, steps=1000, dev_loss=2.5) for step in range(101, 105))).splitlines()
    assert len(lines) == 4
    assert all("dev loss 2.5000" in line for line in lines)


def test_progress_without_a_terminal_is_a_line_now_and_then() -> None:
    lines = shown(*(event.Progress("ask base", done, 100, "rows") for done in range(1, 101))).splitlines()
    assert lines[-1] == "  ask base 100/100 rows"
    assert len(lines) == 11


def test_progress_of_bytes_shows_speed_and_time_left() -> None:
    line = shown(event.Progress("download", 3_000_000, 9_000_000, "bytes", 1_500_000.0, 4.0))
    assert line == "  download 3,000,000/9,000,000 bytes  1.5 MB/s  4 s left\n"
    line = shown(event.Progress("ask", 1, 2, "rows", 1_500.0))
    assert line == "  ask 1/2 rows  1,500 rows/s\n"


def test_progress_of_nothing_is_no_division_by_zero() -> None:
    assert "0/0 rows" in shown(event.Progress("ask base", 0, 0, "rows"))


def test_on_a_terminal_a_live_bar_shows_loss_grad_rate_and_speed() -> None:
    text = shown(replace(STEP, step=5), is_terminal=True, width=160)
    for part in ("5/10", "loss 1.2500", "grad 0.500", "lr 1.00e-04", "epoch 0.10", "1,234 tokens/s"):
        assert part in text


def test_on_a_terminal_another_piece_of_work_gets_another_bar() -> None:
    text = shown(STEP, event.Progress("ask [base]", 3, 4, "rows"), event.Said("done"), is_terminal=True, width=160)
    assert "3/4" in text
    assert text.rstrip().endswith("done")


def test_the_live_bar_of_a_download_fits_a_common_terminal_and_says_each_figure_once() -> None:
    told = event.Progress("download", 18_699_644, 24_130_940, "bytes", 2_500_000.0, 2.0)
    text = shown(told, is_terminal=True, width=80)
    assert "18,699,644/24,130,940 bytes  2.5 MB/s  2 s left" in text
    assert text.count("18,699,644") == text.count("24,130,940") == text.count("download")
    assert "--:--" not in text


def test_figures_before_and_after_are_one_table_for_each_tag() -> None:
    rows = [
        event.Compared("heldout", "rouge_l", 0.1, 0.25, 0.15, 0.1, 0.2, 100),
        event.Compared("heldout", "perplexity", 9.0, 3.0, 6.0, -1.0, 7.0, 100),
        event.Compared("recall [again]", "rouge_l", 0.3, 0.2, -0.1, -0.2, -0.05, 20),
    ]
    lines = shown(*rows, event.Said("after")).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:6]] or [line.strip()] for line in lines]
    known = ("heldout: 100 rows", "recall [again]: 20 rows", "rouge_l", "perplexity")
    assert [row for row in cells if row[0] in known] == [
        ["heldout: 100 rows"],
        ["rouge_l", "0.1000", "0.2500", "+0.1500", "+0.1000 .. +0.2000"],
        ["perplexity", "9.0000", "3.0000", "+6.0000", "-1.0000 .. +7.0000"],
        ["recall [again]: 20 rows"],
        ["rouge_l", "0.3000", "0.2000", "-0.1000", "-0.2000 .. -0.0500"],
    ]
    assert lines[-1] == "after"


def test_many_tags_share_one_table_and_an_interval_that_is_not_known_says_so() -> None:
    rows = [event.Estimated(f"part {number}", "accuracy", number / 8, nan, nan, 4) for number in range(5)]
    lines = shown(event.Estimated("all", "accuracy", 0.25, 0.1, 0.4, 20), *rows).splitlines()
    cells = [[cell.strip() for cell in line.split("│")[1:6]] for line in lines if "│" in line]
    assert cells == [
        ["all", "20", "accuracy", "0.2500", "+0.1000 .. +0.4000"],
        *([f"part {number}", "4", "accuracy", f"{number / 8:.4f}", "unknown"] for number in range(5)),
    ]
    assert sum("metric" in line for line in lines) == 1


def test_a_table_is_shown_even_if_the_run_ends_there() -> None:
    assert "rouge_l" in shown(event.Compared("heldout", "rouge_l", 0.1, 0.2, 0.1, 0.0, 0.2, 5))


def test_it_writes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with Terminal() as terminal:
        terminal(event.Said("hello"))
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "hello\n")

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from luthier.evaluate.find_out import Wanted
from luthier.evaluate.report import row_metric, write_report
from luthier.measure.metrics import METRICS
from luthier.measure.task import TaskSpec

TASK = TaskSpec(title="问答 <b>&</b>", metrics=("bleu", "rouge_l", "perplexity"))
NAMES = {"base": "model-1", "tuned": "adapter-2", "data": "examples-3"}
NOTHING = {"before": None, "after": None, "gain": None, "low": None, "high": None}
FIGURES = {
    "bleu": {"before": 10.0, "after": 12.5, "gain": 2.5, "low": -1.0, "high": 6.0},
    "rouge_l": {"before": 0.2, "after": 0.5, "gain": 0.3, "low": 0.21, "high": 0.4},
    "perplexity": {"before": 5.0, "after": 9.0, "gain": -4.0, "low": -5.0, "high": -3.0},
}
SCORES: dict[str, Any] = {
    "heldout": {"rows": 3, "groups": 2, "cut": {"before": 1, "after": 0}, "metrics": FIGURES},
    "re<call": {"rows": 1, "groups": 1, "cut": {"before": 0, "after": 0}, "metrics": dict.fromkeys(FIGURES, NOTHING)},
}
NASTY = "</p><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def record(name: str, before: float | None, after: float | None, text: str = "好的") -> dict[str, Any]:
    return {
        "id": name,
        "tag": "heldout",
        "source": f"rows.jsonl:{name}",
        "question": f"question {name} {text}",
        "before": text,
        "after": text,
        "reference": text,
        "finish": {"before": "length", "after": "stop"},
        "metrics": {key: {"before": before, "after": after} for key in FIGURES},
    }


class Page(HTMLParser):
    """Reads a page as a browser does: its tags with their attributes, and the text of each row."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(tmp_path: Path, records: list[dict[str, Any]], task: TaskSpec = TASK) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    scores = {
        tag: {**table, "metrics": {key: table["metrics"][key] for key in task.metrics}} for tag, table in SCORES.items()
    }
    write_report(path, task, NAMES, scores, records, 0.95, Wanted({}))
    html = path.read_text(encoding="utf-8")
    return html, Page(html)


def test_rows_are_ordered_by_change_with_losers_first_and_unknown_last(tmp_path: Path) -> None:
    rows = [record("up", 0.1, 0.9), record("none", None, 0.5), record("down", 0.9, 0.1), record("even", 0.5, 0.5)]
    html, read = page(tmp_path, rows)
    places = [html.index(f"rows.jsonl:{name}") for name in ("down", "even", "up", "none")]
    assert places == sorted(places)
    states = [attributes["data-state"] for tag, attributes in read.tags if tag == "article"]
    assert states == ["worse", "same", "better", "same"]


def test_less_perplexity_is_a_gain(tmp_path: Path) -> None:
    task = TaskSpec(title="t", metrics=("perplexity",))
    _, read = page(tmp_path, [record("a", 9, 3), record("b", 3, 9)], task)
    assert [attributes["data-state"] for tag, attributes in read.tags if tag == "article"] == ["worse", "better"]
    assert "+6.000" in read.text


def test_what_strangers_wrote_is_text_and_nothing_else(tmp_path: Path) -> None:
    row = {**record("1", 0, 1, NASTY), "source": NASTY, "tag": NASTY}
    _, read = page(tmp_path, [row])
    names = [tag for tag, _ in read.tags]
    assert names.count("script") == 1
    assert "img" not in names
    assert "b" not in names
    assert read.text.count(NASTY) == 3  # before, after, reference, each whole
    assert not any(key.startswith("on") for _, attributes in read.tags for key in attributes)


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    html, read = page(tmp_path, [record("1", 0, 1)])
    assert read.tags
    assert not any({"src", "href", "action"} & attributes.keys() for _, attributes in read.tags)
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    policy = [attributes["content"] for _, attributes in read.tags if attributes.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"]


def test_the_summary_shows_each_metric_with_its_interval_and_its_verdict(tmp_path: Path) -> None:
    _, read = page(tmp_path, [record("1", 0, 1)])
    text = " ".join("".join(read.text).split())
    assert "+0.210 to +0.400" in text
    assert "95% interval of the gain" in text
    assert "3 rows in 2 groups · answers cut off by length: 1 before, 0 after" in text
    verdicts = [attributes.get("class") for tag, attributes in read.tags if tag == "tr"]
    assert verdicts == [None, "open", "better", "worse", None, "unknown", "unknown", "unknown"]


def test_no_rows_still_make_a_page(tmp_path: Path) -> None:
    html, _ = page(tmp_path, [])
    assert "All 0" in html


@pytest.mark.parametrize(
    ("metrics", "wanted"),
    [(("bleu", "rouge_l"), "rouge_l"), (("exact_match", "rouge_l"), "exact_match"), (("bleu", "perplexity"), "bleu")],
)
def test_rows_are_ordered_by_the_first_metric_that_rows_have(metrics: tuple[str, ...], wanted: str) -> None:
    assert row_metric(TaskSpec(title="t", metrics=metrics), METRICS) == wanted

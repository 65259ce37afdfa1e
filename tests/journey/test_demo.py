"""The demo as a newcomer runs it, on the real model, and its pages in a real browser (make journey)."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from luthier.artifact.released import current
from luthier.artifact.store import Store

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    folder = tmp_path_factory.mktemp("demo")
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "recipes" / "demo.py")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout, time.monotonic() - begun


def test_the_demo_ends_in_eight_minutes_with_an_answer_and_what_comes_next(demo: tuple[Path, str, float]) -> None:
    _, said, seconds = demo
    assert "and answered:" in said
    assert "What to type next" in said
    assert seconds < 480


def test_the_gain_on_unseen_functions_is_no_luck(demo: tuple[Path, str, float]) -> None:
    store = Store(demo[0] / ".luthier")
    scores = store.newest("scores")
    assert scores is not None
    heldout = json.loads((scores.folder / "scores.json").read_text())["heldout"]
    rouge, perplexity = heldout["metrics"]["rouge_l"], heldout["metrics"]["perplexity"]
    assert heldout["rows"] == 100
    assert rouge["gain"] >= 0.05
    assert rouge["low"] > 0
    assert perplexity["after"] <= 0.8 * perplexity["before"]
    assert current(store) is not None


def test_a_second_demo_makes_nothing(demo: tuple[Path, str, float]) -> None:
    store = Store(demo[0] / ".luthier")
    before = {card.id: card.made_at for card in store.cards()}
    begun = time.monotonic()
    command = [sys.executable, "-m", "luthier", "run", str(REPOSITORY / "recipes" / "stdlib.yaml")]
    subprocess.run(command, cwd=demo[0], capture_output=True, check=True)
    assert time.monotonic() - begun < 3.0
    assert {card.id: card.made_at for card in store.cards()} == before


def test_the_report_shows_before_after_and_reference_in_a_browser(
    demo: tuple[Path, str, float], tmp_path: Path
) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian package chromium)")
    scores = Store(demo[0] / ".luthier").newest("scores")
    assert scores is not None
    page = scores.folder / "report.html"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={tmp_path}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    row = json.loads((scores.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()[0])
    for text in (row["reference"], "before", "after"):
        assert text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") in done.stdout

"""The verdict page: whole by itself, and safe whatever a model says."""

from pathlib import Path

from compare_models import bench, knows
from test_compare_run import QUICK, ran

from luthier.artifact.example import Message
from luthier.artifact.store import Store


def attacks(messages: tuple[Message, ...]) -> str:
    return "<script>alert('x')</script>"


def page_of(store: Store) -> str:
    made = ran(bench(store, attacks, knows), QUICK)
    return Path(made.folder / "comparison.html").read_text(encoding="utf-8")


def test_the_page_begins_with_the_verdict_and_marks_the_chosen(store: Store) -> None:
    page = page_of(store)
    assert '<h1 class="good">Fine-tuning is what it takes.</h1>' in page
    assert page.count('<tr class="chosen">') == 1
    assert page.count("<article>") == 40


def test_what_a_model_says_is_shown_and_never_run(store: Store) -> None:
    page = page_of(store)
    assert "&lt;script&gt;alert(" in page
    assert "<script>alert" not in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")

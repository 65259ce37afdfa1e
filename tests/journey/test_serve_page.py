"""The chat page in a real browser."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent.parent / "serve"))
from served import Script, serving

pytestmark = pytest.mark.journey
ANSWER = "A **luthier** makes\n\n```python\nprint(1)\n```\n\n<script>document.title = 'broken'</script> 你好"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium: apt-get install chromium fonts-wqy-microhei")
    with playwright.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


def test_it_asks_streams_renders_stops_and_speaks_chinese(browser: Any) -> None:
    script = Script([ANSWER[place : place + 5] for place in range(0, len(ANSWER), 5)], name="violin")
    faults: list[str] = []
    with serving(script, Script(name="other")) as url:
        page = browser.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.goto(url)
        page.wait_for_selector("#model option", state="attached")
        assert page.locator("#model option").all_inner_texts() == ["violin", "other"]
        page.fill("#question", "What?")
        page.press("#question", "Enter")
        page.wait_for_selector(".foot:not(:empty)")
        assert page.inner_text(".turn.assistant strong") == "luthier"
        assert page.locator(".turn.assistant pre code").inner_text() == "print(1)"
        assert "<script>" in page.inner_text(".turn.assistant")
        assert page.title() == "Luthier"
        assert "answered by violin" in page.inner_text(".foot:not(:empty)")
        page.click("#language")
        assert page.inner_text("#send") == "发送"
        script.pieces, script.seconds_per_piece = ("word ",) * 2000, 0.01
        page.click("#new")
        page.fill("#question", "long")
        page.press("#question", "Enter")
        page.wait_for_selector("#stop:not([hidden])")
        script.ended.clear()
        page.click("#stop")
        page.wait_for_selector("#send:not([hidden])")
        assert script.ended.wait(5)
        assert script.said < 1000
    assert faults == []

"""The documentation is true: its code runs, prints what it shows, its links lead somewhere, its tables are fresh."""

import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import REPOSITORY, blocks, pages, run, unshown
from warm_words import write_words

from luthier.cli.main import WORDS
from luthier.recipe.stages import STAGES

RUN_PAGES = [page for page in pages() if any(b.language in ("bash", "python") and not b.not_run for b in blocks(page))]
NOT_RUN_COUNT = 5
"""Blocks that are shown only; each says why. Raise it only for what no test can run (make, a real model)."""
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
HAN = re.compile("[\u4e00-\u9fff]")


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the environment of a shell in which `luthier` and `python` start warm."""
    folder = tmp_path_factory.mktemp("warm")
    door = folder / "door"
    write_words(folder / "bin", door)
    # one thread: the tiny model's sums are too small to share, and other tests run beside
    variables = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONDONTWRITEBYTECODE": "1"}
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).parent / "warm_words.py"), str(door)],
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout
    assert server.stdout.readline() == "ready\n"
    yield {**variables, "PATH": f"{folder / 'bin'}:{variables['PATH']}"}
    server.kill()
    server.communicate()


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
    return port


def test_there_are_pages_to_run() -> None:
    assert len(RUN_PAGES) >= 10


@pytest.mark.parametrize("page", RUN_PAGES, ids=name_of)
def test_a_page_runs_from_top_to_bottom_and_prints_what_it_shows(
    page: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    shutil.copytree(REPOSITORY / "docs" / "examples", tmp_path / "docs" / "examples")
    port = free_port()
    done = run(page, tmp_path, port, environment)
    assert done.returncode == 0, done.stdout[-3000:]
    assert unshown(page, done.stdout, port) == [], done.stdout[-6000:]


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    silent = [f"{name_of(page)}:{b.line}: {b.not_run}" for page in pages() for b in blocks(page) if b.not_run]
    assert len(silent) == NOT_RUN_COUNT, "\n".join(silent)
    allowed = re.compile(r"make |the real model")
    assert [line for line in silent if not allowed.search(line)] == []


def test_every_link_leads_to_a_file() -> None:
    links = [(page, link) for page in pages() for link in LINK.findall(page.read_text(encoding="utf-8"))]
    local = [(page, link.partition("#")[0]) for page, link in links if "://" not in link and not link.startswith("#")]
    assert len(local) > 20
    assert [f"{name_of(page)}: {link}" for page, link in local if not (page.parent / link).exists()] == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.exists():
            continue
        reached.add(page)
        links = LINK.findall(page.read_text(encoding="utf-8"))
        waiting += [
            (page.parent / link.partition("#")[0]).resolve() for link in links if link.partition("#")[0].endswith(".md")
        ]
    assert [name_of(page) for page in pages() if page not in reached] == []


@pytest.mark.parametrize(("english", "chinese"), [("README", "README.zh"), ("docs/quickstart", "docs/quickstart.zh")])
def test_the_chinese_page_gives_the_same_commands(english: str, chinese: str) -> None:
    def code(name: str) -> list[str]:
        return [b.text for b in blocks(REPOSITORY / f"{name}.md") if b.language in ("bash", "python")]

    assert code(english)
    assert code(chinese) == code(english)
    assert len(HAN.findall((REPOSITORY / f"{chinese}.md").read_text(encoding="utf-8"))) > 300


def test_every_stage_has_a_page_and_every_word_is_in_the_reference() -> None:
    assert [name for name in (*STAGES, "serve") if not (REPOSITORY / f"docs/stages/{name}.md").exists()] == []
    reference = (REPOSITORY / "docs/reference/commands.md").read_text(encoding="utf-8")
    assert [word for word in (*STAGES, *WORDS) if f"## luthier {word}\n" not in reference] == []


def test_generated_pages_and_tables_are_fresh() -> None:
    command = [sys.executable, str(REPOSITORY / "docs" / "generate.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), f"run `make fix`: {done.stdout}{done.stderr}"


def test_decisions_are_short_and_numbered() -> None:
    records = sorted((REPOSITORY / "docs" / "decisions").glob("0*.md"))
    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    assert len(records) >= 8
    assert [record.name for record in records if len(record.read_text(encoding="utf-8").splitlines()) > 30] == []

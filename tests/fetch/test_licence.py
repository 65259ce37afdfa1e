"""The licence of a model is shown: from its card, its source, its licence file, in that order."""

import shutil
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main
from luthier.event import Chose, Event, hush
from luthier.fetch.licence import find_licence
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec

REPOSITORY = Path(__file__).parents[2]

CARDS = [
    ("---\nlicense: apache-2.0\nlanguage: [en]\n---\n# Model\n", "apache-2.0", None),
    ("\ufeff---\r\nlicense: mit\r\n---\r\n", "mit", None),
    (
        "---\nlicense: other\nlicense_name: tongyi-qianwen\nlicense_link: https://example.org/LICENSE\n---\n",
        "tongyi-qianwen",
        "https://example.org/LICENSE",
    ),
    ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0", None),
    ("---\nlicense: other\n---\n", "other", None),
    ('---\nlicense: "mit\\e[31m"\n---\n', "mit [31m", None),
    ("---\nlicense: unknown\n---\n", "unknown", None),
    ("---\nlicense: 3\n---\n", "unknown", None),
    ("---\nlicense: [mit\n---\n", "unknown", None),
    ("---\n- a list\n---\n", "unknown", None),
    ("---\nlicense: mit\n", "unknown", None),
    ("# Model\nlicense: mit\n", "unknown", None),
    ("", "unknown", None),
]


@pytest.mark.parametrize(("card", "licence", "link"), CARDS)
def test_the_card_of_a_model_says_its_licence(
    card: str, licence: str, link: str | None, tmp_path: Path, told: list[Event]
) -> None:
    (tmp_path / "README.md").write_bytes(card.encode())
    figures = find_licence(tmp_path, None, told.append)
    assert figures == {"licence": licence} | ({"licence_link": link} if link else {})
    assert [(event.what, event.value) for event in told if isinstance(event, Chose)] == [("licence", licence)]


def test_a_licence_file_is_known_by_its_words(tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "LICENSE", tmp_path / "LICENSE")  # the whole text of Apache 2.0
    assert find_licence(tmp_path, None, hush) == {"licence": "apache-2.0"}
    (tmp_path / "LICENSE").write_text("\n# Violin Model Licence, version 3\n\nYou may play.\n")
    assert find_licence(tmp_path, None, hush) == {"licence": "Violin Model Licence, version 3"}


def test_the_card_comes_before_the_source_and_the_source_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("Violin Licence")
    assert find_licence(tmp_path, "mit", hush) == {"licence": "mit"}
    (tmp_path / "README.md").write_text("---\nlicense: gpl-3.0\n---\n")
    assert find_licence(tmp_path, "mit", hush) == {"licence": "gpl-3.0"}


def test_an_unknown_licence_is_said_to_be_unknown(tmp_path: Path, told: list[Event]) -> None:
    assert find_licence(tmp_path, None, told.append) == {"licence": "unknown"}
    assert "neither README.md nor a LICENSE file" in "".join(event.why for event in told if isinstance(event, Chose))


def test_the_licence_is_kept_and_shown(
    tiny_model: Artifact, tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_model.card.figures["licence"] == "apache-2.0"  # what the source says of itself
    folder = tmp_path / "violin"
    shutil.copytree(tiny_model.folder, folder, ignore=shutil.ignore_patterns("card.json"))
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    made = fetch(FetchSpec(source=str(folder)), store, hush)
    assert made.card.figures["licence"] == "cc-by-nc-4.0"
    main(["--project", str(store.root), "show", made.id])
    assert "licence: cc-by-nc-4.0" in capsys.readouterr().out

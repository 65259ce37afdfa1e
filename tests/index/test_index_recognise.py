"""Scanned pages: told where nothing recognises them, read where a tool does."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier import sidecar
from luthier.artifact.store import Store
from luthier.errors import DataError, ToolError
from luthier.event import Said, hush
from luthier.index.recognise import TOOL
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index

DataFolder = Callable[[str], Path]
STAND_IN = '#!/bin/sh\nfor last; do :; done\ncp "{text}" "$last"\n'
"""Takes the arguments of the tool, and gives another PDF, which has text."""


def set_up(project: Path, text: str) -> None:
    """Put a stand-in where `luthier setup` puts the tool."""
    place = sidecar.folder(project, TOOL)
    program = sidecar.program(place, TOOL)
    program.parent.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)
    (place / "pins.txt").write_text("\n".join(sidecar.row(TOOL).pins))


@pytest.fixture
def scanned(data_folder: DataFolder, tmp_path: Path) -> Path:
    shutil.copy(data_folder("ingest_samples") / "non_text_searchable.pdf", tmp_path / "scanned.pdf")
    return tmp_path / "scanned.pdf"


def test_a_tool_that_is_set_up_is_called_and_what_was_left_out_comes_in(
    scanned: Path, store: Store, data_folder: DataFolder, told: list[object]
) -> None:
    spec = IndexSpec(source=str(scanned), embedder="none")
    with pytest.raises(DataError, match="is a picture"):
        index(spec, None, store, hush)
    set_up(store.root, STAND_IN.format(text=data_folder("ingest_samples") / "sample_pdf_2.pdf"))
    index(spec, None, store, told.append)
    assert any(isinstance(event, Said) and "the text of 1 scanned pages was recognised" in event.text for event in told)
    hits = open_index(store.root / "knowledge" / "knowledge").search("page", SearchSpec(way="bm25")).hits
    assert {hit.chunk.document for hit in hits} == {str(scanned)}
    assert hits[0].chunk.metadata["pages_recognised"] == [1]


def test_a_tool_that_fails_says_so_and_leaves_the_rest(scanned: Path, store: Store) -> None:
    set_up(store.root, "#!/bin/sh\necho no tesseract here >&2\nexit 3\n")
    with pytest.raises(ToolError, match="ended with status 3: no tesseract here"):
        index(IndexSpec(source=str(scanned), embedder="none"), None, store, hush)


@pytest.mark.journey
def test_the_real_tool_reads_a_page_made_of_a_picture(store: Store, tmp_path: Path) -> None:
    if shutil.which("tesseract") is None:
        pytest.skip("tesseract is not installed: apt-get install tesseract-ocr ghostscript")
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("RGB", (1240, 600), "white")
    font = ImageFont.load_default(size=48)
    ImageDraw.Draw(picture).text((80, 120), "The warranty lasts seven years.", "black", font)
    picture.save(tmp_path / "scan.pdf", resolution=150)
    sidecar.setup(store.root, TOOL)
    index(IndexSpec(source=str(tmp_path / "scan.pdf"), embedder="none"), None, store, hush)
    [hit] = open_index(store.root / "knowledge" / "knowledge").search("warranty", SearchSpec(way="bm25")).hits
    assert "seven years" in hit.chunk.text

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import Workbook

from luthier.errors import DataError
from luthier.index.parsed import Parsed
from luthier.index.readers import read_document

DataFolder = Callable[[str], Path]


def kinds(parsed: Parsed) -> list[str]:
    return [block.kind for block in parsed.blocks]


def test_a_pdf_gives_pages_tables_and_headings(data_folder: DataFolder) -> None:
    folder = data_folder("ingest_samples")
    parsed = read_document(folder / "sample_pdf_1.pdf")
    assert parsed.metadata["pages"] == 4
    table = next(block for block in parsed.blocks if block.kind == "table" and "Column 1" in block.text)
    assert table.page == 1
    assert "| B | 234,523.00 | The quick brown fox jumped over the lazy dog. |" in table.text
    assert next(block.page for block in parsed.blocks if "page 3 is empty" in block.text) == 4
    headed = read_document(folder / "sample_pdf_2.pdf")
    assert (headed.blocks[0].kind, headed.blocks[0].text) == ("heading", "First Page")


def test_a_word_file_gives_headings_tables_and_pages(data_folder: DataFolder) -> None:
    parsed = read_document(data_folder("ingest_samples") / "sample_docx.docx")
    assert {"heading", "text", "table"} <= set(kinds(parsed))
    assert max(block.page or 0 for block in parsed.blocks) > 1


def test_chinese_office_files_are_read(data_folder: DataFolder) -> None:
    folder = data_folder("ingest_samples")
    assert "我是文字" in read_document(folder / "zh_ocr_test.pdf").text
    assert "|" in next(
        block.text for block in read_document(folder / "zh_ocr_test.docx").blocks if block.kind == "table"
    )


def test_a_workbook_has_a_table_for_each_sheet(data_folder: DataFolder) -> None:
    parsed = read_document(data_folder("ingest_samples") / "basic_tables_two_sheets.xlsx")
    assert kinds(parsed) == ["heading", "table", "heading", "table"]


def test_tables_that_stand_side_by_side_are_told_apart(data_folder: DataFolder, tmp_path: Path) -> None:
    parsed = read_document(data_folder("ingest_samples") / "multiple_tables.xlsx")
    tables = [block.text for block in parsed.blocks if block.kind == "table"]
    assert tables == ["| col_a | col_b |\n| 1.5 | test |", "| col_c | col_d |\n| 3.0 | True |"]


SHEETS: dict[str, tuple[list[list[object]], list[str]]] = {
    "an empty column": ([["name", None, "age"], ["Li", None, 9]], ["| name | age |\n| Li | 9 |"]),
    "a sparse column behind it": (
        [["name", None, "note"], ["Li", None, "x"], ["Bo", None, None]],
        ["| name | note |\n| Li | x |\n| Bo |  |"],
    ),
    "more behind a sparse one": (
        [["name", None, "note", None, "age", "town"], ["Li", None, None, None, 9, "Ulm"]],
        ["| name | note | age | town |\n| Li |  | 9 | Ulm |"],
    ),
    "a shorter table": (
        [["name", "age", None, "town", "river"], ["Li", 9, None, "Ulm", "Danube"], ["Bo", 8]],
        ["| name | age |\n| Li | 9 |\n| Bo | 8 |", "| town | river |\n| Ulm | Danube |"],
    ),
    "a column that begins below": (
        [["name", "age"], ["Li", 9, None, "Ulm"], ["Bo", 8, None, "Linz"]],
        ["| name | age |\n| Li | 9 |\n| Bo | 8 |", "| Ulm |\n| Linz |"],
    ),
}


@pytest.mark.parametrize("name", SHEETS)
def test_an_empty_column_parts_tables_and_tears_none(tmp_path: Path, name: str) -> None:
    rows, tables = SHEETS[name]
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "sheet.xlsx")
    assert [block.text for block in read_document(tmp_path / "sheet.xlsx").blocks[1:]] == tables


def test_a_page_gives_what_a_reader_sees(data_folder: DataFolder, tmp_path: Path) -> None:
    parsed = read_document(data_folder("ingest_samples") / "what_is_haystack.html")
    assert parsed.title == "What is Haystack? | Haystack"
    assert "function(" not in parsed.text
    page = tmp_path / "page.html"
    page.write_bytes(
        "<meta charset=gbk><body><nav>菜单</nav><h2>标题</h2><p>一<b>二</b>三<p>四<ul><li>甲<li>乙</ul>"
        "<table><tr><th>a<th>b<tr><td>1<td>2</table></body>".encode("gbk")
    )
    assert [(block.kind, block.text) for block in read_document(page).blocks] == [
        ("heading", "标题"),
        ("text", "一二三"),
        ("text", "四"),
        ("list", "- 甲\n- 乙"),
        ("table", "| a | b |\n| 1 | 2 |"),
    ]


def test_a_page_keeps_where_its_links_stand_and_what_links_to_it(tmp_path: Path) -> None:
    path = tmp_path / "essay.html"
    path.write_text(
        'First [<a href="#n1">1</a>] and <a href="b.html">the other one</a>.<br><br><section id="notes"></section>'
        '[<a name="n1">1</a>] A note.<br><br>[<a id="n2">2</a>] Another.',
        encoding="utf-8",
    )
    first, note, another = read_document(path).blocks
    assert first.text == "First [1] and the other one."
    assert [(first.text[place:][:3], target) for place, target in first.metadata["_links"]] == [
        ("1] ", "#n1"),
        ("the", "b.html"),
    ]
    assert note.metadata == {"_anchors": [(0, "notes"), (1, "n1")]}
    assert another.metadata == {"_anchors": [(1, "n2")]}


PAGES: dict[str, tuple[str, list[tuple[str, dict[str, object]]]]] = {
    "a blank on both sides of a mark is one": (
        'see <a href="x"> here</a> and <a id="m"></a> <a href="y"> there</a>.',
        [("see here and there.", {"_links": [(4, "x"), (13, "y")], "_anchors": [(13, "m")]})],
    ),
    "an item": (
        '<ul><li><a href="x"> one </a> </li><li>two <a id="m"></a></li><li>three</li></ul>',
        [("- one\n- two\n- three", {"_links": [(2, "x")], "_anchors": [(11, "m")]})],
    ),
    "paragraphs with a mark between them": (
        'one<br><a id="z"></a><br>two<br> <a href="x"> <br>three</a>',
        [("one", {}), ("two", {"_anchors": [(0, "z")]}), ("three", {"_links": [(0, "x")]})],
    ),
    "a link around nothing": (
        '<a href="w" id="m"><div> </div></a><p>unrelated</p><p><a href="v"></a>either</p>',
        [("unrelated", {"_anchors": [(0, "m")]}), ("either", {})],
    ),
    "a link around a picture": (
        '<p>Prices <a href="w"><img src="p.png"></a> of all</p><a href="v"><p><img></p></a><p>unrelated</p>',
        [("Prices of all", {"_links": [(7, "w")]}), ("unrelated", {})],
    ),
    "code": ('<pre id="m">a\n    b</pre>', [("a\n    b", {"_anchors": [(0, "m")]})]),
}


@pytest.mark.parametrize("name", PAGES)
def test_marks_of_links_leave_the_text_as_it_is_read(tmp_path: Path, name: str) -> None:
    source, blocks = PAGES[name]
    (tmp_path / "page.html").write_text(f"<body>{source}</body>", encoding="utf-8")
    assert [(block.text, block.metadata) for block in read_document(tmp_path / "page.html").blocks] == blocks


def test_rows_are_pieces_of_knowledge_with_their_columns(tmp_path: Path) -> None:
    table = tmp_path / "faq.csv"
    table.write_bytes('问题;答案\n保修多久？;两年\n"电池; 保修?";不保修\n'.encode("gb18030"))
    blocks = read_document(table).blocks
    assert [block.text for block in blocks] == ["问题: 保修多久？\n答案: 两年", "问题: 电池; 保修?\n答案: 不保修"]
    assert blocks[1].metadata == {"问题": "电池; 保修?", "答案": "不保修", "row": 2}
    lines = tmp_path / "faq.jsonl"
    lines.write_text(json.dumps({"q": "why", "meta": {"tag": 3}, "none": None}) + "\n\n", encoding="utf-8")
    assert read_document(lines).blocks[0].text == "q: why\nmeta.tag: 3"


def test_markdown_keeps_tables_and_code_whole(tmp_path: Path) -> None:
    note = tmp_path / "note.md"
    note.write_text("# T\n\npara\n\n```py\n# no heading\n```\n\n| a | b |\n| - | - |\n| 1 | 2 |\n\n## U\n- x\n- y\n")
    parsed = read_document(note)
    assert kinds(parsed) == ["heading", "text", "code", "table", "heading", "list"]
    assert parsed.title == "T"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030", "big5", "shift_jis", "euc_kr", "cp1252"]
)
def test_text_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    texts = {
        "big5": "這是一個測試文件，用來檢查編碼是否正確。我們希望能夠讀取繁體中文。",
        "shift_jis": "これは文字コードを調べるための文書です。日本語が正しく読めますか。",
        "euc_kr": "이것은 인코딩을 확인하기 위한 문서입니다. 한국어를 바르게 읽을 수 있습니까.",
        "cp1252": "Le café était fermé à midi, hélas; déjà vu, naïve façade, où êtes-vous allés?",
    }
    text = texts.get(encoding, "这是一个测试文件，用来检查编码是否正确。我们希望能够读取简体中文。")
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode(encoding))
    assert read_document(path).text == text


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * 50_000_000)


BAD = {
    "binary.txt": (bytes(range(256)) * 50, "the file is no text", "give text"),
    "empty.txt": (b" \n", "holds no text", "leave it out"),
    "broken.pdf": (b"%PDF-1.7\nnothing of the kind", "the PDF is broken", "save it anew"),
    "empty.pdf": (b"", "the PDF is broken", "save it anew"),
    "broken.docx": (b"PK\x03\x04 torn", "the file is broken", "save it as DOCX"),
    "locked.xlsx": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "is encrypted", "without a password"),
    "half.jsonl": (b'{"a": 1}\n{"a": \n', "this is no JSON", "mend the line"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str) -> None:
    data, says, mend = BAD[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(DataError, match=says) as caught:
        read_document(path)
    assert mend in caught.value.mend
    assert name in caught.value.where


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    bomb(tmp_path / "bomb.docx")
    with pytest.raises(DataError, match="as a zip bomb does") as caught:
        read_document(tmp_path / "bomb.docx")
    assert "bomb.docx" in caught.value.where


def test_a_scanned_pdf_names_the_tool(data_folder: DataFolder) -> None:
    with pytest.raises(DataError, match="holds no text: its 1 page is a picture") as caught:
        read_document(data_folder("ingest_samples") / "non_text_searchable.pdf")
    assert "luthier setup ocrmypdf" in caught.value.mend
    assert caught.value.where.endswith("page 1")


def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.txt"
    with path.open("wb") as file:
        file.truncate(1_000_000_000)
    with pytest.raises(DataError, match="1,000,000,000 bytes") as caught:
        read_document(path)
    assert caught.value.mend == "split it"

"""What a found chunk points to is found with it, and most of a parent's chunks are the parent."""

from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.event import hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import CutSpec, IndexSpec
from luthier.retrieve.follow import ANCHORS, LINKS, Pointer, pointers
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase, open_index
from luthier.retrieve.ports import Chunk

GUIDE = """# Guide

## Returns

Goods may be sent back within a month. For the money see Refunds.

## Warranty

A warranty lasts two years; how to claim it stands in section 4.2 and in [the price list](prices.md#repairs).

## Refunds

It is paid to the card it came from.

## 4.2 Claims

Write to the workshop, with the invoice.

## 4.20 Other

Nothing more is said.
"""
PRICES = "# Prices\n\n## Repairs\n\nA new hinge costs nine crowns.\n\n## Shipping\n\nShipping is free.\n"
ARTICLES = [
    "第一条 夫妻应当互相忠实，互相尊重。",
    "第二条 违反第三条规定的，应当依法赔偿。",
    "第三条 家庭成员应当敬老爱幼，互相帮助。",
    "第三十条 本法自公布之日起一个月后施行。",
]


@pytest.fixture
def base(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KnowledgeBase:
    monkeypatch.chdir(tmp_path)
    docs = Path("docs")
    docs.mkdir()
    (docs / "guide.md").write_text(GUIDE, encoding="utf-8")
    (docs / "prices.md").write_text(PRICES, encoding="utf-8")
    (docs / "law.txt").write_text("\n\n".join(ARTICLES), encoding="utf-8")
    index(
        IndexSpec(source="docs", embedder="none", cut=CutSpec(tokens=24, overlap=0, parent_tokens=0)), None, store, hush
    )
    return open_index(store.root / "knowledge" / "knowledge")


def found(base: KnowledgeBase, question: str, path: str, top: int = 3) -> list[str]:
    how = SearchSpec(way="bm25", path=path, top=top)
    return [(hit.chunk.heading or (hit.chunk.text,))[-1] for hit in base.search(question, how).hits]


def test_a_section_that_is_named_comes_with_the_one_that_names_it(base: KnowledgeBase) -> None:
    assert found(base, "goods sent month", "plain") == ["Returns"]
    assert found(base, "goods sent month", "recursive") == ["Returns", "Refunds"]


def test_numbers_and_links_into_other_documents_are_followed(base: KnowledgeBase) -> None:
    assert found(base, "warranty lasts years", "recursive") == ["Warranty", "Repairs", "4.2 Claims"]
    hits = base.search("warranty lasts years", SearchSpec(way="bm25", path="recursive")).hits
    assert [hit.why.get("linked_from") for hit in hits[:3]] == [None, hits[0].chunk.id, hits[0].chunk.id]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


PAGE = """<html><body><h1>Help</h1><h2>Returns</h2><p>Goods may be sent back within a month; for the money
<a href="pay%20ment.html?from=help#m4">look there</a> or at <a href="#ship"> the other page</a>, not
<a href="https://shop.example/refunds.html">outside</a>.</p><h2><a name="ship">Shipping</a></h2>
<ul><li>It is free.</li><li>It takes as long as <a href="pay ment.html">the bank</a> says.</li></ul></body></html>"""
PAYMENT = """<html><body><!-- no text --><div id="top"><h1>Payment</h1><p>Cards are taken.</p></div>
<section id="m4"><h2>Money back</h2><p>It is paid to the card it came from.</p></section></body></html>"""


def test_links_of_web_pages_are_followed_to_where_they_point(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()
    Path("site/help.html").write_text(PAGE, encoding="utf-8")
    Path("site/pay ment.html").write_text(PAYMENT, encoding="utf-8")
    cut = CutSpec(tokens=40, overlap=0, parent_tokens=0)
    index(IndexSpec(source="site", embedder="none", cut=cut), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    assert found(base, "goods sent month", "plain") == ["Returns"]
    assert found(base, "goods sent month", "recursive", 9)[:3] == ["Returns", "Money back", "Shipping"]
    assert found(base, "takes long", "recursive", 9)[:2] == ["Shipping", "Payment"]
    Path("rows.csv").write_text("name,anchors,links\nship,[ship],#ship\n", encoding="utf-8")
    index(IndexSpec(source="rows.csv", embedder="none", cut=cut), None, store, hush)
    assert base.search("name ship anchors", SearchSpec(way="bm25", path="recursive")).hits
    [hit] = base.search("goods sent month", SearchSpec(way="bm25", top=1)).hits
    assert "look there or at the other page, not outside." in " ".join(hit.chunk.text.split())
    delete_documents(store.root, "knowledge", ["site/pay ment.html"], hush)
    assert found(base, "goods sent month", "recursive", 9) == ["Returns", "Shipping"]


CARDS = """<html><body><h1>Shop</h1><h3><a href="pay.html">How to pay</a> <a href="#pay">#</a></h3><p>With cards.</p>
<a href="send.html"><div><h3>Delivery</h3><p>By carriage.</p></div></a><a href="none.html"><img src="x.png"></a>
<h3>Opening</h3><p>At noon.</p></body></html>"""


def test_links_of_headings_and_around_blocks_are_those_of_what_they_head(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("site").mkdir()
    Path("site/index.html").write_text(CARDS, encoding="utf-8")
    for name in ("pay", "send", "none"):
        Path(f"site/{name}.html").write_text(f"<body><p>Page of {name}.</p></body>", encoding="utf-8")
    index(IndexSpec(source="site", embedder="none", cut=CutSpec(parent_tokens=0)), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    assert found(base, "cards", "recursive") == ["How to pay #", "Page of pay."]
    assert found(base, "carriage", "recursive") == ["Delivery", "Page of send."]
    assert found(base, "noon", "recursive") == ["Opening"]


def test_articles_of_a_law_are_followed_by_their_numbers(base: KnowledgeBase) -> None:
    hits = base.search("违反规定的赔偿", SearchSpec(way="bm25", path="recursive", top=2)).hits
    assert [hit.chunk.text[:3] for hit in hits] == ["第二条", "第三条"]


def test_a_filter_is_not_passed_and_a_deleted_section_is_not_reached(base: KnowledgeBase, store: Store) -> None:
    how = SearchSpec(way="bm25", path="recursive", where={"document": "docs/guide.md"})
    assert {hit.chunk.document for hit in base.search("warranty lasts years", how).hits} == {"docs/guide.md"}
    delete_documents(store.root, "knowledge", ["docs/prices.md"], hush)
    assert found(base, "warranty lasts years", "recursive") == ["Warranty", "4.2 Claims"]


def test_most_of_a_parents_chunks_are_given_as_the_parent(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    kinds = ["owls", "crows", "larks", "doves"]
    (folder / "birds.txt").write_text("\n\n".join(f"Of birds {kind} are the ones that sing at dawn." for kind in kinds))
    (folder / "fish.txt").write_text("Fish do not sing at dawn, birds do.")
    spec = IndexSpec(source=str(folder), name="birds", embedder="none", cut=CutSpec(tokens=16, overlap=0))
    index(spec, None, store, hush)
    base = open_index(store.root / "knowledge" / "birds")
    hits = base.search("owls crows larks dawn", SearchSpec(way="bm25", path="recursive", top=10)).hits
    [parent] = [hit for hit in hits if "merged" in hit.why]
    assert parent.why["merged"] == 4
    assert all(kind in parent.chunk.text for kind in kinds)
    assert len({hit.chunk.document for hit in hits}) == len(hits) == 2
    begin, end = parent.chunk.span
    assert base.document(parent.chunk.document).text[begin:end] == parent.chunk.text


def test_what_only_looks_like_a_pointer_is_none() -> None:
    plain = Chunk(1, "a/b.md", "See the sea. [out](https://x.org/y.md) 第二条 is its own number; it costs 4.2.")
    assert pointers(plain, ["Sea", "Refunds"]) == [Pointer("", "第二条")]
    own = Chunk(1, "a/b.md", "第二条 说。 [up](../c.md) [here](#top-part)")
    assert pointers(own, []) == [Pointer("c.md", "", True), Pointer("", "top-part", True)]


def test_what_leads_out_takes_no_place_of_what_leads_on() -> None:
    out = ["mailto:a@b.c", "javascript:void(0)", "tel:+43", "//cdn.example/x.js", "https://x.org", "http://[", "#"]
    chunk = Chunk(1, "a/b.html", "Text.", metadata={LINKS: [*out, " c%3F.html?q#m%20n ", 3]})
    assert pointers(chunk, []) == [Pointer("a/c?.html", "m n", True)]
    written = Chunk(1, "a/b.md", "".join(f"[x]({target}) " for target in ["mailto:a@b.c", "tel:1", "sms:2", "d.md"]))
    assert pointers(written, []) == [Pointer("a/d.md", "", True)]


@pytest.mark.parametrize("name", ["links", "anchors", LINKS, ANCHORS])
def test_metadata_of_the_user_may_be_called_as_links_are(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page.html").write_text(
        '<body><h1>Far</h1><p id="far">It is dark.</p><h1>Near</h1><p>Go <a href="#far">there</a> for owls.</p></body>'
    )
    spec = IndexSpec(source="page.html", embedder="none", metadata={name: [1, 2]}, cut=CutSpec(parent_tokens=0))
    index(spec, None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    assert found(base, "owls", "recursive") == ["Near", "Far"]
    if not name.startswith("_"):
        [hit] = base.search("owls", SearchSpec(way="bm25", top=1)).hits
        assert hit.chunk.metadata[name] == [1, 2]

from hypothesis import given, settings
from hypothesis import strategies as some

from luthier.index.cut import Sizes, cut
from luthier.index.parsed import Block, Parsed
from luthier.measure.words import words


def count(texts: object) -> list[int]:
    return [len(words(text)) for text in texts]  # type: ignore[attr-defined]


WORDS = some.sampled_from(["one", "two.", "Three", "四", "五。", "六，", "seven!", "\n", "8"])
TEXTS = some.lists(WORDS, min_size=1, max_size=60).map(" ".join)
BLOCKS = some.builds(
    Block,
    some.sampled_from(["heading", "text", "list", "table", "code"]),
    TEXTS,
    some.integers(1, 3),
)


@given(some.lists(BLOCKS, min_size=1, max_size=12), some.integers(4, 40), some.integers(0, 10))
@settings(deadline=None, max_examples=60)
def test_chunks_are_stretches_of_the_text_that_fit_and_leave_nothing_out(
    blocks: list[Block], size: int, overlap: int
) -> None:
    parsed = Parsed("t", blocks)
    text = parsed.text
    drafts = cut(parsed, Sizes(size, min(overlap, size // 2), 3 * size), count)
    chunks = [draft for draft in drafts if draft.kind == "chunk"]
    for draft in drafts:
        assert draft.text == text[slice(*draft.span)]
    assert all(count([draft.text])[0] <= size for draft in chunks)
    covered = {place for draft in chunks for place in range(*draft.span)}
    begin = 0
    for block in blocks:
        if block.kind != "heading":
            inside = [n for n in range(begin, begin + len(block.text)) if not text[n].isspace()]
            assert set(inside) <= covered
        begin += len(block.text) + 2
    for draft in chunks:
        if draft.parent is not None:
            parent = drafts[draft.parent]
            assert parent.kind == "parent"
            assert parent.span[0] <= draft.span[0] <= draft.span[1] <= parent.span[1]


def test_a_chunk_stays_under_its_headings_and_sentences_stay_whole() -> None:
    blocks = [
        Block("heading", "A", 1),
        Block("text", "One two three. Four five six. Seven eight nine."),
        Block("heading", "B", 2),
        Block("text", "一二三。四五六。"),
    ]
    drafts = [d for d in cut(Parsed("t", blocks), Sizes(6, 3, 0), count) if d.kind == "chunk"]
    assert [(draft.heading, draft.text) for draft in drafts] == [
        (("A",), "One two three. Four five six."),
        (("A",), "Four five six. Seven eight nine."),
        (("A", "B"), "一二三。四五六。"),
    ]


def test_a_table_that_is_cut_keeps_its_heads_above_each_piece() -> None:
    table = "| name | age |\n" + "\n".join(f"| n{n} | {n} |" for n in range(6))
    drafts = [d for d in cut(Parsed("t", [Block("table", table)]), Sizes(6, 0, 0), count) if d.kind == "chunk"]
    assert len(drafts) > 1
    assert drafts[0].heading == ()
    assert all(draft.heading == ("| name | age |",) for draft in drafts[1:])

"""From docstrings to rows: what is said of an object, what is left out, and how it is asked."""

import pytest

from luthier.fetch.questions import ANSWER_WORDS, describe, first_sentence, make_rows


def found(name: str, doc: str, signature: str = "(x)", kind: str = "function") -> dict[str, str]:
    return {"name": name, "kind": kind, "signature": signature, "doc": doc}


DOCSTRINGS = [
    # the docstrings of CPython 3.11, shortened
    (
        "textwrap.dedent",
        "(text)",
        "Remove any common leading whitespace from every line in `text`.\n\n    This can be used to make\n    ...",
        ("textwrap.dedent(text)", "Remove any common leading whitespace from every line in `text`."),
    ),
    (
        "getattr",
        "",
        "getattr(object, name[, default]) -> value\n\nGet a named attribute from an object; getattr(x, 'y') is x.y.\n",
        ("getattr(object, name[, default])", "Get a named attribute from an object; getattr(x, 'y') is x.y."),
    ),
    ("marshal.loads", "(bytes, /)", "Convert the bytes-like object to a value.", None),
    (
        "socket.close",
        "()",
        "close()\n\nClose the socket.  It cannot be used after this call.",
        ("", "Close the socket."),
    ),
    ("zlib.x", "", "x(data) -- Compute a checksum.", ("zlib.x(data)", "Compute a checksum.")),
    ("point.Point", "", "Point(x, y)", ("point.Point(x, y)", "")),
    ("os.error", "", "Base class for I/O related errors.", ("os.error(...)", "Base class for I/O related errors.")),
]


@pytest.mark.parametrize(("name", "signature", "doc", "expected"), DOCSTRINGS)
def test_an_object_is_told_by_its_call_and_first_sentence(
    name: str, signature: str, doc: str, expected: tuple[str, str] | None
) -> None:
    call, summary = describe(name, signature, doc)
    wanted_call, wanted_summary = expected or (f"{name}{signature}", doc)
    assert (call, summary) == (wanted_call or f"{name}{signature}", wanted_summary)


SENTENCES = [
    ("Return it, e.g. a list, i.e. this one. And more.", "Return it, e.g. a list, i.e. this one."),
    ("return a value that\nspans two lines", "Return a value that spans two lines."),
    ("See :class:`~os.PathLike` and ``path``.", "See `os.PathLike` and `path`."),
    ("Is it? Yes.", "Is it?"),
    ("Version 3.11 of it. More.", "Version 3.11 of it."),
    ("", ""),
]


@pytest.mark.parametrize(("paragraph", "sentence"), SENTENCES)
def test_the_first_sentence_is_cut_where_a_reader_would(paragraph: str, sentence: str) -> None:
    assert first_sentence(paragraph) == sentence


def test_what_says_nothing_is_left_out_and_counted() -> None:
    objects = [
        found("a.kept", "Return the larger of two numbers."),
        found("a.same", "Return the larger of two numbers."),
        found("a.bare", "  "),
        found("a.sign", "sign(x) -> int"),
        found("a.short", "Do it."),
        found("a.long", "word " * ANSWER_WORDS),
        found("a.list", "Supported options are:"),
        found("a.inner", "Internal: read binary data."),
    ]
    rows, counts = make_rows(objects)
    assert {row["function"] for row in rows} == {"a.kept"}
    assert counts == {
        "kept": 1,
        "same as another": 1,
        "no docstring": 1,
        "only a signature": 1,
        "too short": 1,
        "too long": 1,
        "no sentence": 1,
        "internal": 1,
    }


def test_an_object_is_asked_about_plainly_twice_and_once_in_other_words() -> None:
    rows, _ = make_rows([found("math.sqrt", "Return the square root of x.")])
    assert [row["phrasing"] for row in rows] == ["plain", "plain", "reworded"]
    assert len({row["question"] for row in rows}) == 3
    assert all("`math.sqrt" in row["question"] for row in rows)
    assert {row["answer"] for row in rows} == {"`math.sqrt(x)`: Return the square root of x."}
    assert {(row["function"], row["kind"], row["signature"], row["summary"]) for row in rows} == {
        ("math.sqrt", "function", "(x)", "Return the square root of x.")
    }


def test_the_wording_hangs_on_the_name_alone() -> None:
    objects = [found(f"a.f{number}", f"Return the number {number} of them.") for number in range(50)]
    forward, _ = make_rows(objects)
    backward, _ = make_rows(objects[::-1])
    assert sorted(row["question"] for row in forward) == sorted(row["question"] for row in backward)
    wordings = {row["question"].replace(row["function"], "") for row in forward if row["phrasing"] == "plain"}
    assert len(wordings) == 5

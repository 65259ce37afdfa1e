"""Left-overs of web pages go, markup that is meant stays."""

import pytest

from luthier.prepare.clean.html_left import is_about_markup, strip


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>Hi</p>\n\n<p>there <b>you</b></p>", "Hi\n\nthere you"),
        ("a<br>\nb<br/>c", "a\nb\nc"),
        ("H&amp;M &#39;s &lt;3", "H&M 's <3"),
        ("<script>alert(1)</script>Text<style>p {}</style>", "Text"),
        ("<!-- hidden -->Text", "Text"),
        ('See <a href="https://a.org" target=_blank>this</a>.', "See this."),
        ("70 m<sup>2</sup>, H<sub>2</sub>O", "70 m², H₂O"),
        ("two&nbsp;words", "two words"),
    ],
)
def test_tags_and_entities_are_taken_out(text: str, plain: str) -> None:
    new, count = strip(text)
    assert new == plain
    assert count


@pytest.mark.parametrize(
    "text",
    [
        "if a < b and c > d: pass",
        "Dear <name>, at <address>",
        "List<String> x; vector<a> y;",
        "<think>\nwell\n</think>",
        "<|im_start|>user",
        "Use `<br>` and `&amp;`.",
        "```\n<p>x &lt; y</p>\n```",
        "<pre>\n<b>x</b>\n</pre>",
        "AT&T; R&D; Q&A;",
        "two spaces  \nand a line",
    ],
)
def test_what_is_no_left_over_stays(text: str) -> None:
    assert strip(text) == (text, 0)


@pytest.mark.parametrize(
    "texts",
    [
        ["Write an HTML page with a heading.", "<h1>Hi</h1>"],
        ["写一个网页", "<div>你好</div>"],
        ["Make a list", "<ul><li>one</li></ul>"],
        ["Insert a picture", '<img src="a.png">'],
        ["How do I escape <?", "Write &lt;."],
    ],
)
def test_a_conversation_about_markup_is_known(texts: list[str]) -> None:
    assert is_about_markup(texts, are_turns=True)


def test_a_tag_name_in_the_words_does_not_make_a_page_one_about_markup() -> None:
    assert not is_about_markup(["<html><body><p>The cat sat.</p></body></html>"], are_turns=False)
    assert is_about_markup(["<p>In HTML, a paragraph is p.</p>"], are_turns=False)

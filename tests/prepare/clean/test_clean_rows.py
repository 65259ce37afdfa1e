"""Rows through the rules: what is changed, masked or left out, what is recorded, and how it is undone."""

import json
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.artifact.example import Example, Message, ToolCall
from luthier.errors import DataError, SpecError, ToolError
from luthier.prepare.clean import needs
from luthier.prepare.clean.change import Change
from luthier.prepare.clean.cleaner import RULES, open_cleaner
from luthier.prepare.clean.places import texts
from luthier.prepare.clean.record import counts, read_record, restore, write_record
from luthier.prepare.spec import CleanSpec

DAMAGED = "Café".encode().decode("latin-1")


def row(question: str, answer: str, **more: object) -> Example:
    return Example("1", (Message("user", question), Message("assistant", answer)), "a.jsonl:1", **more)  # type: ignore[arg-type]


def tool_row() -> Example:
    call = ToolCall("send", {"to": "li@qq.com", "phones": [13812345678, 5], "body": {"text": "Tom &amp; Li"}})
    return Example(
        "1",
        (
            Message("system", "Be kind."),
            Message("user", "Send it"),
            Message("assistant", "", reasoning="To li@qq.com.", calls=(call,)),
            Message("tool", "sent to li@qq.com", name="send"),
            Message("assistant", "Done."),
        ),
        "a.jsonl:1",
    )


def test_with_all_rules_off_the_row_comes_back_untouched() -> None:
    cleaner = open_cleaner(CleanSpec())
    given_row = tool_row()
    assert not cleaner.is_on
    assert cleaner.clean(given_row).example is given_row


def test_every_text_of_a_row_is_looked_at() -> None:
    assert [place.where for place in texts(tool_row())] == [
        "turn 1 (system)",
        "turn 2 (user)",
        "turn 3 (assistant) reasoning",
        "turn 3 (assistant) call 1.to",
        "turn 3 (assistant) call 1.phones[0] (number)",
        "turn 3 (assistant) call 1.body.text",
        "turn 4 (tool)",
        "turn 5 (assistant)",
    ]
    pair = row("q", "a", rejected=Message("assistant", "b"))
    assert [place.where for place in texts(pair)] == ["turn 1 (user)", "turn 2 (assistant)", "rejected"]
    assert [place.where for place in texts(Example("1", (), "a:1", texts=("x", "y")))] == ["text 1", "text 2"]


def test_personal_data_is_masked_in_turns_reasoning_and_tool_arguments() -> None:
    cleaned = open_cleaner(CleanSpec(personal="mask")).clean(tool_row())
    assert cleaned.example is not None
    assistant = cleaned.example.messages[2]
    assert assistant.reasoning == "To [email]."
    assert assistant.calls[0].arguments == {
        "to": "[email]",
        "phones": ["[phone]", 5],
        "body": {"text": "Tom &amp; Li"},
    }
    assert cleaned.example.messages[3].content == "sent to [email]"
    assert counts(cleaned.changes) == {"email masked": 3, "phone masked": 1}


def test_the_record_of_personal_data_does_not_hold_it(tmp_path: Path) -> None:
    spec = CleanSpec(personal="mask", html="strip", encoding="mend")
    sources = [
        tool_row(),
        row("Who?", f"<p>{DAMAGED}: li@qq.com, 13812345678</p>"),
        row("Who?", "<b>Li</b>: me&#64;home.org"),
    ]
    cleaner = open_cleaner(spec)
    write_record(tmp_path, [(one.source, cleaner.clean(one).changes) for one in sources])
    written = (tmp_path / "cleaned.jsonl").read_text(encoding="utf-8")
    assert "[email]" in written
    for secret in ("li@qq.com", "13812345678", "home.org"):
        assert secret not in written


def test_restore_gives_the_row_back_as_it_was() -> None:
    spec = CleanSpec(html="strip", encoding="mend")
    before = row(f"{DAMAGED} <b>or</b> tea?", "<p>Tea &amp; milk</p>")
    cleaned = open_cleaner(spec).clean(before)
    assert cleaned.example is not None
    assert cleaned.example.messages == (Message("user", "Café or tea?"), Message("assistant", "Tea & milk"))
    assert counts(cleaned.changes) == {"encoding changed": 1, "html changed": 5}
    assert restore(cleaned.example, cleaned.changes) == before


def test_restore_after_masking_gives_all_back_but_what_was_masked() -> None:
    cleaned = open_cleaner(CleanSpec(html="strip", personal="mask")).clean(row("Who?", "<p>Li, li@qq.com</p>"))
    assert cleaned.example is not None
    assert cleaned.example.messages[1].content == "Li, [email]"
    assert restore(cleaned.example, cleaned.changes).messages[1].content == "<p>Li, [email]</p>"


def test_restore_refuses_the_changes_of_another_row() -> None:
    cleaned = open_cleaner(CleanSpec(html="strip")).clean(row("Who?", "<p>Li</p>"))
    with pytest.raises(DataError) as caught:
        restore(row("Who?", "Wang"), cleaned.changes)
    assert caught.value.where == "a.jsonl:1, turn 2 (assistant)"
    assert "of this row" in caught.value.mend


def test_the_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    changes = (
        Change("html", "changed", "turn 2 (assistant)", "<p>a</p>", "a", 2),
        Change("personal", "masked", "text 1", count=2, kinds=(("email", 1), ("phone", 1))),
        Change("languages", "dropped", "", "fr"),
    )
    assert write_record(tmp_path, [("a.jsonl:7", changes), ("a.jsonl:8", ())]) == 3
    assert list(read_record(tmp_path)) == [("a.jsonl:7", change) for change in changes]
    first = json.loads((tmp_path / "cleaned.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first == {
        "source": "a.jsonl:7",
        "rule": "html",
        "action": "changed",
        "where": "turn 2 (assistant)",
        "before": "<p>a</p>",
        "after": "a",
        "count": 2,
    }


@pytest.mark.parametrize(
    ("spec", "example", "rule", "where", "before"),
    [
        (CleanSpec(encoding="drop"), row("q", DAMAGED), "encoding", "turn 2 (assistant)", ""),
        (CleanSpec(encoding="mend"), row("q", "a\ufffdb"), "encoding", "turn 2 (assistant)", ""),
        (CleanSpec(html="drop"), row("q", "a<br>b"), "html", "turn 2 (assistant)", ""),
        (CleanSpec(html="strip"), Example("1", (), "a:1", texts=("<p></p>",)), "html", "text 1", "tags alone"),
        (CleanSpec(personal="drop"), row("a@b.org", "a"), "personal", "turn 1 (user)", ""),
        (CleanSpec(languages=("zh",)), row("How are you doing today?", "I am fine."), "languages", "", "en"),
        (CleanSpec(min_characters=3), row("q", " a "), "min_characters", "", "1 characters"),
        (
            CleanSpec(min_characters=3),
            row("q", "good", rejected=Message("assistant", "b")),
            "min_characters",
            "",
            "1 characters",
        ),
        (CleanSpec(max_characters=3), row("qq", "aa"), "max_characters", "", "4 characters"),
    ],
)
def test_a_row_is_left_out_with_the_rule_and_the_place(
    spec: CleanSpec, example: Example, rule: str, where: str, before: str
) -> None:
    cleaned = open_cleaner(spec).clean(example)
    assert cleaned.example is None
    last = cleaned.changes[-1]
    assert (last.rule, last.action, last.where, last.before) == (rule, "dropped", where, before)


@pytest.mark.parametrize(
    ("spec", "example"),
    [
        (
            CleanSpec(languages=("zh",)),
            row("Translate: how are you doing today my friend?", "你今天过得怎么样，我的朋友？"),
        ),
        (CleanSpec(languages=("zh",)), row("2 + 2", "4")),
        (CleanSpec(encoding="drop", html="drop"), row("What is mojibake?", f"{DAMAGED}, for example.")),
        (CleanSpec(html="drop"), row("Write HTML", "<p>Hi</p>")),
        (CleanSpec(min_characters=3), tool_row()),
        (CleanSpec(min_characters=4), Example("1", (), "a:1", texts=("four",), label="x")),
    ],
)
def test_a_row_that_a_rule_does_not_mean_stays(spec: CleanSpec, example: Example) -> None:
    assert open_cleaner(spec).clean(example).example is example


def test_blocked_words_are_masked_or_the_row_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text("secret\n", encoding="utf-8")
    masked = open_cleaner(CleanSpec(blocklist=str(path), blocked="mask")).clean(row("a secret", "no"))
    assert masked.example is not None
    assert masked.example.messages[0].content == "a [blocked]"
    assert restore(masked.example, masked.changes) == row("a secret", "no")
    dropped = open_cleaner(CleanSpec(blocklist=str(path))).clean(row("a Secret", "no"))
    assert dropped.example is None
    assert dropped.changes == (Change("blocklist", "dropped", "turn 1 (user)", before="Secret"),)


@pytest.mark.parametrize(
    ("spec", "where", "mend"),
    [
        (CleanSpec(personal="mask", personal_kinds=()), "clean.personal_kinds", "clean.personal=keep"),
        (CleanSpec(min_characters=9, max_characters=5), "clean.max_characters", "9 or more"),
        (CleanSpec(blocked="mask"), "clean.blocked", "clean.blocklist"),
        (CleanSpec(languages=("xx",)), "clean.languages", "ISO 639-1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused_before_the_run(spec: CleanSpec, where: str, mend: str) -> None:
    with pytest.raises(SpecError) as caught:
        open_cleaner(spec)
    assert caught.value.where == where
    assert mend in caught.value.mend


def test_a_library_that_is_missing_names_the_extra() -> None:
    with pytest.raises(ToolError) as caught:
        needs.load("no_such_library", "clean.encoding")
    assert caught.value.where == "clean.encoding"
    assert caught.value.mend == "pip install 'luthier[clean]'"


def test_a_cleaner_can_be_sent_to_another_process(tmp_path: Path) -> None:
    path = tmp_path / "blocked.txt"
    path.write_text("secret\nre:x{3}\n", encoding="utf-8")
    cleaner = open_cleaner(CleanSpec(blocklist=str(path), personal="mask", html="strip"))
    sent = pickle.loads(pickle.dumps(cleaner))
    example = row("<b>a</b> secret", "xxx")
    assert sent.clean(example) == cleaner.clean(example)


def test_every_rule_of_a_change_is_in_the_table() -> None:
    assert set(RULES) == {
        "encoding",
        "html",
        "blocklist",
        "personal",
        "languages",
        "min_characters",
        "max_characters",
    }


PIECES = [
    "<p>",
    "</p>",
    "&amp;",
    "<br>",
    DAMAGED,
    "li@qq.com",
    "13812345678",
    "\ufffd",
    "好的。",
    "锛",
    "secret",
    " ",
    "\n",
    "x",
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=8), st.text(max_size=20))
def test_any_text_is_cleaned_without_a_crash_and_comes_back(pieces: list[str], answer: str) -> None:
    example = row("".join(pieces), answer)
    cleaned = open_cleaner(CleanSpec(encoding="mend", html="strip")).clean(example)
    if cleaned.example is not None:
        assert restore(cleaned.example, cleaned.changes) == example
    masked = open_cleaner(CleanSpec(encoding="mend", html="strip", personal="mask")).clean(example)
    if masked.example is not None:
        restore(masked.example, masked.changes)


@pytest.mark.parametrize(
    "piece", ["<!--", "<script>", "<pre>", "<a b=", "a.", "1-", "a@", "2001:", "``` ", "é", "鍦", "&#"]
)
def test_a_long_text_of_one_piece_takes_no_time(piece: str) -> None:
    cleaner = open_cleaner(CleanSpec(encoding="mend", html="strip", personal="mask", languages=("en",)))
    begun = time.process_time()
    cleaner.clean(Example("1", (), "a:1", texts=(piece * (40_000 // len(piece)),)))
    assert time.process_time() - begun < 3

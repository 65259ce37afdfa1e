"""Text while it is being said: the same as all at once, whole characters only, stop strings cut cleanly."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.artifact.store import Artifact
from luthier.engine.speaker import Speaker
from luthier.model.template import Template, open_template

WORDS = "你好，世界 🇨🇳 👩‍👩‍👧 é\u0301 a\nb  STOP 停"


@pytest.fixture(scope="module")
def template(tiny_model: Artifact) -> Template:
    return open_template(tiny_model.folder)


def bytes_decode(ids: Sequence[int]) -> str:
    """Decode as byte-level tokenizers do: one id a byte."""
    return bytes(ids).decode("utf-8", errors="replace")


def say(text: str, stop: Sequence[str] = ()) -> list[str]:
    speaker = Speaker(bytes_decode, stop)
    pieces = []
    for byte in text.encode():
        pieces.append(speaker.hear(byte))
        if speaker.stopped:
            break
    pieces.append(speaker.finish())
    assert "".join(pieces) == speaker.text
    return pieces


def test_characters_of_several_bytes_come_whole() -> None:
    pieces = say("好🙂")
    assert [piece for piece in pieces if piece] == ["好", "🙂"]


@given(st.text())
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(say(text)) == text


@given(st.text(alphabet="ab停", max_size=30), st.text(alphabet="ab停", min_size=1, max_size=4))
def test_a_stop_string_ends_the_text_before_it(text: str, stop: str) -> None:
    assert "".join(say(text, [stop])) == text.split(stop)[0]


@given(st.text(alphabet="ab", max_size=30), st.lists(st.text(alphabet="ab", min_size=1, max_size=4), max_size=3))
def test_only_what_may_begin_a_stop_string_is_held_back(text: str, stops: list[str]) -> None:
    speaker = Speaker(bytes_decode, stops)
    for place, byte in enumerate(text.encode(), start=1):
        speaker.hear(byte)
        if speaker.stopped:
            assert any(text[len(speaker.text) : place] == stop for stop in stops)
            break
        held = text[len(speaker.text) : place]
        assert text.startswith(speaker.text)
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)


def test_a_beginning_of_a_stop_string_is_said_once_it_turns_out_to_be_none() -> None:
    assert say("STOL", ["STOP"]) == ["", "", "", "STOL", ""]


def test_a_beginning_of_a_stop_string_at_the_end_is_said() -> None:
    assert say("STO", ["STOP"])[-1] == "STO"


def test_bytes_that_are_no_character_are_said_as_the_decoder_writes_them() -> None:
    speaker = Speaker(bytes_decode)
    pieces = [speaker.hear(byte) for byte in b"\xe5a\xff"]
    assert pieces == ["", "\ufffda", ""]
    assert speaker.finish() == "\ufffd"


@settings(max_examples=50)
@given(st.lists(st.integers(min_value=0, max_value=1900), max_size=40))
def test_any_ids_give_the_text_the_tokenizer_gives_at_once(template: Template, ids: list[int]) -> None:
    speaker = Speaker(template.decode)
    pieces = [speaker.hear(token_id) for token_id in ids]
    assert "".join([*pieces, speaker.finish()]) == template.decode(ids)


def test_chinese_and_emoji_survive_the_tiny_tokenizer_piece_by_piece(template: Template) -> None:
    ids = template.tokenizer(WORDS)["input_ids"]
    speaker = Speaker(template.decode)
    pieces = [speaker.hear(token_id) for token_id in ids]
    assert len([piece for piece in pieces if piece]) > 5
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join([*pieces, speaker.finish()]) == WORDS

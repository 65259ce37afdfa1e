"""How a wish travels over HTTP: in OpenAI's words, in vLLM's where OpenAI has none; and what comes back."""

import json
import time
from dataclasses import replace

import pytest
from test_remote import QUESTION, Reply, chat_reply, delta, events, never, serving

from luthier.engine.ports import Answer, Likely, Sampling
from luthier.engine.remote import RemoteModel
from luthier.errors import DataError, ServeError

SCHEMA = {"type": "object"}
WISHES = Sampling(
    min_tokens=2,
    repetition_penalty=1.1,
    presence_penalty=0.5,
    frequency_penalty=-0.5,
    logit_bias=((17, -100.0), (3, 2.5)),
    json_schema=json.dumps(SCHEMA),
)


def test_every_wish_is_handed_on() -> None:
    with serving(chat_reply("{}")) as server:
        RemoteModel(server.url, "m").answer([QUESTION], WISHES)
    body = server.asked[0][2]
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == {
        "min_tokens": 2,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "logit_bias": {"17": -100.0, "3": 2.5},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True},
        },
    }


def test_a_schema_that_is_no_json_is_refused_before_anything_is_sent() -> None:
    with serving(chat_reply("{}")) as server:
        with pytest.raises(DataError, match="not JSON") as caught:
            RemoteModel(server.url, "m").answer([QUESTION], Sampling(json_schema="{"))
        assert server.asked == []
    assert caught.value.where == "key json_schema"
    assert "JSON text" in caught.value.mend


PLACES = [
    {"token": "token_id:5", "logprob": -0.5, "top_logprobs": [{"token": "token_id:7", "logprob": -2.0}]},
    {"token": "token_id:2", "logprob": -0.25, "top_logprobs": []},
]
LIKELY = (Likely(5, -0.5, ((7, -2.0),)), Likely(2, -0.25))


def test_log_probabilities_of_a_chat_are_read_by_their_ids() -> None:
    reply = chat_reply("a", choice={"token_ids": [5, 2], "logprobs": {"content": PLACES}})
    with serving(reply) as server:
        [answer] = RemoteModel(server.url, "m", asks_ids=True).answer([QUESTION], Sampling(top_logprobs=1))
    assert answer == Answer("a", (5, 2), (), "stop", LIKELY)
    body = server.asked[0][2]
    assert (body["logprobs"], body["top_logprobs"], body["return_tokens_as_token_ids"]) == (True, 1, True)


def test_log_probabilities_of_a_completion_are_read_by_their_ids() -> None:
    told = {
        "tokens": ["token_id:5", "token_id:2"],
        "token_logprobs": [-0.5, -0.25],
        "top_logprobs": [{"token_id:7": -2.0}, None],
    }
    reply = Reply(json.dumps({"choices": [{"text": "a", "finish_reason": "stop", "logprobs": told}]}))
    with serving(reply) as server:
        [answer] = RemoteModel(server.url, "m", asks_ids=True).answer(["x"], Sampling(top_logprobs=3))
    assert answer.logprobs == LIKELY
    assert server.asked[0][2]["logprobs"] == 3
    assert "top_logprobs" not in server.asked[0][2]


def test_log_probabilities_are_streamed_piece_by_piece() -> None:
    chunks = [delta(text, logprobs={"content": [place]}) for text, place in zip("ab", PLACES, strict=True)]
    with serving(events(*chunks, delta(None, "stop"), "[DONE]")) as server:
        model = RemoteModel(server.url, "m", asks_ids=True)
        pieces = list(model.stream(QUESTION, Sampling(top_logprobs=1), never))
    assert [piece.logprobs for piece in pieces] == [LIKELY[:1], LIKELY[1:], ()]
    assert pieces[-1].answer == Answer("ab", (), (), "stop", LIKELY)


def test_tokens_told_without_their_ids_are_refused() -> None:
    reply = chat_reply("a", choice={"logprobs": {"content": [{"token": "a", "logprob": -1.0}]}})
    with serving(reply) as server:
        with pytest.raises(ServeError, match="'a' without its id") as caught:
            RemoteModel(server.url, "m", asks_ids=True).answer([QUESTION], Sampling(top_logprobs=0))
        assert server.url in caught.value.where
        assert "return_tokens_as_token_ids" in caught.value.mend
        with pytest.raises(DataError, match="top_logprobs"):
            RemoteModel(server.url, "m").answer([QUESTION], Sampling(top_logprobs=0))


def test_an_answer_that_takes_too_long_is_cut_off_here(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    stream = events(*[delta(letter) for letter in "abcdefgh"], delta(None, "stop"), "[DONE]")
    wish = replace(Sampling(), max_seconds=2.5)
    with serving(stream) as server:
        [answer] = RemoteModel(server.url, "m").answer([QUESTION], wish)
    assert answer.finish == "length"
    assert 1 <= len(answer.text) < 8
    assert "abcdefgh".startswith(answer.text)

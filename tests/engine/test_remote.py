"""A model behind a URL, against a server that says what the OpenAI API says (recorded in its form)."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from luthier.artifact.example import Message
from luthier.engine.ports import Answer, ChatModel, Piece, Sampling
from luthier.engine.remote import RemoteModel, full_url
from luthier.errors import ServeError
from luthier.event import Event, Progress

QUESTION = (Message("user", "你好"),)


@dataclass(frozen=True)
class Reply:
    """What the server sends."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Heard:
    """What the server was asked, and what it says next."""

    replies: list[Reply]
    asked: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(*replies: Reply) -> Iterator[Heard]:
    """Run a server that gives these replies one after another."""
    heard = Heard(list(replies))

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.asked.append((self.path, dict(self.headers), json.loads(body) if body else None))
            reply = heard.replies.pop(0) if len(heard.replies) > 1 else heard.replies[0]
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body.encode())

        do_GET = do_POST = _reply

        def log_message(self, format: str, *args: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    heard.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def chat_reply(text: str, **more: object) -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return Reply(json.dumps({"choices": [choice | more.pop("choice", {})], **more}))  # type: ignore[operator]


def events(*data: object) -> Reply:
    lines = [f"data: {item if isinstance(item, str) else json.dumps(item)}\n\n" for item in data]
    return Reply(": a comment\n\n" + "".join(lines))


def delta(text: str | None, finish: str | None = None, **more: object) -> dict[str, object]:
    words = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": words, "finish_reason": finish, **more}]}


def never() -> bool:
    return False


def test_a_conversation_goes_to_the_chat_path_with_what_was_asked() -> None:
    sampling = Sampling(max_tokens=7, temperature=0, top_p=0.9, top_k=5, stop=("x",), seed=3)
    with serving(chat_reply("好")) as server:
        model: ChatModel = RemoteModel(server.url, "m", api_key="secret")
        assert model.answer([QUESTION], sampling, lambda event: None) == [Answer("好", (), (), "stop")]
    [(path, headers, body)] = server.asked
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer secret"
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "你好"}],
        "max_tokens": 7,
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 5,
        "stop": ["x"],
        "seed": 3,
    }


@pytest.mark.parametrize(("prompt", "sent"), [("Once", "Once"), ((5, 6), [5, 6])], ids=["text", "ids"])
def test_a_text_or_ids_go_to_the_completion_path_and_nothing_unasked_is_sent(prompt: Any, sent: object) -> None:
    with serving(Reply(json.dumps({"choices": [{"text": " upon", "finish_reason": "length"}]}))) as server:
        assert RemoteModel(server.url, "m").answer([prompt], Sampling()) == [Answer(" upon", (), (), "length")]
    [(path, _, body)] = server.asked
    assert (path, body) == ("/v1/completions", {"model": "m", "prompt": sent})


def test_answers_come_in_the_prompts_order(told: list[Event]) -> None:
    with serving(chat_reply("same")) as server:
        answers = RemoteModel(server.url, "m").answer([QUESTION] * 5, Sampling(), told.append)
    assert len(answers) == len(server.asked) == 5
    assert told[-1] == Progress("answers", 5, 5, "answers")


def test_ids_are_asked_for_only_if_wanted() -> None:
    reply = chat_reply("a", prompt_token_ids=[1, 2], choice={"token_ids": [3, 4]})
    with serving(reply) as server:
        assert RemoteModel(server.url, "m", asks_ids=True).answer([QUESTION], Sampling()) == [
            Answer("a", (3, 4), (1, 2), "stop")
        ]
    assert server.asked[0][2]["return_token_ids"] is True


def test_a_stream_is_heard_piece_by_piece() -> None:
    stream = events(
        delta(""), delta("你"), delta("好", token_ids=[9]), delta(None, "length"), {"choices": []}, "[DONE]"
    )
    with serving(stream) as server:
        pieces = list(RemoteModel(server.url, "m").stream(QUESTION, Sampling(), never))
    assert pieces == [Piece("你"), Piece("好", None, (9,)), Piece("", Answer("你好", (9,), (), "length"))]
    assert server.asked[0][2]["stream"] is True


def test_tokens_are_as_the_server_counts_them_where_it_tells_no_ids() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    stream = events(delta("a"), delta("b", "stop"), {"choices": [], "usage": usage}, "[DONE]")
    with serving(chat_reply("ab", usage=usage)) as server:
        [whole] = RemoteModel(server.url, "m").answer([QUESTION], Sampling())
    with serving(stream) as server:
        *_, last = RemoteModel(server.url, "m").stream(QUESTION, Sampling(), never)
    assert server.asked[0][2]["stream_options"] == {"include_usage": True}
    assert last.answer == whole
    assert (whole.tokens_read, whole.tokens_said) == (7, 2)


def test_known_ids_count_before_what_a_server_says() -> None:
    reply = chat_reply("a", prompt_token_ids=[1, 2], choice={"token_ids": [3]}, usage={"prompt_tokens": 99})
    with serving(reply) as server:
        [answer] = RemoteModel(server.url, "m", asks_ids=True).answer([QUESTION], Sampling())
    assert (answer.tokens_read, answer.tokens_said) == (2, 1)


def test_a_cancelled_stream_ends_without_its_last_piece() -> None:
    heard: list[Piece] = []
    with serving(events(delta("a"), delta("b"), delta("c"), "[DONE]")) as server:
        for piece in RemoteModel(server.url, "m").stream(QUESTION, Sampling(), lambda: bool(heard)):
            heard.append(piece)
    assert heard == [Piece("a")]


def test_an_error_within_a_stream_is_raised() -> None:
    with serving(events(delta("a"), {"error": {"message": "out of memory"}})) as server:
        stream = RemoteModel(server.url, "m").stream(QUESTION, Sampling(), never)
        assert next(iter(stream)) == Piece("a")
        with pytest.raises(ServeError, match="out of memory") as caught:
            list(stream)
    assert server.url in caught.value.where
    assert "ask again" in caught.value.mend


def test_the_first_model_of_the_server_is_taken_where_none_is_named() -> None:
    with serving(Reply(json.dumps({"data": [{"id": "one"}, {"id": "two"}]}))) as server:
        assert RemoteModel(server.url).name == "one"
    assert server.asked[0][0] == "/v1/models"
    with serving(Reply('{"data": []}')) as server, pytest.raises(ServeError, match="has no model") as caught:
        RemoteModel(server.url)
    assert caught.value.where.endswith("/v1/models")
    assert "start it with a model" in caught.value.mend


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again_after_the_time_the_server_says(status: int) -> None:
    waited: list[float] = []
    busy = Reply("{}", status, {"Retry-After": "7"})
    with serving(busy, Reply("{}", status), chat_reply("at last")) as server:
        model = RemoteModel(server.url, "m", sleep=waited.append)
        assert model.answer([QUESTION], Sampling())[0].text == "at last"
    assert waited == [7.0, 2.0]


def test_a_date_in_retry_after_is_understood() -> None:
    waited: list[float] = []
    past = Reply("{}", 429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"})
    with serving(past, chat_reply("now")) as server:
        RemoteModel(server.url, "m", sleep=waited.append).answer([QUESTION], Sampling())
    assert waited == [0.0]


def test_it_gives_up_after_two_more_tries_and_at_once_if_the_wait_is_long() -> None:
    waited: list[float] = []
    with serving(Reply('{"error": {"message": "full"}}', 429)) as server:
        with pytest.raises(ServeError, match="429: full") as caught:
            RemoteModel(server.url, "m", sleep=waited.append).answer([QUESTION], Sampling())
        assert waited == [1.0, 2.0]
    assert "ask again later" in caught.value.mend
    with serving(Reply("{}", 429, {"Retry-After": "3600"})) as server:
        with pytest.raises(ServeError):
            RemoteModel(server.url, "m", sleep=waited.append).answer([QUESTION], Sampling())
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "what", "mend"),
    [
        (Reply('{"error": {"message": "no key"}}', 401), "401: no key", "OPENAI_API_KEY"),
        (Reply('{"error": {"message": "no model"}}', 404), "404: no model", "a model the server has"),
        (Reply('{"error": "too hot"}', 400), "400: too hot", "as the message says"),
        (Reply("<html>hello</html>"), "not JSON: '<html>", "the URL of an OpenAI API"),
        (Reply("<html>gone</html>", 410), "410: <html>gone", "the server's own log"),
    ],
)
def test_a_refusal_is_passed_on_with_a_mend_and_not_tried_again(reply: Reply, what: str, mend: str) -> None:
    with serving(reply) as server:
        with pytest.raises(ServeError) as caught:
            RemoteModel(server.url, "m").answer([QUESTION], Sampling())
        assert len(server.asked) == 1
    assert what in caught.value.what
    assert server.url in caught.value.where
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    "ask", [lambda m: m.answer([QUESTION], Sampling()), lambda m: list(m.stream(QUESTION, Sampling(), never))]
)
def test_a_server_that_is_not_there_is_said(ask: Callable[[RemoteModel], object]) -> None:
    with serving(Reply("{}")) as server:
        url = server.url
    with pytest.raises(ServeError, match="does not answer") as caught:
        ask(RemoteModel(url, "m"))
    assert url in caught.value.where
    assert "luthier serve" in caught.value.mend


@pytest.mark.parametrize(
    ("given", "full"),
    [
        ("localhost:8000", "http://localhost:8000/v1"),
        ("http://a/", "http://a/v1"),
        ("https://a/v1/", "https://a/v1"),
        ("https://a/openai/v2", "https://a/openai/v2"),
    ],
)
def test_an_address_without_a_path_gets_v1(given: str, full: str) -> None:
    assert full_url(given) == full

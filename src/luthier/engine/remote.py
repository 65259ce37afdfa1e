"""A model behind an OpenAI URL: Luthier's own server, vLLM, or any other that speaks so."""

import email.utils
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from luthier.artifact.example import Conversation, Message, plain
from luthier.engine.heard import Heard
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling, check_takes
from luthier.errors import DataError, ServeError
from luthier.event import Progress, Tell, hush

RETRIES = 2
LONGEST_WAIT_SECONDS = 60.0
TIMEOUT = httpx.Timeout(600.0, connect=10.0)
"""An answer may take minutes before its first token, on a busy server."""

TAKES = ALWAYS_TAKEN | {
    "min_tokens",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "json_schema",
    "max_seconds",
}
"""What is handed on, and the time, which is kept here. Log-probabilities need ids, which not every server tells."""

STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
"""How a stream is asked for: its last chunk tells how many tokens were read and said."""

MENDS: Mapping[int, str] = {
    400: "change the request as the message says",
    401: "set OPENAI_API_KEY, or give the key of this server",
    403: "use a key that may do this",
    404: "ask for a model the server has, at the address where its API lies (.../v1)",
    413: "send less at once",
    429: "ask again later",
}
"""HTTP status -> what a person can do."""


class RemoteModel:
    """A model asked over HTTP."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        api_key: str | None = None,
        asks_ids: bool = False,
        at_once: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Make one that asks at most `at_once` requests at a time. Without `model` it is the first the server has.

        `api_key` is OPENAI_API_KEY where none is given. `asks_ids` sends `return_token_ids`, which Luthier and vLLM
        understand: without it an answer's ids are empty. Raises ServeError if the server does not say what it has.
        """
        key = api_key or os.environ.get("OPENAI_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.url = full_url(url)
        self._client = httpx.Client(headers=headers, timeout=TIMEOUT)
        self._asks_ids = asks_ids
        self._at_once = at_once
        self._sleep = sleep
        self._name = model or self._first_name()

    @property
    def name(self) -> str:
        """What the server calls it."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Nothing is known: where a request says nothing, the server decides."""
        return {}

    @property
    def takes(self) -> frozenset[str]:
        """What is handed on to the server, which may refuse it; log-probabilities only where ids are asked for."""
        return TAKES | {"top_logprobs"} if self._asks_ids else TAKES

    @property
    def at_once(self) -> int:
        """How many requests it is asked at the same time."""
        return self._at_once

    def close(self) -> None:
        """Let its connections go."""
        self._client.close()

    def _first_name(self) -> str:
        with self._sent("GET", "models", None) as response:
            cards = _json(response, self.url).get("data")
        if not cards:
            raise ServeError("the server has no model", where=f"{self.url}/models", mend="start it with a model")
        return str(cards[0]["id"])

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts, some at a time; answers come in the prompts' order.

        Raises ServeError if the server does not answer or refuses; 429 and 5xx are tried again twice.
        """
        answers = []
        with ThreadPoolExecutor(self._at_once) as pool:
            for answer in pool.map(lambda prompt: self._answer(prompt, sampling), prompts):
                answers.append(answer)
                tell(Progress("answers", len(answers), len(prompts), "answers"))
        return answers

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece; leaving the loop or `cancelled()` closes the connection."""
        path, body = self._request(prompt, sampling)
        said = Heard()
        end = math.inf if sampling.max_seconds is None else time.monotonic() + sampling.max_seconds
        with self._sent("POST", path, body | STREAMED) as response:
            for data in _events(response, self.url):
                if cancelled():
                    return
                piece = said.hear(data, self.url)
                if piece.text or piece.token_ids or piece.prompt_ids:
                    yield piece
                if time.monotonic() >= end and said.finish is None:
                    said.finish = "length"
                    break
        yield Piece("", said.answer())

    def _answer(self, prompt: Prompt, sampling: Sampling) -> Answer:
        if sampling.max_seconds is not None:  # only what is streamed can be cut off
            *_, last = self.stream(prompt, sampling, lambda: False)
            return last.answer or Heard().answer()
        path, body = self._request(prompt, sampling)
        said = Heard()
        with self._sent("POST", path, body) as response:
            said.hear(_json(response, self.url), self.url)
        return said.answer()

    def _request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict[str, Any]]:
        check_takes(self, sampling)
        body: dict[str, Any] = {"model": self._name}
        if self._asks_ids:
            body["return_token_ids"] = True
        if isinstance(prompt, str):
            return "completions", body | wishes(sampling, is_chat=False) | {"prompt": prompt}
        if isinstance(prompt, Conversation):
            tools = {"tools": [dict(tool) for tool in prompt.tools]} if prompt.tools else {}
            messages = {"messages": _turns(prompt.messages)}
            return "chat/completions", body | wishes(sampling, is_chat=True) | messages | tools
        turns = [turn for turn in prompt if isinstance(turn, Message)]
        if turns:
            return "chat/completions", body | wishes(sampling, is_chat=True) | {"messages": _turns(turns)}
        return "completions", body | wishes(sampling, is_chat=False) | {"prompt": list(prompt)}

    @contextmanager
    def _sent(self, method: str, path: str, body: Mapping[str, Any] | None) -> Iterator[httpx.Response]:
        try:
            response = self._send(method, f"{self.url}/{path}", body)
            try:
                yield response
            finally:
                response.close()
        except httpx.HTTPError as error:
            raise ServeError(
                f"the server does not answer: {error or type(error).__name__}",
                where=f"{self.url}/{path}",
                mend="see that it runs (luthier serve) and that the address is right (--url)",
            ) from error

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> httpx.Response:
        for attempt in range(RETRIES + 1):
            response = self._client.send(self._client.build_request(method, url, json=body), stream=True)
            if response.is_success:
                return response
            response.read()
            seconds = _wait_seconds(response, attempt)
            is_passing = response.status_code == 429 or response.status_code >= 500
            if attempt == RETRIES or not is_passing or seconds > LONGEST_WAIT_SECONDS:
                break
            self._sleep(seconds)
        raise _refused(response, url)


def wishes(sampling: Sampling, is_chat: bool) -> dict[str, Any]:
    """Give what a request of the OpenAI API says of how its answer is drawn, in vLLM's words where OpenAI has none."""
    top, schema = sampling.top_logprobs, sampling.json_schema
    form = None if schema is None else {"name": "answer", "schema": _schema(schema), "strict": True}
    found = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "min_tokens": sampling.min_tokens or None,
        "repetition_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty or None,
        "frequency_penalty": sampling.frequency_penalty or None,
        "logit_bias": {str(token_id): bias for token_id, bias in sampling.logit_bias} or None,
        "response_format": {"type": "json_schema", "json_schema": form} if form else None,
        "logprobs": None if top is None else True if is_chat else top,
        "top_logprobs": top if is_chat else None,
        "return_tokens_as_token_ids": None if top is None else True,
    }
    return {key: value for key, value in found.items() if value is not None}


def _schema(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(
            f"the schema is not JSON: {error}", where="key json_schema", mend="send a JSON Schema as JSON text"
        ) from None


def _turns(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Give messages as the API has them: a call's arguments travel as JSON in a text."""
    turns = plain(messages)
    for call in (call for turn in turns for call in turn.get("tool_calls", ())):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"], ensure_ascii=False)
    return turns


def full_url(url: str) -> str:
    """Give the address under which the paths lie; `/v1` is added where no path is given."""
    address = url if "://" in url else f"http://{url}"
    address = address.rstrip("/")
    return address if "/" in address.partition("://")[2] else f"{address}/v1"


def _events(response: httpx.Response, url: str) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or not data:
            continue
        if data == "[DONE]":
            return
        try:
            event: dict[str, Any] = json.loads(data)
        except ValueError:
            raise _garbled(url, data) from None
        if "error" in event:
            raise ServeError(
                f"the server broke off: {_message(event)}", where=url, mend="ask again; its own log says more"
            )
        yield event


def _json(response: httpx.Response, url: str) -> dict[str, Any]:
    text = response.read().decode("utf-8", "replace")
    try:
        data: dict[str, Any] = json.loads(text)
    except ValueError:
        raise _garbled(url, text) from None
    return data


def _garbled(url: str, text: str) -> ServeError:
    return ServeError(
        f"the server sent what is not JSON: {text[:80]!r}", where=url, mend="give the URL of an OpenAI API (.../v1)"
    )


def _wait_seconds(response: httpx.Response, attempt: int) -> float:
    said = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(said))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(said).timestamp() - time.time())
    except ValueError:
        return 2.0**attempt


def _refused(response: httpx.Response, url: str) -> ServeError:
    try:
        message = _message(response.json())
    except ValueError:
        message = response.text[:200]
    mend = MENDS.get(response.status_code, "ask again; the server's own log says more")
    return ServeError(f"the server answered {response.status_code}: {message}", where=url, mend=mend)


def _message(data: Any) -> str:
    error = data.get("error", data) if isinstance(data, dict) else data
    return str(error.get("message", error) if isinstance(error, dict) else error)


def is_address(name: str) -> bool:
    """Whether a model is named by an address."""
    return "://" in name


def open_address(address: str) -> RemoteModel:
    """Open an OpenAI API by its address; the model's name may stand behind a `#`."""
    url, _, model = address.partition("#")
    return RemoteModel(url, model or None)

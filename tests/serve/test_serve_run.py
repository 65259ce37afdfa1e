"""`serve`: takes its address first, tells where it is, ends on a signal."""

import os
import re
import signal
import socket
import threading
import time
from typing import Any

import httpx
import pytest
from openai import OpenAI
from served import Script

from luthier.errors import ServeError
from luthier.event import Event, Said, Warned, hush
from luthier.serve.run import serve
from luthier.serve.spec import ServeSpec


def serve_until_signalled(signal_number: int, told: list[Event], *models: Script, **settings: Any) -> list[str]:
    """Serve in this, the main thread; a second one asks a question once the address is told, then signals."""
    answers: list[str] = []

    def ask(url: str) -> None:
        try:
            with OpenAI(base_url=url, api_key="one", max_retries=0, timeout=60) as client:
                said = client.chat.completions.create(model="script", messages=[{"role": "user", "content": "a"}])
            answers.append(str(said.choices[0].message.content))
        finally:
            os.kill(os.getpid(), signal_number)

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, Said) and event.text.startswith("stop it"):
            text = next(event.text for event in told if isinstance(event, Said) and "http://" in event.text)
            found = re.search(r"http://\S+/v1", text)
            assert found
            thread = threading.Thread(target=ask, args=(found[0],))
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = []
    serve(ServeSpec(port=0, **settings), models, tell)
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_gives_the_signals_back(number: int, told: list[Event]) -> None:
    before = signal.getsignal(number)
    assert serve_until_signalled(number, told, Script()) == ["Hello you"]
    assert signal.getsignal(number) is before


def test_it_tells_the_model_its_defaults_and_how_to_ask_it(told: list[Event]) -> None:
    serve_until_signalled(signal.SIGINT, told, Script(), Script(name="two"), api_keys=("one",), max_tokens=9)
    text = "\n".join(event.text for event in told if isinstance(event, Said))
    assert "serving script at http://127.0.0.1:" in text
    assert "serving two at" in text
    assert "temperature 0.5" in text
    assert "at most 9 new tokens" in text
    assert re.search(r"curl http://127.0.0.1:\d+/v1/chat/completions -H 'Authorization: Bearer KEY' -d '{", text)
    assert not [event for event in told if isinstance(event, Warned)]


def test_a_door_that_is_open_to_others_needs_a_key(told: list[Event]) -> None:
    with pytest.raises(ServeError, match=r"everybody who reaches 0.0.0.0 could ask") as caught:
        serve(ServeSpec(host="0.0.0.0", port=0), [Script()], hush)
    assert caught.value.where == "key host"
    assert "luthier keys make" in caught.value.mend
    assert serve_until_signalled(signal.SIGTERM, told, Script(), host="0.0.0.0", api_keys=("one",)) == ["Hello you"]


def test_a_port_in_use_is_said_before_anything_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=f"127.0.0.1:{port}") as caught:
            serve(ServeSpec(port=port), [Script()], hush)
    assert caught.value.where == "key port"
    assert "port=0 takes a free one" in caught.value.mend


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(ServeError, match="host is") as caught:
        serve(ServeSpec(host="no.such.host.invalid", port=0), [Script()], hush)
    assert caught.value.where == "key host"
    assert "127.0.0.1" in caught.value.mend


@pytest.mark.parametrize(
    ("models", "what", "mend"),
    [
        ([], "no model to serve", "--model ID"),
        ([Script(), Script()], "two models are called 'script'", "name each model once"),
    ],
    ids=["none", "twins"],
)
def test_models_without_a_name_of_their_own_are_refused(models: list[Script], what: str, mend: str) -> None:
    with pytest.raises(ServeError, match=what) as caught:
        serve(ServeSpec(port=0), models, hush)
    assert caught.value.where == "key models"
    assert mend in caught.value.mend


def test_who_waits_when_the_server_stops_gets_an_error_object(told: list[Event]) -> None:
    script = Script(("a",) * 3000, seconds_per_piece=0.01)
    replies: list[httpx.Response] = []

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, Said) and event.text.startswith("stop it"):
            asking.start()
            stopping.start()

    def ask() -> None:
        url = next(event.text for event in told if isinstance(event, Said)).rpartition(" ")[2]
        body = {"model": "script", "messages": [{"role": "user", "content": "a"}]}
        replies.append(httpx.post(f"{url}/chat/completions", json=body, timeout=20))

    def stop() -> None:
        while not script.asked:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    asking, stopping = threading.Thread(target=ask), threading.Thread(target=stop)
    serve(ServeSpec(port=0, shutdown_seconds=0), [script], tell)
    asking.join()
    [reply] = replies
    assert reply.status_code == 503
    assert reply.json()["error"]["type"] == "server_error"
    assert "ask again" in reply.json()["error"]["message"]


def test_a_running_answer_does_not_hold_up_the_end_and_is_no_fault(
    told: list[Event], capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script(("a",) * 3000, seconds_per_piece=0.01)

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, Said) and event.text.startswith("stop it"):
            thread.start()

    def leave_in_the_middle() -> None:
        text = next(event.text for event in told if isinstance(event, Said))
        url = text.rpartition(" ")[2]
        body = {"model": "script", "messages": [{"role": "user", "content": "a"}], "stream": True}
        with httpx.Client() as client, client.stream("POST", f"{url}/chat/completions", json=body) as reply:
            lines = reply.iter_lines()  # kept: httpx closes the connection with it
            next(lines)
            os.kill(os.getpid(), signal.SIGTERM)
            script.ended.wait(10)

    thread = threading.Thread(target=leave_in_the_middle)
    serve(ServeSpec(port=0, shutdown_seconds=1), [script], tell)
    thread.join()
    assert script.ended.wait(10)
    assert script.said < 1000
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert (warned.what, warned.mend) == (
        "running answers were cut off after 1 s",
        "raise shutdown_seconds to let them end",
    )
    assert capsys.readouterr().err == ""

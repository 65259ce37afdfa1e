"""An API is called as its document says, within its list of hosts, its time and its size; its secrets stay hidden."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shop_server import Shop, document_of, open_shop, write_document

from luthier.act.api import Api
from luthier.act.spec import ApiSpec
from luthier.act.tool import CallError, Tool
from luthier.errors import SpecError
from luthier.event import Event, hush


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as running:
        yield running


@pytest.fixture
def make(shop: Shop, tmp_path: Path) -> Iterator[Any]:
    """Give a function: settings -> the shop's tools by name."""
    opened: list[Api] = []

    def tools(document: dict[str, Any] | None = None, **settings: Any) -> dict[str, Tool]:
        settings = {"allow_hosts": (shop.host,), "allow_private": True, **settings}
        path = write_document(tmp_path, document or document_of(shop.port))
        opened.append(Api(ApiSpec(document=path, **settings), hush))
        return {tool.name: tool for tool in opened[-1].tools()}

    yield tools
    for api in opened:
        api.close()


def test_an_order_is_looked_up(shop: Shop, make: Any) -> None:
    tool = make()["getOrder"]
    assert json.loads(tool.call({"number": 7}, 5.0).text) == {"id": 7, "state": "shipped"}
    assert shop.asked[0][:2] == ("GET", "/orders/7")
    assert not tool.is_dangerous
    assert tool.parameters["properties"]["number"] == {"type": "integer", "minimum": 1}
    assert tool.about == "Looks up an order. GET /orders/{number}"


def test_only_what_reads_is_a_tool_unless_it_is_chosen_and_then_it_is_dangerous(shop: Shop, make: Any) -> None:
    assert "createOrder" not in make()
    tools = make(operations=("createOrder", "deleteOrder"))
    assert [tool.is_dangerous for tool in tools.values()] == [True, True]
    assert json.loads(tools["createOrder"].call({"body": {"what": "tea"}}, 5.0).text) == {"what": "tea"}
    assert shop.asked[-1][3] == b'{"what": "tea"}'


def test_what_the_api_refuses_is_told_with_its_words(make: Any) -> None:
    with pytest.raises(CallError) as caught:
        make()["getOrder"].call({"number": 99}, 5.0)
    assert "404" in caught.value.what
    assert "no such order" in caught.value.what
    assert "GET http://127.0.0.1" in caught.value.where


def test_the_documents_own_server_is_not_trusted(shop: Shop, tmp_path: Path) -> None:
    path = write_document(tmp_path, document_of(shop.port))
    with pytest.raises(SpecError) as caught:
        Api(ApiSpec(document=path, allow_private=True), hush)
    assert "not on the list" in caught.value.what
    assert "allow_hosts=[127.0.0.1]" in caught.value.mend
    given = Api(ApiSpec(document=path, server=shop.url, allow_private=True), hush)
    assert given.guard.hosts == (shop.host,)
    given.close()


def test_this_machine_is_not_reached_unless_it_is_allowed(shop: Shop, make: Any) -> None:
    with pytest.raises(CallError, match="not public"):
        make(allow_private=False)["getOrder"].call({"number": 7}, 5.0)
    assert shop.asked == []


def test_a_redirect_does_not_lead_out_of_the_list(shop: Shop, make: Any) -> None:
    for target in (f"http://localhost:{shop.port}/orders/7", "http://169.254.169.254/latest/meta-data", "file:///etc"):
        shop.target = target
        with pytest.raises(CallError) as caught:
            make()["moved"].call({}, 5.0)
        assert "not on the list" in caught.value.what or "no plain http" in caught.value.what
    assert {path for _, path, _, _ in shop.asked} == {"/moved"}
    shop.target = "/orders/8"
    assert "waiting" in make()["moved"].call({}, 5.0).text
    shop.target = "/moved"
    with pytest.raises(CallError, match="more than 5 times"):
        make()["moved"].call({}, 5.0)


def test_a_secret_is_sent_and_shown_nowhere(shop: Shop, make: Any, tmp_path: Path, told: list[Event]) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text("key: s3cret-word\nquery: 0ther-word\n", encoding="utf-8")
    file.chmod(0o600)
    schemes = {
        "key": {"type": "http", "scheme": "bearer"},
        "query": {"type": "apiKey", "in": "query", "name": "api_key"},
    }
    document = document_of(
        shop.port, components={"securitySchemes": schemes}, security=[{"key": [], "query": []}, {"none": []}]
    )
    said = make(document, secrets=str(file))["echo"].call({}, 5.0).text
    _, path, headers, _ = shop.asked[0]
    assert headers["authorization"] == "Bearer s3cret-word"
    assert path == "/echo?api_key=0ther-word"
    assert "word" not in said
    assert said.count("(hidden)") == 2
    with pytest.raises(CallError) as caught:
        make(document, secrets=str(file))["getOrder"].call({"number": 99}, 5.0)
    assert "word" not in str(caught.value)


def test_a_secret_does_not_follow_a_redirect_to_another_host(shop: Shop, make: Any, tmp_path: Path) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text("key: s3cret-word\n", encoding="utf-8")
    document = document_of(
        shop.port,
        components={"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}},
        security=[{"key": []}],
    )
    shop.target = f"http://localhost:{shop.port}/echo"
    tool = make(document, secrets=str(file), allow_hosts=(shop.host, f"localhost:{shop.port}"))["moved"]
    tool.call({}, 5.0)
    assert ["x-key" in headers for _, _, headers, _ in shop.asked] == [True, False]


@pytest.mark.parametrize(
    ("scheme", "secret", "name", "sent"),
    [
        # RFC 7617, section 2
        (
            {"type": "http", "scheme": "basic"},
            "Aladdin:open sesame",
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        ({"type": "oauth2"}, "token", "authorization", "Bearer token"),
        ({"type": "apiKey", "in": "cookie", "name": "sid"}, "crumb", "cookie", "sid=crumb"),
    ],
)
def test_each_kind_of_secret_has_its_place(
    scheme: dict[str, str], secret: str, name: str, sent: str, shop: Shop, make: Any, tmp_path: Path
) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text(f"own: '{secret}'\n", encoding="utf-8")
    document = document_of(shop.port, components={"securitySchemes": {"own": scheme}}, security=[{"own": []}])
    make(document, secrets=str(file))["echo"].call({}, 5.0)
    assert shop.asked[0][2][name] == sent


def test_a_missing_secret_is_said_before_anything_is_sent(shop: Shop, make: Any, tmp_path: Path) -> None:
    document = document_of(
        shop.port, components={"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}}, security=[{"key": []}]
    )
    with pytest.raises(SpecError) as caught:
        make(document)
    assert "needs the secret 'key'" in caught.value.what
    assert "secrets=FILE" in caught.value.mend
    file = tmp_path / "secrets.yaml"
    file.write_text("key: [1, 2]\n", encoding="utf-8")
    with pytest.raises(SpecError, match="does not hold names with texts"):
        make(document, secrets=str(file))
    file.write_text("key: 's3cret\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        make(document, secrets=str(file))
    assert "s3cret" not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
def test_a_secret_others_may_read_is_warned_about(shop: Shop, tmp_path: Path, told: Any) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text("key: word\n", encoding="utf-8")
    file.chmod(0o644)
    path = write_document(tmp_path, document_of(shop.port))
    Api(ApiSpec(document=path, server=shop.url, allow_private=True, secrets=str(file)), told).close()
    assert any(f"chmod 600 {file}" in getattr(event, "mend", "") for event in told)


def test_what_fails_for_a_moment_is_tried_again_and_what_changes_something_is_not(shop: Shop, make: Any) -> None:
    tools = make(operations=("getOrder", "createOrder"))
    shop.failures = 1
    assert "shipped" in tools["getOrder"].call({"number": 7}, 10.0).text
    assert len(shop.asked) == 2
    shop.failures = 1
    with pytest.raises(CallError, match="503"):
        tools["createOrder"].call({"body": {"what": "tea"}}, 10.0)
    assert len(shop.asked) == 3


def test_size_time_and_kind_of_a_response_are_bounded(make: Any) -> None:
    tools = make(response_bytes=1000)
    assert tools["big"].call({}, 5.0).text == "x" * 1000 + "\n(the answer was cut off at 1000 bytes)"
    assert tools["picture"].call({}, 5.0).text == "5 bytes of image/png, which is no text"
    with pytest.raises(CallError, match="gzip"):  # a bomb is not unpacked
        tools["zip"].call({}, 5.0)
    begun = time.monotonic()
    with pytest.raises(CallError, match="in time"):
        tools["big"].call({}, 0.0)
    assert time.monotonic() - begun < 1


def test_a_server_that_is_not_there_is_an_error_of_the_call(tmp_path: Path) -> None:
    path = write_document(tmp_path, document_of(9))
    api = Api(ApiSpec(document=path, server="http://127.0.0.1:9", allow_private=True, retries=0), hush)
    with pytest.raises(CallError, match="does not answer"):
        api.tools()[0].call({"number": 1}, 2.0)
    api.close()

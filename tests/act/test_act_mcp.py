"""An MCP server's tools, through the official client, from a real server over both ways."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.act.mcp_server import McpServer
from luthier.act.spec import McpSpec
from luthier.act.tool import CallError
from luthier.errors import SpecError
from luthier.event import hush

NOTES = str(Path(__file__).parent / "notes_server.py")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[McpServer]:
    secrets = tmp_path_factory.mktemp("mcp") / "secrets.yaml"
    secrets.write_text("WORD: s3cret-word\n", encoding="utf-8")
    secrets.chmod(0o600)
    server = McpServer(McpSpec(command=(sys.executable, NOTES), secrets=str(secrets)), hush)
    yield server
    server.close()


def test_the_tools_of_a_server_are_tools_here(notes: McpServer) -> None:
    tools = {tool.name: tool for tool in notes.tools()}
    assert list(tools) == ["read_note", "write_note", "dawdle"]
    assert tools["read_note"].about == "Reads a note."
    assert tools["read_note"].parameters["properties"]["number"]["type"] == "integer"
    # what does not say that it only reads may change something
    assert [name for name, tool in tools.items() if tool.is_dangerous] == ["write_note"]
    assert tools["write_note"].call({"text": "this"}, 20.0).text == "wrote this"


def test_a_secret_reaches_the_server_and_no_reader(notes: McpServer) -> None:
    tool = {tool.name: tool for tool in notes.tools()}["read_note"]
    assert tool.call({"number": 3}, 20.0).text == "note 3; the word is (hidden)"


def test_a_tool_that_fails_or_takes_too_long_is_an_error_of_the_call(notes: McpServer) -> None:
    tools = {tool.name: tool for tool in notes.tools()}
    with pytest.raises(CallError, match="there is no note 10"):
        tools["read_note"].call({"number": 10}, 20.0)
    with pytest.raises(CallError, match="did not answer"):
        tools["dawdle"].call({"seconds": 3}, 0.3)
    assert tools["read_note"].call({"number": 1}, 20.0).text.startswith("note 1")


def test_a_server_that_cannot_be_started_or_lacks_a_tool_is_named() -> None:
    with pytest.raises(CallError) as caught:
        McpServer(McpSpec(command=("no-such-program",)), hush)
    assert "no-such-program" in caught.value.where
    server = McpServer(McpSpec(command=(sys.executable, NOTES), tools=("read_notes",)), hush)
    with pytest.raises(SpecError) as wrong:
        server.tools()
    assert (wrong.value.what, "read_note" in wrong.value.mend) == ("the server has no tool 'read_notes'", True)
    server.close()


def test_a_server_over_http_is_reached_only_where_it_may_be() -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port = door.getsockname()[1]
    process = subprocess.Popen([sys.executable, NOTES, str(port)], stderr=subprocess.DEVNULL)
    try:
        _wait(port)
        url = f"http://127.0.0.1:{port}/mcp"
        with pytest.raises(CallError, match="not public"):
            McpServer(McpSpec(url=url), hush)
        server = McpServer(McpSpec(url=url, allow_private=True, tools=("read_note",)), hush)
        [tool] = server.tools()
        assert tool.call({"number": 4}, 20.0).text == "note 4; the word is unset"
        server.close()
    finally:
        process.terminate()
        process.wait(10)


def _wait(port: int) -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with socket.socket() as door:
            if door.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not start")

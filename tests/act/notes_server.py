"""An MCP server by the official library: over its input and output, or over HTTP at a port (`notes_server.py PORT`)."""

import os
import sys
import time

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server = MCPServer("notes")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def read_note(number: int) -> str:
    """Reads a note."""
    if number > 9:
        raise ToolError(f"there is no note {number}")
    return f"note {number}; the word is {os.environ.get('WORD', 'unset')}"


@server.tool()
def write_note(text: str) -> str:
    """Writes a note."""
    return f"wrote {text}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def dawdle(seconds: float) -> str:
    """Takes its time."""
    time.sleep(seconds)
    return "done"


if __name__ == "__main__":
    if sys.argv[1:]:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
    else:
        server.run("stdio")

"""The tools of an MCP server, through the official client, which runs in a thread with a loop of its own."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import urlsplit

from luthier.act.guard import Guard
from luthier.act.secret import Secrets, read_secrets
from luthier.act.spec import McpSpec
from luthier.act.tool import CallError, Output, Tool, name_of
from luthier.errors import SpecError, ToolError
from luthier.event import Tell

Result = TypeVar("Result")
MOST_PAGES = 50
CLOSE_SECONDS = 5.0


class McpServer:
    """One server: started or reached when it is opened, and left when it is closed."""

    def __init__(self, spec: McpSpec, tell: Tell) -> None:
        """Connect. Raises ToolError if the client is not installed, SpecError if the server cannot be reached."""
        try:
            import mcp  # noqa: F401  an extra of its own: it brings a server with it
        except ImportError:
            raise ToolError(
                "the MCP client is not installed", where="key mcp", mend="pip install 'luthier[act]'"
            ) from None
        self.spec = spec
        self.name = spec.url or " ".join(spec.command)
        self.secrets: Secrets = read_secrets(spec.secrets, tell)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name=f"mcp {self.name[:40]}")
        self._thread.start()
        self._leave = asyncio.Event()
        self._ready: asyncio.Future[Any] = self._loop.create_future()
        self._stay = asyncio.run_coroutine_threadsafe(self._live(), self._loop)
        try:
            self._client = self._run(self._wait_ready, spec.timeout_seconds)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the server; one that was started here is ended."""
        self._loop.call_soon_threadsafe(self._leave.set)
        with suppress(Exception):  # it is gone, or does not go: its process is ended by the client
            self._stay.result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if not self._loop.is_running():
            self._loop.close()

    def tools(self) -> list[Tool]:
        """Give the server's tools. Raises SpecError for one that it has not."""
        listed = {found.name: found for found in self._run(self._listed, self.spec.timeout_seconds)}
        for name in self.spec.tools:
            if name not in listed:
                raise SpecError(
                    f"the server has no tool {name!r}", where=self.name, mend=f"it has: {', '.join(listed) or 'none'}"
                )
        return [self._tool(listed[name]) for name in self.spec.tools or listed]

    def _tool(self, found: Any) -> Tool:
        hints = found.annotations
        is_reading = bool(hints and hints.read_only_hint)

        def call(arguments: Mapping[str, Any], seconds: float) -> Output:
            limit = min(seconds, self.spec.timeout_seconds)
            result = self._run(lambda: self._client.call_tool(found.name, dict(arguments)), limit)
            text = self.secrets.hide(_text(result))
            if result.is_error:
                raise CallError(text[:500] or "it failed", where=f"tool {found.name}", mend="change the arguments")
            return Output(text)

        about = " ".join((found.description or found.title or found.name).split())
        parameters = {"type": "object", "properties": {}, **found.input_schema}
        return Tool(name_of(found.name), about, parameters, call, "mcp", is_dangerous=not is_reading)

    async def _live(self) -> None:
        """Keep the connection open in one task, as the client demands, until it is told to leave."""
        try:
            async with AsyncExitStack() as stack:
                client = await stack.enter_async_context(self._connected())
                self._ready.set_result(client)
                await self._leave.wait()
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error if isinstance(error, Exception) else RuntimeError(str(error)))
            raise

    async def _wait_ready(self) -> Any:
        return await asyncio.shield(self._ready)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        from mcp.client import Client
        from mcp.client.stdio import StdioServerParameters, stdio_client

        if self.spec.command:
            program, *arguments = self.spec.command
            settings = StdioServerParameters(command=program, args=arguments, env=dict(self.secrets.values))
            with open(os.devnull, "w", encoding="utf-8") as nowhere:
                async with Client(stdio_client(settings, errlog=nowhere)) as client:
                    yield client
            return
        from mcp.client.streamable_http import streamable_http_client

        from luthier.act.guarded_http import guarded_client

        guard = Guard((urlsplit(self.spec.url).netloc,), self.spec.allow_private)
        guard.check(self.spec.url)
        async with (
            guarded_client(guard, self.secrets.values, self.spec.timeout_seconds) as http,
            Client(streamable_http_client(self.spec.url, http_client=http)) as client,
        ):
            yield client

    async def _listed(self) -> list[Any]:
        found: list[Any] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self._client.list_tools(cursor=cursor)
            found += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        return found

    def _run(self, work: Callable[[], Coroutine[Any, Any, Result]], seconds: float) -> Result:
        waiting = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work(), seconds), self._loop)
        try:
            return waiting.result()
        except TimeoutError:
            what = f"it did not answer in {seconds:.0f} s"
        except CallError:
            raise
        except Exception as error:  # the client and its transports raise kinds of their own, in groups
            what = self.secrets.hide(_reason(error))
        raise CallError(what, where=f"MCP server {self.name}", mend="see that it runs, and what it logs") from None


def _reason(error: BaseException) -> str:
    """Give the first cause of a group of errors."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _text(result: Any) -> str:
    """Give what a result says as text; what is none is named."""
    parts = []
    for part in result.content:
        text = getattr(part, "text", None) or getattr(getattr(part, "resource", None), "text", None)
        parts.append(text if text is not None else f"({getattr(part, 'type', 'content')}, which is no text)")
    return "\n".join(parts)

"""All tools of one agent, opened, under names of their own, and closed together."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack

from luthier.act.api import Api
from luthier.act.calculator import calculator
from luthier.act.data import clean
from luthier.act.knowledge import knowledge
from luthier.act.mcp_server import McpServer
from luthier.act.python_functions import python_tools
from luthier.act.schema import check_schema
from luthier.act.spec import ActSpec
from luthier.act.tool import Tool
from luthier.act.ways import ANSWER
from luthier.engine.ports import ChatModel, Closing
from luthier.errors import SpecError
from luthier.event import Counted, Tell, Warned

MANY = 30
"""Tools: beyond, a model finds the right one ever more seldom."""


class Toolbox:
    """The tools by name."""

    def __init__(self, spec: ActSpec, open_model: Callable[[str], ChatModel], tell: Tell) -> None:
        """Open every tool. Raises SpecError for one that cannot be used; what was opened by then is closed again."""
        self._stack = ExitStack()
        try:
            self.tools: Mapping[str, Tool] = _named(self._opened(spec, open_model, tell))
            for name in spec.allow:
                if name not in self.tools:
                    mend = f"the tools are: {', '.join(self.tools) or 'none'}"
                    raise SpecError(f"there is no tool {name!r}", where="key allow", mend=mend)
        except BaseException:
            self.close()
            raise
        kinds = [tool.origin for tool in self.tools.values()]
        tell(Counted("tools", {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}))
        if len(kinds) > MANY:
            tell(Warned(f"{len(kinds)} tools are offered at once", "choose some: operations=[...], tools=[...]"))

    def close(self) -> None:
        """Close what holds connections or processes."""
        self._stack.close()

    def _opened(self, spec: ActSpec, open_model: Callable[[str], ChatModel], tell: Tell) -> Iterator[Tool]:
        if spec.calculator:
            yield calculator()
        for base in spec.knowledge:
            model = open_model(base.model)
            if isinstance(model, Closing):
                self._stack.callback(model.close)
            yield knowledge(model, base.name, base.about)
        for row in spec.apis:
            api = Api(row, tell)
            self._stack.callback(api.close)
            yield from api.tools()
        for entry in spec.mcp:
            server = McpServer(entry, tell)
            self._stack.callback(server.close)
            yield from server.tools()
        for file in spec.python:
            yield from python_tools(file)


def _named(tools: Iterator[Tool]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in named or tool.name == ANSWER:
            raise SpecError(
                f"two tools are called {tool.name!r}" if tool.name in named else f"a tool is called {ANSWER!r}",
                where=f"{tool.origin}, tool {tool.name}",
                mend="leave one out, or give it another name",
            )
        check_schema(tool, f"{tool.origin}, tool {tool.name}")
        if clean(tool.about) != tool.about:
            raise SpecError(
                "its description holds what a chat template reads as the border of a turn",
                where=f"{tool.origin}, tool {tool.name}",
                mend="do not trust what it comes from, or take the words out",
            )
        named[tool.name] = tool
    return named

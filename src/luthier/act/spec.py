"""What one may ask of an agent: its task, its tools, its bounds."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from luthier.spec import Spec

Seconds = Annotated[float, Field(gt=0, le=3600)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class KnowledgeSpec(Spec):
    """Something that answers questions, as a tool."""

    model: str
    """The id of what answers: a knowledge base, or any other artifact that `luthier chat` talks to."""
    name: Name = "knowledge"
    """What the tool is called."""
    about: str = "Answers a question from the documents."
    """What it knows, for the model: it decides by this sentence when to ask."""


class ApiSpec(Spec):
    """An HTTP API, as tools."""

    document: str
    """Path of its OpenAPI document (JSON or YAML; version 2 or 3)."""
    operations: tuple[str, ...] = ()
    """Which operations, by operationId or as `GET /path`; none: all that only read (GET)."""
    server: str = ""
    """Where the API lies; none: as the document says, if that host is in allow_hosts."""
    allow_hosts: tuple[str, ...] = ()
    """Hosts that may be reached, also by redirects: `name`, `name:port`, `*.name`; the host of `server` is one."""
    allow_private: bool = False
    """Whether hosts may have private addresses (this machine, the local network, a cloud's metadata)."""
    secrets: str | None = None
    """Path of a YAML file of `scheme: secret`, by the names of the document's security schemes; never stored."""
    timeout_seconds: Seconds = 20.0
    """For one call, redirects and retries included."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """How often a GET is tried again after a broken connection or a passing error."""
    response_bytes: Annotated[int, Field(ge=1_000, le=100_000_000)] = 200_000
    """The longest response that is read; more is cut off."""


class McpSpec(Spec):
    """An MCP server, whose tools are tools here."""

    command: tuple[str, ...] = ()
    """Program and arguments of a server that is started here and spoken to over its input and output."""
    url: str = ""
    """Address of a server that is spoken to over HTTP."""
    tools: tuple[str, ...] = ()
    """Which of its tools; none: all."""
    allow_private: bool = False
    """Whether the host of `url` may have a private address."""
    secrets: str | None = None
    """Path of a YAML file: environment variables for `command`, headers for `url`; never stored."""
    timeout_seconds: Seconds = 30.0
    """For one call, and for the start."""

    @model_validator(mode="after")
    def _one_way(self) -> "McpSpec":
        if bool(self.command) == bool(self.url):
            raise ValueError("needs command or url, and not both")
        return self


class PythonSpec(Spec):
    """Python functions with typed signatures, as tools. The file is run: it must be your own."""

    file: str
    """Path of the Python file."""
    functions: tuple[str, ...] = ()
    """Which functions; none: all public ones that the file defines."""
    ask: tuple[str, ...] = ()
    """Which of them ask for leave before each call."""
    timeout_seconds: Seconds = 30.0
    """For one call; a function that takes longer is left behind."""


class BudgetSpec(Spec):
    """How far an agent goes."""

    steps: Annotated[int, Field(ge=1, le=200)] = 8
    """Decisions of the model; the last one is an answer."""
    tokens: Annotated[int, Field(ge=16)] = 20_000
    """Tokens read and said, all steps together."""
    seconds: Seconds = 300.0
    """Wall time, tools included."""
    observation: Annotated[int, Field(ge=100, le=1_000_000)] = 4_000
    """Characters of a tool's output that the model reads."""
    tokens_per_step: Annotated[int, Field(ge=8)] = 512
    """The longest decision or answer."""


class ActSpec(Spec):
    """A task, and the tools to do it with."""

    task: str = ""
    """What is to be done; none: the agent itself is made, to be served, asked and evaluated."""
    attempt: int = 1
    """Another number does the same task once more: the world outside may have changed since."""
    system: str = ""
    """What the model is told before everything else."""
    url: str = ""
    """An OpenAI API that is the model, instead of an artifact."""
    served_model: str = ""
    """The name of the model at `url`; none: its first."""
    calculator: bool = False
    """Whether there is a calculator."""
    knowledge: tuple[KnowledgeSpec, ...] = ()
    """Knowledge bases: each has model, name, about."""
    apis: tuple[ApiSpec, ...] = ()
    """HTTP APIs: each has document, operations, server, allow_hosts, allow_private, secrets, timeout_seconds, retries,
    response_bytes."""
    mcp: tuple[McpSpec, ...] = ()
    """MCP servers: each has command or url, tools, allow_private, secrets, timeout_seconds."""
    python: tuple[PythonSpec, ...] = ()
    """Python files: each has file, functions, ask, timeout_seconds."""
    allow: tuple[str, ...] = ()
    """Tools that may change something without a person being asked; what they are called with after foreign text was
    read must still stand in the user's own words."""
    calls: Literal["auto", "template", "json"] = "auto"
    """How the model calls: by its chat template's own tools, or by JSON that a grammar holds to the tools' schemas;
    auto: the template where it has a place for tools, else JSON."""
    plan: bool = True
    """Whether the model names the tools it needs before it reads any output; no other is called afterwards."""
    budget: BudgetSpec = BudgetSpec()
    """How far it goes."""
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    """0: the likeliest token."""
    seed: int = 0
    """Makes a drawn answer repeatable."""

"""Engines that are servers of their own: started from their tool's environment, watched, asked over HTTP, stopped."""

import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx

from luthier import sidecar
from luthier.engine import leash
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling, check_takes
from luthier.engine.remote import TAKES as REMOTE_TAKES
from luthier.engine.remote import RemoteModel
from luthier.errors import ModelError, ServeError, ToolError
from luthier.event import Said, Tell, Warned, hush

TAKES = REMOTE_TAKES | {"top_logprobs"}
LLAMA_TAKES = ALWAYS_TAKEN | {
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "json_schema",
    "max_seconds",
}
LOOK_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 30.0
PATIENCE_SECONDS = 10.0
"""How long a server may take to end when it is asked to."""


@dataclass(frozen=True)
class Start:
    """What a server is started with."""

    program: Path
    """The tool's program."""
    folder: Path
    name: str
    port: int
    key: str
    """Whoever has it may ask: nobody but us."""
    dtype: str = "auto"
    adapter: Path | None = None


@dataclass(frozen=True)
class Server:
    """One kind of server: a row."""

    tool: str
    command: Callable[[Start], list[str]]
    takes: frozenset[str]
    at_once: int
    tells_ids: bool
    """Whether it understands `return_token_ids`."""
    environment: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 900.0
    """How long it may load."""


def _vllm(start: Start) -> list[str]:
    command = [str(start.program), "serve", str(start.folder), "--host", "127.0.0.1", "--port", str(start.port)]
    command += ["--api-key", start.key, "--dtype", start.dtype]
    if start.adapter is None:
        return [*command, "--served-model-name", start.name]
    config = json.loads((start.adapter / "adapter_config.json").read_text(encoding="utf-8"))
    lora = ["--enable-lora", "--max-lora-rank", str(max(8, int(config.get("r", 8))))]
    return [*command, "--served-model-name", "base", *lora, "--lora-modules", f"{start.name}={start.adapter}"]


def _xllamacpp(start: Start) -> list[str]:
    if start.adapter is not None:
        raise ModelError(
            "llama.cpp takes adapters only as GGUF",
            where=str(start.adapter),
            mend="merge it first, then luthier quantize kind=gguf-q8_0",
        )
    files = sorted(start.folder.glob("*.gguf"))
    if not files:
        raise ModelError(
            "the folder has no .gguf file", where=str(start.folder), mend="luthier quantize kind=gguf-q8_0"
        )
    script = Path(__file__).with_name("xllamacpp_child.py")
    return [str(start.program), str(script), str(files[0]), start.name, str(start.port), start.key]


SERVERS: Mapping[str, Server] = {
    "vllm": Server(
        "vllm", _vllm, TAKES, at_once=64, tells_ids=True, environment={"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    ),
    "xllamacpp": Server("xllamacpp", _xllamacpp, LLAMA_TAKES, at_once=8, tells_ids=False),
}


class ServedModel:
    """A model in a server that we started. It is started again when it dies, after pauses that grow."""

    def __init__(self, server: Server, program: Path, folder: Path, *, name: str, **more: Any) -> None:
        """Start nothing yet; `more` goes into `Start`, `tell` apart."""
        self._server = server
        self._tell: Tell = more.pop("tell", hush)
        self._start = Start(program, folder, name, _free_port(), secrets.token_urlsafe(16), **more)
        self.url = f"http://127.0.0.1:{self._start.port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  kept open as long as this
        self._why = "it was not started"
        self._closed = threading.Event()
        self._watcher: threading.Thread | None = None
        self._remote = RemoteModel(
            self.url, name, api_key=self._start.key, asks_ids=server.tells_ids, at_once=server.at_once
        )

    @property
    def name(self) -> str:
        """What it is called."""
        return self._start.name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Nothing is known: where a request says nothing, the server decides."""
        return {}

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds of a request's wishes."""
        return self._server.takes

    @property
    def at_once(self) -> int:
        """How many streams it takes at the same time."""
        return self._server.at_once

    @property
    def process_number(self) -> int | None:
        """The number of the server's process, while there is one."""
        return self._process.pid if self._process else None

    def ailing(self) -> str:
        """Give why it cannot answer just now, '' while it can."""
        return self._why

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts, several at a time. Raises as RemoteModel does, and ServeError while it is down."""
        self._check(sampling)
        return self._remote.answer(prompts, sampling, tell)

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece; leaving the loop closes the connection, which ends the server's work."""
        self._check(sampling)
        return self._remote.stream(prompt, sampling, cancelled)

    def put_adapter(self, name: str, folder: Path) -> RemoteModel:
        """Put a LoRA adapter on the running server (vLLM). Gives a model that answers by it."""
        self.post("/v1/load_lora_adapter", {"lora_name": name, "lora_path": str(folder)})
        return RemoteModel(self.url, name, api_key=self._start.key, asks_ids=True, at_once=self.at_once)

    def take_adapter(self, name: str) -> None:
        """Take an adapter from the running server; requests that it has go on to their end."""
        self.post("/v1/unload_lora_adapter", {"lora_name": name})

    def open(self) -> None:
        """Start the server and wait until it is ready. Raises ServeError with its last words if it ends before."""
        self._begin()
        if not self._wait_ready():
            error = self._error(self._why)
            self.close()
            raise error
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def close(self) -> None:
        """Stop the server."""
        self._closed.set()
        self._why = "it is closed"
        process, self._process = self._process, None
        if process is not None:
            leash.stop(process, PATIENCE_SECONDS)
        if self._watcher is not None:
            self._watcher.join()
        self._remote.close()
        self._log.close()

    def _begin(self) -> None:
        clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
        environment = clean | dict(self._server.environment)
        command = self._server.command(self._start)
        self._why = "it is being started"
        try:
            self._process = leash.start(
                command,
                signal.SIGTERM,
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        except OSError as error:
            mend = f"remove its folder, then run: luthier setup {self._server.tool}"
            raise ToolError(f"{command[0]} cannot be run: {error}", where=command[0], mend=mend) from None

    def _wait_ready(self) -> bool:
        end = time.monotonic() + self._server.ready_seconds
        while self._process is not None and time.monotonic() < end:
            status = self._process.poll()
            if status is not None:
                self._why = f"its server ended with status {status}: {self._last_words()}"
                return False
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/health", timeout=2.0).is_success:
                    self._why = ""
                    return True
            time.sleep(LOOK_SECONDS)
        self._why = f"its server was not ready within {self._server.ready_seconds:g} s"
        return False

    def _watch(self) -> None:
        deaths = 0
        while not self._closed.wait(LOOK_SECONDS):
            process = self._process
            if process is None or process.poll() is None:
                continue
            deaths += 1
            self._why = f"its server ended with status {process.returncode}: {self._last_words()}"
            self._tell(Warned(f"{self.name}: {self._why}", "see its last words; it is started again by itself"))
            if self._closed.wait(0 if deaths == 1 else min(2.0 ** (deaths - 2), LONGEST_PAUSE_SECONDS)):
                return
            with suppress(ToolError):
                self._begin()
                if self._wait_ready():
                    self._tell(Said(f"{self.name}: its server is back"))

    def _last_words(self) -> str:
        self._log.flush()
        size = os.fstat(self._log.fileno()).st_size
        data = os.pread(self._log.fileno(), 4000, max(0, size - 4000)).decode("utf-8", "replace")
        return next((line.strip()[:300] for line in reversed(data.splitlines()) if line.strip()), "it said nothing")

    def _check(self, sampling: Sampling) -> None:
        check_takes(self, sampling)
        if self._why:
            raise self._error(self._why)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Ask the server in its own words, for what the OpenAI API has none for. Raises ServeError for a refusal."""
        headers = {"Authorization": f"Bearer {self._start.key}"}
        try:
            response = httpx.post(f"{self.url}{path}", json=body, headers=headers, timeout=600.0)
        except httpx.HTTPError as error:
            raise self._error(str(error)) from error
        if not response.is_success:
            raise self._error(f"{path} was answered {response.status_code}: {response.text[:300]}")
        return response.json() if response.headers.get("content-type", "").startswith("application/json") else None

    def _error(self, why: str) -> ServeError:
        again = f"mend what it says (luthier setup {self._server.tool})"
        if self._server.tool == "xllamacpp":
            again = f"make the file anew (luthier quantize), or {again}"
        mend = f"ask again: it is started anew; if it stays so, {again}"
        return ServeError(f"the server of {self.name!r} cannot answer: {why}", where=self.url, mend=mend)


def open_served(
    engine: str,
    project: Path,
    folder: Path,
    *,
    name: str,
    adapter: Path | None = None,
    dtype: str = "auto",
    tell: Tell = hush,
) -> ServedModel:
    """Start a server for a model folder. Raises ToolError if its tool is not there, ServeError if it does not start."""
    server = SERVERS[engine]
    tool = sidecar.row(server.tool)
    place = sidecar.folder(project, server.tool)
    if not (place / "pins.txt").exists():
        raise ToolError(
            f"the tool {server.tool!r} ({tool.purpose}) is not installed",
            where=str(place),
            mend=f"run: luthier setup {server.tool}",
        )
    program = sidecar.program(place, tool.command)
    model = ServedModel(server, program, folder, name=name, adapter=adapter, dtype=dtype, tell=tell)
    model.open()
    return model


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

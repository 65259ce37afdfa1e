"""A sandbox for code that a model wrote: bubblewrap's namespaces, and limits that the code cannot lift.

Namespaces of its own for users, mounts, processes, network, IPC and the host's name; a root that holds nothing but the
interpreter and the system's libraries, read-only; a private /tmp in memory; no capabilities, no new privileges. Memory,
processor time, files, processes and threads are capped. Killing the outer process ends everything inside.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luthier.errors import ToolError

PROGRAM = "bwrap"
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives")
"""What an interpreter needs of the system, as far as it is there."""
SCRATCH_BYTES = 64 << 20
"""What fits into the private /tmp."""
FILE_BYTES = 16 << 20
"""The largest file."""
ROOMS = (2_000_000_000, 2_100_000_000)
"""Users without a name or a right: where root starts the sandbox, each run is another of them, so that limits by user
count its own processes only."""
MEND = "run where Linux allows namespaces (apt install bubblewrap), or write unsafe=true to run models' code unguarded"


@dataclass(frozen=True)
class Caps:
    """What a run may take."""

    seconds: float
    """Of processor time; the caller looks after the wall clock."""
    memory_mb: int
    processes: int


def command(program: Path, caps: Caps, number: int, *, unsafe: bool = False) -> list[str]:
    """Give the command that runs a Python program within the walls (none if `unsafe`) and the caps.

    `number` makes the user that runs it another than those of the runs beside it.
    """
    is_root = os.geteuid() == 0 and not unsafe
    user = ROOMS[0] + number % (ROOMS[1] - ROOMS[0]) if is_root else 0
    caps_text = map(str, (int(caps.seconds + 1), caps.memory_mb << 20, FILE_BYTES, caps.processes, user))
    if unsafe:
        return [sys.executable, "-I", "-S", str(program), *caps_text]
    walls = [PROGRAM, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    walls += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    # root keeps what it needs to become somebody else, and loses the rest; anybody else needs a namespace of users
    walls += (
        ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if is_root else ["--unshare-user"]
    )
    places = dict.fromkeys((*SYSTEM, sys.base_prefix, sysconfig.get_path("stdlib")))
    for parent in dict.fromkeys(str(parent) for place in places for parent in reversed(Path(place).parents[:-1])):
        walls += ["--perms", "0755", "--dir", parent]  # bubblewrap's own would be closed to the sandbox's user
    for place in places:
        walls += ["--ro-bind-try", place, place]
    walls += ["--proc", "/proc", "--dir", "/dev"]
    for device in ("null", "zero", "urandom"):
        walls += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    walls += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"]
    walls += ["--ro-bind", str(program), f"/run/{program.name}", "--remount-ro", "/"]
    interpreter = os.path.realpath(sys.executable)
    return [*walls, "--", interpreter, "-I", "-S", f"/run/{program.name}", *caps_text]


def check_sandbox() -> None:
    """Raise ToolError where this machine cannot shut code in."""
    problem = _problem()
    if problem:
        raise ToolError(f"code cannot be shut in here: {problem}", where="the sandbox of code tasks", mend=MEND)


@cache
def _problem() -> str:
    """Why the sandbox does not work here, '' if it does: tried once."""
    if sys.platform != "linux":
        return f"it needs Linux, this is {sys.platform}"
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed"
    probe = Path(__file__).with_name("sandboxed.py")
    caps = Caps(seconds=10, memory_mb=512, processes=4)
    done = subprocess.run(
        [*command(probe, caps, os.getpid()), "probe"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode == 0 and done.stdout.strip() == "walled":
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"it ended with status {done.returncode}"]
    return said[0]

"""Builds the sandbox where bubblewrap is missing; only the standard library, as its first process.

`unshare` has given it namespaces of its own. It puts together a root that holds nothing but what it is told, makes it
its only one (the old one is let go, not hidden), and runs a command in it with no more rights than that needs.
"""

import ctypes
import json
import os
import platform
import sys

ROOT = "/sys"
"""Where the new root is put together: a folder that every machine has, and no interpreter lives in."""
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, RECURSIVE = 1, 2, 4, 8, 32, 4096, 16384
AT_RECURSIVE, DETACH, CURRENT = 0x8000, 2, -100
MOUNT_SETATTR = 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}
NO_NEW_PRIVILEGES, DROP_BOUND, AMBIENT, CLEAR_ALL = 38, 24, 47, 4
BECOME_SOMEBODY_ELSE = (6, 7)
"""CAP_SETGID and CAP_SETUID: root's run gives its name away with them, and they go with it."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def call(name: str, *values: object) -> None:
    """Call the C library. Raises OSError."""
    if getattr(_LIBC, name)(*values) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount."""
    call("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode() or None)


def bind(source: str, target: str) -> None:
    """Show a file or a folder of the old root, with all that is mounted in it, in the new one."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(os.path.realpath(source), target, "", BIND | RECURSIVE)


def seal(target: str) -> None:
    """Make what is mounted there, and in it, read-only, without devices and without set-user-ID programs."""
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY | NO_SUID | NO_DEV, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, CURRENT, target.encode(), AT_RECURSIVE, attributes, ctypes.c_size_t(32))


def build(places: "dict[str, str]", devices: "list[str]", scratch_bytes: int) -> None:
    """Put the root together, places (in it -> outside) read-only, and make it the only one."""
    os.umask(0o022)
    mount("none", ROOT, "tmpfs", NO_SUID | NO_DEV, "mode=755,size=1m")
    for inside, outside in places.items():
        if os.path.exists(outside):
            bind(outside, ROOT + inside)
            seal(ROOT + inside)
    for device in devices:
        bind(device, ROOT + device)
    for folder in ("/proc", "/tmp"):
        os.makedirs(ROOT + folder, exist_ok=True)
    mount("none", ROOT + "/proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
    mount("none", ROOT + "/tmp", "tmpfs", NO_SUID | NO_DEV, f"mode=1777,size={scratch_bytes}")
    mount("none", ROOT, "", REMOUNT | BIND | READ_ONLY | NO_SUID | NO_DEV)
    os.chdir(ROOT)
    call("syscall", PIVOT_ROOT[platform.machine()], b".", b".")
    call("umount2", b".", DETACH)
    os.chdir("/tmp")
    call("sethostname", b"sandbox", 7)


def give_up_rights(is_root: bool) -> None:
    """Keep what root needs to become somebody else, nothing otherwise; and never gain any again."""
    for right in range(64):
        if not (is_root and right in BECOME_SOMEBODY_ELSE):
            _LIBC.prctl(DROP_BOUND, right, 0, 0, 0)  # the kernel knows fewer of them: those are refused
    call("prctl", AMBIENT, CLEAR_ALL, 0, 0, 0)
    call("prctl", NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def main() -> None:
    """Build, then run the command as a child: who comes first in a namespace cannot be killed from within."""
    setup = json.loads(sys.argv[1])
    build(setup["places"], setup["devices"], setup["scratch_bytes"])
    child = os.fork()
    if child == 0:
        os.setsid()
        give_up_rights(setup["is_root"])
        os.execve(sys.argv[2], sys.argv[2:], {})
    while True:
        ended, status = os.wait()  # orphans are ours too
        if ended == child:
            os._exit(os.waitstatus_to_exitcode(status) % 256)


if __name__ == "__main__":
    main()

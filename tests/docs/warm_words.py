"""`luthier` and `python` with torch, transformers and peft loaded beforehand: a server that forks for each command.

Every command of the documentation is a process of its own with its own arguments, streams and exit status, run by a
real shell; only the seconds in which the libraries are imported are shared.

    python warm_words.py SOCKET                        the server; prints `ready`
    .../bin/luthier, .../bin/python (see `write_words`)   what the shell calls
"""

import contextlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback
from pathlib import Path

CALL = """\
#!{python} -SE
import json, os, signal, socket, sys
door = socket.socket(socket.AF_UNIX)
door.connect({path!r})
call = {{"word": {word!r}, "arguments": sys.argv[1:], "folder": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(door, [json.dumps(call).encode() + b"\\0"], [0, 1, 2])
child = int.from_bytes(door.recv(4), "big")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: os.kill(child, number))
said = door.recv(1)
sys.exit(said[0] if said else 1)
"""


def write_words(folder: Path, path: Path) -> None:
    """Write the commands that a shell finds."""
    folder.mkdir()
    for word in ("luthier", "python"):
        file = folder / word
        file.write_text(CALL.format(python=sys.executable, path=str(path), word=word), encoding="utf-8")
        file.chmod(0o755)


def serve(path: str) -> None:
    """Load what is heavy, then fork for each call."""
    import matplotlib.figure  # noqa: F401
    import openai  # noqa: F401
    import peft  # noqa: F401
    import torch  # noqa: F401
    import uvicorn  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: F401

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the system
    print("ready", flush=True)
    while True:
        door, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(door)
        door.close()


def _answer(door: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said, handles, _, _ = socket.recv_fds(door, 1 << 16, 3)
    while not said.endswith(b"\0"):
        said += door.recv(1 << 16)
    call = json.loads(said[:-1])
    for number, handle in enumerate(handles):
        os.dup2(handle, number)
        os.close(handle)
    sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False, buffering=1)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", closefd=False, buffering=1)
    os.environ.clear()
    os.environ.update(call["environment"])
    os.chdir(call["folder"])
    door.sendall(os.getpid().to_bytes(4, "big"))
    status = _run(call["word"], call["arguments"])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    door.sendall(bytes([status]))
    os._exit(status)


def _run(word: str, arguments: list[str]) -> int:
    try:
        if word == "luthier":
            from luthier.cli.main import main

            main(arguments)
        else:
            sys.argv = arguments
            sys.path.insert(0, str(Path(arguments[0]).parent.absolute()))
            runpy.run_path(arguments[0], run_name="__main__")
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(bool(error.code))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])

"""What runs inside the sandbox; nothing of Luthier is there, only the standard library.

Two processes prove an answer, each in a sandbox of its own, and talk through pipes. The one ("serve") runs what the
model wrote and calls its function when asked. The other ("check") runs the tests, for which the function is a stub that
asks the first. So nothing the model's code prints, writes or changes can reach the verdict: only values come back, and
those are compared by the tests. Values travel as JSON with the types that JSON lacks.
"""

import builtins
import itertools
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import IO, Any

MANY = 100_000
"""Items of an endless iterator that are fetched before it counts as wrong."""


def shut_in(seconds: int, memory: int, file_bytes: int, processes: int, user: int) -> None:
    """Cap what this process may take, and become nobody."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)  # away from 0: the kernel takes the last capabilities
    resource.setrlimit(resource.RLIMIT_NPROC, (processes, processes))


ERRORS = {name: kind for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}
"""What the answer's function may raise in the tests."""
PACKERS: "tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...]" = (
    ((bool, type(None)), lambda value: value),
    ((int,), lambda value: {"int": hex(value)}),
    ((float,), lambda value: {"float": value.hex()}),
    ((complex,), lambda value: {"complex": [value.real.hex(), value.imag.hex()]}),
    ((str,), lambda value: "".join(value)),  # of a subclass, the plain text
    ((bytes, bytearray), lambda value: {"bytes": bytes(value).hex()}),
    ((dict,), lambda value: {"dict": [[pack(key), pack(inner)] for key, inner in value.items()]}),
    ((list,), lambda value: [pack(inner) for inner in value]),
    ((tuple,), lambda value: {"tuple": [pack(inner) for inner in value]}),
    ((set,), lambda value: {"set": [pack(inner) for inner in value]}),
    ((frozenset,), lambda value: {"frozenset": [pack(inner) for inner in value]}),
)


def pack(value: Any) -> Any:
    """Turn a value into JSON data; raises TypeError for what cannot be compared from outside."""
    for kinds, form in PACKERS:
        if isinstance(value, kinds):
            return form(value)
    if not hasattr(value, "__iter__"):
        raise TypeError(f"a {type(value).__name__} cannot be compared")
    found = [pack(inner) for inner in itertools.islice(value, MANY + 1)]
    if len(found) > MANY:
        raise TypeError("an iterator without end")
    return {"iterator": found}


UNPACKERS: "dict[str, Callable[[Any], Any]]" = {
    "int": lambda inner: int(inner, 16),
    "float": float.fromhex,
    "complex": lambda inner: complex(float.fromhex(inner[0]), float.fromhex(inner[1])),
    "bytes": bytes.fromhex,
    "dict": lambda inner: {unpack(key): unpack(value) for key, value in inner},
    "tuple": lambda inner: tuple(map(unpack, inner)),
    "set": lambda inner: set(map(unpack, inner)),
    "frozenset": lambda inner: frozenset(map(unpack, inner)),
    "iterator": lambda inner: iter(list(map(unpack, inner))),
}


def unpack(data: Any) -> Any:
    """Turn it back."""
    if isinstance(data, list):
        return [unpack(inner) for inner in data]
    if not isinstance(data, dict):
        return data
    [(kind, inner)] = data.items()
    return UNPACKERS[kind](inner)


def serve(asked: IO[str], answers: IO[str]) -> None:
    """Run the model's code, then call its function as often as asked; whatever is printed goes nowhere."""
    setup = json.loads(asked.readline())
    space: dict[str, Any] = {"__name__": "answer"}
    try:
        exec(compile(setup["code"], "<answer>", "exec"), space)
        function = space[setup["entry"]]
        said: dict[str, Any] = {"ready": True}
    except BaseException as error:
        said = {"error": [type(error).__name__, str(error)[:500]]}
    answers.write(json.dumps(said) + "\n")
    answers.flush()
    for line in asked:
        given = json.loads(line)
        try:
            arguments = [unpack(one) for one in given["arguments"]]
            words = {name: unpack(one) for name, one in given["words"].items()}
            said = {"value": pack(function(*arguments, **words))}
            text = json.dumps(said)
        except BaseException as error:
            text = json.dumps({"error": [type(error).__name__, str(error)[:500]]})
        answers.write(text + "\n")
        answers.flush()


def check(asked: IO[str], answers: IO[str]) -> None:
    """Run the tests on a stub of the function. Ends with status 0 if they pass, else says why on stderr."""
    setup = json.loads(sys.stdin.readline())
    asked.write(json.dumps({"code": setup["code"], "entry": setup["entry"]}) + "\n")
    asked.flush()

    def hear() -> Any:
        line = answers.readline()
        if not line:
            raise RuntimeError("the answer's process has ended")
        return json.loads(line)

    def stub(*arguments: Any, **words: Any) -> Any:
        packed = {"arguments": [pack(one) for one in arguments], "words": {k: pack(v) for k, v in words.items()}}
        asked.write(json.dumps(packed) + "\n")
        asked.flush()
        said = hear()
        if "error" in said:
            name, text = said["error"]
            raise ERRORS.get(name, RuntimeError)(text)
        return unpack(said["value"])

    space: dict[str, Any] = {"__name__": "tests"}
    try:
        ready = hear()
        if "error" in ready:
            raise RuntimeError(f"the answer cannot be run: {': '.join(ready['error'])}")
        define(setup["begin"], space)
        space[setup["entry"]] = stub
        exec(compile(setup["test"], "<test>", "exec"), space)
        space["check"](stub)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {str(error)[:500]}")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def define(begin: str, space: dict[str, Any]) -> None:
    """Define what stands before the answer: the tests may use it. Its last function may lack a body."""
    for text in (begin, begin + "\n    pass\n"):
        try:
            exec(compile(text, "<begin>", "exec"), space)
        except SyntaxError:
            continue
        return


def main() -> None:
    """Shut in, then do what the last word says."""
    seconds, memory, file_bytes, processes, user, word, *pipes = sys.argv[1:]
    shut_in(int(seconds), int(memory), int(file_bytes), int(processes), int(user))
    if word == "probe":
        sys.stdout.write("walled")
    elif word == "check":
        hears, says = map(int, pipes)
        check(os.fdopen(says, "w", encoding="utf-8"), os.fdopen(hears, "r", encoding="utf-8"))
    else:
        inward, outward = os.dup(0), os.dup(1)
        nowhere = os.open("/dev/null", os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(nowhere, standard)
        serve(os.fdopen(inward, "r", encoding="utf-8"), os.fdopen(outward, "w", encoding="utf-8"))


if __name__ == "__main__":
    main()

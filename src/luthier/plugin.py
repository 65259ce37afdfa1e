"""Rows added by other packages, found through entry points.

A package adds to a table by an entry point in the group `luthier.TABLE`; each entry point is one row: its name and
the object it loads. A row of ours is never replaced silently: a clash is an error.
"""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from luthier.errors import ToolError


def rows(table: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """Give our own rows of a table with those of installed plugins added, each plugin's loaded."""
    found = dict(own)
    for point in entry_points(group=f"luthier.{table}"):
        if point.name in found:
            raise ToolError(
                f"the plugin {_package(point)} adds {point.name!r}, which is there already",
                where=f"entry point group luthier.{table}",
                mend=f"uninstall {_package(point)}, or rename its entry point",
            )
        found[point.name] = _load(point, table)
    return found


def _load(point: EntryPoint, table: str) -> Any:
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise ToolError(
            f"the plugin {_package(point)} cannot load {point.value!r}: {error}",
            where=f"entry point group luthier.{table}, name {point.name}",
            mend=f"reinstall or uninstall {_package(point)}",
        ) from error


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value

"""Filters by metadata: which chunks may be found."""

from collections.abc import Mapping
from typing import Any

from luthier.errors import SpecError
from luthier.retrieve.catalogue import Catalogue

OWN = {"document": "document.label", "page": "chunk.page", "title": "document.title", "source": "document.source"}
"""Names that are no metadata of the user's, and where they stand."""
SIGNS = {"from": ">=", "to": "<=", "above": ">", "below": "<", "not": "<>"}


def allowed(catalogue: Catalogue, where: Mapping[str, Any]) -> list[int] | None:
    """Give the ids of the chunks for which all conditions hold, or None where there are none.

    A condition is a value, a list of which one must be met, or a mapping of `from`, `to`, `above`, `below`, `not`.
    """
    if not where:
        return None
    clauses, values = [], list[Any]()
    for name, wanted in where.items():
        place = OWN.get(name)
        if place is None:
            place = "json_extract(chunk.metadata, ?)"
        clause, more = _clause(name, place, wanted)
        clauses.append(clause)
        values.extend(more)
    rows = catalogue.connection.execute(
        "SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document "
        f"WHERE chunk.kind = 'chunk' AND document.state = 'here' AND {' AND '.join(clauses)}",
        values,
    )
    return [number for (number,) in rows]


def _clause(name: str, place: str, wanted: Any) -> tuple[str, list[Any]]:
    path = [] if name in OWN else [f'$."{name}"']
    if isinstance(wanted, list | tuple):
        return f"{place} IN ({','.join('?' * len(wanted))})", [*path, *wanted]
    if not isinstance(wanted, Mapping):
        return f"{place} = ?", [*path, wanted]
    unknown = [sign for sign in wanted if sign not in SIGNS]
    if unknown or not wanted:
        raise SpecError(
            f"a filter knows no {unknown[0] if unknown else 'empty condition'!r}",
            where=f"key where.{name}",
            mend=f"write one of {', '.join(SIGNS)}, a value, or a list of values",
        )
    parts = [f"{place} {SIGNS[sign]} ?" for sign in wanted]
    return " AND ".join(parts), [value for sign in wanted for value in (*path, wanted[sign])]

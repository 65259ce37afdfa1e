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
    Numbers are numbers however they were written: a table's columns are texts.
    """
    if not where:
        return None
    catalogue.connection.create_function("as_number", 1, _as_number, deterministic=True)
    clauses, values = [], list[Any]()
    for name, wanted in where.items():
        clause, more = _clause(name, wanted)
        clauses.append(clause)
        values.extend(more)
    rows = catalogue.connection.execute(
        "SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document "
        f"WHERE chunk.kind = 'chunk' AND document.state = 'here' AND {' AND '.join(clauses)}",
        values,
    )
    return [number for (number,) in rows]


def _clause(name: str, wanted: Any) -> tuple[str, list[Any]]:
    if not isinstance(wanted, Mapping):
        options = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
        parts = [_compared(name, "=", one) for one in options] or [("0", [])]
        return f"({' OR '.join(clause for clause, _ in parts)})", [value for _, more in parts for value in more]
    unknown = [sign for sign in wanted if sign not in SIGNS]
    if unknown or not wanted:
        raise SpecError(
            f"a filter knows no {unknown[0] if unknown else 'empty condition'!r}",
            where=f"key where.{name}",
            mend=f"write one of {', '.join(SIGNS)}, a value, or a list of values",
        )
    parts = [_compared(name, SIGNS[sign], value) for sign, value in wanted.items()]
    return " AND ".join(clause for clause, _ in parts), [value for _, more in parts for value in more]


def _compared(name: str, sign: str, wanted: Any) -> tuple[str, list[Any]]:
    """Give a comparison, of numbers as numbers, of truths as truths, of all else as texts."""
    place = OWN.get(name, "json_extract(chunk.metadata, ?)")
    path = [] if name in OWN else [f'$."{name}"']
    if isinstance(wanted, bool):
        place, wanted = f"lower({place})", ("true", "1") if wanted else ("false", "0")
        return f"{place} {'NOT IN' if sign == '<>' else 'IN'} (?, ?)", [*path, *wanted]
    if isinstance(wanted, int | float):
        return f"{place if name in OWN else f'as_number({place})'} {sign} ?", [*path, wanted]
    return f"CAST({place} AS TEXT) {sign} ?", [*path, wanted if wanted is None else str(wanted)]


def _as_number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None

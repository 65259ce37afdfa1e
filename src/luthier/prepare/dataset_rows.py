"""Rows of data sets that `datasets` opens."""

from collections.abc import Iterator
from typing import Any

from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.prepare.batch import Batch
from luthier.prepare.dataset import DatasetName, library, load, not_loaded
from luthier.prepare.source import Source
from luthier.prepare.tables import record_batches


def dataset_batches(source: Source, size: int, tell: Tell) -> Iterator[Batch]:
    """Read a data set in batches of records. Raises DataError for a split or a configuration that it does not have."""
    name = source.dataset
    if name is None:
        raise ValueError(f"{source.label} is no data set")
    rows = _one_split(load(name, source.label), name, source.label, tell)
    names = _class_names(rows)
    first = 1
    try:
        for table in rows.with_format("arrow").iter(batch_size=size):
            yield from record_batches(source.label, iter(table.combine_chunks().to_batches()), names, first)
            first += table.num_rows
    except library().exceptions.DatasetsError as error:
        raise not_loaded(error, source.label) from None
    except (OSError, ValueError) as error:
        raise not_loaded(error, source.label) from None


def _one_split(found: Any, name: DatasetName, label: str, tell: Tell) -> Any:
    if not isinstance(found, dict):
        if name.split is not None:
            raise DataError("it was saved without splits", where=label, mend="leave split out")
        return found
    if name.split is not None and name.split not in found:
        mend = f"name one of the splits there are: {', '.join(found)}"
        raise DataError(f"there is no split {name.split!r}", where=label, mend=mend)
    if name.split is None:
        chosen = "train" if "train" in found else next(iter(found))
        if len(found) > 1:
            others = ", ".join(split for split in found if split != chosen)
            tell(Chose("split", chosen, why=f"none is named; {label} has {others} too (add ?split=NAME)"))
        return found[chosen]
    return found[name.split]


def _class_names(rows: Any) -> dict[str, tuple[str, ...]]:
    features = rows.features or {}
    found = {}
    for column, feature in features.items():
        inner = getattr(feature, "feature", feature)
        if type(inner).__name__ == "ClassLabel" and inner.names:
            found[column] = tuple(map(str, inner.names))
    return found

"""Labels of examples to what a head learns: a class's number, a 0 or 1 for each class, or one number."""

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.artifact.example import Label, read_examples
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import read_tokens
from luthier.errors import DataError
from luthier.learn.classify import Labelled, Problem


@dataclass(frozen=True)
class Classes:
    """What the labels of a set are."""

    problem: Problem
    names: tuple[str, ...]
    """The classes, in the order of the head's numbers; of a number, none."""

    @property
    def outputs(self) -> int:
        """How many numbers the head gives."""
        return max(1, len(self.names))

    def encode(self, label: Label, source: str) -> int | float | tuple[float, ...]:
        """Give what the head learns. Raises DataError for a class that no training row has."""
        if isinstance(label, float | int):
            return float(label)
        wanted = label if isinstance(label, tuple) else (label,)
        unknown = [name for name in wanted if name not in self.names]
        if unknown:
            raise DataError(
                f"the class {unknown[0]!r} is not in the training split",
                where=source,
                mend="prepare with split.stratify=true, or leave out classes with a few rows",
            )
        if isinstance(label, tuple):
            return tuple(float(name in label) for name in self.names)
        return self.names.index(label)


def find_classes(data: Artifact) -> Classes:
    """Learn from the training split what is asked. Raises DataError if its labels are of several sorts."""
    labels = [example.label for example in read_examples(data.folder, "train")]
    sorts = {type(label) for label in labels if label is not None}
    if len(sorts) > 1:
        raise DataError(
            f"labels are of several sorts: {', '.join(sorted(sort.__name__ for sort in sorts))}",
            where=f"{data.folder}/train.jsonl",
            mend="write all labels as text, all as lists of texts, or all as numbers",
        )
    if sorts <= {int, float}:
        return Classes("regression", ())
    names = {name for label in labels for name in (label if isinstance(label, tuple) else (str(label),))}
    if len(names) < 2:
        raise DataError(
            f"there is one class only: {', '.join(names)!r}",
            where=f"{data.folder}/train.jsonl",
            mend="give rows of at least two classes",
        )
    problem: Problem = "multi_label_classification" if tuple in sorts else "single_label_classification"
    return Classes(problem, tuple(sorted(names)))


def labelled(data: Artifact, split: str, classes: Classes) -> list[Labelled]:
    """Read a split's texts with their labels."""
    pairs = zip(read_examples(data.folder, split), read_tokens(data.folder, split), strict=True)
    return [
        Labelled(tokens, classes.encode(example.label, example.source))
        for example, tokens in pairs
        if example.label is not None
    ]


def spread(classes: Classes, rows: Sequence[Labelled]) -> dict[str, int]:
    """Count the rows of each class."""
    if classes.problem == "regression":
        return {"rows": len(rows)}
    if classes.problem == "single_label_classification":
        return {name: sum(row.label == place for row in rows) for place, name in enumerate(classes.names)}
    return {
        name: sum(isinstance(row.label, tuple) and row.label[place] > 0 for row in rows)
        for place, name in enumerate(classes.names)
    }

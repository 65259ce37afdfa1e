"""Labels of a set: what sort they are, how they are encoded, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from luthier.artifact.example import Example, Label, write_examples
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError
from luthier.learn.classify import Labelled
from luthier.tune.classes import Classes, find_classes, spread


def _data(folder: Path, labels: list[Label]) -> Artifact:
    rows = (
        Example(str(n), (), f"rows.jsonl:{n + 1}", texts=(f"text {n}",), label=label) for n, label in enumerate(labels)
    )
    write_examples(folder, "train", rows)
    return Artifact("examples-1", folder, Order("examples", "prepare", 1, {}))


def test_text_labels_are_classes_in_their_order(tmp_path: Path) -> None:
    found = find_classes(_data(tmp_path, ["sad", "glad", "sad"]))
    assert found == Classes("single_label_classification", ("glad", "sad"))
    assert found.outputs == 2
    assert found.encode("sad", "rows.jsonl:1") == 1


def test_lists_are_several_classes_and_numbers_are_numbers(tmp_path: Path) -> None:
    found = find_classes(_data(tmp_path, [("a", "b"), ("c",)]))
    assert found.problem == "multi_label_classification"
    assert found.encode(("a", "c"), "rows.jsonl:1") == (1.0, 0.0, 1.0)
    numbers = find_classes(_data(tmp_path, [1.5, -2.0]))
    assert (numbers.problem, numbers.outputs) == ("regression", 1)
    assert numbers.encode(1.5, "rows.jsonl:1") == 1.5


def test_a_class_that_is_not_trained_on_names_its_row() -> None:
    with pytest.raises(DataError, match="the class 'odd' is not in the training split") as caught:
        Classes("single_label_classification", ("a", "b")).encode("odd", "rows.jsonl:7")
    assert caught.value.where == "rows.jsonl:7"
    assert "split.stratify=true" in caught.value.mend


@pytest.mark.parametrize(
    ("labels", "what", "mend"),
    [(["a", 1.0], "several sorts: float, str", "all as numbers"), (["a", "a"], "one class only: 'a'", "two classes")],
)
def test_labels_that_cannot_be_learned_are_refused(labels: list[Label], what: str, mend: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=what) as caught:
        find_classes(_data(tmp_path, labels))
    assert caught.value.where == f"{tmp_path}/train.jsonl"
    assert mend in caught.value.mend


def test_rows_are_counted_by_class() -> None:
    none = Tokens(np.zeros(1, np.int32), np.zeros(1, np.bool_))
    one = Classes("single_label_classification", ("a", "b"))
    assert spread(one, [Labelled(none, 0), Labelled(none, 0), Labelled(none, 1)]) == {"a": 2, "b": 1}
    several = Classes("multi_label_classification", ("a", "b"))
    assert spread(several, [Labelled(none, (1.0, 1.0)), Labelled(none, (0.0, 1.0))]) == {"a": 1, "b": 2}

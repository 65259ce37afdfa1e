from pathlib import Path

import pytest

from luthier.errors import SpecError
from luthier.evaluate.spec import EvaluateSpec
from luthier.measure.shipped import find_task, shipped_tasks
from luthier.measure.task import read_task


def test_the_shipped_tasks_are_there() -> None:
    assert {"answer", "chat", "perplexity", "humaneval", "gsm8k", "mmlu", "bfcl", "classify"} <= set(shipped_tasks())
    assert EvaluateSpec().task in shipped_tasks()


@pytest.mark.parametrize("name", shipped_tasks())
def test_every_shipped_task_can_be_read(name: str) -> None:
    assert read_task(find_task(name)).metrics


@pytest.mark.parametrize("name", ["mine.yaml", "folder/mine.yml", "./answer"])
def test_what_looks_like_a_path_is_one(name: str) -> None:
    assert find_task(name) == Path(name)


def test_a_name_nobody_knows_lists_the_shipped_ones() -> None:
    with pytest.raises(SpecError) as caught:
        find_task("zzz")
    assert caught.value.where == "key evaluate.task"
    assert "answer, bfcl, bfcl_irrelevance, chat" in caught.value.mend

import hashlib
from pathlib import Path

import pytest

from luthier.errors import SpecError
from luthier.measure.task import fingerprint, nearest, read_task


def written(folder: Path, text: str) -> Path:
    path = folder / "task.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_task_file_becomes_a_task_with_greedy_answers(tmp_path: Path) -> None:
    task = read_task(written(tmp_path, "title: 问答\nmetrics: [rouge_l, perplexity]\nlimits: {heldout: 5}\n"))
    assert task.title == "问答"
    assert task.metrics == ("rouge_l", "perplexity")
    assert task.limits == {"heldout": 5}
    assert task.temperature == 0


@pytest.mark.parametrize(
    ("text", "what", "line", "mend"),
    [
        ("title: t\nmetrics: [rouge_l,\n  rougel]\n", "there is no metric 'rougel'", 3, "did you mean 'rouge_l'?"),
        (
            "title: t\nmetrics: [zzzzz]\n",
            "there is no metric 'zzzzz'",
            2,
            "known here: abstention, accuracy",
        ),
        ("title: t\nmetrics: []\n", "the task names no metrics", 2, "with some of: exact_match"),
        ("title: t\nmetrics: [bleu, bleu]\n", "the metric 'bleu' stands twice", 2, "remove one of them"),
        ("title: t\nmetric: [bleu]\n", "unknown key 'metric'", 2, "did you mean 'metrics'?"),
        (
            "title: t\nmetrics: [pass_at_10]\ncode: {}\nprompt: p\n",
            "samples: 10 at least, the task takes 1",
            2,
            "leave",
        ),
        (
            "title: t\nmetrics: [pass_at_1]\nprompt: p\n",
            "it proves code, and the task has no `code`",
            2,
            "leave it out",
        ),
        ("title: t\nmetrics: [bleu]\nkind: perplexity\nprompt: p\n", "no answer is asked for", 2, "leave it out"),
        ("title: t\nmetrics: [bleu]\nprompt: p\n", "'reference' is not set", None, "write reference"),
        ("title: t\nmetrics: [bleu]\nfilters: [lable]\n", "there is no filter 'lable'", 3, "did you mean 'label'?"),
        ("title: t\nmetrics: [bleu]\nfilters: [regex]\n", "the filter 'regex' needs an argument", 3, "keeps the first"),
        ("title: t\n", "'metrics' is not set", None, "write metrics: ..."),
        ("title: t\nmetrics: [bleu]\nmax_tokens: 0\n", "max_tokens is 0", 3, "greater than or equal to 1"),
        ("title: t\nmetrics: [bleu]\nlimits: {heldout: 0}\n", "limits.heldout is 0", 3, "greater than or equal to 1"),
    ],
)
def test_a_task_that_cannot_be_used_says_where_and_how_to_mend_it(
    tmp_path: Path, text: str, what: str, line: int | None, mend: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SpecError) as caught:
        read_task(path)
    assert what in caught.value.what
    assert caught.value.where.startswith(f"{path}:{line}" if line else str(path))
    assert mend in caught.value.mend


def test_a_missing_task_file_names_the_nearest(tmp_path: Path) -> None:
    written(tmp_path, "title: t\n")
    with pytest.raises(SpecError) as caught:
        read_task(tmp_path / "tasks.yaml")
    assert caught.value.where == str(tmp_path / "tasks.yaml")
    assert caught.value.mend == f"did you mean {tmp_path / 'task.yaml'}?"


def test_the_fingerprint_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, "title: t\n")
    assert fingerprint(path) == "sha256:" + hashlib.sha256(b"title: t\n").hexdigest()


def test_the_nearest_name_is_offered_or_all_are_listed() -> None:
    assert nearest("rouge_x", ["rouge_l", "bleu"]) == "did you mean 'rouge_l'?"
    assert nearest("qqq", ["rouge_l", "bleu"]) == "known here: bleu, rouge_l"

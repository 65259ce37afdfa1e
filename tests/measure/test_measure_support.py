import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.measure.support import CARRIED, content, numbers, support

LAW = (
    "夫妻双方自愿离婚的，应当签订书面离婚协议，并亲自到婚姻登记机关申请离婚登记。"
    "自婚姻登记机关收到离婚登记申请之日起三十日内，任何一方不愿意离婚的，可以撤回申请。"
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("《民法典》第一千零七十六条", {"1076"}),
        ("1,200 元，即一千二百元", {"1200"}),
        ("二〇二一年三月", {"2021", "3"}),
        ("三万五千元和十二个", {"35000", "12"}),
        ("两年", {"2"}),
        ("2.50 and ２.5 and 007", {"2.5", "7"}),
        ("一些三角形", set()),  # no number is meant
    ],
)
def test_numbers_have_one_spelling(text: str, wanted: set[str]) -> None:
    assert numbers(text) == wanted


def test_content_leaves_the_small_words_out_and_knows_inflections() -> None:
    assert content("What does the function copy?") == content("functions copied")
    assert content("请问什么是离婚协议？") == {"离婚", "婚协", "协议"}


def test_a_sentence_of_the_source_is_carried_to_its_span() -> None:
    found = support("任何一方不愿意离婚的，可以撤回申请。", LAW)
    assert found.share == 1.0
    assert LAW[slice(*found.span)].endswith("可以撤回申请。")
    assert LAW[slice(*found.span)].startswith("自婚姻登记机关收到")


@pytest.mark.parametrize(
    ("sentence", "lacking"),
    [
        ("自收到离婚登记申请之日起六十日内可以撤回申请。", ("60", "not")),  # thirty days it says; it denies
        ("自愿离婚的，不应当签订书面离婚协议。", ("not",)),
        ("The court met 3 times.", ("3",)),
    ],
)
def test_another_number_or_a_denial_is_not_carried(sentence: str, lacking: tuple[str, ...]) -> None:
    found = support(sentence, LAW)
    assert found.share < CARRIED
    assert found.lacking == lacking


def test_none_in_a_signature_is_no_denial() -> None:
    source = "`tempfile.mkdtemp(suffix=None, dir=None)`: Create and return a unique temporary directory."
    assert support("`tempfile.mkdtemp()` creates a temporary directory.", source).share == 1.0


def test_the_number_of_a_list_is_no_claim() -> None:
    assert support("1. 应当签订书面离婚协议。", LAW).share == 1.0


@pytest.mark.parametrize(("sentence", "source"), [("", LAW), ("的了吗", LAW), ("离婚协议", ""), ("离婚协议", " \n ")])
def test_nothing_carries_nothing(sentence: str, source: str) -> None:
    assert support(sentence, source).share == 0.0


def test_people_and_the_check_agree_on_scifact(data_folder: Callable[[str], Path]) -> None:
    """Labels of people: claims whose abstract supports them against claims that their cited abstract leaves open."""
    folder = data_folder("scifact")
    texts = {}
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            texts[row["_id"]] = row["text"]
    claims = [json.loads(line) for line in (folder / "claims.jsonl").read_text(encoding="utf-8").splitlines()][:400]
    said = [support(row["claim"], texts[row["evidence_doc_id"]]) for row in claims if row["label"] == "SUPPORT"]
    open_ = [support(row["claim"], texts[row["cited_doc_ids"][0]]) for row in claims if not row["label"]]
    assert len(said) > 100
    assert len(open_) > 50
    shares = [sum(found.share >= CARRIED for found in each) / len(each) for each in (said, open_)]
    assert shares[0] > 0.6
    assert shares[1] < 0.2

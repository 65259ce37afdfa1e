"""Citations: what carries a sentence is cited, to its span; what a generator invents never reaches the reader."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from made_index import ask

from luthier.answer.check import Hearer

LAW = {
    "marriage.pdf": "夫妻双方自愿离婚的，应当签订书面离婚协议，并亲自到婚姻登记机关申请离婚登记。\n\n"
    "自婚姻登记机关收到离婚登记申请之日起三十日内，任何一方不愿意离婚的，可以撤回申请。",
    "lease.pdf": "租赁期限不得超过二十年。超过二十年的，超过部分无效。",
}
QUESTION = "自愿离婚需要签订什么协议？"


def quotes(details: Mapping[str, Any]) -> list[str]:
    return [quote["text"] for source in details["sources"] for quote in source["quotes"]]


def test_a_sentence_is_cited_to_document_page_and_span() -> None:
    answer, _ = ask(QUESTION, LAW, lambda heard: "自愿离婚的，应当签订书面离婚协议 [1]。")
    assert answer.text == "自愿离婚的，应当签订书面离婚协议。[1]"
    [source] = answer.details["sources"]
    assert (source["number"], source["document"], source["page"]) == (1, "marriage.pdf", 1)
    [quote] = source["quotes"]
    assert LAW["marriage.pdf"][slice(*quote["span"])] == quote["text"]
    assert "书面离婚协议" in quote["text"]


def test_spans_of_a_later_page_point_into_the_document() -> None:
    answer, _ = ask(
        "多少日内可以撤回离婚登记申请？", LAW, lambda heard: "三十日内，任何一方不愿意离婚的，可以撤回申请。[9]"
    )
    [source] = answer.details["sources"]
    assert (source["document"], source["page"]) == ("marriage.pdf", 2)
    assert LAW["marriage.pdf"][slice(*source["quotes"][0]["span"])] == source["quotes"][0]["text"]


@pytest.mark.parametrize("marker", ["[7]", "[1, 99]", "【12】", "［3］", "[2-44]", "[^5]"])
def test_an_invented_number_never_reaches_the_reader(marker: str) -> None:
    answer, _ = ask(QUESTION, LAW, lambda heard: f"自愿离婚的，应当签订书面离婚协议{marker}。")
    assert re.findall(r"\[(\d+)\]", answer.text) == ["1"]
    assert [source["document"] for source in answer.details["sources"]] == ["marriage.pdf"]


def test_a_wrong_number_is_put_right() -> None:
    def say(heard: str) -> str:
        number = next(n for n, block in re.findall(r"\[(\d)\] \(([^)]*)\)", heard) if block.startswith("lease"))
        return f"自愿离婚的，应当签订书面离婚协议 [{number}]。"

    answer, _ = ask("自愿离婚协议 租赁期限", LAW, say)
    assert [source["document"] for source in answer.details["sources"]] == ["marriage.pdf"]


def test_what_no_source_carries_is_marked_or_left_out() -> None:
    said = "自愿离婚的，应当签订书面离婚协议。离婚还须缴纳五百元押金 [1]。"
    marked, _ = ask(QUESTION, LAW, lambda heard: said)
    assert marked.text == "自愿离婚的，应当签订书面离婚协议。[1]离婚还须缴纳五百元押金。〔无出处〕"
    assert [sentence["carried"] for sentence in marked.details["sentences"]] == [True, False]
    dropped, _ = ask(QUESTION, LAW, lambda heard: said, uncarried="drop")
    assert dropped.text == "自愿离婚的，应当签订书面离婚协议。[1]"


def test_an_answer_of_which_nothing_is_carried_becomes_not_in_the_documents() -> None:
    answer, _ = ask(QUESTION, LAW, lambda heard: "月亮由奶酪制成 [1]。", uncarried="drop")
    assert answer.text == "文档中没有相关内容。"
    assert answer.details["abstained"]
    assert answer.details["sources"] == []


def test_yes_is_no_claim_that_a_source_could_carry() -> None:
    answer, _ = ask(
        "Is a lease longer than 20 years void?", {"a": "A lease longer than 20 years is void."}, lambda _: "Yes."
    )
    assert answer.text == "Yes."


def test_sentences_taken_as_they_stand_are_carried_whole() -> None:
    answer, _ = ask(QUESTION, LAW)
    assert answer.text.startswith("夫妻双方自愿离婚的，应当签订书面离婚协议，并亲自到婚姻登记机关申请离婚登记。[1]")
    assert all(each["share"] == 1.0 for sentence in answer.details["sentences"] for each in sentence["sources"])
    assert all(quote in "".join(LAW.values()) for quote in quotes(answer.details))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_same_sentences_are_heard_however_an_answer_is_cut_into_pieces(size: int) -> None:
    text = "First point [1]. Second. [2][3] 第三句。[1] 第四句【2】。 Dr. Smith agrees.[4]"
    hearer, heard = Hearer(), []
    for begin in range(0, len(text), size):
        heard += hearer.hear(text[begin : begin + size])
    heard += hearer.finish()
    assert [each.strip() for each in heard] == [
        "First point [1].",
        "Second [2][3].",
        "第三句[1]。",
        "第四句【2】。",
        "Dr. Smith agrees[4].",
    ]

"""Ways from passages to an answer: what is asked of the generator, how often, and what comes of it."""

import re
from typing import Any

import pytest
from made_index import MadeIndex, Scripted, ask

from luthier.answer.opening import check
from luthier.answer.spec import AnswerSpec
from luthier.answer.synthesis import SYNTHESES
from luthier.errors import SpecError

FACTS = {
    "a.txt": "The red bridge was built in 1901 by Ada Stone.",
    "b.txt": "The red bridge has 12 arches and carries two roads.",
    "c.txt": "The red bridge was painted again in 1999.",
}
QUESTION = "What is known of the red bridge?"


def quoted(heard: str) -> list[str]:
    return re.findall(r"«(.*?)»", heard, re.DOTALL)


def echo(heard: str) -> str:
    """Say every quoted sentence again with its number."""
    return " ".join(
        f"{text} [{number}]" for number, text in re.findall(r"\[(\d+)\] \([^)]*\)\n«(.*?)»", heard, re.DOTALL)
    )


def test_there_are_five_ways() -> None:
    assert set(SYNTHESES) == {"extract", "stuff", "refine", "tree", "combine"}


def test_sentences_that_are_taken_stay_apart_and_each_has_its_source() -> None:
    page = "- 7.1 显存优化\n    - [PagedAttention](https://x.org/p)\n    - 它有以下特点:1. 显存优化占用大;2. 动态变化。"
    answer, _ = ask("显存优化有什么特点？", {"a.md": page}, threshold=0.1)
    assert len(answer.details["sentences"]) == 2
    assert [each["carried"] for each in answer.details["sentences"]] == [True, True]
    assert answer.text.splitlines()[0] == "- 7.1 显存优化[1]"
    assert "显存优化占用大;2. 动态变化。" in answer.text.splitlines()[1]


@pytest.mark.parametrize("has_embedder", [False, True])
def test_a_picture_is_no_sentence_whatever_its_file_is_called(has_embedder: bool) -> None:
    page = "- The bridge has 12 arches.\n- ![red bridge](./known-red-bridge-1.jpg)\n- ![](red-bridge-2.png) It is old."
    answer, _ = ask("What is known of the red bridge?", MadeIndex({"a.md": page}, has_embedder))
    assert "12 arches" in answer.text
    assert "known-red" not in answer.text


def test_stuff_asks_once_with_all_passages() -> None:
    writer = Scripted(echo)
    answer, steps = ask(QUESTION, FACTS, writer)
    assert len(writer.heard) == 1
    assert sorted(quoted(writer.heard[0])) == sorted(FACTS.values())
    assert sorted(source["document"] for source in answer.details["sources"]) == sorted(FACTS)
    [step] = [step for step in steps if step["step"] == "generate"]
    assert step["purpose"] == "answer"
    assert step["prompt_tokens"] > step["answer_tokens"] > 0


def test_refine_goes_passage_by_passage_and_hands_the_draft_on() -> None:
    def say(heard: str) -> str:
        draft = re.search(r"An answer so far, from other quotations: (.*)\n", heard)
        return f"{draft[1] if draft else ''} {echo(heard)}".strip()

    writer = Scripted(say)
    answer, _ = ask(QUESTION, FACTS, writer, synthesis="refine")
    assert [len(quoted(heard)) for heard in writer.heard] == [1, 1, 1]
    assert all(text in answer.text for text in FACTS.values())
    assert len(answer.details["sources"]) == 3


def test_tree_sums_up_groups_that_fit_and_then_the_sums() -> None:
    long = {label: text + " It is a bridge of stone over water." * 8 for label, text in FACTS.items()}
    writer = Scripted(lambda heard: echo(heard)[:80] if "Write down" in heard else "The red bridge has 12 arches.")
    answer, steps = ask(QUESTION, long, writer, synthesis="tree", context_tokens=130, near_duplicate=1.0)
    purposes = [step["purpose"] for step in steps if step["step"] == "generate"]
    assert purposes == ["tree", "tree", "tree", "answer"]
    assert answer.text == "The red bridge has 12 arches. [1]"
    assert [source["document"] for source in answer.details["sources"]] == ["b.txt"]


def test_tree_with_one_prompt_is_stuff() -> None:
    _, steps = ask(QUESTION, FACTS, echo, synthesis="tree")
    assert [step["purpose"] for step in steps if step["step"] == "generate"] == ["answer"]


def test_combine_asks_each_passage_and_joins() -> None:
    listed, steps = ask(QUESTION, FACTS, echo, synthesis="combine", join="list")
    assert [step["purpose"] for step in steps if step["step"] == "generate"] == ["combine"] * 3
    assert all(text in listed.text for text in FACTS.values())
    joined, steps = ask(
        QUESTION,
        FACTS,
        lambda heard: "It has 12 arches." if "Answers to" in heard else echo(heard),
        synthesis="combine",
    )
    assert [step["purpose"] for step in steps if step["step"] == "generate"] == ["combine"] * 3 + ["answer"]
    assert joined.text == "It has 12 arches. [1]"


def test_combine_joins_in_steps_what_one_prompt_does_not_hold() -> None:
    many = {f"{n}.txt": f"The red bridge number{n} has {n + 3} arches and {n} lamps of brass." for n in range(9)}

    def say(heard: str) -> str:
        drafts = [line for line in heard.splitlines() if "arches and" in line]
        return drafts[0].removeprefix("- ") if "Answers to" in heard else echo(heard)

    writer = Scripted(say)
    answer, steps = ask(
        "How many arches has the red bridge?", many, writer, synthesis="combine", passages=9, near_duplicate=1.0,
        context_tokens=64,
    )  # fmt: skip
    purposes = [step["purpose"] for step in steps if step["step"] == "generate"]
    assert purposes.count("answer") == 1
    assert len(purposes) > 9 + 1
    joins = [heard for heard in writer.heard if "Answers to" in heard]
    assert len(joins) > 2
    assert max(heard.count("arches and") for heard in joins) < 9
    assert "arches and" in answer.text
    assert answer.details["sources"]


def test_combine_leaves_out_passages_that_say_nothing() -> None:
    def say(heard: str) -> str:
        return (
            "The red bridge has 12 arches. [2]"
            if "12 arches" in "".join(quoted(heard))
            else "This is not in the documents."
        )

    answer, _ = ask(QUESTION, FACTS, say, synthesis="combine")
    assert answer.text == "The red bridge has 12 arches. [1]"
    assert not answer.details["abstained"]


def test_a_generator_that_finds_nothing_says_so_in_the_language_of_the_question() -> None:
    answer, _ = ask("红桥建于哪一年？", {"a": "红桥由石头建成。"}, lambda heard: "文档中没有相关内容。")
    assert answer.text == "文档中没有相关内容。"
    assert answer.details["abstained"]


def test_the_generator_is_told_the_language() -> None:
    writer = Scripted(lambda heard: "红桥有十二个拱。")
    ask("红桥有几个拱？", {"a": "红桥有十二个拱。"}, writer)
    assert "请用中文回答" in writer.heard[0]
    ask("红桥有几个拱？", {"a": "红桥有十二个拱。"}, writer, language="German")
    assert "German" in writer.heard[1]


def test_it_is_the_sentence_and_not_what_else_was_read_that_is_in_another_language() -> None:
    chinese = "雪松路的博物馆周一闭馆，周二到周日开放，the museum 开放时间为九点到五点，节假日另行通知。"
    answer, _ = ask("When does the museum open?", {"a.txt": "The museum opens at nine.", "b.txt": chinese}, sentences=1)
    assert answer.text == "The museum opens at nine. [1]"


def test_documents_in_another_language_are_told_to_be_so() -> None:
    answer, _ = ask("How long may a lease be?", {"a": "租赁(lease)期限不得超过二十年。"}, threshold=0.0)
    assert answer.text == "The documents say, in their own language: 租赁(lease)期限不得超过二十年。[1]"
    assert answer.details["other_language"]


def test_a_generator_that_answers_in_other_letters_is_noticed() -> None:
    asked, document = "红桥有几个拱？", {"a": "红桥有十二个拱。 The red bridge has twelve arches."}
    other, _ = ask(asked, document, lambda heard: "The red bridge has twelve arches.")
    same, _ = ask(asked, document, lambda heard: "红桥有十二个拱。")
    assert [answer.details["other_language"] for answer in (other, same)] == [True, False]


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"queries": "hyde"}, "queries=hyde"),
        ({"queries": ["history", "step_back"]}, "queries=step_back"),
        ({"synthesis": "refine"}, "synthesis=refine"),
        ({"compress": "generator"}, "compress=generator"),
        ({"rerank": "judge"}, "rerank=judge"),
    ],
)
def test_what_needs_a_generator_is_refused_without_one(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(SpecError) as caught:
        check(AnswerSpec(**settings), has_generator=False)
    assert caught.value.what == f"{what} needs a generator, and there is none"
    assert caught.value.where == f"key {what.partition('=')[0]}"
    assert "--generator" in caught.value.mend
    check(AnswerSpec(**settings), has_generator=True)


def test_a_base_without_an_embedder_is_searched_by_words_and_that_is_told() -> None:
    index = MadeIndex(FACTS)
    _, steps = ask(QUESTION, index)
    [search] = [step for step in steps if step["step"] == "search"]
    assert search["how"]["way"] == "bm25"

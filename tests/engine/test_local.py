"""The local engine against transformers' own generate; a batch, a row alone and a stream say the same."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.engine.local import LocalModel, open_local
from luthier.engine.ports import LocalChatModel, Prompt, Sampling
from luthier.errors import DataError
from luthier.event import Chose, Event, Progress, Warned, hush

GREEDY = Sampling(max_tokens=24, temperature=0)
PROMPTS: list[Prompt] = [
    (Message("user", "Hello"),),
    (Message("system", "Be brief."), Message("user", "今天天气很好，你好世界 " * 6)),
    "The quick brown fox",
    tuple(range(5, 80)),
    *((Message("user", f"Say the number {number}" + " please" * (number % 5)),) for number in range(36)),
]


@pytest.fixture(scope="module")
def model(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


def test_it_obeys_the_port(model: LocalModel) -> None:
    obeying: LocalChatModel = model
    assert obeying.name == "tiny"
    assert obeying.defaults == {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}


def test_greedy_answers_are_those_of_transformers_generate(model: LocalModel, tiny_model: Artifact) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32).eval()
    answers = model.answer(PROMPTS[:6], GREEDY)
    assert len({answer.token_ids for answer in answers}) > 3
    for answer in answers:
        ids = torch.tensor([answer.prompt_ids])
        made = theirs.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False)
        assert list(answer.token_ids) == made[0, ids.shape[1] :].tolist()


def test_an_answer_does_not_depend_on_its_batch(model: LocalModel, told: list[Event]) -> None:
    together = model.answer(PROMPTS, GREEDY, told.append)
    assert [model.answer([prompt], GREEDY)[0] for prompt in PROMPTS] == together
    assert told[-1] == Progress("answers", len(PROMPTS), len(PROMPTS), "answers")


def test_a_drawn_answer_does_not_depend_on_its_batch_and_repeats_with_its_seed(model: LocalModel) -> None:
    hot = Sampling(max_tokens=12, temperature=1.5, top_p=0.95, seed=4)
    together = model.answer(PROMPTS[:6], hot)
    assert [model.answer([prompt], hot)[0] for prompt in PROMPTS[:6]] == together
    other = model.answer(PROMPTS[:6], Sampling(max_tokens=12, temperature=1.5, top_p=0.95, seed=5))
    assert [answer.token_ids for answer in other] != [answer.token_ids for answer in together]


def test_unseeded_answers_differ(model: LocalModel) -> None:
    hot = Sampling(max_tokens=20, temperature=2.0)
    assert len({answer.token_ids for answer in model.answer([PROMPTS[0]] * 4, hot)}) > 1


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(max_tokens=24, temperature=1.0, seed=7)], ids=["greedy", "drawn"]
)
def test_a_stream_says_what_the_answer_says(model: LocalModel, sampling: Sampling) -> None:
    for prompt, answer in zip(PROMPTS[:6], model.answer(PROMPTS[:6], sampling), strict=True):
        pieces = list(model.stream(prompt, sampling, lambda: False))
        assert len(pieces) > 3
        assert pieces[-1].answer == answer
        assert [piece.answer for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
        assert "".join(piece.text for piece in pieces) == answer.text
        assert sum((piece.token_ids for piece in pieces), ()) == answer.token_ids


def test_the_prompt_is_what_the_template_feeds(model: LocalModel) -> None:
    messages = (Message("system", "Be brief."), Message("user", "你好"))
    [answer] = model.answer([messages], GREEDY)
    assert list(answer.prompt_ids) == model.template.prompt(messages)


def stopping_early(model: LocalModel, tmp_path: Path, stop_ids: list[int]) -> LocalModel:
    """Give the same model, with more ids that end an answer."""
    folder = Path(shutil.copytree(model.template.folder, tmp_path / "model"))
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": stop_ids}))
    return open_local(folder, name="stops", dtype="float32", device="cpu")


def test_a_stop_token_is_in_the_ids_and_not_in_the_text(model: LocalModel, tmp_path: Path) -> None:
    [whole] = model.answer(PROMPTS[:1], GREEDY)
    stop_id = whole.token_ids[9]
    [cut] = stopping_early(model, tmp_path, [stop_id]).answer(PROMPTS[:1], GREEDY)
    first = whole.token_ids.index(stop_id)
    assert cut.finish == "stop"
    assert cut.token_ids == whole.token_ids[: first + 1]
    assert cut.text == model.template.decode(whole.token_ids[:first])


def test_rows_that_end_early_leave_the_others_as_they_are(model: LocalModel, tmp_path: Path) -> None:
    ids = {answer.token_ids[place] for answer in model.answer(PROMPTS, GREEDY) for place in (5, 11)}
    early = stopping_early(model, tmp_path, sorted(ids)[::3])
    together = early.answer(PROMPTS, GREEDY)
    assert {answer.finish for answer in together} == {"stop", "length"}
    assert [early.answer([prompt], GREEDY)[0] for prompt in PROMPTS] == together


def test_a_stop_string_ends_the_answer_and_is_cut_off(model: LocalModel) -> None:
    [whole] = model.answer(PROMPTS[:1], GREEDY)
    middle = len(whole.text) // 2
    stop = whole.text[middle : middle + 3]
    [cut] = model.answer(PROMPTS[:1], Sampling(max_tokens=24, temperature=0, stop=("not said", stop)))
    assert cut.finish == "stop"
    assert cut.text == whole.text.split(stop)[0]
    assert whole.token_ids[: len(cut.token_ids)] == cut.token_ids
    assert stop in model.template.decode(cut.token_ids)


def test_a_cancelled_stream_ends_within_one_token(model: LocalModel) -> None:
    heard: list[int] = []
    for piece in model.stream(PROMPTS[3], Sampling(temperature=0), lambda: len(heard) >= 3):
        heard.extend(piece.token_ids)
    assert 3 <= len(heard) <= 4
    assert model.answer(PROMPTS[:1], GREEDY)  # the lock is free again


def test_a_stream_left_behind_frees_the_model(model: LocalModel) -> None:
    stream = iter(model.stream(PROMPTS[0], GREEDY, lambda: False))
    next(stream)
    del stream
    assert model.answer(PROMPTS[:1], GREEDY)


def test_answers_end_at_the_context(model: LocalModel) -> None:
    prompt = tuple([5] * (model.context - 3))
    [answer] = model.answer([prompt], Sampling(max_tokens=1000, temperature=0))
    assert (len(answer.token_ids), answer.finish) == (3, "length")


@pytest.mark.parametrize(
    ("prompt", "what", "where", "mend"),
    [
        (tuple([5] * 512), "512 tokens, the model's context is 512", "the model's context", "at most 511 tokens"),
        (tuple([5] * 900), "900 tokens, the model's context is 512", "the model's context", "at most 511 tokens"),
        ((5, 2_000_000), "2000000 is outside the vocabulary", "prompt", "this model's own tokenizer"),
        ((-1,), "-1 is outside the vocabulary", "prompt", "this model's own tokenizer"),
        ((), "0 tokens", "prompt", "at least one token"),
        ("", "0 tokens", "prompt", "at least one token"),
    ],
    ids=["full", "over", "id over", "id under", "no ids", "no text"],
)
def test_a_prompt_that_cannot_be_answered_is_refused_before_any_is(
    model: LocalModel, prompt: Prompt, what: str, where: str, mend: str, told: list[Event]
) -> None:
    with pytest.raises(DataError) as caught:
        model.answer([PROMPTS[0], prompt], GREEDY, told.append)
    assert told == []
    assert what in caught.value.what
    assert "prompt 2" in caught.value.where
    assert where in caught.value.where
    assert mend in caught.value.mend
    with pytest.raises(DataError):
        model.stream(prompt, GREEDY, lambda: False)


def test_what_is_chosen_and_what_is_left_out_is_told(tiny_model: Artifact, tmp_path: Path, told: list[Event]) -> None:
    folder = Path(shutil.copytree(tiny_model.folder, tmp_path / "model"))
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"no_repeat_ngram_size": 2}))
    open_local(folder, name="tiny", tell=told.append)
    assert [event.what for event in told if isinstance(event, Chose)] == ["device", "dtype"]
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert "no_repeat_ngram_size to 2" in warned.what
    assert "remove no_repeat_ngram_size" in warned.mend


def test_nothing_asked_is_nothing_answered(model: LocalModel) -> None:
    assert model.answer([], GREEDY, hush) == []
    assert model.score([], hush) == []


def test_every_wish_of_the_port_is_heeded(model: LocalModel) -> None:
    assert model.takes == {wish.name for wish in fields(Sampling)}


def test_penalised_answers_are_those_of_transformers_generate(model: LocalModel, tiny_model: Artifact) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32).eval()
    [plain] = model.answer(PROMPTS[:1], GREEDY)
    barred = plain.token_ids[0]
    wishes = replace(GREEDY, repetition_penalty=1.3, logit_bias=((barred, -100.0),), min_tokens=24)
    [answer] = model.answer(PROMPTS[:1], wishes)
    ids = torch.tensor([answer.prompt_ids])
    made = theirs.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=24,
        min_new_tokens=24,
        do_sample=False,
        repetition_penalty=1.3,
        sequence_bias=[[[barred], -100.0]],
    )
    assert list(answer.token_ids) == made[0, ids.shape[1] :].tolist()
    assert barred not in answer.token_ids


def test_log_probabilities_are_those_a_forward_pass_gives(model: LocalModel) -> None:
    [answer] = model.answer(PROMPTS[:1], replace(GREEDY, top_logprobs=4))
    ids = torch.tensor([[*answer.prompt_ids, *answer.token_ids]])
    with torch.inference_mode():
        truth_TV = model.model(input_ids=ids).logits[0, len(answer.prompt_ids) - 1 : -1].log_softmax(-1)
    assert [one.token_id for one in answer.logprobs] == list(answer.token_ids)
    for one, truth_V in zip(answer.logprobs, truth_TV, strict=True):
        best = truth_V.topk(4)
        assert [token_id for token_id, _ in one.top] == best.indices.tolist()
        assert torch.allclose(torch.tensor([value for _, value in one.top]), best.values, atol=1e-4)
        assert one.logprob == one.top[0][1]
    pieces = list(model.stream(PROMPTS[0], replace(GREEDY, top_logprobs=4), lambda: False))
    assert sum((piece.logprobs for piece in pieces), ()) == pieces[-1].answer.logprobs  # type: ignore[union-attr]
    assert model.answer(PROMPTS[:1], GREEDY)[0].logprobs == ()


def test_log_probabilities_of_a_prompt_are_those_a_forward_pass_gives(
    model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.engine.score.CHUNK", 7)  # more than one bite
    asked = replace(GREEDY, prompt_logprobs=3, max_tokens=1)
    answers = model.answer(PROMPTS, asked)
    for answer in answers:
        ids = torch.tensor([answer.prompt_ids])
        with torch.inference_mode():
            truth_TV = model.model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        assert [one.token_id for one in answer.prompt_logprobs] == list(answer.prompt_ids[1:])
        found = torch.tensor([one.logprob for one in answer.prompt_logprobs])
        assert torch.allclose(found, truth_TV.gather(1, ids[0, 1:, None]).squeeze(1), atol=1e-4)
        best_TK = truth_TV.topk(3).values
        assert torch.allclose(
            torch.tensor([[v for _, v in one.top] for one in answer.prompt_logprobs]), best_TK, atol=1e-4
        )
    *_, last = model.stream(PROMPTS[0], asked, lambda: False)
    assert last.answer == answers[0]
    assert model.answer(PROMPTS[:1], GREEDY)[0].prompt_logprobs == ()


def test_no_end_comes_early(model: LocalModel, tmp_path: Path) -> None:
    [whole] = model.answer(PROMPTS[:1], GREEDY)
    early = stopping_early(model, tmp_path, [whole.token_ids[2]])
    [cut] = early.answer(PROMPTS[:1], GREEDY)
    [longer] = early.answer(PROMPTS[:1], replace(GREEDY, min_tokens=10))
    assert len(cut.token_ids) <= 3 < 10 <= len(longer.token_ids)
    stop = whole.text[:3]
    [text] = model.answer(PROMPTS[:1], replace(GREEDY, min_tokens=24, stop=(stop,)))
    assert text.text == whole.text
    assert model.answer(PROMPTS[:1], replace(GREEDY, stop=(stop,)))[0].text == ""


def test_an_answer_that_takes_too_long_is_cut_off(model: LocalModel) -> None:
    [answer] = model.answer(PROMPTS[:1], Sampling(max_tokens=400, temperature=0, max_seconds=0.02, min_tokens=400))
    assert answer.finish == "length"
    assert 1 <= len(answer.token_ids) < 400

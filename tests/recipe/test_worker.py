"""A real worker: it opens what a person names, answers as the model itself does, and says what it chose."""

import os
import signal

import pytest

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine.local import open_local
from luthier.engine.ports import Prompt, Sampling, words_of
from luthier.engine.workers import open_workers
from luthier.errors import DataError, ServeError
from luthier.event import Event, Said

GREEDY = Sampling(max_tokens=12, temperature=0)
PROMPTS: list[Prompt] = [(Message("user", "Hello"),), "The quick brown fox", tuple(range(5, 30))]


def test_workers_answer_as_the_model_does_through_a_death(
    tiny_model: Artifact, tiny_store: Store, told: list[Event]
) -> None:
    opening = {
        "project": str(tiny_store.root),
        "open": tiny_model.id,
        "dtype": "float32",
        "engine": "transformers",
    }
    model = open_workers(1, opening, name="tiny", tell=told.append)
    local = open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")
    try:
        assert model.takes == local.takes
        assert model.answer(PROMPTS, GREEDY) == local.answer(PROMPTS, GREEDY)
        *_, last = model.stream(PROMPTS[0], GREEDY, lambda: False)
        assert last.answer == local.answer(PROMPTS[:1], GREEDY)[0]
        words = words_of(model)
        assert words is not None
        assert (words.context, words.vocabulary) == (local.context, local.vocabulary)
        assert [words.encode(prompt) for prompt in PROMPTS] == [local.encode(prompt) for prompt in PROMPTS]
        assert words.spell(range(300)) == local.spell(range(300))
        with pytest.raises(DataError, match="context is 512"):
            model.answer([(5,) * 600], GREEDY)
        os.kill(model.workers[0].process_number or 0, signal.SIGKILL)
        assert model.answer(PROMPTS[:1], GREEDY) == local.answer(PROMPTS[:1], GREEDY)
    finally:
        model.close()
    assert any("worker 1 of tiny: device: " in event.text for event in told if isinstance(event, Said))


def test_a_worker_without_its_model_says_what_is_missing(tiny_store: Store) -> None:
    opening = {"project": str(tiny_store.root), "open": "model-none", "dtype": "auto", "engine": "transformers"}
    with pytest.raises(ServeError, match="model-none"):
        open_workers(1, opening, name="none")

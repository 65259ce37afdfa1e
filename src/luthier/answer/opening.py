"""From settings, a knowledge base and perhaps a generator to what answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from luthier.answer.answerer import Answerer
from luthier.answer.knowledge import Keep, KnowledgeModel
from luthier.answer.nearness import Nearness
from luthier.answer.queries import WAYS
from luthier.answer.relevance import Meaning
from luthier.answer.spec import AnswerSpec
from luthier.answer.synthesis import SYNTHESES
from luthier.answer.writer import Writer
from luthier.engine.ports import ChatModel, Sampling
from luthier.errors import SpecError
from luthier.event import Chose, Tell, hush
from luthier.retrieve.opening import open_index
from luthier.retrieve.ports import Index
from luthier.retrieve.routed import RoutedIndex


def check(spec: AnswerSpec, has_generator: bool) -> None:
    """Raise SpecError for settings that need a generator where there is none, or do not go together."""
    wants = [f"queries={name}" for name in spec.queries if WAYS[name].needs_generator]
    wants += ["rerank=judge"] if spec.rerank == "judge" else []
    wants += ["compress=generator"] if spec.compress == "generator" else []
    wants += [f"synthesis={spec.synthesis}"] if _needs_generator(spec.synthesis) else []
    if wants and not has_generator:
        raise SpecError(
            f"{wants[0]} needs a generator, and there is none",
            where=f"key {wants[0].partition('=')[0]}",
            mend="give --generator ID, or generator=http://host/v1#model; or leave it out",
        )
    if spec.rerank == "cross" and not spec.reranker:
        raise SpecError(
            "rerank is 'cross', and no cross-encoder is given",
            where="key reranker",
            mend="write reranker=FOLDER, or set rerank=late",
        )


def _needs_generator(name: str) -> bool:
    return name != "auto" and SYNTHESES[name].needs_generator


def open_knowledge(
    name: str,
    spec: AnswerSpec,
    index: Index,
    generator: ChatModel | None,
    *,
    threshold: float | None,
    has_embedder: bool,
    keep: Keep,
    tell: Tell,
) -> KnowledgeModel:
    """Make a knowledge base answer; automatic choices are told. Raises SpecError for what does not go together."""
    check(spec, generator is not None)
    if not has_embedder and spec.search.way == "hybrid":
        spec = spec.model_copy(update={"search": spec.search.model_copy(update={"way": "bm25"})})
        tell(Chose("search.way", "bm25", f"{index.name} was made without an embedder"))

    meaning, nearness = Meaning(index, has_embedder), Nearness(index, has_embedder and spec.search.way != "bm25")

    def answerers(sampling: Sampling) -> Answerer:
        writer = Writer(generator, _settled(sampling, spec)) if generator is not None else None
        return Answerer(spec, index, writer, meaning, nearness, threshold)

    first = answerers(Sampling())
    _tell_choices(spec, first, has_embedder, threshold, tell)
    return KnowledgeModel(name, answerers, keep)


def _settled(sampling: Sampling, spec: AnswerSpec) -> Sampling:
    """What a request leaves open is as the settings say: greedy, and not endless. Stop strings are not for drafts."""
    return replace(
        sampling,
        max_tokens=sampling.max_tokens or spec.max_tokens,
        temperature=0.0 if sampling.temperature is None else sampling.temperature,
        stop=(),
    )


def _tell_choices(
    spec: AnswerSpec, answerer: Answerer, has_embedder: bool, threshold: float | None, tell: Tell
) -> None:
    if spec.synthesis == "auto":
        why = f"{answerer.writer.model.name} writes" if answerer.writer else "no generator: sentences as they stand"
        tell(Chose("synthesis", answerer.synthesis, why))
    if spec.rerank == "auto":
        without = "the base has an embedder" if has_embedder else "no cross-encoder, no embedder"
        tell(Chose("rerank", answerer.rerank, "a cross-encoder is given" if spec.reranker else without))
    if spec.threshold is None:
        why = "the default; tune=FILE finds one for these documents" if threshold is None else "found by tune"
        tell(Chose("threshold", f"{answerer.threshold:g}", why))


def open_answers(
    folders: Sequence[Path],
    spec: AnswerSpec,
    generator: ChatModel | None,
    *,
    name: str,
    threshold: float | None = None,
    keep: Keep = lambda trace: None,
    tell: Tell = hush,
) -> KnowledgeModel:
    """Open knowledge bases, by their folders or those of artifacts of the kind `index`; several answer as one."""
    bases = [open_index(folder, tell=tell) for folder in folders]
    opened = bases[0] if len(bases) == 1 else RoutedIndex(bases)
    has_embedder = bool(opened.embedder)
    return open_knowledge(
        name, spec, opened, generator, threshold=threshold, has_embedder=has_embedder, keep=keep, tell=tell
    )

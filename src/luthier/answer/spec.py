"""What one may ask of answers from documents."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from luthier.retrieve.how import SearchSpec
from luthier.spec import Spec

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Query = Literal["history", "rewrite", "hyde", "several", "decompose", "step_back"]


def _listed(value: object) -> object:
    """One name is a list of one."""
    return (value,) if isinstance(value, str) else value


class AnswerSpec(Spec):
    """How questions are answered from a knowledge base."""

    question: str = ""
    """A question, or the path of a file of questions: JSON lines (`question`, `history`), or text, one a line. Without
    one the settings alone are kept, to be served or asked later."""
    tune: str = ""
    """A file of questions by which the threshold is found: JSON lines with `question`, and `documents` (labels which
    hold the answer) or `answerable: false`."""
    replay: str = ""
    """The id of answers, or a file of traces, whose questions are asked again: what a generator said to the same prompt
    comes from there."""
    bases: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Knowledge bases by name, in place of the one of --index: of several, those are searched whose descriptions
    (`luthier index about=...`) fit the question, as many as search.bases says."""
    generator: str = "auto"
    """Who writes: `auto` (the artifact given with --generator, else none), `none` (sentences are taken from documents
    as they stand), `local` (--generator ID), or the URL of an OpenAI API (`http://host/v1#model`)."""
    search: SearchSpec = SearchSpec()
    """How chunks are found."""
    queries: Annotated[tuple[Query, ...], BeforeValidator(_listed)] = ("history",)
    """What is searched for: `history` makes a question that leans on earlier turns stand alone; with a generator also
    `rewrite` (better words), `hyde` (an answer such as might be), `several` (other wordings), `decompose` (its parts)
    and `step_back` (what lies behind it)."""
    rounds: Annotated[int, Field(ge=1, le=8)] = 1
    """At most so many rounds of searching, each with what the draft before it said; it stops when the draft is carried
    and everything asked for was found, or when nothing new comes."""
    rerank: Literal["auto", "none", "cross", "late", "judge"] = "auto"
    """Orders what was found anew: `cross` (a cross-encoder, see reranker), `late` (the best sentence for each part of
    the question, by the embedder), `judge` (the generator gives marks). auto: cross if a folder is given, else
    late if the base has an embedder, else none."""
    reranker: str = ""
    """The folder of a cross-encoder (transformers' sequence classification with one label)."""
    rerank_top: Count = 8
    """How many of the found are ordered anew."""
    passages: Count = 5
    """How many passages an answer is made from."""
    surroundings: Literal["chunk", "neighbours", "parent"] = "chunk"
    """What is read of a found chunk: itself, it between its neighbours, or the larger chunk it is a part of."""
    near_duplicate: Share = 0.85
    """Passages that share so much of their words with a better one are left out; 1 keeps all but equal ones."""
    compress: Literal["none", "sentences", "generator"] = "none"
    """Cuts passages down: to the `sentences` near the question, or to what the `generator` copies from them."""
    order: Literal["score", "edges"] = "edges"
    """How passages stand in the prompt: best first, or best at both ends, so that none is lost in the middle."""
    context_tokens: Annotated[int, Field(ge=64)] | None = None
    """At most so many of the generator's tokens for passages; None: half of its context, at most 2,048."""
    synthesis: Literal["auto", "extract", "stuff", "refine", "tree", "combine"] = "auto"
    """`extract`: sentences as they stand. `stuff`: all passages in one prompt. `refine`: passage by passage. `tree`:
    summaries of summaries. `combine`: an answer of each passage, then joined. auto: stuff, or extract without a
    generator."""
    join: Literal["generator", "list"] = "generator"
    """How `combine` joins: the generator sums up, or they stand one after the other."""
    sentences: Count = 3
    """How many sentences `extract` takes at most."""
    threshold: Share | None = None
    """Below this confidence the answer is "not in the documents"; None: what `tune` found, else 0.3."""
    carried: Share = 0.5
    """The share of a sentence's content which a source must hold to be cited for it."""
    uncarried: Literal["mark", "drop"] = "mark"
    """What becomes of a sentence that no source carries: it is marked, or left out."""
    language: str = "question"
    """What to answer in: the question's language, or one named in English (`German`)."""
    max_tokens: Count = 256
    """At most so many new tokens an answer, unless a request says otherwise."""
    question_characters: Count = 8_000
    """Questions that are longer are refused."""

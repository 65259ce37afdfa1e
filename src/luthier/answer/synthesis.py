"""From passages to an answer. A row for each way; each gives the text as it is said, with the passages' numbers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from luthier.answer.passage import Passage
from luthier.answer.phrases import language_line, phrases_for
from luthier.answer.quoting import HIDDEN, numbered
from luthier.answer.relevance import Relevance
from luthier.answer.spec import AnswerSpec
from luthier.answer.trace import Trace
from luthier.answer.writer import Writer
from luthier.measure.grounded import is_not_found
from luthier.measure.sentences import Span
from luthier.measure.support import content

DRAFT_TOKENS = 192
"""At most so many new tokens of an answer that is only a step on the way."""
LEAST_SHARE = 0.75
"""Of the best sentence's score: what is further from the question must add something to be given."""


@dataclass(frozen=True)
class Task:
    """What is to be answered, from what, by whom."""

    question: str
    passages: Sequence[Passage]
    """In the order of the prompt; the n-th has the number n."""
    spec: AnswerSpec
    relevance: Relevance
    generator: Writer | None
    most_tokens: int
    """For passages, in one prompt."""
    trace: Trace
    cancelled: Callable[[], bool] = lambda: False
    system: str = ""
    """What the asker's own system message says."""

    @property
    def writer(self) -> Writer:
        """The generator, where the settings say that there is one."""
        if self.generator is None:
            raise AssertionError("checked where the settings are read")
        return self.generator

    @property
    def rules(self) -> str:
        """What a generator is told before all else."""
        said = phrases_for(self.question)
        return "\n".join(filter(None, [self.system, said["rules"].format(not_found=said["not_found"])]))

    def ask(self, name: str, **filled: str) -> str:
        """Give the text of a prompt."""
        said = phrases_for(self.question)
        language = language_line(self.question, self.spec.language)
        return said[name].format(question=self.question, language=language, not_found=said["not_found"], **filled)


def extract(task: Task) -> Iterator[str]:
    """Give the sentences nearest to the question as they stand, those of one passage together.

    A sentence that is far from the question is given only where it speaks of what those before it do not.
    """
    rated = [
        (each.score, place, each.span)
        for place, found in enumerate(task.relevance.rate(task.question, task.passages))
        for each in found
    ]
    missing, seen = set(content(task.question)), set[frozenset[str]]()
    kept: list[tuple[int, Span, str]] = []
    best = max(rated, default=(0.0, 0, (0, 0)))[0]
    for score, place, span in sorted(rated, key=lambda each: -each[0]):
        text = task.passages[place].chunk.text[slice(*span)]
        said = content(text)
        if not said or said in seen or not (missing & said or score >= LEAST_SHARE * best):
            continue
        seen.add(said)
        missing -= said
        kept.append((place, span, " ".join(HIDDEN.sub("", text).split())))
        if len(kept) == task.spec.sentences:
            break
    rank = {place: number for number, place in reversed(list(enumerate(place for place, _, _ in kept)))}
    for number, (place, _, text) in enumerate(sorted(kept, key=lambda each: (rank[each[0]], each[1]))):
        yield f"{chr(10) if number else ''}{text} [{place + 1}]"


def stuff(task: Task) -> Iterator[str]:
    """One prompt with all passages."""
    text = task.ask("stuff", passages=numbered(task.passages))
    yield from task.writer.stream("answer", text, task.trace, rules=task.rules, cancelled=task.cancelled)


def refine(task: Task) -> Iterator[str]:
    """Passage by passage: each prompt holds the answer so far and one more passage."""
    draft = ""
    for number, passage in enumerate(task.passages, 1):
        shown = numbered([passage], number)
        has_draft = bool(draft) and not is_not_found(draft)
        text = task.ask("refine", passages=shown, draft=draft) if has_draft else task.ask("stuff", passages=shown)
        if number == len(task.passages):
            yield from task.writer.stream("answer", text, task.trace, rules=task.rules, cancelled=task.cancelled)
        else:
            said = task.writer.write("refine", text, task.trace, rules=task.rules, max_tokens=DRAFT_TOKENS)
            draft = draft if has_draft and is_not_found(said) else said


def tree(task: Task) -> Iterator[str]:
    """Summaries of groups of passages, then summaries of those, until one prompt holds all."""
    groups = _groups([numbered([passage], number) for number, passage in enumerate(task.passages, 1)], task)
    if len(groups) == 1:
        yield from stuff(task)
        return
    drafts = _summaries([task.ask("summary", passages=group) for group in groups], "tree", task)
    yield from _joined(drafts, "tree", task)


def combine(task: Task) -> Iterator[str]:
    """An answer of each passage by itself, then joined: summed up by the generator, or one after the other."""
    shown = [numbered([passage], number) for number, passage in enumerate(task.passages, 1)]
    drafts = _summaries([task.ask("stuff", passages=each) for each in shown], "combine", task)
    if task.spec.join == "list":
        yield "\n".join(drafts) or phrases_for(task.question)["not_found"]
    else:
        yield from _joined(drafts, "combine", task)


def _summaries(texts: Sequence[str], purpose: str, task: Task) -> list[str]:
    asked = [f"{task.rules}\n\n{text}" for text in texts]
    said = task.writer.write_each(purpose, asked, task.trace, max_tokens=DRAFT_TOKENS)
    return [text for text in said if text and not is_not_found(text)]


def _joined(drafts: Sequence[str], purpose: str, task: Task) -> Iterator[str]:
    """Sum drafts up, in several steps where one prompt does not hold them all."""
    while len(groups := _groups(drafts, task)) > 1 and len(groups) < len(drafts):
        drafts = _summaries([task.ask("join", drafts=group) for group in groups], purpose, task)
    if not drafts:
        yield phrases_for(task.question)["not_found"]
    elif len(drafts) == 1:
        yield drafts[0]
    else:
        listed = "\n".join(f"- {draft}" for draft in drafts)
        text = task.ask("join", drafts=listed)
        yield from task.writer.stream("answer", text, task.trace, rules=task.rules, cancelled=task.cancelled)


def _groups(texts: Sequence[str], task: Task) -> list[str]:
    """Put neighbours together as long as a prompt holds them."""
    groups: list[list[str]] = []
    left = 0
    for text in texts:
        tokens = task.writer.count(text)
        if not groups or tokens > left:
            groups.append([])
            left = task.most_tokens
        groups[-1].append(text)
        left -= tokens
    return ["\n\n".join(group) for group in groups]


@dataclass(frozen=True)
class Synthesis:
    """One way from passages to an answer."""

    about: str
    needs_generator: bool
    holds_all: bool
    """Whether one prompt holds all passages: then they share the budget."""
    say: Callable[[Task], Iterator[str]]
    gives_sentences: bool = False
    """Whether each piece of it is one sentence, however it may look."""


SYNTHESES: dict[str, Synthesis] = {
    "extract": Synthesis("sentences as they stand in the documents", False, False, extract, True),
    "stuff": Synthesis("one prompt with all passages", True, True, stuff),
    "refine": Synthesis("passage by passage, each time a better answer", True, False, refine),
    "tree": Synthesis("summaries of summaries", True, False, tree),
    "combine": Synthesis("an answer of each passage, then joined", True, False, combine),
}

"""Find how documents are best cut, and how many chunks are then read, by questions about these very documents.

Cuts are compared at equal cost: ten chunks of 200 tokens, twenty of 100 and five of 400 are read for the same money.
One half of the questions chooses; the other half, which chose nothing, says what the choice is worth, and where it is
worth nothing the cut stays as it was.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import yaml

from luthier.artifact import atomic
from luthier.artifact.questions import Asked
from luthier.engine.embed import open_embedder
from luthier.errors import DataError, LuthierError, SpecError
from luthier.event import Chose, Progress, Tell, Warned
from luthier.index.build import embedder_of
from luthier.index.made_questions import make_questions
from luthier.index.parsed import Parsed
from luthier.index.readers import read_document
from luthier.index.ready import Cutter
from luthier.index.sources import find_files
from luthier.index.spec import CutSpec, IndexSpec
from luthier.index.trial import Ranks, Remembered, Sought, ranks
from luthier.measure.interval import Comparison, compare
from luthier.retrieve.place import CURRENT, knowledge_folder, read_current

READ_TOKENS = 2_000
"""What is read for a question: ten chunks as they are cut by default."""
SIZES = (100, 200, 400, 800)
OVERLAPS = (0.0, 0.1, 0.25)
"""Shares of the size."""
LEAST_QUESTIONS = 20
LEAST_GROUPS = 10
"""Questions about one document go together where there are so many documents; else each stands for itself."""
EMBEDDED_TOKENS = 150_000
"""Of documents looked at where an embedder must read them for every cut: some minutes on two cores."""


@dataclass(frozen=True)
class Tried:
    """A cut, and what the questions made of it."""

    cut: CutSpec
    most: int
    """How many of its chunks may be read."""
    ranks: Ranks

    def found(self, which: npt.NDArray[np.bool_], top: int | None = None) -> npt.NDArray[np.float64]:
        """Say of the questions `which` whether their answer was among the first `top`: 1 or 0."""
        ranks = self.ranks[which]
        found: npt.NDArray[np.float64] = ((ranks > 0) & (ranks <= (top or self.most))).astype(np.float64)
        return found


@dataclass(frozen=True)
class Tuned:
    """What was found."""

    tried: Sequence[Tried]
    gains: Sequence[Comparison]
    """Of each over the first, by the questions that chose."""
    best: Tried
    top: int
    proof: Comparison
    """The choice against the first, by the questions that did not choose."""
    choosing: int
    proving: int
    files: tuple[Path, Path]

    def lines(self) -> list[str]:
        """Say it."""
        lines = [f"tokens overlap  read  found  gain over the first ({self.choosing} questions)"]
        for one, gain in zip(self.tried, self.gains, strict=True):
            change = "" if one is self.tried[0] else f"  {gain.gain:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
            lines.append(f"{one.cut.tokens:6} {one.cut.overlap:7} {one.most:5} {gain.after:6.3f}{change}")
        cut, proof = self.best.cut, self.proof
        lines += [
            f"best: cut.tokens={cut.tokens} cut.overlap={cut.overlap} search.top={self.top}"
            + ("" if self.best is not self.tried[0] else ", as it was"),
            f"{self.proving} other questions: found {proof.after:.3f}, {proof.gain:+.3f} "
            f"({proof.low:+.3f} to {proof.high:+.3f}) against {proof.before:.3f}",
            f"luthier index --spec {self.files[0]}",
            f"luthier answer QUESTION --spec {self.files[1]}",
        ]
        return lines


def tune(spec: IndexSpec, asked: Sequence[Asked] | None, project: Path, tell: Tell) -> Tuned:
    """Find the best cut of the spec's sources, and write the settings that have it; None: questions are made.

    Raises SpecError without a source, DataError where there are too few questions, or one names a document that is not
    there.
    """
    if not spec.sources:
        raise SpecError("no source is given", where="key source", mend="luthier index FILES... --tune [QUESTIONS]")
    documents, embedder = _read(spec, project, tell)
    sought = [found for each in asked or () if each.answerable and (found := _sought(each, documents))]
    documents = _some(documents, [one.places[0][0] for one in sought], spec, embedder, tell)
    sought = [one for one in sought if any(label in documents for label, _ in one.places)]
    if asked is None:
        sought = make_questions(documents)
    if len(sought) < LEAST_QUESTIONS:
        raise DataError(
            f"{len(sought)} questions are too few to tell one cut from another",
            where="--tune",
            mend=f"give at least {LEAST_QUESTIONS} whose answer stands in these documents"
            + (", or --tune without a file" if asked is not None else ", which are too short to make some of"),
        )
    groups = _groups(sought)
    chooses = np.asarray([int(hashlib.sha256(name.encode()).hexdigest(), 16) % 2 == 0 for name in groups])
    if chooses.all() or not chooses.any():
        chooses = np.arange(len(sought)) % 2 == 0
    tried = _try_cuts(spec, documents, embedder, sought, chooses, tell)
    best = _best(tried, chooses)
    top = _fewest(best, chooses) if asked is not None else best.most  # made questions are found too soon to tell
    proof = _gain(tried[0], best, ~chooses, groups, top)
    if proof.gain < 0:
        best, top = tried[0], tried[0].most
        proof = _gain(tried[0], best, ~chooses, groups, top)
    gains = [_gain(tried[0], one, chooses, groups, one.most) for one in tried]
    files = _write(spec, best.cut, top, project)
    return Tuned(tried, gains, best, top, proof, int(chooses.sum()), int((~chooses).sum()), files)


def _read(spec: IndexSpec, project: Path, tell: Tell) -> tuple[dict[str, Parsed], Remembered | None]:
    files = find_files(spec.sources)
    documents = {}
    for file in files:
        try:
            documents[file.label] = read_document(file.path)
        except LuthierError as error:
            tell(Warned(f"left out: {error.what} ({error.where})", error.mend))
    folder = knowledge_folder(project, spec.name)
    before = read_current(folder) if (folder / CURRENT).exists() else None
    name = embedder_of(spec, before, files, tell)
    return documents, Remembered(open_embedder(name, tell)) if name else None


def _sought(asked: Asked, documents: Mapping[str, Parsed]) -> Sought | None:
    """Say where a question's answer stands, as closely as the question tells; None where it does not tell."""
    labels = [_label(label, asked, documents) for label in asked.documents] or list(documents)
    found = [(label, place + len(asked.answer) // 2) for label in labels for place in _places(asked, documents[label])]
    if found:
        return Sought(asked.question, tuple(found))
    return Sought(asked.question, tuple((label, None) for label in labels)) if asked.documents else None


def _places(asked: Asked, parsed: Parsed) -> list[int]:
    place = parsed.text.find(asked.answer) if asked.answer else -1
    return [place] if place >= 0 else []


def _label(wanted: str, asked: Asked, documents: Mapping[str, Parsed]) -> str:
    found = [label for label in documents if label == wanted or label.endswith(f"/{wanted}")]
    if len(found) != 1:
        raise DataError(
            f"{wanted!r} is {'no document' if not found else f'{len(found)} documents'} of these sources",
            where=f"--tune, question {asked.question[:60]!r}",
            mend="name documents as `luthier index --list` does",
        )
    return found[0]


def _some(
    documents: Mapping[str, Parsed], first: Sequence[str], spec: IndexSpec, embedder: Remembered | None, tell: Tell
) -> dict[str, Parsed]:
    """Give all documents; where an embedder must read them for every cut, no more than it can in some minutes."""
    if embedder is None:
        return dict(documents)
    by_chance = sorted(documents, key=lambda label: hashlib.sha256(label.encode()).digest())
    order = dict.fromkeys([label for label in by_chance if label in set(first)] + by_chance)
    lengths = dict(zip(order, Cutter(spec, embedder).count([documents[label].text for label in order]), strict=True))
    chosen, used = list[str](), 0
    for label in order:
        if chosen and used + lengths[label] > EMBEDDED_TOKENS:
            continue
        chosen.append(label)
        used += lengths[label]
    if len(chosen) < len(documents):
        why = f"an embedder reads them for every cut: {used:,} of {sum(lengths.values()):,} tokens"
        tell(Chose("documents", f"{len(chosen)} of {len(documents)}", why))
    return {label: documents[label] for label in chosen}


def _groups(sought: Sequence[Sought]) -> list[str]:
    labels = [one.places[0][0] for one in sought]
    return labels if len(set(labels)) >= LEAST_GROUPS else [str(number) for number in range(len(sought))]


def _try_cuts(
    spec: IndexSpec,
    documents: Mapping[str, Parsed],
    embedder: Remembered | None,
    sought: Sequence[Sought],
    chooses: npt.NDArray[np.bool_],
    tell: Tell,
) -> list[Tried]:
    """Try the cut there is, sizes, and overlaps of the size that did best."""
    longest = embedder.most_tokens if embedder else max(SIZES)
    tried: list[Tried] = []
    total = 1 + len(SIZES) + len(OVERLAPS) - 2

    def attempt(tokens: int, overlap: int) -> None:
        cut = spec.cut.model_copy(update={"tokens": min(tokens, longest), "overlap": overlap})
        if cut not in [one.cut for one in tried]:
            most = max(1, READ_TOKENS // cut.tokens)
            tried.append(Tried(cut, most, ranks(documents, cut, embedder, sought, most)))
            tell(Progress("cuts", len(tried), max(total, len(tried)), "cuts"))

    attempt(spec.cut.tokens, spec.cut.overlap)
    for tokens in SIZES:
        attempt(tokens, min(tokens, longest) // 10)
    size = _best(tried, chooses).cut.tokens
    for share in OVERLAPS:
        attempt(size, int(size * share))
    return tried


def _best(tried: Sequence[Tried], which: npt.NDArray[np.bool_]) -> Tried:
    """Give the one that finds most, of equal ones the one that came first: a change must be worth something."""
    return max(tried, key=lambda one: float(one.found(which).mean()))


def _fewest(best: Tried, which: npt.NDArray[np.bool_]) -> int:
    """Give how few chunks bring all that is found among those that may be read."""
    return max(1, int(best.ranks[which].max()))


def _gain(first: Tried, one: Tried, which: npt.NDArray[np.bool_], groups: Sequence[str], top: int) -> Comparison:
    before, after = first.found(which), one.found(which, top)
    ones = np.ones(len(before))
    return compare(
        np.stack([before, ones], axis=1),
        np.stack([after, ones], axis=1),
        lambda sums: sums[..., 0] / sums[..., 1],
        higher_is_better=True,
        groups=[name for name, is_in in zip(groups, which, strict=True) if is_in],
        resamples=2_000,
        seed=0,
    )


def _write(spec: IndexSpec, cut: CutSpec, top: int, project: Path) -> tuple[Path, Path]:
    """Write settings that `--spec` takes: for index, and for answer."""
    folder = project / "tuned"
    index, answer = folder / f"{spec.name}-index.yaml", folder / f"{spec.name}-answer.yaml"
    settings = spec.model_copy(update={"cut": cut}).model_dump(mode="json", exclude_defaults=True)
    search = {"search": {"top": max(10, top)}, "passages": top}
    for path, plain in ((index, settings), (answer, search)):
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(path, yaml.safe_dump(plain, allow_unicode=True, sort_keys=False))
    return index, answer

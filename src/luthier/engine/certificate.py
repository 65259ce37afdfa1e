"""The certificate: a model made from another is held against it on probes, in the engine that will serve it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import Message
from luthier.artifact.tokens import Tokens
from luthier.engine.probe import ANSWER_TOKENS, ROW_TOKENS, probes
from luthier.engine.subject import Ids, Subject, Telling, timed
from luthier.errors import GateError
from luthier.event import Judged, Progress, Tell, Warned
from luthier.measure.likeness import Likeness, first_divergence, log_softmax
from luthier.model.template import Template


@dataclass(frozen=True)
class Bounds:
    """What a certificate may show at most, or at least."""

    kl: float
    """Nats per token, on average."""
    near_agreement: float
    """Share of places at which the likeliest token is the reference's, or within 0.1 nats of it."""
    perplexity_ratio: float
    told: float
    """Nats, on average, between what an engine tells of given tokens and what the reference does."""

    def faults(self, figures: Mapping[str, Any]) -> list[str]:
        """Say what does not hold."""
        found = []
        if not figures["template_parity"]:
            found.append("the token ids are not those of the model it was made from")
        if figures["kl"] is not None and not figures["kl"] <= self.kl:
            found.append(f"kl is {figures['kl']:.2g}, more than {self.kl:g} nats per token")
        if not figures["near_agreement"] >= self.near_agreement:
            found.append(f"near_agreement is {figures['near_agreement']:.3f}, less than {self.near_agreement:g}")
        told = figures["told_difference"]
        if told is not None and not told <= self.told:
            found.append(f"told_difference is {told:.2g}, more than {self.told:g} nats per token")
        ratio = figures["perplexity"] / figures["reference_perplexity"]
        if not ratio <= self.perplexity_ratio:
            found.append(f"perplexity is {ratio:.3f} times the reference's, more than {self.perplexity_ratio:g}")
        return found


EXACT = Bounds(kl=1e-4, near_agreement=1.0, perplexity_ratio=1.001, told=0.001)
HALF = Bounds(kl=5e-3, near_agreement=0.99, perplexity_ratio=1.01, told=0.02)
EIGHT_BITS = Bounds(kl=0.02, near_agreement=0.97, perplexity_ratio=1.03, told=0.1)
FOUR_BITS = Bounds(kl=0.1, near_agreement=0.9, perplexity_ratio=1.1, told=0.5)


@dataclass
class Reference:
    """What the model it was made from says to the probes; logits lie in files, a row each."""

    against: str
    by: str
    prompts: list[Ids]
    answers: list[Ids]
    rows: list[Ids]
    targets: list[npt.NDArray[np.int64]]
    folder: Path
    tokens_per_second: float
    probes: list[str] = field(default_factory=list)
    """Which rows there are."""

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Give the logits of one row, (T, V)."""
        found: npt.NDArray[np.float32] = np.load(self.folder / f"{index}.npy", mmap_mode="r")
        return found


def asked(question: str) -> Message:
    """Give a question as a turn."""
    return Message("user", question)


def record(
    subject: Subject, template: Template, held_out: Sequence[Tokens], against: str, folder: Path, tell: Tell
) -> Reference:
    """Ask the reference: greedy answers to the questions; logits over those, over passages and over held-out rows.

    Of the rows, the tokens of passages and the learned ones of held-out rows count for perplexity.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [template.prompt([asked(question)]) for question in probes()["questions"]]
    answers, speed = timed(subject, prompts, ANSWER_TOKENS)
    rows: list[Ids] = [[*prompt, *answer] for prompt, answer in zip(prompts, answers, strict=True)]
    targets = [np.full(len(row), -1, np.int64) for row in rows]
    plain = [template.tokenizer(text)["input_ids"] for text in probes()["passages"]]
    for ids, mask in [*((ids, np.ones(len(ids), np.bool_)) for ids in plain), *((t.ids, t.mask) for t in held_out)]:
        cut = np.asarray(ids[:ROW_TOKENS], np.int64)
        after = np.append(np.where(mask[1 : len(cut)], cut[1:], -1), -1)
        rows.append(cut.tolist())
        targets.append(after)
    for index, row in enumerate(rows):
        np.save(folder / f"{index}.npy", subject.logits(row))
        tell(Progress("reference", index + 1, len(rows), "probes"))
    counted = [f"{len(prompts)} questions", f"{len(plain)} passages"]
    counted += [f"{len(held_out)} held-out rows"] if held_out else []
    return Reference(against, subject.by, prompts, answers, rows, targets, folder, speed, counted)


def certify(subject: Subject, reference: Reference, parity: Callable[[], bool], tell: Tell) -> dict[str, Any]:
    """Give the figures of a subject beside the reference's."""
    likeness = Likeness()
    for index, row in enumerate(reference.rows):
        likeness.add(reference.logits(index), subject.logits(row), reference.targets[index])
        tell(Progress("certificate", index + 1, len(reference.rows), "probes"))
    answers, speed = timed(subject, reference.prompts, ANSWER_TOKENS)
    parting, share = first_divergence(reference.answers, answers)
    return {
        "against": reference.against,
        "reference_by": reference.by,
        "by": subject.by,
        "probes": ", ".join(reference.probes),
        **likeness.figures(),
        "greedy_agreement": share,
        "first_divergence": parting,
        **_told(subject, reference),
        "tokens_per_second": round(speed, 1),
        "reference_tokens_per_second": round(reference.tokens_per_second, 1),
        "template_parity": parity(),
    }


def _told(subject: Subject, reference: Reference) -> dict[str, float | None]:
    """Hold what the engine itself tells of the reference's answers, token by token, against the reference."""
    if not isinstance(subject, Telling):
        return {"told_difference": None, "max_told_difference": None}
    away = []
    rows = list(zip(reference.prompts, reference.answers, strict=True))
    for index, told in enumerate(subject.told(rows)):
        prompt, answer = rows[index]
        logits_TV = reference.logits(index)[len(prompt) - 1 : len(prompt) + len(answer) - 1]
        wanted_T = log_softmax(logits_TV.astype(np.float64))[np.arange(len(answer)), answer]
        away += np.abs(wanted_T - np.asarray(told)).tolist()
    return {"told_difference": float(np.mean(away)), "max_told_difference": float(np.max(away))}


TOLD = (
    "max_logit_difference",
    "kl",
    "agreement",
    "perplexity",
    "reference_perplexity",
    "told_difference",
    "tokens_per_second",
)


def pass_or_refuse(
    name: str, figures: Mapping[str, Any], bounds: Bounds, *, refuse: bool, where: str, mend: str, tell: Tell
) -> dict[str, Any]:
    """Give the figures with `faults` and `passed`, told; raise GateError for faults that are to be refused."""
    faults = bounds.faults(figures)
    shown = ", ".join(f"{key} {figures[key]:.4g}" for key in TOLD if figures[key] is not None)
    tell(Judged(f"certificate of {name} against {figures['against']}", shown, not faults))
    if faults:
        what = f"{name} is too unlike {figures['against']}: {'; '.join(faults)}"
        if refuse:
            raise GateError(what, where=where, mend=f"{mend}, or set refuse=false to keep it all the same")
        tell(Warned(what, mend))
    return {**figures, "faults": faults, "passed": not faults}

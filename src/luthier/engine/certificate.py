"""The certificate: a model made from another is held against it on probes, in the engine that will serve it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from luthier.artifact.example import Message
from luthier.artifact.tokens import Tokens
from luthier.engine.subject import Ids, Subject, timed
from luthier.errors import GateError
from luthier.event import Judged, Progress, Tell, Warned
from luthier.measure.likeness import Likeness, first_divergence
from luthier.model.template import Template

PROBES = Path(__file__).with_name("probes.yaml")
ANSWER_TOKENS = 24
ROW_TOKENS = 256
"""Longer rows are cut: the table of a row's logits has as many lines."""


@dataclass(frozen=True)
class Bounds:
    """What a certificate may show at most, or at least."""

    kl: float
    """Nats per token, on average."""
    near_agreement: float
    """Share of places at which the likeliest token is the reference's, or within 0.1 nats of it."""
    perplexity_ratio: float

    def faults(self, figures: Mapping[str, Any]) -> list[str]:
        """Say what does not hold."""
        found = []
        if not figures["template_parity"]:
            found.append("the token ids are not those of the model it was made from")
        if figures["kl"] is not None and not figures["kl"] <= self.kl:
            found.append(f"kl is {figures['kl']:.2g}, more than {self.kl:g} nats per token")
        if not figures["near_agreement"] >= self.near_agreement:
            found.append(f"near_agreement is {figures['near_agreement']:.3f}, less than {self.near_agreement:g}")
        ratio = figures["perplexity"] / figures["reference_perplexity"]
        if not ratio <= self.perplexity_ratio:
            found.append(f"perplexity is {ratio:.3f} times the reference's, more than {self.perplexity_ratio:g}")
        return found


EXACT = Bounds(kl=1e-4, near_agreement=1.0, perplexity_ratio=1.001)
HALF = Bounds(kl=5e-3, near_agreement=0.99, perplexity_ratio=1.01)
EIGHT_BITS = Bounds(kl=0.02, near_agreement=0.97, perplexity_ratio=1.03)
FOUR_BITS = Bounds(kl=0.1, near_agreement=0.9, perplexity_ratio=1.1)


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


@cache
def probes() -> dict[str, list[str]]:
    """Read the questions and the passages."""
    found: dict[str, list[str]] = yaml.safe_load(PROBES.read_text(encoding="utf-8"))
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
        "tokens_per_second": round(speed, 1),
        "reference_tokens_per_second": round(reference.tokens_per_second, 1),
        "template_parity": parity(),
    }


TOLD = ("max_logit_difference", "kl", "agreement", "perplexity", "reference_perplexity", "tokens_per_second")


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

"""Release: a model passes the gate and becomes the current release of a channel, or is refused with the figures."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.released import current
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import GateError, KindError
from luthier.event import Judged, Tell, Warned
from luthier.release.gate import judge
from luthier.release.log import promote, refuse, was_promoted
from luthier.release.spec import ReleaseSpec

VERSION = 1


def release(spec: ReleaseSpec, tuned: Artifact, scores: Artifact, store: Store, tell: Tell) -> Artifact:
    """Make the `release` of a model whose scores pass the gate, and make it the current one of the spec's channel.

    A release that was promoted there before is not promoted again: it may have been rolled back for a reason.
    Raises GateError with every rule that failed (the refusal is kept in the log), KindError if the scores are of
    another model, SpecError for a rule that names a figure the scores do not hold.
    """
    check_kind(scores, "scores", "scores")
    judged = scores.order.inputs.get("tuned")
    if judged != tuned.id:
        raise KindError(
            f"{scores.id} holds the scores of {judged}, not of {tuned.id}",
            where="input 'scores'",
            mend=f"evaluate {tuned.id} first, or release {judged}",
        )
    base = scores.order.inputs["base"]
    inputs = {"tuned": tuned.id, "scores": scores.id}
    # where it is put to use does not change what it is
    order = Order("release", "release", VERSION, spec.model_dump(mode="json", exclude={"channel"}), inputs)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        template = template_figures(scores.card)
        table = {tag: found for tag, found in scores.card.figures.items() if tag not in template}
        verdicts = judge(spec.gate, table)
        for verdict in verdicts:
            tell(Judged(verdict.rule, verdict.value, verdict.passed))
        figures = {"rules": [asdict(verdict) for verdict in verdicts], "scores": table, **template}
        failed = [f"{verdict.rule}: {verdict.value}" for verdict in verdicts if not verdict.passed]
        if failed:
            refuse(store, spec.channel, order.id, tuned.id, "; ".join(failed), figures)
            raise GateError(
                f"the gate refuses {tuned.id}, {len(failed)} of {len(verdicts)} rules fail: {'; '.join(failed)}",
                where=str(scores.folder / "report.html"),
                mend="look at the losers in the report, then tune longer or on better rows, or ask less of the gate",
            )
        atomic.write_json(out / "release.json", {"model": tuned.id, "base": base, "evaluation": scores.id, **figures})
        return figures

    made = store.make(order, build, tell)
    if made.exists and not store.dry:
        _promote_made(spec, made, store, tell)
    return made


def _promote_made(spec: ReleaseSpec, made: Artifact, store: Store, tell: Tell) -> None:
    # a kill between making and promoting leaves a release that no line names: then it is as good as new
    if not was_promoted(store, made.id, spec.channel):
        promote(store, made.id, tell, "the gate passed", channel=spec.channel)
    elif current(store, spec.channel) != made.id:
        tell(
            Warned(
                f"{made.id} passed its gate but is not current: {current(store, spec.channel) or 'nothing'} is",
                f"luthier release --promote {made.id}"
                + ("" if spec.channel == "stable" else f" --channel {spec.channel}"),
            )
        )

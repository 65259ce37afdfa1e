"""Release: a tuned model passes the gate and becomes the current release, or is refused with the figures."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import GateError, KindError
from luthier.event import Judged, Tell
from luthier.release.gate import judge
from luthier.release.log import promote_made, refuse
from luthier.release.spec import ReleaseSpec

VERSION = 1


def release(spec: ReleaseSpec, tuned: Artifact, scores: Artifact, store: Store, tell: Tell) -> Artifact:
    """Make the `release` of a tuned model whose scores pass the gate, and make it the current one.

    A release that was made before is not promoted again: it may have been rolled back for a reason.
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
    order = Order("release", "release", VERSION, spec.model_dump(mode="json"), inputs)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        template = template_figures(scores.card)
        table = {tag: found for tag, found in scores.card.figures.items() if tag not in template}
        verdicts = judge(spec.gate, table)
        for verdict in verdicts:
            tell(Judged(verdict.rule, verdict.value, verdict.passed))
        figures = {"rules": [asdict(verdict) for verdict in verdicts], "scores": table, **template}
        failed = [f"{verdict.rule}: {verdict.value}" for verdict in verdicts if not verdict.passed]
        if failed:
            refuse(store, order, "; ".join(failed), figures)
            raise GateError(
                f"the gate refuses {tuned.id}, {len(failed)} of {len(verdicts)} rules fail: {'; '.join(failed)}",
                where=str(scores.folder / "report.html"),
                mend="look at the losers in the report, then tune longer or on better rows, or ask less of the gate",
            )
        atomic.write_json(out / "release.json", {"model": tuned.id, "base": base, "evaluation": scores.id, **figures})
        return figures

    is_new = not Artifact(order.id, store.artifacts / order.id, order).exists
    made = store.make(order, build, tell)
    if made.exists and not store.dry:
        promote_made(store, made, is_new, tell)
    return made

"""Release: a model passes the gate and becomes the current release of a channel, or is refused with the figures."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.card import NAME, template_figures
from luthier.artifact.order import Order
from luthier.artifact.released import current
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import GateError, KindError
from luthier.event import Judged, Tell, Warned
from luthier.measure.gate import Verdict, judge
from luthier.measure.rule import CERTIFICATE
from luthier.release.log import promote, refuse, was_promoted
from luthier.release.probes import certificate_verdict, forgetting_verdict
from luthier.release.spec import ReleaseSpec

VERSION = 2


def release(
    spec: ReleaseSpec, tuned: Artifact, scores: Artifact, general: Artifact | None, store: Store, tell: Tell
) -> Artifact:
    """Make the `release` of a model whose scores pass the gate, and make it the current one of the spec's channel.

    A release that was promoted there before is not promoted again: it may have been rolled back for a reason.
    Raises GateError with every rule that failed (the refusal is kept in the log), KindError if the scores are of
    another model, SpecError for a rule that names a figure the scores do not hold.
    """
    _check_inputs(tuned, scores, general)
    inputs = {"tuned": tuned.id, "scores": scores.id} | ({"general": general.id} if general else {})
    # where it is put to use does not change what it is
    order = Order("release", "release", VERSION, spec.model_dump(mode="json", exclude={"channel"}), inputs)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        template = template_figures(scores.card)
        table = {tag: found for tag, found in scores.card.figures.items() if tag not in template}
        certificate = tuned.card.figures.get(CERTIFICATE) or {}
        verdicts = judge(spec.gate, table, certificate) + certificate_verdict(spec.certificate, tuned)
        if spec.forgetting is not None:
            verdicts.append(forgetting_verdict(spec.forgetting, tuned, general))
        # what is in service is not asked for by the order: it decides, and stands in the log only
        beside = _beside(spec, tuned, scores, store)
        figures = {"rules": [asdict(verdict) for verdict in verdicts], "scores": table, **template}
        _decide(verdicts + beside, spec, order, figures, scores, store, tell)
        base = scores.order.inputs.get("base", "")
        atomic.write_json(out / "release.json", {"model": tuned.id, "base": base, "evaluation": scores.id, **figures})
        return figures

    is_new = not (store.artifacts / order.id / NAME).exists()
    made = store.make(order, build, tell)
    if made.exists and not store.dry:
        _promote_made(spec, made, (tuned, scores), is_new, store, tell)
    return made


def _check_inputs(tuned: Artifact, scores: Artifact, general: Artifact | None) -> None:
    check_kind(scores, "scores", "scores")
    judged = scores.order.inputs.get("tuned") or scores.order.inputs.get("model")
    if judged != tuned.id:
        raise KindError(
            f"{scores.id} holds the scores of {judged}, not of {tuned.id}",
            where="input 'scores'",
            mend=f"evaluate {tuned.id} first, or release {judged}",
        )
    if general is not None:
        check_kind(general, "scores", "general")


def _decide(
    verdicts: Sequence[Verdict],
    spec: ReleaseSpec,
    order: Order,
    figures: Mapping[str, Any],
    scores: Artifact,
    store: Store,
    tell: Tell,
) -> None:
    """Tell every verdict. Raises GateError, kept in the log, if one of them is no."""
    for verdict in verdicts:
        tell(Judged(verdict.rule, verdict.value, verdict.passed))
    failed = [f"{verdict.rule}: {verdict.value}" for verdict in verdicts if not verdict.passed]
    if failed:
        tuned = order.inputs["tuned"]
        known = {**figures, "rules": [asdict(verdict) for verdict in verdicts]}
        refuse(store, spec.channel, order.id, tuned, "; ".join(failed), known)
        raise GateError(
            f"the gate refuses {tuned}, {len(failed)} of {len(verdicts)} rules fail: {'; '.join(failed)}",
            where=str(scores.folder / "report.html"),
            mend="look at the losers in the report, then tune longer or on better rows, or ask less of the gate",
        )


def _promote_made(
    spec: ReleaseSpec, made: Artifact, judged: tuple[Artifact, Artifact], is_new: bool, store: Store, tell: Tell
) -> None:
    # a kill between making and promoting leaves a release that no line names: then it is as good as new
    if not was_promoted(store, made.id, spec.channel):
        figures = dict(made.card.figures)
        beside = _beside(spec, *judged, store)
        if not is_new:
            _decide(beside, spec, made.order, figures, judged[1], store, tell)
        figures["rules"] = [*figures["rules"], *(asdict(verdict) for verdict in beside)]
        promote(store, made.id, tell, "the gate passed", channel=spec.channel, figures=figures)
    elif current(store, spec.channel) != made.id:
        tell(
            Warned(
                f"{made.id} passed its gate but is not current: {current(store, spec.channel) or 'nothing'} is",
                f"luthier release --promote {made.id}"
                + ("" if spec.channel == "stable" else f" --channel {spec.channel}"),
            )
        )


def _beside(spec: ReleaseSpec, tuned: Artifact, scores: Artifact, store: Store) -> list[Verdict]:
    if not spec.not_worse:
        return []
    from luthier.release.service import service_verdicts  # numpy: only where intervals are drawn

    return service_verdicts(spec.not_worse, tuned, scores, store)

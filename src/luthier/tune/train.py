"""The heavy half of `tune`: model and adapter in memory, the loop, the adapter on disk."""

import resource
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.errors import DataError
from luthier.event import Chose, Counted, Tell, Warned
from luthier.learn.checkpoint import newest
from luthier.learn.loop import HISTORY, Course, Settings, learn
from luthier.learn.objective import Supervised, supervised
from luthier.model.adapt import add_lora, lean, load_adapter_weights, save_adapter, trainable
from luthier.model.load import load_causal
from luthier.tune.curves import draw
from luthier.tune.plan import expected_peak_bytes
from luthier.tune.spec import TuneSpec


def train(
    spec: TuneSpec, model: Artifact, data: Artifact, device: str, dtype: str, out: Path, work: Path, tell: Tell
) -> Mapping[str, Any]:
    """Train the adapter into `out`; checkpoints and history lie in `work` meanwhile. Gives the card's figures."""
    rows, dev_rows = _rows(data, "train"), _rows(data, "dev")
    if not rows:
        raise DataError("there is no row to learn from", where=f"{data.folder}/train.jsonl", mend="prepare more rows")
    facts = _replay(work, tell)
    trusted = bool(model.card.spec.get("trust_remote_code", False))
    base = load_causal(model.folder, dtype=dtype, device=device, trust_remote_code=trusted)
    adapter = spec.adapter
    adapted = add_lora(
        base, r=adapter.r, alpha=adapter.scale_alpha, dropout=adapter.dropout, targets=adapter.targets, seed=spec.seed
    )
    torch.manual_seed(spec.seed)
    adapted.train()
    inner = adapted.get_base_model()
    objective = _objective(inner, rows, spec, facts, tell)
    tell(Chose("lora", f"{lean(adapted)} lean layers", "no gradient of frozen weights, no casts: PEFT's own results"))
    named = dict(trainable(adapted))
    counts = {"trained": sum(p.numel() for p in named.values()), "all": sum(p.numel() for p in adapted.parameters())}
    tell(Counted("parameters", counts))

    def save(folder: Path) -> None:
        save_adapter(adapted, folder, base=str(model.folder))

    course = Course(
        objective=objective,
        rows=rows,
        dev_rows=dev_rows,
        named=named,
        save=save,
        load=lambda folder: load_adapter_weights(adapted, folder),
        work=work,
        facts={"model": model.id, "packed": objective.packed, "threads": torch.get_num_threads()},
    )
    begun = time.monotonic()
    history = learn(course, _settings(spec), tell)
    seconds = time.monotonic() - begun
    save_adapter(adapted, out, base=model.id)
    shutil.copy2(work / HISTORY, out / HISTORY)
    draw(history, out / "curves.png")
    return _figures(history, counts, rows, spec, seconds, model, dtype)


def _rows(data: Artifact, split: str) -> list[Tokens]:
    return [row for row in read_tokens(data.folder, split) if row.supervised]


def _replay(work: Path, tell: Tell) -> Mapping[str, Any]:
    """Take over, from the checkpoint a run goes on from, the choices that bear on bits."""
    found = newest(work / "checkpoints", tell)
    if found is None:
        return {}
    threads = int(found.state["threads"])
    if threads != torch.get_num_threads():
        torch.set_num_threads(threads)
        tell(Chose("threads", str(threads), "the checkpoint was made with so many: sums keep their order"))
    return found.state


def _objective(inner: Any, rows: list[Tokens], spec: TuneSpec, facts: Mapping[str, Any], tell: Tell) -> Supervised:
    """The objective, found by trying, and the same way as before the stop where a run goes on."""
    objective = supervised(inner, rows, spec.learn.tokens_per_pass, tell)
    if facts.get("packed", objective.packed) != objective.packed:
        tell(
            Warned(
                f"the run began with packed={facts['packed']}, this machine computes packed={objective.packed}",
                "losses go on but not bit for bit; go on with the same versions and processor for that",
            )
        )
    return objective


def _settings(spec: TuneSpec) -> Settings:
    learning, kept = spec.learn, spec.checkpoint
    return Settings(
        rate=learning.rate,
        schedule=learning.schedule,
        warmup_share=learning.warmup_share,
        epochs=learning.epochs,
        rows_per_step=learning.rows_per_step,
        weight_decay=learning.weight_decay,
        clip_norm=learning.clip_norm,
        seed=spec.seed,
        dev_every_steps=learning.dev_every_steps,
        save_every_steps=kept.every_steps,
        keep_checkpoints=kept.keep,
    )


def _figures(
    history: list[dict[str, float]],
    counts: Mapping[str, int],
    rows: list[Tokens],
    spec: TuneSpec,
    seconds: float,
    model: Artifact,
    dtype: str,
) -> Mapping[str, Any]:
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there, in kilobytes elsewhere
    figures: dict[str, Any] = {
        "trained_parameters": counts["trained"],
        "all_parameters": counts["all"],
        "rows": len(rows),
        "tokens_per_epoch": sum(len(row.ids) for row in rows),
        "supervised_tokens_per_epoch": sum(row.supervised for row in rows),
        "steps": len(history),
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "learn_seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
        "expected_peak_bytes": expected_peak_bytes(spec, model.folder, dtype),
    }
    if "dev_loss" in history[-1]:
        figures["dev_loss"] = history[-1]["dev_loss"]
    return figures

"""The curves of a run as a picture: loss, gradient norm, learning rate."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw(history: Sequence[Mapping[str, float]], path: Path) -> None:
    """Draw the history of a run, one step a point, as a PNG. The same history gives the same bytes."""
    figure = Figure(figsize=(8, 8), layout="constrained")
    FigureCanvasAgg(figure)
    loss, norm, rate = figure.subplots(3, 1, sharex=True)
    steps = [line["step"] for line in history]
    values = [line["loss"] for line in history]
    loss.plot(steps, values, color="#9db8d9", linewidth=0.8, label="train, each step")
    loss.plot(steps, _smooth(values), color="#1f5fa8", label="train, smoothed")
    dev = [(line["step"], line["dev_loss"]) for line in history if "dev_loss" in line]
    if dev:
        loss.plot(*zip(*dev, strict=True), "o-", color="#c2410c", label="dev")
    loss.set_ylabel("loss (nats per token)")
    loss.legend()
    norm.plot(steps, [line["grad_norm"] for line in history], color="#4d7c0f", linewidth=0.9)
    norm.set_ylabel("gradient norm")
    rate.plot(steps, [line["rate"] for line in history], color="#6d28d9")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("step")
    for axes in (loss, norm, rate):
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _smooth(values: Sequence[float], keep: float = 0.9) -> list[float]:
    """An exponential average, corrected for its start (Kingma and Ba 2014, arXiv:1412.6980, section 3)."""
    smoothed, average = [], 0.0
    for count, value in enumerate(values, 1):
        average = keep * average + (1 - keep) * value
        smoothed.append(average / (1 - keep**count))
    return smoothed

"""Where a run is logged besides its own events: a tracker is a row, and takes numbers by name and step."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.errors import ToolError
from luthier.event import Chose, Event, Step, Tell, Warned

Log = Callable[[Mapping[str, float], int], None]
"""Takes figures by name and the step they belong to."""


@dataclass(frozen=True)
class Run:
    """What a tracker is told of a run."""

    id: str
    folder: Path
    """Where trackers that write files put them; made where it is not there."""
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Tracker:
    """One row."""

    package: str
    open: Callable[[Run, ExitStack], Log]
    about: str
    mend: str
    """What helps where it cannot be opened."""


def _tensorboard(run: Run, stack: ExitStack) -> Log:
    from tensorboardX import SummaryWriter

    writer = SummaryWriter(str(run.folder / "tensorboard"), flush_secs=5)
    stack.callback(writer.close)

    def log(figures: Mapping[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)

    return log


def _mlflow(run: Run, stack: ExitStack) -> Log:
    import mlflow

    stack.enter_context(mlflow.start_run(run_name=run.id))
    mlflow.log_params({name: str(value)[:500] for name, value in run.settings.items()})
    return lambda figures, step: mlflow.log_metrics(dict(figures), step=step)


def _wandb(run: Run, stack: ExitStack) -> Log:
    import wandb

    opened = wandb.init(project="luthier", id=run.id, resume="allow", dir=str(run.folder), config=dict(run.settings))
    stack.callback(opened.finish)
    return lambda figures, step: opened.log(dict(figures), step=step)


def _swanlab(run: Run, stack: ExitStack) -> Log:
    import swanlab

    swanlab.init(
        project="luthier", experiment_name=run.id, logdir=str(run.folder / "swanlab"), config=dict(run.settings)
    )
    stack.callback(swanlab.finish)
    return lambda figures, step: swanlab.log(dict(figures), step=step)


def _trackio(run: Run, stack: ExitStack) -> Log:
    import trackio

    trackio.init(project="luthier", name=run.id, config=dict(run.settings))
    stack.callback(trackio.finish)
    return lambda figures, step: trackio.log(dict(figures), step=step)


TRACKERS: dict[str, Tracker] = {
    "tensorboard": Tracker(
        "tensorboardX",
        _tensorboard,
        "files that `tensorboard --logdir .luthier/track` shows",
        "see that the folder can be written",
    ),
    "mlflow": Tracker(
        "mlflow",
        _mlflow,
        "the server or database that MLFLOW_TRACKING_URI names, else `mlflow.db` in this folder",
        "set MLFLOW_TRACKING_URI to a server, or to sqlite:///mlflow.db",
    ),
    "swanlab": Tracker(
        "swanlab",
        _swanlab,
        "SwanLab, as SWANLAB_MODE and its login say; local needs `pip install 'swanlab[dashboard]'`",
        "swanlab login, or set SWANLAB_MODE=offline",
    ),
    "wandb": Tracker(
        "wandb", _wandb, "Weights & Biases, as WANDB_MODE and its login say", "wandb login, or set WANDB_MODE=offline"
    ),
    "trackio": Tracker(
        "trackio", _trackio, "Trackio's local database: `trackio show --project luthier`", "see what Trackio says above"
    ),
}


@contextmanager
def tracked(names: Sequence[str], run: Run, tell: Tell) -> Iterator[Tell]:
    """Give a `tell` that logs each step to the trackers too.

    Raises ToolError, before the run, for a tracker whose package is not installed or that cannot be opened. One that
    fails later is told and left out: a run of hours does not end for it.
    """
    with ExitStack() as stack:
        logs: dict[str, Log] = {}
        if names:
            run.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            own = ExitStack()
            logs[name] = _opened(name, run, own)
            stack.push(_closing(name, own, tell))
        if names:
            tell(Chose("trackers", ", ".join(names), f"of run {run.id}; files lie in {run.folder}"))

        def log(event: Event) -> None:
            tell(event)
            if isinstance(event, Step):
                for name, send in list(logs.items()):
                    try:
                        with redirect_stdout(sys.stderr):
                            send(figures_of(event), event.step)
                    except Exception as error:  # each raises its own
                        del logs[name]
                        tell(_failed(name, error))

        yield log


def _closing(name: str, own: ExitStack, tell: Tell) -> Callable[[Any, Any, Any], None]:
    def close(kind: Any, error: Any, trace: Any) -> None:
        try:
            with redirect_stdout(sys.stderr):
                own.__exit__(kind, error, trace)
        except Exception as failure:  # each raises its own
            tell(_failed(name, failure))

    return close


def _failed(name: str, error: Exception) -> Warned:
    return Warned(f"the tracker {name} failed: {_first_line(error)}", "nothing: history.jsonl holds every figure")


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _opened(name: str, run: Run, stack: ExitStack) -> Log:
    row = TRACKERS[name]
    try:
        with redirect_stdout(sys.stderr):  # some greet there; ours holds data only
            return row.open(run, stack)
    except ImportError:
        raise ToolError(
            f"the tracker {name} needs {row.package}, which is not installed",
            where="key track",
            mend=f"pip install 'luthier[track]' (or {row.package}), or leave {name} out of track",
        ) from None
    except Exception as error:  # each raises its own
        raise ToolError(
            f"the tracker {name} cannot be opened: {_first_line(error)}",
            where="key track",
            mend=f"{row.mend}, or leave {name} out of track",
        ) from error


def figures_of(step: Step) -> dict[str, float]:
    """Give the numbers of a step by the names trackers show."""
    figures = {
        "train/loss": step.loss,
        "train/grad_norm": step.grad_norm,
        "train/rate": step.rate,
        "train/epoch": step.epoch,
        "train/tokens_per_second": step.tokens_per_second,
    }
    if step.dev_loss is not None:
        figures["dev/loss"] = step.dev_loss
    return figures | {f"task/{name}": loss for name, loss in step.tasks.items()} | dict(step.figures)

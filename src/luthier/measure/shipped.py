"""Tasks by name: those shipped beside this file, and files of the user's own."""

from pathlib import Path

from luthier.errors import SpecError
from luthier.measure.task import nearest

TASKS = Path(__file__).parent / "tasks"


def shipped_tasks() -> tuple[str, ...]:
    """Give the names of the shipped tasks."""
    return tuple(sorted(path.stem for path in TASKS.glob("*.yaml")))


def find_task(name: str, key: str = "evaluate.task") -> Path:
    """Give the file of a shipped task, or the path itself if the name is one (`a/b`, `b.yaml`).

    Raises SpecError for a name that is neither.
    """
    if Path(name).suffix in (".yaml", ".yml") or "/" in name or "\\" in name:
        return Path(name)
    if name not in shipped_tasks():
        raise SpecError(
            f"there is no task {name!r}",
            where=f"key {key}",
            mend=f"{nearest(name, shipped_tasks())} (or give the path of a YAML file)",
        )
    return TASKS / f"{name}.yaml"

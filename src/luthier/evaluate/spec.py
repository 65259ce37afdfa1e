"""What one may ask of an evaluation."""

from typing import Annotated, Literal

from pydantic import Field

from luthier.evaluate.shipped import find_task
from luthier.measure.task import read_task
from luthier.spec import Spec


class EvaluateSpec(Spec):
    """How base and tuned model are compared."""

    task: str = "answer"
    """The name of a shipped task, or the path of a YAML file of your own."""
    split: Literal["test", "dev"] = "test"
    """Which rows are asked."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most so many rows of each tag, instead of the task's own limits."""
    seed: int = 0
    """Decides which rows a limit keeps, and what the bootstrap draws."""
    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    """How often rows are drawn anew for the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """How often such an interval should hold the true gain."""

    def metrics(self) -> tuple[str, ...]:
        """Read the task and give what it measures. Raises SpecError for a task that cannot be read."""
        return read_task(find_task(self.task)).metrics

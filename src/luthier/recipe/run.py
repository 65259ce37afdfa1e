"""Run a recipe: check everything, then make what is not there yet, step by step."""

from luthier.artifact.store import Artifact, Store
from luthier.event import Tell
from luthier.recipe.call import call_stage
from luthier.recipe.check import check, check_room
from luthier.recipe.load import Recipe


def run(recipe: Recipe, store: Store, tell: Tell) -> dict[str, Artifact]:
    """Run a recipe's steps. Gives each step's artifact by the step's name; what is made already is skipped."""
    made: dict[str, Artifact] = {}
    real: dict[str, Artifact] = {}  # a plan knows no state of a knowledge base that is still to be made
    for planned in check(recipe, store):
        check_room(planned, store)  # once more: what was not fetched before is known by now
        step = planned.step
        inputs = {role: one and real.get(one.id, one) for role, one in planned.inputs.items()}
        made[step.name] = real[planned.artifact.id] = call_stage(step.stage, step.spec, inputs, store, tell)
    return made

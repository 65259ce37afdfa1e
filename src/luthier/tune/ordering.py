"""What a run is ordered by: its spec, its inputs, and the choices that change its bits."""

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, check_kind
from luthier.errors import KindError
from luthier.model.machine import Choice, choose_device, choose_dtype
from luthier.tune.incompatible import check
from luthier.tune.spec import TuneSpec


def ordered(spec: TuneSpec, model: Artifact, data: Artifact, version: int) -> tuple[Order, Choice, Choice]:
    """Give the order of a run, its device and its number format; raise for what does not go together."""
    device = Choice(spec.device, "the spec says so") if spec.device != "auto" else choose_device()
    check(spec, device.value)
    check_kind(model, "model", "model")
    check_kind(data, "examples", "data")
    prepared_for = data.order.inputs.get("model")
    if prepared_for != model.id:
        raise KindError(
            f"the examples {data.id} were prepared for {prepared_for}, not for {model.id}",
            where="input 'data'",
            mend=f"prepare them for this model: luthier prepare --model {model.id} ...",
        )
    dtype = Choice(spec.dtype, "the spec says so") if spec.dtype != "auto" else choose_dtype(device.value)
    choices = {"device": device.value, "dtype": dtype.value}
    order = Order(
        "adapter", "tune", version, spec.model_dump(mode="json"), {"model": model.id, "data": data.id}, choices
    )
    return order, device, dtype

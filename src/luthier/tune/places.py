"""Where a run's frozen weights lie, if one device has no room for all."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.event import Chose, Tell
from luthier.model.device_map import place_layers, rooms
from luthier.model.layers import checkpoint_layers
from luthier.model.plan import DTYPE_BYTES
from luthier.tune.plan_place import read_bytes
from luthier.tune.spec import TuneSpec


def places_of(spec: TuneSpec, folder: Path, device: str, dtype: str) -> dict[str, str] | None:
    """Give each module's place, None where all lie on the device. Raises RoomError if not even the head fits there."""
    if spec.device_map == "none":
        return None
    from luthier.model.skeleton import open_skeleton

    asked = {place: read_bytes(amount, "key max_memory") for place, amount in spec.max_memory.items()}
    return place_layers(open_skeleton(folder, dtype), rooms(device, asked), DTYPE_BYTES[dtype])


def come_and_go(model: Any, places: Mapping[str, str] | None, tell: Tell) -> Any:
    """Let layers whose weights come and go keep their input only: else backward would hold on to every layer's weights.

    Tells where the layers lie.
    """
    if places is None:
        return model
    count = checkpoint_layers(model)
    found = Counter(place for name, place in places.items() if any(part.isdigit() for part in name.split(".")))
    where = ", ".join(f"{number} on {place}" for place, number in found.items())
    tell(Chose("layers", where, f"device_map=auto; all {count} are computed twice, so that no weights are held"))
    return model

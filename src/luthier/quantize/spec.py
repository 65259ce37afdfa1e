"""What one may ask of `quantize`."""

from typing import Annotated

from pydantic import AfterValidator

from luthier.quantize.kinds import KINDS
from luthier.spec import Spec


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"should be one of {', '.join(KINDS)}")
    return kind


class QuantizeSpec(Spec):
    """Which form a model is given."""

    kind: Annotated[str, AfterValidator(_known)]
    """A row of the table of kinds: engine and number format."""
    trust_remote_code: bool = False
    """Run Python code that comes in the model's folder."""
    refuse: bool = True
    """Refuse what its certificate shows to be too unlike the model; false keeps it, with `certificate.passed` false."""

"""Narrow weights in transformers' own form: a plain model folder whose config says how they are to be read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact.beside import copy_beside
from luthier.errors import ModelError
from luthier.event import Chose, Tell
from luthier.model.load import load_causal
from luthier.model.machine import choose_device, choose_dtype
from luthier.model.quantized import WRITTEN
from luthier.quantize.kinds import Source


def make_narrow(source: Source, out: Path, work: Path, tell: Tell, *, form: str) -> Mapping[str, Any]:
    """Write the folder with weights as a row of `model.quantized.WRITTEN` has them. Gives figures.

    Raises ModelError for a model whose weights are narrow already.
    """
    device = choose_device().value
    dtype = choose_dtype(device)
    tell(Chose("dtype", dtype.value, f"what the rest is computed in: {dtype.why}"))
    model = load_causal(
        source.folder,
        dtype=dtype.value,
        device=device,
        trust_remote_code=source.trust_remote_code,
        quantize=form,
    )
    copy_beside(source.folder, out)
    try:
        model.save_pretrained(out, max_shard_size="5GB")
    except (NotImplementedError, ValueError, TypeError) as error:
        raise ModelError(
            f"weights of the kind {form} cannot be written: {error}",
            where=str(source.folder),
            mend=f"update {WRITTEN[form].package} and transformers together",
        ) from error
    return {"dtype": dtype.value}

"""Weights of few bits in the form of compressed-tensors, which vLLM runs on GPUs: written by llmcompressor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from luthier import sidecar
from luthier.artifact import atomic
from luthier.artifact.beside import copy_beside
from luthier.event import Chose, Progress, Tell
from luthier.model.plan import read_shapes
from luthier.model.template import load_tokenizer
from luthier.quantize.kinds import Source

TOOL = "llmcompressor"
CHILD = Path(__file__).with_name("compressed_child.py")
GROUPS = (128, 64, 32)
"""Weights that share a scale along the inputs of a layer; the first that divides every layer's is taken."""
CALIBRATION_ROWS = 128
ROW_TOKENS = 512


def make_compressed(
    source: Source, out: Path, work: Path, tell: Tell, *, way: str, bits: int, grouped: bool
) -> Mapping[str, Any]:
    """Write the folder. Gives figures: how the weights lie. Raises ToolError if the tool is not set up or fails."""
    group = choose_group([layer.inputs for layer in read_shapes(source.folder).linear]) if grouped else 0
    weights: dict[str, Any] = {"num_bits": bits, "type": "int", "symmetric": True}
    weights |= {"strategy": "group", "group_size": group} if group else {"strategy": "channel"}
    if grouped:
        why = "divides the inputs of every layer" if group else f"none of {GROUPS} divides the inputs of every layer"
        tell(Chose("weights that share a scale", str(group or "an output's"), why))
    rows = calibration(source, tell) if way != "nearest" else []
    asked = work / "asked.json"
    atomic.write_json(asked, {"way": way, "weights": weights, "rows": rows, "trusted": source.trust_remote_code})
    tell(Progress("llmcompressor", 0, 1, "steps"))
    sidecar.call(source.project, TOOL, [str(CHILD), str(source.folder.absolute()), str(out.absolute()), str(asked)])
    tell(Progress("llmcompressor", 1, 1, "steps"))
    config = out / "config.json"
    written = config.read_bytes()
    copy_beside(source.folder, out)
    config.write_bytes(written)  # the one that says how the weights are to be read
    return {"weights": weights, "calibration_rows": len(rows)}


def choose_group(inputs: Sequence[int]) -> int:
    """Give the group for layers with these inputs; 0: none fits."""
    return next((group for group in GROUPS if all(size % group == 0 for size in inputs)), 0)


def calibration(source: Source, tell: Tell) -> list[list[int]]:
    """Give rows of tokens to calibrate on: those the model was tuned on, else the language reference of Python."""
    learned = source.learned(CALIBRATION_ROWS)
    if learned:
        tell(Chose("calibration", f"{len(learned)} rows", "the model was tuned on them"))
        return [ids[:ROW_TOKENS] for ids in learned]
    from pydoc_data.topics import topics

    tokenizer = load_tokenizer(source.folder)
    rows = [tokenizer(text)["input_ids"][:ROW_TOKENS] for _, text in sorted(topics.items())]
    tell(
        Chose("calibration", f"{len(rows)} topics of Python's own help", "nothing is known that the model was tuned on")
    )
    return rows

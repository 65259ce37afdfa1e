"""A folder that openvino-genai loads: graph, tokenizer, config, and how the engine is to be set."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.beside import copy_beside
from luthier.errors import ModelError
from luthier.event import Progress, Tell
from luthier.model.template import load_tokenizer
from luthier.quantize.kinds import Source
from luthier.quantize.openvino_state import keep_state
from luthier.quantize.openvino_trace import trace
from luthier.quantize.openvino_weights import as_bfloat16, as_int8, as_is, by_nncf, in_graph

SETTINGS = "engine.json"
"""Beside the graph: {"engine": "openvino", "properties": what the pipeline must be opened with}."""
EXACT = {"INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f32"}
HALF = {"INFERENCE_PRECISION_HINT": "bf16", "KV_CACHE_PRECISION": "u8"}
"""Where the processor has no bfloat16 the engine computes in float32."""
FORMS = {
    "f32": (as_is, EXACT),
    "bf16": (in_graph(as_bfloat16), HALF),
    "q8": (in_graph(as_int8), HALF),
    "int8": (by_nncf("INT8_ASYM"), HALF),
    "int4": (by_nncf("INT4_ASYM", group_size=64, awq=True), HALF),
}
"""Form -> what writes the graph with its weights so, and the properties that the engine is opened with."""
STEPS = ("trace", "tokenizer", "weights")


def make_openvino(source: Source, out: Path, work: Path, tell: Tell, *, form: str) -> Mapping[str, Any]:
    """Write the folder. Gives figures.

    Raises ModelError for a model or a tokenizer that OpenVINO cannot take.
    """
    import openvino

    tell(Progress("OpenVINO", 0, len(STEPS), "steps"))
    graph, layers = trace(source.folder, source.trust_remote_code)
    keep_state(graph, layers)
    tell(Progress("OpenVINO", 1, len(STEPS), "steps"))
    copy_beside(source.folder, out)
    _write_tokenizer(source.folder, out)
    tell(Progress("OpenVINO", 2, len(STEPS), "steps"))
    write, properties = FORMS[form]
    figures = write(graph, out / "openvino_model.xml", work, source.project)
    atomic.write_json(out / SETTINGS, {"engine": "openvino", "properties": properties})
    if not (out / "generation_config.json").exists():
        atomic.write_json(out / "generation_config.json", {"do_sample": False})
    tell(Progress("OpenVINO", 3, len(STEPS), "steps"))
    return {**figures, "openvino": openvino.__version__}


def _write_tokenizer(folder: Path, out: Path) -> None:
    """Write the tokenizer as graphs: the engine's own text in and out goes through them."""
    import openvino
    from openvino_tokenizers import convert_tokenizer

    tokenizer = load_tokenizer(folder)
    try:
        there, back = convert_tokenizer(tokenizer, with_detokenizer=True)
    except Exception as error:  # a tokenizer's parts may be of any kind: what is unknown there raises anything
        raise ModelError(
            f"OpenVINO cannot take this tokenizer: {str(error).strip().splitlines()[0]}",
            where=str(folder / "tokenizer.json"),
            mend="make kind=gguf-q8_0, or serve the model itself through transformers",
        ) from error
    openvino.save_model(there, out / "openvino_tokenizer.xml")
    openvino.save_model(back, out / "openvino_detokenizer.xml")

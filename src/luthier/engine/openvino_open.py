"""Opening a folder for the CPU engine: what must lie in it, what its cache may take, its adapter."""

import json
import math
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from luthier.engine.draw import read_defaults
from luthier.engine.openvino import OpenVinoModel
from luthier.engine.openvino_adapter import write_adapter
from luthier.engine.room import Room
from luthier.engine.supervised import Supervised
from luthier.engine.words import Words
from luthier.errors import ModelError, ToolError
from luthier.event import Tell, Warned, hush
from luthier.model.template import open_template

MODULE = "luthier.engine.openvino_child"
SETTINGS = "engine.json"
"""Beside the graph: {"engine": "openvino", "properties": what the pipeline is opened with}."""
NEEDED = ("openvino_model.xml", "openvino_model.bin", "openvino_tokenizer.xml", "openvino_detokenizer.xml", SETTINGS)
ROWS_PER_STEP = 64
"""How many answers the engine goes on with in one step; offline batches fill it."""
CACHE_BYTES = 2**30
"""What the cache may take, unless one context needs more."""
BLOCK_TOKENS = 32
LOADED_BYTES = 300 * 2**20
"""What a process takes beside its weights and its cache (SmolLM2: 280 MB)."""


def open_openvino(
    folder: Path, *, name: str, adapter: Path | None = None, room: Room | None = None, tell: Tell = hush
) -> OpenVinoModel:
    """Open a folder made by `quantize kind=openvino-*`, with a LoRA adapter on it if one is given.

    The process is started now, so that a folder that cannot be run is told here. `room` is what it shares with others.
    Raises ToolError without openvino-genai, ModelError for a folder or an adapter that is not whole, ServeError
    with the process's last words if it ends while loading.
    """
    if find_spec("openvino_genai") is None:
        raise ToolError("the CPU engine needs openvino-genai", where=str(folder), mend="pip install 'luthier[cpu]'")
    settings = _settings(folder)
    template = open_template(folder)
    draw, lacking = read_defaults(folder)
    for key, value in lacking.items():
        what = f"generation_config.json sets {key} to {value!r}, which this engine lacks: it is left out"
        tell(Warned(what, mend=f"remove {key} from {folder / 'generation_config.json'}"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    properties = dict(settings["properties"])
    blocks, cache_bytes = _cache(config, properties)
    opening: dict[str, Any] = {"open": str(folder), "properties": properties, "blocks": blocks, "rows": ROWS_PER_STEP}
    work = None
    if adapter is not None:
        work = Path(tempfile.mkdtemp(prefix="luthier-adapter-"))
        is_exact = properties.get("INFERENCE_PRECISION_HINT") == "f32"
        opening |= {"adapter": str(write_adapter(adapter, folder, work)), "is_exact": is_exact}
    peak = (folder / "openvino_model.bin").stat().st_size + cache_bytes + LOADED_BYTES
    engine = Supervised(MODULE, opening, name=name, peak_bytes=peak, tell=tell)
    model = OpenVinoModel(engine, Words(template, int(config["vocab_size"])), name=name, draw=draw, work=work)
    try:
        (room or Room()).take_in(engine)
    except Exception:
        model.close()
        raise
    return model


def _settings(folder: Path) -> dict[str, Any]:
    mend = "make it anew: luthier quantize kind=openvino-f32 (or -bf16, -q8)"
    missing = [name for name in NEEDED if not (folder / name).exists()]
    if missing:
        raise ModelError(f"the folder has no {missing[0]}", where=str(folder), mend=mend)
    try:
        settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        properties = settings["properties"]
    except (ValueError, KeyError, TypeError):
        properties = None
    if not isinstance(properties, dict) or settings.get("engine") != "openvino":
        raise ModelError(
            f"{SETTINGS} is not what the CPU engine is opened with", where=str(folder / SETTINGS), mend=mend
        )
    return settings


def _cache(config: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[int, int]:
    """Give how many blocks the cache has, and what they take: what fits its bytes, one context at least."""
    heads = int(config.get("num_key_value_heads") or config["num_attention_heads"])
    width = int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])
    bytes_per_number = {"u8": 1, "f32": 4}.get(str(properties.get("KV_CACHE_PRECISION")), 2)
    token_bytes = 2 * int(config["num_hidden_layers"]) * heads * width * bytes_per_number
    context = int(config.get("max_position_embeddings") or 2048)
    blocks = max(CACHE_BYTES // (token_bytes * BLOCK_TOKENS), math.ceil(context / BLOCK_TOKENS) + 1)
    wanted = math.ceil(context / BLOCK_TOKENS) * ROWS_PER_STEP + 1  # more than this is never used at once
    blocks = min(blocks, wanted)
    return blocks, blocks * token_bytes * BLOCK_TOKENS

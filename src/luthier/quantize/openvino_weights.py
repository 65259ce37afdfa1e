"""Weights of an OpenVINO graph in fewer bits, turned back to float32 by the graph itself or by its kernels."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier import sidecar

CHILD = Path(__file__).with_name("nncf_child.py")
GROUP = 32
"""Weights that share a scale along the inputs of a layer, as in GGUF's Q8_0."""
SMALLEST = 1024
"""Smaller tensors (norms, biases) stay as they are."""

Floats = npt.NDArray[np.float32]
Write = Callable[[Any, Path, Path, Path], Mapping[str, Any]]
"""`write(graph, path, work, project)` gives figures."""


def as_is(graph: Any, path: Path, work: Path, project: Path) -> Mapping[str, Any]:
    """Write a graph with the weights it has."""
    import openvino

    openvino.save_model(graph, path, compress_to_fp16=False)
    return {}


def in_graph(form: Callable[[Floats], Any]) -> Write:
    """Give what writes a graph with every matrix in a narrower form."""

    def write(graph: Any, path: Path, work: Path, project: Path) -> Mapping[str, Any]:
        count = narrow(graph, form)
        as_is(graph, path, work, project)
        return {"narrowed_matrices": count}

    return write


def by_nncf(mode: str, **options: Any) -> Write:
    """Give what writes a graph with weights as nncf makes them, in an environment of its own."""

    def write(graph: Any, path: Path, work: Path, project: Path) -> Mapping[str, Any]:
        wide = work / "wide.xml"
        as_is(graph, wide, work, project)
        sidecar.call(
            project, "nncf", [str(CHILD), str(wide.absolute()), str(path.absolute()), mode, json.dumps(options)]
        )
        for part in (wide, wide.with_suffix(".bin")):
            part.unlink()
        return {"nncf": {"mode": mode, **options}}

    return write


def as_bfloat16(weight_OI: Floats) -> Any:
    """Give a weight rounded to bfloat16 (ties to even), and the node that widens it."""
    import openvino
    import torch
    from openvino import opset13

    rounded = torch.from_numpy(weight_OI).bfloat16().view(torch.int16).numpy().view(np.uint16)
    tensor = openvino.Tensor(rounded, list(rounded.shape), openvino.Type.bf16)
    narrow = openvino.op.Constant(tensor, shared_memory=False)  # else the graph would read freed memory
    return opset13.convert(narrow, "f32")


def as_int8(weight_OI: Floats) -> Any:
    """Give a weight in 8 bits with a scale for each `GROUP` inputs (for each output where they do not divide)."""
    from openvino import opset13

    outputs, inputs = weight_OI.shape
    group = GROUP if inputs % GROUP == 0 else inputs
    parts_OGI = weight_OI.reshape(outputs, inputs // group, group)
    scale_OG1 = np.abs(parts_OGI).max(axis=2, keepdims=True) / 127
    scale_OG1 = np.where(scale_OG1 == 0, 1, scale_OG1).astype(np.float16).astype(np.float32)
    scale_OG1 = np.maximum(scale_OG1, np.float32(2.0**-24))  # float16's least: rounding must not give 0
    codes_OGI = np.clip(np.round(parts_OGI / scale_OG1), -127, 127).astype(np.int8)
    wide = opset13.multiply(
        opset13.convert(opset13.constant(codes_OGI), "f32"),
        opset13.convert(opset13.constant(scale_OG1.astype(np.float16)), "f32"),
    )
    return opset13.reshape(wide, opset13.constant(np.array([outputs, inputs], np.int64)), special_zero=False)


def narrow(graph: Any, form: Callable[[Floats], Any]) -> int:
    """Put every matrix of the graph in a narrower form. Gives how many were."""
    count = 0
    for node in list(_matrices(graph)):
        users = list(node.output(0).get_target_inputs())
        name = node.get_friendly_name()
        wide = form(np.array(node.data, dtype=np.float32))
        wide.set_friendly_name(name)
        for user in users:
            user.replace_source_output(wide.output(0))
        count += 1
    graph.validate_nodes_and_infer_types()
    return count


def _matrices(graph: Any) -> Iterator[Any]:
    for node in graph.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "f32":
            shape = list(node.get_output_shape(0))
            if len(shape) == 2 and int(np.prod(shape)) >= SMALLEST:
                yield node

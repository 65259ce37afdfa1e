"""The past of an OpenVINO graph as state inside it, in the form that its generating pipelines look for."""

from typing import Any

import numpy as np


def keep_state(graph: Any, layers: int) -> None:
    """Move `past_key_values.*` and `present.*` inside: variables, empty at first, whose rows `beam_idx` reorders.

    Source of the form: openvino.genai, src/cpp/src/utils, and OpenVINO's SDPAToPagedAttention, which matches
    ReadValue (with a first value) -> Gather by beam_idx -> Concat.
    """
    import openvino
    from openvino import opset13
    from openvino._offline_transformations import apply_make_stateful_transformation

    beam = opset13.parameter([-1], openvino.Type.i32, name="beam_idx")
    beam.output(0).get_tensor().add_names({"beam_idx"})
    graph.add_parameters([beam])
    pairs = {}
    for found in graph.inputs:
        name = found.get_any_name()
        if not name.startswith("past_key_values"):
            continue
        pairs[name] = name.replace("past_key_values", "present")
        users = list(found.get_target_inputs())
        chosen = opset13.gather(found.get_node(), beam, opset13.constant(0, openvino.Type.i64))
        for user in users:
            user.replace_source_output(chosen.output(0))
    if len(pairs) != 2 * layers:
        raise AssertionError(f"{len(pairs)} pasts of {layers} layers")
    graph.validate_nodes_and_infer_types()
    apply_make_stateful_transformation(graph, pairs)
    _begin_empty(graph, opset13)


def _begin_empty(graph: Any, opset: Any) -> None:
    """Let each variable begin as (B, H, 0, D) zeros, B read from the ids."""
    ids = graph.input("input_ids")
    rows = opset.gather(opset.shape_of(ids, output_type="i64"), opset.constant([0]), opset.constant(0))
    for node in graph.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, width = node.get_output_partial_shape(0)
            rest = opset.constant(np.array([heads.get_length(), 0, width.get_length()], dtype=np.int64))
            zero = opset.constant(0.0, dtype=node.get_output_element_type(0))
            node.set_arguments([opset.broadcast(zero, opset.concat([rows, rest], axis=0))])
    graph.validate_nodes_and_infer_types()

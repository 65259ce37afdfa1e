"""Runs in the environment of the tool `nncf`, with nothing of ours: an OpenVINO graph in, one with narrow weights out.

    python nncf_child.py WIDE.xml NARROW.xml MODE OPTIONS

MODE is one of nncf.CompressWeightsMode, OPTIONS a JSON object of what else `nncf.compress_weights` takes.
"""

import json
import sys

import nncf
import openvino


def main(wide: str, narrow: str, mode: str, options: str) -> None:
    """Read the graph, make its weights narrow, write it."""
    graph = openvino.Core().read_model(wide)
    more = json.loads(options)
    if "group_size" in more:  # layers whose inputs it does not divide take a smaller one
        adjust = nncf.GroupSizeFallbackMode.ADJUST
        more["advanced_parameters"] = nncf.AdvancedCompressionParameters(group_size_fallback_mode=adjust)
    graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode[mode], **more)
    openvino.save_model(graph, narrow, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:])

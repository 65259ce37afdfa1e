"""GGUF: what gguf's own reader finds in the file is the model's weights, in the type that was asked for."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize

from luthier.quantize.gguf_types import FORMS, narrowed, read_kinds, rewrite

RNG = np.random.default_rng(0)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Give a float32 file with rows of 256 and of 64 weights, and a template of another's."""
    path = tmp_path / "wide.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(512)
    writer.add_token_list(["a", "b"])
    writer.add_chat_template("old")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    for name, shape in (
        ("token_embd.weight", (2, 256)),
        ("blk.0.ffn_up.weight", (4, 256)),
        ("blk.0.attn_q.weight", (4, 64)),
        ("output_norm.weight", (256,)),
    ):
        writer.add_tensor(name, RNG.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def tensors(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_weights_to_its_own_error(wide: Path, tmp_path: Path, form: str) -> None:
    target = tmp_path / "narrow.gguf"
    rewrite(wide, target, form, "new")
    before, after = tensors(wide), tensors(target)
    assert before.keys() == after.keys()
    bits = {"f16": 11, "q8_0": 8, "q6_k": 6, "q5_k": 5, "q4_k": 4, "q4_0": 4}[form]
    for name, tensor in after.items():
        wanted = np.asarray(before[name].data)
        found = dequantize(tensor.data, tensor.tensor_type).reshape(wanted.shape)
        away = np.sqrt(np.mean((found - wanted) ** 2)) / np.sqrt(np.mean(wanted**2))
        # a uniform step of 2 * 3.5 sigma / 2^bits has this root mean square error
        assert away <= 7 / 2**bits / np.sqrt(12) * 1.3, (name, away)
    reader = gguf.GGUFReader(target)
    assert reader.fields["tokenizer.chat_template"].contents() == "new"
    assert reader.fields["llama.context_length"].contents() == 512
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["a", "b"]


def test_rows_that_do_not_divide_take_the_type_llama_cpp_takes(wide: Path, tmp_path: Path) -> None:
    target = tmp_path / "narrow.gguf"
    smaller = rewrite(wide, target, "q4_k", "new")
    assert smaller == [("blk.0.attn_q.weight", "Q5_0")]
    assert read_kinds(target) == {"Q6_K": 1, "Q4_K": 1, "Q5_0": 1, "F32": 1}


def test_types_gguf_writes_itself_are_written_by_it() -> None:
    weight = RNG.normal(size=(4, 64)).astype(np.float32)
    assert np.array_equal(narrowed(weight, Type.Q8_0), gguf.quants.quantize(weight, Type.Q8_0))

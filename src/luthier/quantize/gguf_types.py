"""The tensors of a GGUF file in another type: read, narrowed and written one after the other."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Type
from gguf.quants import quant_shape_to_byte_shape, quantize

FORMS: dict[str, tuple[Type, Type, gguf.LlamaFileType]] = {
    "f16": (Type.F16, Type.F16, gguf.LlamaFileType.MOSTLY_F16),
    "q8_0": (Type.Q8_0, Type.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "q4_0": (Type.Q4_0, Type.Q6_K, gguf.LlamaFileType.MOSTLY_Q4_0),
    "q4_k": (Type.Q4_K, Type.Q6_K, gguf.LlamaFileType.MOSTLY_Q4_K_S),
    "q5_k": (Type.Q5_K, Type.Q6_K, gguf.LlamaFileType.MOSTLY_Q5_K_S),
    "q6_k": (Type.Q6_K, Type.Q6_K, gguf.LlamaFileType.MOSTLY_Q6_K),
}
"""Name -> type of the layers, of the embeddings and the head, and what the file calls itself."""
FALLBACK = {Type.Q4_K: Type.Q5_0, Type.Q5_K: Type.Q5_1, Type.Q6_K: Type.Q8_0}
"""For rows that are no multiple of 256. Source: llama.cpp, llama-quant.cpp, tensor_type_fallback."""
ITEMS: dict[Type, np.dtype[Any]] = {Type.F32: np.dtype(np.float32), Type.F16: np.dtype(np.float16)}
"""Types that are plain numbers; the others are blocks of bytes."""
ENDS = ("token_embd.weight", "output.weight")
TEMPLATE = "tokenizer.chat_template"
OURS = (TEMPLATE, "general.file_type", "general.quantization_version")


def rewrite(source: Path, target: Path, form: str, template: str) -> list[tuple[str, str]]:
    """Write a float32 GGUF in another form, with this chat template. Gives the tensors that had to take another type.

    Vectors stay float32, as llama.cpp keeps them.
    """
    layers, ends, file_type = FORMS[form]
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, str(reader.fields[gguf.Keys.General.ARCHITECTURE].contents()))
    _copy_fields(reader, writer)
    writer.add_file_type(file_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_chat_template(template)
    types: dict[str, Type] = {}
    smaller = []
    for tensor in reader.tensors:
        wished = Type.F32 if tensor.data.ndim < 2 else ends if tensor.name in ENDS else layers
        types[tensor.name] = kind = _fitting(wished, tensor.data.shape[-1])
        if kind != wished:
            smaller.append((tensor.name, kind.name))
        shape = tensor.data.shape
        byte_shape = shape if kind in ITEMS else quant_shape_to_byte_shape(shape, kind)
        item = ITEMS.get(kind, np.dtype(np.uint8))
        writer.add_tensor_info(tensor.name, byte_shape, item, int(np.prod(byte_shape)) * item.itemsize, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in reader.tensors:
        writer.write_tensor_data(narrowed(np.asarray(tensor.data, np.float32), types[tensor.name]))
    writer.close()
    return smaller


def narrowed(weight: npt.NDArray[np.float32], kind: Type) -> npt.NDArray[Any]:
    """Give a tensor's data in a type: gguf's own code, and libgguf's where gguf only reads a type."""
    if kind == Type.F32:
        return weight
    if kind == Type.F16:
        return weight.astype(np.float16)
    try:
        found: npt.NDArray[Any] = quantize(weight, kind)
    except NotImplementedError:
        import libgguf

        rows = np.ascontiguousarray(weight.reshape(-1, weight.shape[-1]))
        found = libgguf.quantize_rows(rows, int(kind)).reshape(quant_shape_to_byte_shape(weight.shape, kind))
    return found


def read_kinds(path: Path) -> dict[str, int]:
    """Give how many tensors of each type a file holds."""
    return dict(Counter(Type(tensor.tensor_type).name for tensor in gguf.GGUFReader(path).tensors))


def _fitting(wished: Type, width: int) -> Type:
    """The type itself where rows divide into its blocks, else what llama.cpp takes."""
    for kind in _candidates(wished):
        if width % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            return kind
    return Type.F16


def _candidates(wished: Type) -> Iterator[Type]:
    yield wished
    if wished in FALLBACK:
        yield FALLBACK[wished]


def _copy_fields(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for field in reader.fields.values():
        if field.name == gguf.Keys.General.ARCHITECTURE or field.name.startswith("GGUF.") or field.name in OURS:
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)

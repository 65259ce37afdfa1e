"""A cross-encoder from a folder: its scores are transformers' own."""

from pathlib import Path

import pytest
import torch
from made_index import ask
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from luthier.answer.cross_encoder import open_cross_encoder
from luthier.errors import ModelError

WORDS = ["[PAD]", "[UNK]", "the", "bridge", "was", "built", "in", "1901", "it", "is", "red", "when"]
DOCUMENTS = {"a": "the bridge is red", "b": "the bridge was built in 1901", "c": "it was built"}


def made(folder: Path, labels: int) -> str:
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return str(folder)


def test_passages_are_ordered_by_the_scores_that_transformers_gives(tmp_path: Path) -> None:
    folder = made(tmp_path, 1)
    question = "when was the bridge built"
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        wanted = {
            name: float(model(**tokenizer(question, text, return_tensors="pt")).logits[0, 0])
            for name, text in DOCUMENTS.items()
        }
    answer, steps = ask(question, DOCUMENTS, rerank="cross", reranker=folder)
    assert [passage["document"] for passage in answer.details["passages"]] == sorted(wanted, key=lambda n: -wanted[n])
    [step] = [step for step in steps if step["step"] == "rerank"]
    assert sorted(step["scores"]) == pytest.approx(sorted(wanted.values()), abs=1e-3)


def test_a_folder_without_a_model_and_a_classifier_of_three_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        open_cross_encoder(str(tmp_path / "none"))
    assert "holds no config.json" in caught.value.what
    assert caught.value.where == "key reranker"
    with pytest.raises(ModelError) as caught:
        open_cross_encoder(made(tmp_path, 3))
    assert caught.value.what == "the classifier has 3 labels, a reranker has one"
    assert caught.value.where.endswith("config.json")
    assert caught.value.mend

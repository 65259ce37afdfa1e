"""A cross-encoder: question and passage read together, one number for the pair."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch

from luthier.errors import ModelError

ROWS_PER_BATCH = 8
Score = Callable[[str, Sequence[str]], list[float]]


@lru_cache(maxsize=2)
def open_cross_encoder(folder: str) -> Score:
    """Open a folder with a sequence classifier of one label. Raises ModelError for a folder that holds none."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    if not (Path(folder) / "config.json").exists():
        raise ModelError(
            f"{folder!r} holds no config.json",
            where="key reranker",
            mend="give the folder of a cross-encoder (luthier fetch brings one), or set rerank=late",
        )
    model = AutoModelForSequenceClassification.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    if model.config.num_labels != 1:
        raise ModelError(
            f"the classifier has {model.config.num_labels} labels, a reranker has one",
            where=str(Path(folder) / "config.json"),
            mend="give a cross-encoder for ranking",
        )

    @torch.inference_mode()
    def score(question: str, texts: Sequence[str]) -> list[float]:
        scores: list[float] = []
        for begin in range(0, len(texts), ROWS_PER_BATCH):
            batch = list(texts[begin : begin + ROWS_PER_BATCH])
            pairs = tokenizer(
                [question] * len(batch), batch, padding=True, truncation="longest_first", return_tensors="pt"
            )
            scores += model(**pairs).logits[:, 0].float().tolist()
        return scores

    return score

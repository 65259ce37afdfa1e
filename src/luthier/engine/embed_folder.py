"""A folder of sentence-transformers through plain transformers: encoder, pooling, dense layers, length 1."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoModel

from luthier.artifact.atomic import sha256
from luthier.errors import ModelError
from luthier.event import Progress, Tell
from luthier.model.machine import choose_device

TOKENS_PER_BATCH = 4096
"""Padded tokens at once: bounds the memory, and fits the caches."""

# letters: B texts, T tokens, C hidden


def _mean(hidden_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    weights = mask_BT[:, :, None].to(hidden_BTC.dtype)
    return (hidden_BTC * weights).sum(1) / weights.sum(1).clamp(min=1e-9)


def _first(hidden_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    return hidden_BTC[:, 0]


def _last(hidden_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    return hidden_BTC[torch.arange(len(hidden_BTC)), mask_BT.sum(1) - 1]


def _largest(hidden_BTC: Tensor, mask_BT: Tensor) -> Tensor:
    return hidden_BTC.masked_fill(mask_BT[:, :, None] == 0, -torch.inf).amax(1)


POOLINGS = {
    "pooling_mode_mean_tokens": _mean,
    "pooling_mode_cls_token": _first,
    "pooling_mode_lasttoken": _last,
    "pooling_mode_max_tokens": _largest,
}
ACTIVATIONS = {"Tanh": torch.tanh, "Identity": lambda x: x, "ReLU": torch.relu, "GELU": torch.nn.functional.gelu}


class FolderEmbedder:
    """An encoder in this process."""

    def __init__(self, folder: Path, name: str, tell: Tell) -> None:
        """Load it. Raises ModelError for a folder that is not whole, or has a module that is not known here."""
        self._folder = folder
        self._tokenizer = self._open_tokenizer()
        self._device = choose_device().value
        weights = sorted(folder.glob("*.safetensors"))
        if not weights:
            raise ModelError("there are no weights", where=str(folder), mend="give a folder with model.safetensors")
        self._name = f"{name}@{sha256(weights[0])[:12]}"
        modules = self._read("modules.json") or [{"type": "Transformer", "path": ""}, {"type": "Pooling", "path": ""}]
        self._pool, self._denses = self._open_modules(modules)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval().to(self._device)
        config = self._read("sentence_bert_config.json") or {}
        places = int(getattr(self._model.config, "max_position_embeddings", 512))
        self._places = min(int(config.get("max_seq_length") or places), places)
        prompts = (self._read("config_sentence_transformers.json") or {}).get("prompts") or {}
        self._prompts = {
            "query": str(prompts.get("query", "")),
            "passage": str(prompts.get("passage", prompts.get("document", ""))),
        }
        self._width = self._denses[-1][0].shape[0] if self._denses else int(self._model.config.hidden_size)

    @property
    def name(self) -> str:
        """Its name, and the first of the hash of its weights."""
        return self._name

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._width

    @property
    def most_tokens(self) -> int:
        """The longest text, without the marks around it and the prompt before it."""
        marks = len(self._tokenizer.encode(max(self._prompts.values(), key=len)).ids)
        return self._places - marks

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give how many tokens each text has."""
        return [len(found.ids) for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text; texts of like length are read together."""
        prompt = self._prompts[role]
        rows = [found.ids for found in self._tokenizer.encode_batch([prompt + text for text in texts])]
        rows = [self._cut(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        vectors = np.zeros((len(rows), self._width), np.float32)
        done = 0
        for batch in _batches(order, rows):
            vectors[batch] = self._embed_batch([rows[place] for place in batch])
            done += len(batch)
            if len(texts) > 1:
                tell(Progress("embedding", done, len(texts), "texts"))
        return vectors

    def _cut(self, row: list[int]) -> list[int]:
        """Cut a row that is too long, and keep the mark at its end."""
        return row if len(row) <= self._places else [*row[: self._places - 1], row[-1]]

    def _embed_batch(self, rows: list[list[int]]) -> npt.NDArray[np.float32]:
        longest = max(map(len, rows))
        ids_BT = torch.zeros((len(rows), longest), dtype=torch.long)
        mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            ids_BT[place, : len(row)] = torch.tensor(row)
            mask_BT[place, : len(row)] = 1
        with torch.inference_mode():
            mask_BT = mask_BT.to(self._device)
            found = self._model(input_ids=ids_BT.to(self._device), attention_mask=mask_BT)
            vectors_BC = self._pool(found.last_hidden_state, mask_BT)
            for weight, bias, activation in self._denses:
                vectors_BC = activation(torch.nn.functional.linear(vectors_BC, weight, bias))
            made: npt.NDArray[np.float32] = torch.nn.functional.normalize(vectors_BC, dim=1).cpu().numpy()
        return made

    def _open_tokenizer(self) -> Tokenizer:
        path = self._folder / "tokenizer.json"
        if not path.exists():
            raise ModelError(
                "the folder has no tokenizer.json",
                where=str(self._folder),
                mend="give a folder of sentence-transformers with a fast tokenizer",
            )
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        return tokenizer

    def _open_modules(self, modules: Sequence[dict[str, Any]]) -> tuple[Any, list[tuple[Tensor, Tensor | None, Any]]]:
        pool: Any = _mean
        denses: list[tuple[Tensor, Tensor | None, Any]] = []
        for module in modules:
            kind = str(module["type"]).rsplit(".", 1)[-1]
            if kind == "Pooling":
                config = self._read(f"{module['path']}/config.json") if module["path"] else None
                pool = self._pooling(config or {"pooling_mode_mean_tokens": True})
            elif kind == "Dense":
                denses.append(self._dense(str(module["path"])))
            elif kind not in ("Transformer", "Normalize"):
                raise self._unknown(f"the module {kind!r}")
        return pool, denses

    def _pooling(self, config: dict[str, Any]) -> Any:
        modes = [name for name, value in config.items() if name.startswith("pooling_mode") and value is True]
        mode = f"pooling_mode_{config['pooling_mode']}" if isinstance(config.get("pooling_mode"), str) else ""
        found = [POOLINGS[name] for name in [*modes, mode, f"{mode}_tokens", f"{mode}_token"] if name in POOLINGS]
        if len(found) != 1:
            raise self._unknown(f"the pooling {', '.join(modes) or mode}")
        return found[0]

    def _dense(self, path: str) -> tuple[Tensor, Tensor | None, Any]:
        from safetensors.torch import load_file

        config = self._read(f"{path}/config.json") or {}
        activation = str(config.get("activation_function", "Identity")).rsplit(".", 1)[-1]
        if activation not in ACTIVATIONS:
            raise self._unknown(f"the activation {activation!r}")
        weights = load_file(self._folder / path / "model.safetensors")
        bias = weights.get("linear.bias")
        return (
            weights["linear.weight"].float().to(self._device),
            None if bias is None else bias.float().to(self._device),
            ACTIVATIONS[activation],
        )

    def _unknown(self, what: str) -> ModelError:
        return ModelError(
            f"{what} is not known here", where=str(self._folder), mend="serve it, and give embedder=http://host/v1"
        )

    def _read(self, name: str) -> Any:
        path = self._folder / name
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _batches(order: Sequence[int], rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut an order by length into batches of at most so many padded tokens."""
    batches: list[list[int]] = [[]]
    for place in order:
        if batches[-1] and (len(batches[-1]) + 1) * len(rows[place]) > TOKENS_PER_BATCH:
            batches.append([])
        batches[-1].append(place)
    return [batch for batch in batches if batch]

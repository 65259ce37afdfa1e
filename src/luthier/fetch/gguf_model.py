"""From a GGUF file to a plain transformers folder: weights, tokenizer, chat template, stop tokens."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig
from transformers.utils import logging

from luthier.artifact import atomic
from luthier.errors import ModelError
from luthier.event import Chose, Tell, Warned
from luthier.fetch.gguf_header import folder_bytes, read_header
from luthier.fetch.room import check_room

GPT2_SPLITS = {"gpt-2", "default", "mpt", "olmo", "jais"}
DIGIT_SPLITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
"""Vocabularies learned with every digit apart. transformers 5.23 reads them as GPT-2's, which joins the newlines and
spaces before a number otherwise. Source: llama.cpp, llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_SMOLLM and its neighbours."""
JUNK = ("is_local", "local_files_only", "_name_or_path", "_model_name_or_path", "_from_model_config")
"""Keys that transformers writes about this machine, not about the model."""


def convert(path: Path, out: Path, dtype: str, tell: Tell) -> dict[str, Any]:
    """Write the model of a GGUF file as a plain folder, every weight dequantised. Gives figures.

    Raises ModelError if the file is damaged, of an architecture transformers cannot read, or if its tokenizer does
    not come out as the file has it, RoomError if the folder would not fit on the disk.
    """
    logging.disable_progress_bar()  # events tell how far we are
    header = read_header(path)
    settings = header.settings
    check_room(out, f"the model as {dtype}", folder_bytes(header, dtype))
    tokenizer = _tokenizer(path, settings, tell)
    model = _model(path, settings)
    loss = _largest_loss(model)
    why = f"bfloat16 {'moves' if dtype == 'bfloat16' else 'would move'} a dequantised weight by up to {loss:.2g}"
    tell(Chose("number format on disk", dtype, why))
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(out)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.to(getattr(torch, dtype)).save_pretrained(out, max_shard_size="5GB")
    _drop_junk(out)
    name = settings.get("general.name", path.stem)
    facts = {"name": name, "parameters": model.num_parameters(), "dtype": dtype, "largest_bfloat16_loss": loss}
    licence = settings.get("general.license")
    return facts | ({"licence": licence} if isinstance(licence, str) and licence else {})


def _model(path: Path, settings: dict[str, Any]) -> Any:
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # one of its bars cannot be switched off
            return AutoModelForCausalLM.from_pretrained(
                path.parent,
                gguf_file=path.name,
                quantization_config=GgufConfig(dequantize=True),  # without it, save_pretrained refuses
                dtype=torch.float32,
            )
    except (ValueError, KeyError, NotImplementedError) as error:
        raise _unreadable(path, settings, error) from error


def _tokenizer(path: Path, settings: dict[str, Any], tell: Tell) -> Any:
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    except (ValueError, KeyError, IndexError) as error:
        raise _unreadable(path, settings, error) from error
    _mend_split(tokenizer, settings.get("tokenizer.ggml.pre", "default"), tell)
    theirs: list[str] = settings["tokenizer.ggml.tokens"]
    ours = tokenizer.convert_ids_to_tokens(list(range(len(theirs))))
    wrong = next((index for index, token in enumerate(theirs) if ours[index] != token), None)
    if wrong is not None or len(tokenizer) != len(theirs):
        seen = f"{len(tokenizer)} tokens of {len(theirs)}" if wrong is None else f"token {wrong} is {ours[wrong]!r}"
        raise ModelError(
            f"the tokenizer does not come out as the file has it: {seen}",
            where=str(path),
            mend="fetch the model from its hub, with its own tokenizer.json",
        )
    return tokenizer


def _mend_split(tokenizer: Any, name: str, tell: Tell) -> None:
    """Split text as the vocabulary was learned, where transformers fell back to GPT-2's way."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"] or {}
    fell_back = state.get("type") == "ByteLevel" and state.get("use_regex", False)
    if not fell_back or name in GPT2_SPLITS:
        return
    if name in DIGIT_SPLITS:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
        tell(Chose("text split", "every digit apart", f"the vocabulary was learned so ({name})"))
    else:
        tell(Warned(f"the text split {name!r} is not known here: text is split as GPT-2 does", "compare token ids"))


def _largest_loss(model: torch.nn.Module) -> float:
    """Give the largest |w - bfloat16(w)| over all weights."""
    with torch.no_grad():
        return max((weight - weight.bfloat16().float()).abs().max().item() for weight in model.parameters())


def _drop_junk(folder: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        path = folder / name
        settings = json.loads(path.read_text(encoding="utf-8"))
        atomic.write_json(path, {key: value for key, value in settings.items() if key not in JUNK})


def _unreadable(path: Path, settings: dict[str, Any], error: Exception) -> ModelError:
    return ModelError(
        f"transformers cannot read this GGUF ({settings.get('general.architecture', '?')}): {error}",
        where=str(path),
        mend="fetch the same model as safetensors, from its hub or a folder",
    )

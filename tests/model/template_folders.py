"""Model folders (tokenizer and config) with any chat template, for tests."""

import json
from pathlib import Path

from tokenizers import AddedToken

from luthier.fetch.chat_template import read_template
from luthier.fetch.tiny import make_tokenizer
from luthier.model.template import Template, open_template

SPECIAL = {
    "chatml": (),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "glm": ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
    "gemma": ("<start_of_turn>", "<end_of_turn>"),
    "qwen3": (),
}
"""Which tokens a family has besides those of the tiny tokenizer."""
UNSPECIAL = {"qwen3": ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")}
"""Those that stay in decoded text."""
ENDS = {"llama3": "<|eot_id|>", "glm": "<|user|>", "gemma": "<end_of_turn>"}


def folder_of(folder: Path, name: str, template: str | None = None) -> Path:
    """Write the tiny tokenizer with a family's tokens and template (or another template) into a folder."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL.get(name, ())])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in UNSPECIAL.get(name, ())])
    tokenizer.chat_template = template or read_template(name)
    tokenizer.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(ENDS.get(name, "<|im_end|>"))
    config = {"model_type": "llama", "max_position_embeddings": 4096, "eos_token_id": end, "vocab_size": len(tokenizer)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def open_family(folder: Path, name: str, template: str | None = None) -> Template:
    """Open such a folder."""
    return open_template(folder_of(folder, name, template))


def learned(template: Template, row: object) -> str:
    """Give the text of what is learned, special tokens shown."""
    text: str = template.tokenizer.decode(row.ids[row.mask].tolist())  # type: ignore[attr-defined]
    return text

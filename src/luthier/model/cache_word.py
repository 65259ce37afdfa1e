"""What a model calls its cache of keys and values."""

import inspect
from typing import Any


def cache_word(model: Any) -> str:
    """Give the name under which a model's forward pass takes its cache and gives it back.

    transformers 5.24 calls `cache` what was `past_key_values` before; PEFT's virtual tokens still use the old name.
    """
    is_wrapped = hasattr(model, "get_base_model")
    if is_wrapped and model.active_peft_config.is_prompt_learning:
        return "past_key_values"
    inner = model.get_base_model() if is_wrapped else model
    return "cache" if "cache" in inspect.signature(inner.forward).parameters else "past_key_values"

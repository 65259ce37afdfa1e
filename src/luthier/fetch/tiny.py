"""`tiny:llama`: a seeded random Llama of about 1 MB whose tokenizer splits English and Chinese, for tests and docs."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

HERE = Path(__file__).parent
SEED = 20
VOCABULARY_SIZE = 2048
CONTEXT_TOKENS = 512
PAD, TURN_BEGIN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"


def make_tiny_llama(out: Path) -> dict[str, Any]:
    """Write the model's folder. Gives its figures; the same bytes every time, on one version of torch."""
    logging.disable_progress_bar()  # events tell how far we are
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(out)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        # ten times the usual: at 0.02 all logits nearly tie, and greedy answers would hang on rounding
        initializer_range=0.2,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.convert_tokens_to_ids(PAD),
        eos_token_id=tokenizer.convert_tokens_to_ids(TURN_END),
        pad_token_id=tokenizer.convert_tokens_to_ids(PAD),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config).float()
    model.generation_config = GenerationConfig(
        bos_token_id=config.bos_token_id,
        eos_token_id=config.eos_token_id,
        pad_token_id=config.pad_token_id,
        do_sample=False,
    )
    model.save_pretrained(out)
    facts = {"parameters": model.num_parameters(), "dtype": "float32", "vocabulary": len(tokenizer)}
    return facts | {"licence": "apache-2.0"}  # drawn by our own code, under its licence


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train the byte-level BPE on the text beside this file; ChatML, pad id differs from end-of-turn id."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        min_frequency=1,
        special_tokens=[PAD, TURN_BEGIN, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = (HERE / "tiny_text.txt").read_text(encoding="utf-8").splitlines()
    bpe.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=PAD,
        eos_token=TURN_END,
        pad_token=PAD,
        additional_special_tokens=[TURN_BEGIN],
        model_max_length=CONTEXT_TOKENS,
        clean_up_tokenization_spaces=False,
        chat_template=(HERE / "templates" / "chatml.jinja").read_text(encoding="utf-8"),
    )

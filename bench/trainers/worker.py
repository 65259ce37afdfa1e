"""One measured run of one trainer, in a process of its own: called by `bench/tune_speed.py`, prints one JSON line.

Every peer trains through transformers' Trainer, so one clock fits all: it counts the tokens that are no padding and
notes CPU and wall seconds at the end of each step. It imports nothing of Luthier but in `luthier` itself, for the
peers live in environments of their own.
"""

import argparse
import json
import os
import resource
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANK, ALPHA, RATE = 8, 16, 2e-4
LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Clock:
    """Notes (CPU seconds, wall seconds, tokens) at the end of each step, and each step's loss."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.marks: list[tuple[float, float, int]] = []
        self.losses: list[float] = []
        self.tokens = 0

    def mark(self) -> None:
        """A step is done."""
        self.marks.append((time.process_time(), time.monotonic(), self.tokens))

    def told(self, dropped: int) -> dict[str, Any]:
        """Give the figures of the steps after the first ones."""
        first, last = self.marks[dropped - 1], self.marks[-1]
        unit = 1 if sys.platform == "darwin" else 1024
        return {
            "tokens": last[2] - first[2],
            "cpu_seconds": last[0] - first[0],
            "wall_seconds": last[1] - first[1],
            "whole_tokens": last[2],
            "whole_seconds": last[1] - self.begun,
            "steps": len(self.marks),
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
            "losses": self.losses,
        }


def luthier(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """Our own loop's step: the objective, its passes, AdamW."""
    import numpy as np
    import torch

    from luthier.artifact.tokens import Tokens
    from luthier.event import Chose, Event
    from luthier.learn.ways import Ways, supervised
    from luthier.model.adapt import add_lora, trainable
    from luthier.model.load import load_causal
    from luthier.model.lora import lean

    told: dict[str, str] = {}

    def tell(event: Event) -> None:
        if isinstance(event, Chose):
            told[event.what] = event.value

    taught = [Tokens(np.array(row["input_ids"], np.int32), np.array(row["labels"]) != -100) for row in rows]
    model = load_causal(Path(args.model), dtype=args.dtype, device="cpu")
    adapted = add_lora(model, r=RANK, alpha=ALPHA, dropout=0.0, targets="all-linear", seed=0).train()
    lean(adapted)
    ways = Ways(compile=args.compile, tokens=sum(len(row.ids) for row in taught))
    objective = supervised(adapted.get_base_model(), taught[:3], args.tokens_per_pass, tell, ways)
    parameters = [parameter for _, parameter in trainable(adapted)]
    optimizer = torch.optim.AdamW(parameters, lr=RATE)
    for begin in range(0, args.steps * args.batch, args.batch):
        part = taught[begin : begin + args.batch]
        weight, loss = objective.weight(part), 0.0
        for each in objective.passes(part):
            found = objective.losses(each).sum() / weight  # as the loop does while it keeps a ledger of rows
            torch.autograd.backward(found)
            loss += float(found.detach())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.losses.append(loss)
        clock.tokens += objective.tokens(part)
        clock.mark()
    return {"chosen": told}


def _watch(clock: Clock, steps: int) -> None:
    """Let every Trainer made from here on tell the clock, and stop after so many steps."""
    import transformers
    from transformers import trainer as module

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> Any:
            clock.mark()
            control.should_training_stop = state.global_step >= steps
            return control

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
            if logs and "loss" in logs:
                clock.losses.append(float(logs["loss"]))

    step = transformers.Trainer.training_step

    def counted(self: Any, model: Any, inputs: Any, *more: Any, **named: Any) -> Any:
        mask = inputs.get("attention_mask")
        real = inputs["input_ids"].numel() if mask is None or mask.dim() > 2 else int((mask != 0).sum())
        clock.tokens += real
        return step(self, model, inputs, *more, **named)

    transformers.Trainer.training_step = counted
    module.DEFAULT_CALLBACKS.append(Watch)


def _arguments(args: argparse.Namespace, kind: Any, **more: Any) -> Any:
    return kind(
        output_dir=args.out,
        per_device_train_batch_size=args.batch,
        max_steps=args.steps,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        bf16=False,  # the weights themselves are: no autocast, no copies
        disable_tqdm=True,
        **more,
    )


def _model(args: argparse.Namespace) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))


def _lora() -> Any:
    from peft import LoraConfig

    return LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=LINEARS, task_type="CAUSAL_LM")


def trainer(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """Hugging Face Trainer with PEFT: padded batches, rows in order."""
    from peft import get_peft_model
    from torch.utils.data import SequentialSampler
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *more: Any) -> Any:
            return SequentialSampler(rows)

    collator = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(args.model), label_pad_token_id=-100)
    model = get_peft_model(_model(args), _lora())
    InOrder(model, _arguments(args, TrainingArguments), train_dataset=rows, data_collator=collator).train()
    return {}


def trl(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """TRL's SFTTrainer, packed best-fit."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer  # type: ignore[import-not-found]

    settings = _arguments(args, SFTConfig, packing=True, max_length=args.length)
    SFTTrainer(_model(args), settings, train_dataset=Dataset.from_list(rows), peft_config=_lora()).train()
    return {}


def unsloth(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """Unsloth's patched model under the Trainer, without gradient checkpointing (the others do without it too)."""
    import torch
    from unsloth import FastLanguageModel  # type: ignore[import-not-found]  # isort: skip
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    dtype = getattr(torch, args.dtype)
    model, tokenizer = FastLanguageModel.from_pretrained(args.model, args.length, dtype=dtype, load_in_4bit=False)
    model = FastLanguageModel.get_peft_model(
        model, r=RANK, lora_alpha=ALPHA, target_modules=LINEARS, use_gradient_checkpointing=False
    )
    collator = DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=-100)
    Trainer(model, _arguments(args, TrainingArguments), train_dataset=rows, data_collator=collator).train()
    return {}


def llamafactory(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """LLaMA-Factory with neat_packing, on the raw rows."""
    sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # imported by its media plugin, whether used or not
    from llamafactory.train.tuner import run_exp  # type: ignore[import-not-found]

    folder = Path(args.out) / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": str(Path(args.raw).absolute())}}))
    run_exp(
        {
            "stage": "sft",
            "do_train": True,
            "model_name_or_path": args.model,
            "dataset": "rows",
            "dataset_dir": str(folder),
            "template": "chatml",
            "finetuning_type": "lora",
            "lora_rank": RANK,
            "lora_alpha": ALPHA,
            "lora_target": "all",
            "cutoff_len": args.length,
            "neat_packing": True,
            "packing": True,
            # a packed row holds about as many tokens as the rows of a step: args.batch rows of a third of the length
            "per_device_train_batch_size": max(1, round(args.batch * 0.375)),
            "gradient_accumulation_steps": 1,
            "disable_gradient_checkpointing": True,
            "learning_rate": RATE,
            "max_steps": args.steps,
            "logging_steps": 1,
            "save_strategy": "no",
            "output_dir": args.out,
            "overwrite_output_dir": True,
            "report_to": "none",
            "bf16": args.dtype == "bfloat16",
            "use_cpu": True,
        }
    )
    return {}


def swift(args: argparse.Namespace, rows: list[dict[str, Any]], clock: Clock) -> dict[str, Any]:
    """ms-swift, padded, on the raw rows."""
    from swift.llm import TrainArguments, sft_main  # type: ignore[import-not-found]

    sft_main(
        TrainArguments(
            model=args.model,
            model_type="llama",
            template="chatml",
            dataset=[args.raw],
            train_type="lora",
            lora_rank=RANK,
            lora_alpha=ALPHA,
            target_modules=["all-linear"],
            torch_dtype=args.dtype,
            max_length=args.length,
            per_device_train_batch_size=args.batch,
            gradient_accumulation_steps=1,
            gradient_checkpointing=False,
            learning_rate=RATE,
            max_steps=args.steps,
            logging_steps=1,
            output_dir=args.out,
            use_cpu=True,
        )
    )
    return {}


TRAINERS: dict[str, Callable[[argparse.Namespace, list[dict[str, Any]], Clock], dict[str, Any]]] = {
    "luthier": luthier,
    "trainer": trainer,
    "trl": trl,
    "unsloth": unsloth,
    "llamafactory": llamafactory,
    "swift": swift,
}


def gemm_rate(shapes: list[list[int]], dtype: str, tokens: int) -> float:
    """Measure matrix products of a step's tokens with weights of these shapes: GFLOP per CPU-second."""
    import torch

    torch.manual_seed(0)
    flops = seconds = 0.0
    for outputs, inputs in shapes:
        one, other = (torch.randn(rows, inputs).to(getattr(torch, dtype)) for rows in (tokens, outputs))
        best = float("inf")
        for _ in range(4):
            begun = time.process_time()
            one @ other.t()
            best = min(best, time.process_time() - begun)
        flops += 2e-9 * tokens * outputs * inputs
        seconds += best
    return flops / seconds


def main() -> None:
    """Run one trainer, or measure the limit; print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=[*TRAINERS, "limit"])
    for name in ("model", "rows", "raw", "out", "dtype", "compile", "shapes"):
        parser.add_argument(f"--{name}", default="")
    for name in ("threads", "steps", "batch", "length", "dropped", "tokens-per-pass"):
        parser.add_argument(f"--{name}", type=int, default=0)
    args = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(args.threads)
    if args.who == "limit":
        found: dict[str, Any] = {"gflops": gemm_rate(json.loads(args.shapes), args.dtype, 1500)}
    else:
        rows = json.loads(Path(args.rows).read_text(encoding="utf-8"))
        clock = Clock()
        if args.who != "luthier":
            _watch(clock, args.steps)
        more = TRAINERS[args.who](args, rows, clock)
        found = clock.told(args.dropped) | more
    print(json.dumps(found))


if __name__ == "__main__":
    main()

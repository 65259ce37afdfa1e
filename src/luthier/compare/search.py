"""Look for a better prompt: each instruction with each number of solved questions, tried on dev rows."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from luthier.artifact.example import Example, read_examples
from luthier.compare.ask import ask
from luthier.compare.spec import CompareSpec
from luthier.compare.weigh import outcome
from luthier.engine.ports import ChatModel, Sampling, close
from luthier.engine.prompted import PromptedModel, PromptTemplate, write_prompt
from luthier.errors import DataError
from luthier.event import Chose, Tell
from luthier.measure.metrics import metrics
from luthier.measure.words import script_of

TEMPLATES = Path(__file__).with_name("templates.yaml")


def find_prompt(
    spec: CompareSpec, data: Path, out: Path, work: Path, open_base: Callable[[], ChatModel], tell: Tell
) -> Mapping[str, Any]:
    """Write the template whose answers to dev rows are the best; of equals the one with the fewest examples.

    Raises DataError if there are no dev rows.
    """
    dev = read_rows(data, "dev", spec.search.rows, spec.seed)
    metric = spec.metrics[0]
    best: PromptTemplate | None = None
    figures: dict[str, float] = {}
    opened = _Once(open_base)
    tried = list(templates(spec, data, dev))
    for place, template in enumerate(tried):

        def open_model(template: PromptTemplate = template) -> ChatModel:
            return PromptedModel(opened(), template, template.name)

        asked = ask(
            f"{template.name} ({place + 1}/{len(tried)})", dev, spec.rows_per_batch, sampling(spec),
            work / f"{_digest(template)}.jsonl", open_model, tell, first_alone=0, closes=False,
        )  # fmt: skip
        row = metrics()[metric]
        value = float(row.figure(row.statistics(outcome(dev, [reply.text for reply in asked.replies])).sum(axis=0)))
        figures[template.name] = value
        sign = 1 if row.higher_is_better else -1
        if best is None or sign * value > sign * figures[best.name]:
            best = template
    opened.close()
    if best is None:
        raise DataError(
            "there is no template to try", where="key compare.search.shots", mend="name one number at least"
        )
    why = f"{metric} {figures[best.name]:.4f} on {len(dev)} dev rows, the best of {len(figures)} templates"
    tell(Chose("prompt", best.name, why))
    write_prompt(out, best)
    return {"prompt": best.name, "tried": figures, "dev_rows": len(dev)}


def templates(spec: CompareSpec, data: Path, dev: Sequence[Example]) -> Iterator[PromptTemplate]:
    """Give every template, those with fewer examples first; the bare question is none."""
    language = "zh" if script_of([row.reference for row in dev])[0] == "chinese" else "en"
    told = yaml.safe_load(TEMPLATES.read_text(encoding="utf-8"))
    most = max(spec.search.shots, default=0)
    shown = [_shot(row) for row in read_rows(data, "train", most, spec.seed)] if most else []
    for count in sorted(set(spec.search.shots)):
        for row in told:
            if count or row[language]:
                examples = f"{count} example{'s' if count != 1 else ''}" if count else ""
                name = ", ".join(part for part in (row["name"], examples) if part)
                yield PromptTemplate(name, row[language], tuple(shown[:count]))


def sampling(spec: CompareSpec) -> Sampling:
    """Greedy answers."""
    return Sampling(max_tokens=spec.max_tokens, temperature=0.0, seed=spec.seed)


def read_rows(folder: Path, split: str, most: int, seed: int) -> list[Example]:
    """Give at most so many of a split's chats without a tag, by a hash of their content and the seed.

    Raises DataError if there are none that have an answer.
    """
    rows = [row for row in read_examples(folder, split) if not row.tag and row.task == "chat" and row.reference.strip()]
    if not rows:
        raise DataError(
            f"the {split} split has no chat without a tag that has an answer",
            where=str(folder / f"{split}.jsonl"),
            mend=f"give prepare more rows, or a larger share for {split}",
        )
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row.id}".encode()).hexdigest())[:most]


class _Once:
    """Opens a model once for all templates."""

    def __init__(self, open_base: Callable[[], ChatModel]) -> None:
        self._open = open_base
        self._model: ChatModel | None = None

    def __call__(self) -> ChatModel:
        self._model = self._model or self._open()
        return self._model

    def close(self) -> None:
        close(self._model)


def _shot(row: Example) -> tuple[str, str]:
    asked = [turn.content for turn in row.prompt if turn.role != "system"]
    return "\n".join(asked), row.reference


def _digest(template: PromptTemplate) -> str:
    return hashlib.sha256(repr(template).encode()).hexdigest()[:16]

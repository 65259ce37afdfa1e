"""The heavy half of `prepare`: files to examples and tokens, with the figures for the card."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact.example import SPLITS, Example, write_examples
from luthier.artifact.tokens import write_tokens
from luthier.errors import DataError
from luthier.event import Chose, Counted, Tell, Warned
from luthier.model.template import open_template
from luthier.prepare.gather import Gathered, gather, tally
from luthier.prepare.render import Rendered, Renderer, longest, progress, take, warn_endless
from luthier.prepare.source import Source
from luthier.prepare.spec import PrepareSpec
from luthier.prepare.split import Deal, deal, in_stable_order, recallable

PERCENTILES = (50, 90, 99, 100)


def build_examples(
    spec: PrepareSpec, model_folder: Path, sources: Sequence[Source], out: Path, tell: Tell
) -> Mapping[str, Any]:
    """Fill `out` with `{train,dev,test}.jsonl` and `.safetensors`; give the figures.

    Raises DataError for files and rows that cannot be used, ModelError for a model without tokenizer or template.
    """
    template = open_template(model_folder)
    max_tokens = longest(spec.length, template)
    if spec.length.max_tokens is None:
        tell(Chose("length.max_tokens", str(max_tokens), why="the model's context"))
    gathered = gather(spec, sources, tell)
    dealt = deal(gathered.candidates, spec.split, gathered.dropped)
    renderer = Renderer(spec, template, max_tokens, gathered.dropped)
    splits = _fill(spec, dealt, renderer, tell)
    _check_filled(spec, splits, gathered, tell)
    for name in SPLITS:
        write_examples(out, name, (example for example, tokens in splits[name]))
        write_tokens(out, name, [tokens for example, tokens in splits[name]])
    kept = {example.id for rows in splits.values() for example, tokens in rows}
    figures = {**_figures(splits, gathered), "truncated": len(kept & renderer.truncated)}
    _tell_counts(figures, tell)
    warn_endless(len(kept & renderer.endless), len(kept), tell)
    return {
        **figures,
        "max_tokens": max_tokens,
        "template_sha256": template.sha256,
        "sources": gathered.sources,
    }


def _fill(spec: PrepareSpec, dealt: Deal, renderer: Renderer, tell: Tell) -> dict[str, list[Rendered]]:
    """Take from each split what its limits allow; train first, for it decides which held-out rows are recalled."""
    places = {example.id: place for place, example in enumerate(_all(dealt))}
    splits: dict[str, list[Rendered]] = {}
    for name in SPLITS:
        examples = dealt.splits[name]
        if name == "test":
            trained = (example for example, tokens in splits["train"])
            examples = [*examples, *recallable(dealt.held, trained, renderer.dropped)]
        ordered = in_stable_order(examples, spec.split.seed)
        most_tokens = spec.max_train_tokens if name == "train" else None
        show = progress(name, len(ordered), tell)
        limit = {"train": spec.limit.train, "dev": spec.limit.dev, "test": spec.limit.test}[name]
        taken = take(ordered, limit, most_tokens, renderer.render, renderer.dropped, show)
        splits[name] = sorted(taken, key=lambda rendered: places[rendered[0].id])
    return splits


def _all(dealt: Deal) -> list[Example]:
    return [example for examples in (*dealt.splits.values(), dealt.held) for example in examples]


def _check_filled(spec: PrepareSpec, splits: Mapping[str, list[Rendered]], gathered: Gathered, tell: Tell) -> None:
    shares = {"train": spec.split.train, "dev": spec.split.dev, "test": spec.split.test}
    empty = [name for name in SPLITS if not splits[name] and shares[name]]
    counts = f"{gathered.rows} rows read; {tally(gathered.dropped)}"
    if "train" in empty:
        raise DataError(
            f"no example is left in train ({counts})",
            where=", ".join(source["path"] for source in gathered.sources),
            mend="give more rows, raise split.train or max_train_tokens, or loosen where and length",
        )
    if not any(splits.values()):
        raise DataError(
            f"no example is left in any split ({counts})",
            where=", ".join(source["path"] for source in gathered.sources),
            mend="give more rows, or loosen where and length",
        )
    for name in empty:
        tell(Warned(f"no example fell into {name} ({counts})", f"give more rows, or raise split.{name}"))


def _figures(splits: Mapping[str, list[Rendered]], gathered: Gathered) -> dict[str, Any]:
    lengths = {name: [len(tokens.ids) for _, tokens in splits[name]] for name in SPLITS}
    return {
        "rows": {"read": gathered.rows, "kept": sum(len(rows) for rows in splits.values())},
        "dropped": dict(sorted(gathered.dropped.items())),
        "examples": {name: _by_tag([example for example, _ in splits[name]]) for name in SPLITS},
        "tokens": {name: sum(lengths[name]) for name in SPLITS},
        "supervised": {name: sum(tokens.supervised for _, tokens in splits[name]) for name in SPLITS},
        "lengths": {name: _percentiles(lengths[name]) for name in SPLITS},
    }


def _by_tag(examples: Sequence[Example]) -> dict[str, int]:
    return dict(sorted(Counter(example.tag for example in examples).items()))


def _percentiles(lengths: Sequence[int]) -> dict[str, int]:
    """Give lengths in tokens: half of the examples are at most p50 long; p100 is the longest."""
    if not lengths:
        return {}
    values = np.percentile(lengths, PERCENTILES, method="inverted_cdf")
    return {f"p{share}": int(value) for share, value in zip(PERCENTILES, values, strict=True)}


def _tell_counts(figures: Mapping[str, Any], tell: Tell) -> None:
    truncated = {"truncated": figures["truncated"]} if figures["truncated"] else {}
    tell(Counted("rows", {**figures["rows"], **truncated, **figures["dropped"]}))
    by_tag = {
        f"{name} ({tag})" if tag else name: count
        for name, tags in figures["examples"].items()
        for tag, count in tags.items()
    }
    tell(Counted("examples", by_tag))
    tell(Counted("tokens", figures["tokens"]))
    tell(Counted("supervised tokens", figures["supervised"]))

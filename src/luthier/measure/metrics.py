"""The table of metrics, and those that compare an answer with its reference."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from luthier.measure import calls, classes, found, grounded, items, passing
from luthier.measure.characters import chrf_figure, chrf_statistics
from luthier.measure.metric import Floats, Metric, Outcome, measured, of_rows, ratio
from luthier.measure.words import Script, script_of, words
from luthier.plugin import rows


def exact_match(answer: str, reference: str) -> float:
    """1 if both are the same text, else 0; white space and Unicode's spelling (NFC) of an accent make no difference."""
    return float(unicodedata.normalize("NFC", answer).split() == unicodedata.normalize("NFC", reference).split())


def token_f1(answer: str, reference: str) -> float:
    """F1 over the bag of words, without the English articles; from 0 to 1.

    Where one side has no words at all it is 1 if the texts are the same and 0 otherwise.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; `words` stands in for its splitting at blanks.
    """
    said, wanted = _without_articles(answer), _without_articles(reference)
    if not said or not wanted:
        return exact_match(answer, reference)
    return _f1((Counter(said) & Counter(wanted)).total(), len(said), len(wanted))


def rouge_n(answer: str, reference: str, size: int) -> float:
    """ROUGE-N F1 over runs of `size` words, from 0 to 1. Source: Lin 2004, aclanthology.org/W04-1013, section 2."""
    said, wanted = _runs(words(answer), size), _runs(words(reference), size)
    return _f1((said & wanted).total(), said.total(), wanted.total())


def rouge_l(answer: str, reference: str) -> float:
    """ROUGE-L F1: the longest common subsequence of words, from 0 to 1. Source: Lin 2004, section 3.1."""
    said, wanted = words(answer), words(reference)
    return _f1(common_length(said, wanted), len(said), len(wanted))


def common_length(first: Sequence[str], second: Sequence[str]) -> int:
    """Give the length of the longest common subsequence.

    One machine word holds many cells of the usual table: a thousand words by a thousand take a millisecond.
    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited".
    """
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    everything = (1 << len(first)) - 1
    unmatched = everything
    for word in second:
        hits = unmatched & places.get(word, 0)
        unmatched = (unmatched + hits | unmatched - hits) & everything
    return len(first) - unmatched.bit_count()


BLEU_TOKENIZERS: dict[Script, str] = {"latin": "13a", "chinese": "zh", "other_cjk": "char"}
"""How sacrebleu splits texts: kana and Hangul go by the character, since its own ways need dictionaries."""


def bleu_tokenizer(references: Sequence[str]) -> tuple[str, str]:
    """Choose sacrebleu's tokenizer by what the references are written in. Gives its name and the reason."""
    script, why = script_of(references)
    return BLEU_TOKENIZERS[script], why


def _bleu_statistics(outcome: Outcome) -> Floats:
    """N-gram matches (4), n-grams said (4), words said, words wanted: shape (N, 10)."""
    from sacrebleu.metrics.bleu import BLEU  # 0.1 s: only when BLEU is asked for

    # effective_order changes a sentence's score, which is not read here, and keeps sacrebleu from warning about it
    counter = BLEU(tokenize=bleu_tokenizer(outcome.references)[0], effective_order=True)
    found = []
    for answer, reference in zip(outcome.answers, outcome.references, strict=True):
        score = counter.sentence_score(answer, [reference])
        found.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    return np.asarray(found, dtype=np.float64).reshape(-1, 10)


def _bleu_figure(sums: Floats) -> Floats:
    from sacrebleu.metrics.bleu import BLEU

    def figure(sums_S: Any) -> float:
        counts = [round(value) for value in sums_S]
        score = BLEU.compute_bleu(counts[:4], counts[4:8], counts[8], counts[9], smooth_method="exp")
        return float(score.score)

    return np.apply_along_axis(figure, -1, sums)


def _perplexity_statistics(outcome: Outcome) -> Floats:
    return np.stack([outcome.log_probabilities, outcome.supervised], axis=-1)


def _perplexity_figure(sums: Floats) -> Floats:
    """exp(-mean log-probability over all supervised tokens): long rows weigh by their tokens."""
    with np.errstate(over="ignore"):  # a hopeless model's perplexity is infinite, which is the truth
        figure: Floats = np.exp(-ratio(sums))
    return figure


def _of_sources(label: str, score: Callable[[str, str, str, Mapping[str, Any]], tuple[float, float]]) -> Metric:
    def statistics(outcome: Outcome) -> Floats:
        rows = zip(outcome.questions, outcome.answers, outcome.references, outcome.details, strict=True)
        return np.asarray([score(*row) for row in rows], dtype=np.float64).reshape(-1, 2)

    return Metric(label, "sources", True, False, statistics, ratio, is_share=True)


CRITERIA = ("consistency", "relevance", "truthfulness")
"""What judges judge; an answer nobody could judge counts 0, below the lowest score."""

METRICS: dict[str, Metric] = {
    "exact_match": of_rows("Exact match", exact_match),
    "token_f1": of_rows("Token F1", token_f1),
    "rouge_1": of_rows("ROUGE-1 F1", lambda answer, reference: rouge_n(answer, reference, 1)),
    "rouge_2": of_rows("ROUGE-2 F1", lambda answer, reference: rouge_n(answer, reference, 2)),
    "rouge_l": of_rows("ROUGE-L F1", rouge_l),
    "bleu": Metric("BLEU (0 to 100)", "answers", True, True, _bleu_statistics, _bleu_figure),
    "chrf": Metric("chrF (0 to 100)", "answers", True, True, chrf_statistics, chrf_figure),
    "accuracy": of_rows("Accuracy", exact_match),
    "macro_f1": Metric("Macro F1", "answers", True, True, classes.statistics, classes.macro_f1),
    "kappa": Metric("Cohen's kappa", "answers", True, True, classes.statistics, classes.kappa),
    "extraction_precision": Metric("Extraction precision", "answers", True, True, items.statistics, items.precision),
    "extraction_recall": Metric("Extraction recall", "answers", True, True, items.statistics, items.recall),
    "extraction_f1": Metric("Extraction F1", "answers", True, True, items.statistics, items.f1),
    "calls": of_rows("Right function calls", calls.are_right),
    **{f"pass_at_{k}": passing.pass_at(k) for k in passing.KS},
    **{f"judged_{name}": measured(f"Judged {name} (1 to 5)", f"judged_{name}") for name in CRITERIA},
    "similarity": measured("Similarity of meaning (-1 to 1)", "similarity"),
    "perplexity": Metric("Perplexity", "log_probabilities", False, True, _perplexity_statistics, _perplexity_figure),
    "faithfulness": _of_sources("Faithfulness to what was read", grounded.faithfulness),
    "answer_relevance": _of_sources("Share of the question spoken of", grounded.answer_relevance),
    "context_precision": _of_sources("Context precision", grounded.context_precision),
    "citation_recall": _of_sources("Citation recall", grounded.citation_recall),
    "citation_precision": _of_sources("Citation precision", grounded.citation_precision),
    "abstention": _of_sources("Abstained where it should", grounded.abstention),
    **{f"recall_at_{k}": _of_sources(f"Documents found among {k}", found.ranked(f"recall@{k}")) for k in (1, 5, 10)},
    "ndcg_at_10": _of_sources("nDCG of documents found, 10", found.ranked("ndcg@10")),
    "mrr_at_10": _of_sources("Reciprocal rank of the first document", found.ranked("mrr@10")),
}


@cache
def metrics() -> Mapping[str, Metric]:
    """Give every metric known here, plugins' included; what is installed is looked through once."""
    return rows("metrics", METRICS)


def _f1(common: int, said: int, wanted: int) -> float:
    if not common:
        return 0.0
    precision, recall = common / said, common / wanted
    return 2 * precision * recall / (precision + recall)


def _runs(found: Sequence[str], size: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(found[place : place + size]) for place in range(len(found) - size + 1))


def _without_articles(text: str) -> list[str]:
    return [word for word in words(text) if word not in ("a", "an", "the")]

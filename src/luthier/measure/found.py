"""How good what was found is: rankings of documents, in answers that say which were found, against those that hold it.

The reference of a row names its documents, a label a line; `Answer.details["found"]` has the labels that were found,
best first. A label may be named by the end of its path.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.measure.grounded import NOTHING, Row
from luthier.measure.retrieval import RETRIEVAL_METRICS, Judgements


def ranked(name: str) -> Callable[[str, str, str, Mapping[str, Any]], Row]:
    """Give a figure of rankings as one of grounded answers: of (question, answer, reference, details)."""
    metric = RETRIEVAL_METRICS[name]

    def row(question: str, answer: str, reference: str, details: Mapping[str, Any]) -> Row:
        wanted = [label for label in reference.splitlines() if label.strip()]
        found = [_named(str(label), wanted) for label in details.get("found", ())]
        judgements: Judgements = dict.fromkeys(wanted, 1.0)
        return (metric(list(dict.fromkeys(found)), judgements), 1.0) if wanted else NOTHING

    return row


def _named(label: str, wanted: Sequence[str]) -> str:
    return next((name for name in wanted if label == name or label.endswith(f"/{name}")), label)

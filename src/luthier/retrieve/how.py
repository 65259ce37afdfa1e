"""How to search: settings that every stage which searches shares."""

from typing import Annotated, Any, Literal

from pydantic import Field

from luthier.spec import Spec


class SearchSpec(Spec):
    """How chunks are found."""

    way: Literal["hybrid", "bm25", "dense"] = "hybrid"
    """What chunks are ranked by: words (bm25), meaning (dense), or both."""
    path: Literal["plain", "two_step", "recursive"] = "plain"
    """plain: among all chunks. two_step: documents by their summaries first, then only inside them. recursive: on from
    what was found, to the sections it points to and to parents most of whose chunks were found."""
    top: Annotated[int, Field(ge=1, le=10_000)] = 10
    """How many are given."""
    candidates: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many each of words and meaning bring before they are fused."""
    fusion: Literal["weighted", "rrf"] = "weighted"
    """How two rankings become one: by scores brought between 0 and 1 (better on all sets it was measured on), or by
    ranks alone (reciprocal rank fusion)."""
    dense_weight: Annotated[float, Field(ge=0, le=1)] = 0.4
    """Share of meaning in fusion, the rest is of words."""
    documents: Annotated[int, Field(ge=1, le=10_000)] = 18
    """How many documents the first of two steps keeps."""
    bases: Annotated[int, Field(ge=1, le=100)] = 1
    """Of several knowledge bases, how many are searched: those whose descriptions fit the question best."""
    where: dict[str, Any] = Field(default_factory=dict)
    """Only chunks of such metadata: `{type: pdf, page: {from: 3, to: 9}, author: [Li, Wang]}`; all must hold."""
    mmr: Annotated[float, Field(ge=0, le=1)] | None = None
    """Trades likeness to the question (1) against difference from what is chosen already (0); left out: no trade."""

"""How near an answer lies to its reference in meaning: the cosine of their vectors."""

from collections.abc import Sequence

import numpy as np

from luthier.engine.ports import Embedder
from luthier.evaluate.find_out import Find, Found, Samples
from luthier.evaluate.question import Question
from luthier.event import Chose, Tell, Warned
from luthier.measure.task import TaskSpec

SIMILARITY = "similarity"
"""What the metric needs, by its name."""


def find_similar(embedder: Embedder, tell: Tell) -> Find:
    """Give what finds out the cosine of each first answer's vector with its reference's, from -1 to 1.

    An answer without a word has no meaning to compare: 0. Each different text is embedded once.
    """

    def find(task: TaskSpec, rows: Sequence[Question], samples: Samples) -> Found:
        answers, references = [texts[0] for texts in samples], [row.reference for row in rows]
        texts = sorted({text for text in (*answers, *references) if text.strip()})
        tell(Chose("embedder of similarity", embedder.name, f"{len(texts)} different texts"))
        counts = dict(zip(texts, embedder.count_tokens(texts), strict=True))
        longer = sum(counts.get(text, 0) > embedder.most_tokens for text in (*answers, *references))
        if longer:
            tell(
                Warned(
                    f"{longer} of {2 * len(rows)} texts are longer than the {embedder.most_tokens} tokens "
                    f"{embedder.name} reads: what comes after is not compared",
                    "take an embedder that reads more (embedder=...), or another metric for long answers",
                )
            )
        places = {text: place for place, text in enumerate(texts)}
        vectors = embedder.embed(texts, "passage", tell) if texts else np.zeros((0, embedder.width), np.float32)
        values = [
            float(vectors[places[answer]].astype(np.float64) @ vectors[places[reference]])
            if answer in places and reference in places
            else 0.0
            for answer, reference in zip(answers, references, strict=True)
        ]
        return Found(np.asarray(values, dtype=np.float64).reshape(-1, 1), [""] * len(rows))

    return find

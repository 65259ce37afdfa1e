"""Which languages a row is in, told by its letters first and by py3langid's bundled model where letters do not tell."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from luthier.errors import SpecError
from luthier.measure.words import CJK, HANGUL, KANA
from luthier.prepare.clean import needs

_NOT_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|(?<![^\s@])[^\s@]{1,64}@\S+|<[^<>\n]{1,80}>", re.DOTALL
)
_CJK = re.compile(f"[{CJK}]")
_KANA = re.compile(f"[{KANA}]")
_HANGUL = re.compile(f"[{HANGUL}]")
_WORD = re.compile(rf"[^\W\d_{CJK}]+")
_CHARACTERS_A_WORD = 1.6
"""Chinese words have one to two characters; by it a sentence weighs as much as its translation."""
_LEAST_CJK = 4
_LEAST_WORDS = 4
_LEAST_LETTERS = 20
_SURE = 0.5
"""Below this probability nothing is told: on 3,000 English alpaca rows, one row came out as another language (a list
of Italian dishes)."""
_DRAWING = ("la", "vo", "an", "wa")
"""Languages that lists of names, of species and of elements are taken for."""
_READ = 10_000
"""Characters of a row that are looked at."""
_ENOUGH = 1000
"""Characters that the model looks at: more make it no surer, and each costs 0.4 us."""


def check_names(languages: Sequence[str]) -> None:
    """Raise SpecError for a language that cannot be told, ToolError if the library is missing."""
    known = _model().labels
    for name in languages:
        if name not in known:
            raise SpecError(
                f"{name!r} is no language that can be told",
                where="clean.languages",
                mend=f"give the two letters of ISO 639-1, one of: {' '.join(sorted(known))}",
            )


def languages_of(text: str) -> tuple[str, ...]:
    """Give the languages of a text (ISO 639-1), the one with more text first; () where there is too little to tell.

    Two where neither of CJK and the rest has less than a fifth of the words, as in translations. Code between
    backticks, addresses and tags do not count. Chinese of every kind is `zh`: Han characters without kana or Hangul.
    """
    prose = _NOT_PROSE.sub(" ", text[:_READ])
    cjk = len(_CJK.findall(prose))
    others = _WORD.findall(prose)
    weight = cjk / _CHARACTERS_A_WORD
    share = weight / (weight + len(others)) if cjk else 0.0
    told: list[str] = []
    if cjk >= _LEAST_CJK and share >= 0.2:
        told.append(_cjk_language(prose, cjk))
    if len(others) >= _LEAST_WORDS and sum(map(len, others)) >= _LEAST_LETTERS and share <= 0.8:
        told += [other for other in [_by_model(" ".join(others))] if other]
    return tuple(told if share > 0.5 else reversed(told))


def _cjk_language(text: str, cjk: int) -> str:
    if len(_HANGUL.findall(text)) > 0.3 * cjk:
        return "ko"
    # Japanese prose is half kana; a borrowed の in Chinese stays below one in twenty
    return "ja" if len(_KANA.findall(text)) > 0.05 * cjk else "zh"


def _by_model(text: str) -> str | None:
    language, probability = _model().classify(text[:_ENOUGH])
    return str(language) if probability >= _SURE else None


@cache
def _model() -> Any:
    """The model once a process: 0.9 s, 20 MB. Only two-letter codes: the rarer tongues beside them draw short texts."""
    module = needs.load("py3langid.langid", "clean.languages")
    model = module.LanguageIdentifier.from_model_file(module.MODEL_FILE, norm_probs=True)
    model.set_languages([name for name in model.labels if len(name) == 2 and name not in _DRAWING])
    return model

"""The words of prompts and answers, in the language of the question where they are here."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from luthier.measure.grounded import NOT_FOUND
from luthier.measure.words import script_of


@cache
def phrases() -> Mapping[str, Mapping[str, str]]:
    """Give the words by language: en, zh."""
    words = tomllib.loads((Path(__file__).parent / "prompts.toml").read_text(encoding="utf-8"))
    return {language: {**said, "not_found": NOT_FOUND[language]} for language, said in words.items()}


def phrases_for(text: str) -> Mapping[str, str]:
    """Give the words to speak to whoever wrote a text."""
    return phrases()["zh" if script_of([text])[0] == "chinese" else "en"]


def language_line(question: str, language: str) -> str:
    """Give the sentence that says what to answer in."""
    said = phrases_for(question)
    if language != "question":
        return said["language"].format(name=language)
    script = script_of([question])[0]
    # which language a text in Latin letters is in cannot be told from its letters
    return said["language"].format(name=said["name"]) if script == "chinese" else said["same_language"]

"""What one row tells by itself, looked at where it is rendered: cheap, and nothing is kept but flags and two hashes.

`build` in the parent makes one `Context`; it is pickled to the workers, which call `row_checks` for each example.
Flags that only the renderer knows (TRUNCATED, TOO_LONG, ENDLESS, UNSUPERVISED) are not set here.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from zlib import crc32

from luthier.artifact.example import Example
from luthier.measure.words import CJK, words
from luthier.prepare.facts import Flag
from luthier.prepare.lint.passages import Passages

MARKERS = (
    *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|begin_of_text|>", "<|start_header_id|>", "<|eot_id|>"),
    *("<|user|>", "<|assistant|>", "<|system|>", "<start_of_turn>", "<end_of_turn>", "[gMASK]", "<｜User｜>"),
    *("<｜Assistant｜>", "[INST]", "[/INST]", "<<SYS>>", "### Instruction:", "### Response:", "\n\nAssistant:"),
)
"""Texts by which the chat templates in use mark turns: Llama, ChatML, Gemma, GLM, Mistral, DeepSeek, Alpaca, Vicuna."""

_MARKER = re.compile("|".join(re.escape(marker) for marker in MARKERS))
_CJK = re.compile(f"[{CJK}]")
_LETTER = re.compile(r"[^\W\d_]")
_FOREIGN_WANTED = re.compile(
    r"translat|\b(?:english|chinese|japanese|korean|mandarin|pinyin)\b|翻译|翻譯|译成|译为|英文|英语|英語|中文|汉语|日语|"
    r"日文|韩语|拼音",
    re.IGNORECASE,
)
_CODE = re.compile(r"```|\bdef |\bimport |\bclass |\bfunction\b|\bSELECT\b|</|[{;]\s*\n|\w\(\)|https?://")
LETTERS_TO_TELL = 20
"""Fewer letters than these say nothing about the language."""
WORDS_TO_TELL = 6
"""Fewer words with spaces between them are a name, an address or a formula, in whatever language they stand."""
MOSTLY, HARDLY = 0.5, 0.05
"""Shares of CJK among letters: a text is Chinese, Japanese or Korean; a text is not."""
OPENING_WORDS = 2
REPLACEMENT = "\ufffd"


TrainOn = Literal["all", "last"]
Reasoning = Literal["learn", "mask"]


@dataclass(frozen=True)
class Context:
    """What rows are held against. Picklable."""

    passages: Passages | None = None
    """The evaluation tasks' questions; None: none are named."""


class Marks(NamedTuple):
    """What a row tells, by FACT's names: `flags` are bits of Flag, the others hashes, 0 where there is no text."""

    flags: int
    asked: int
    """Of the system prompt, the tools and all questions; of plain or classified texts, the texts (64 bits)."""
    opening: int
    """Of the first words of the last question, or of the text (32 bits)."""
    reply: int
    """Of the last answer (32 bits)."""


def row_checks(example: Example, context: Context) -> Marks:
    """Look at one example alone. Takes about 10 us for 100 words, twice that where passages are looked for."""
    asked, answered = question_of(example), answer_of(example)
    texts = texts_of(example)
    flags = 0
    if not all(text.isascii() for text in texts):
        flags |= Flag.DAMAGED if any(REPLACEMENT in text for text in texts) else 0
        flags |= Flag.CJK if cjk_share(answered or asked) >= MOSTLY else 0
        flags |= Flag.LANGUAGES_DIFFER if languages_differ(asked, answered) else 0
    flags |= Flag.ECHO if is_echo(example) else 0
    flags |= Flag.TEMPLATE_TEXT if any(_MARKER.search(text) for text in texts) else 0
    if context.passages is not None and context.passages.found_in(texts):
        flags |= Flag.CONTAMINATED
    opening = " ".join(asked[:200].lower().split(maxsplit=OPENING_WORDS)[:OPENING_WORDS])
    if opening and not opening.isascii() and _CJK.match(opening):
        opening = opening[: 2 * OPENING_WORDS]
    return Marks(int(flags), asked_hash(example), _hash(opening), _hash(" ".join(answered.split()).lower()))


def asked_hash(example: Example) -> int:
    """Hash what is asked, without regard to case, width and white space; earlier answers do not count."""
    turns = [message.content for message in example.messages if message.role in ("system", "user")]
    tools = json.dumps(example.tools, sort_keys=True, ensure_ascii=False) if example.tools else ""
    text = "\0".join([*turns, *example.texts, tools])
    plain = " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).casefold().split())
    return int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest(), "little")


def question_of(example: Example) -> str:
    """Give the last user's turn; of plain or classified texts, the texts."""
    if example.texts:
        return "\n".join(example.texts)
    return next((message.content for message in reversed(example.messages) if message.role == "user"), "")


def answer_of(example: Example) -> str:
    """Give what is to be said at last; '' for plain and classified texts."""
    return "" if example.texts or not example.messages else example.messages[-1].content


def texts_of(example: Example) -> list[str]:
    """Give every text of a row that a person wrote: turns, thoughts, the worse answer, plain texts."""
    found = [text for message in example.messages for text in (message.content, message.reasoning) if text]
    if example.rejected is not None and example.rejected.content:
        found.append(example.rejected.content)
    return [*found, *example.texts]


def learned_characters(example: Example, train_on: TrainOn, reasoning: Reasoning) -> int:
    """Count the characters of what is learned: of answers (both of a pair), thoughts and calls, or of a plain text."""
    if not example.messages:
        return 0 if example.label is not None else sum(len(text) for text in example.texts)
    answers = [message for message in example.messages if message.role == "assistant"]
    is_last = train_on == "last" or example.task in ("preference", "kto")
    found = 0
    for message in (*answers, *([example.rejected] if example.rejected is not None else [])):
        is_meant = not is_last or message is answers[-1] or message is example.rejected
        if (message.weight is None and is_meant) or message.weight:
            calls = sum(
                len(call.name) + len(json.dumps(dict(call.arguments), ensure_ascii=False)) for call in message.calls
            )
            found += len(message.content) + calls + (len(message.reasoning) if reasoning == "learn" else 0)
    return found


def is_echo(example: Example) -> bool:
    """Whether the last answer says what the last question says, but for case, width and punctuation."""
    asked, answered = question_of(example), answer_of(example)
    if not answered or not asked or abs(len(asked) - len(answered)) > 0.2 * len(asked) + 4:
        return False
    return asked == answered or words(asked) == words(answered) != []


def markers_in(texts: Iterable[str]) -> list[str]:
    """Give the markers of chat templates that stand in the texts, each once."""
    found = (match.group().strip() for text in texts for match in _MARKER.finditer(text))
    return list(dict.fromkeys(found))


def languages_differ(asked: str, answered: str) -> bool:
    """Whether a Chinese (Japanese, Korean) question has an answer in another script, or the other way round.

    Translations, code and short texts are left alone: there it is meant, or cannot be told.
    """
    if min(len(asked), len(answered)) < LETTERS_TO_TELL // 2:
        return False
    first, second = cjk_share(asked), cjk_share(answered)
    if not ((first >= MOSTLY and second <= HARDLY) or (first <= HARDLY and second >= MOSTLY)):
        return False
    if min(letters(asked), letters(answered)) < LETTERS_TO_TELL // 2 or letters(answered) < LETTERS_TO_TELL:
        return False
    if second <= HARDLY and len(re.findall(r"(?:^|\s)[^\W\d_]{2,}", answered[:2000])) < WORDS_TO_TELL:
        return False
    return not (_FOREIGN_WANTED.search(asked) or _CODE.search(answered))


def cjk_share(text: str) -> float:
    """Give the share of CJK characters among a text's letters, 0 to 1; of its first 2,000 characters."""
    head = text[:2000]
    if head.isascii():
        return 0.0
    cjk = len(_CJK.findall(head))
    return cjk / max(1, letters(head)) if cjk else 0.0


def letters(text: str) -> int:
    """Count the letters of any script among a text's first 2,000 characters."""
    return len(_LETTER.findall(text[:2000]))


def _hash(text: str) -> int:
    return crc32(text.encode("utf-8", "replace")) if text else 0

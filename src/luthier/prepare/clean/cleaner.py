"""Rows through the rules, one after another: encoding, html, blocklist, personal, languages, lengths."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.artifact.example import Example
from luthier.errors import SpecError
from luthier.prepare.clean import blocklist, damage, html_left, language, needs, personal, places
from luthier.prepare.clean.blocklist import Blocklist
from luthier.prepare.clean.change import Action, Change, Cleaned, Rule
from luthier.prepare.spec import CleanSpec

Outcome = tuple[Example | None, list[Change]]
Mend = Callable[[str], tuple[str, int]]
"""Takes a text, gives the text that shall be there and the number of finds."""


@dataclass(frozen=True)
class Cleaner:
    """The rules that are on. Light and picklable: what is heavy is loaded on first use in each process."""

    spec: CleanSpec
    blocklist: Blocklist | None

    @property
    def is_on(self) -> bool:
        """Whether any rule looks at rows one by one."""
        return any(is_on(self.spec) for is_on, _ in RULES.values())

    def clean(self, example: Example) -> Cleaned:
        """Put a row through the rules. The first that leaves it out is the last that sees it.

        The changed row still has the id it came with: ids are made of the content, so make it anew.
        """
        changes: list[Change] = []
        row: Example | None = example
        for is_on, apply in RULES.values():
            if row is not None and is_on(self.spec):
                row, made = apply(self, row)
                changes += made
        if changes and self.spec.personal != "keep":
            changes = _without_personal(changes, self.spec)
        return Cleaned(row, tuple(changes))


def open_cleaner(spec: CleanSpec) -> Cleaner:
    """Make a cleaner, and find out before the run what would go wrong within it.

    Raises SpecError for settings that contradict one another, DataError for a blocklist that cannot be used, and
    ToolError if a library that a rule needs is not installed.
    """
    _check(spec)
    if spec.encoding != "keep":
        needs.load("ftfy", "clean.encoding")
    if spec.languages:
        language.check_names(spec.languages)
    if spec.near_duplicates is not None:
        needs.load("rensa", "clean.near_duplicates")
    return Cleaner(spec, blocklist.read_blocklist(Path(spec.blocklist)) if spec.blocklist else None)


def _check(spec: CleanSpec) -> None:
    if spec.personal != "keep" and not spec.personal_kinds:
        raise SpecError("no kind is named", where="clean.personal_kinds", mend="name some, or set clean.personal=keep")
    if spec.max_characters is not None and spec.max_characters < spec.min_characters:
        raise SpecError(
            f"the longest row ({spec.max_characters}) is shorter than the shortest answer ({spec.min_characters})",
            where="clean.max_characters",
            mend=f"set it to {spec.min_characters} or more",
        )
    if "blocked" in spec.model_fields_set and spec.blocklist is None:
        raise SpecError(
            f"clean.blocked={spec.blocked} without a list", where="clean.blocked", mend="name a file in clean.blocklist"
        )


def _each(example: Example, rule: Rule, action: Action, mend: Mend) -> Outcome:
    """Rewrite each text; with action `dropped`, leave the row out at the first find instead."""
    changes: list[Change] = []

    def rewrite(where: str, text: str) -> str:
        new, count = mend(text)
        if not count or (action == "dropped" and changes):
            return text
        if action == "dropped":
            changes.append(Change(rule, action, where, count=count))
            return text
        # A number that was offered as text would not come back as a number
        is_number = where.endswith(places.NUMBER)
        changes.append(Change(rule, action, where, "" if is_number else text, "" if is_number else new, count))
        return new

    new = places.rewritten(example, rewrite)
    return (None if action == "dropped" and changes else new), changes


def _encoding(cleaner: Cleaner, example: Example) -> Outcome:
    found = places.texts(example)
    if damage.is_about_encodings([place.text for place in found]):
        return example, []
    checked = {place.where: damage.check(place.text) for place in found}
    for where, one in checked.items():
        damages = one.lost + (one.mended if cleaner.spec.encoding == "drop" else 0)
        if damages:
            return None, [Change("encoding", "dropped", where, count=damages)]
    return (
        _each(example, "encoding", "changed", _mended) if any(one.mended for one in checked.values()) else (example, [])
    )


def _mended(text: str) -> tuple[str, int]:
    checked = damage.check(text)
    return checked.text, checked.mended


def _html(cleaner: Cleaner, example: Example) -> Outcome:
    found = [place.text for place in places.texts(example)]
    if not any("<" in text or "&" in text for text in found):
        return example, []
    if html_left.is_about_markup(found, are_turns=bool(example.messages)):
        return example, []
    new, changes = _each(example, "html", "dropped" if cleaner.spec.html == "drop" else "changed", html_left.strip)
    emptied = next(
        (change.where for change in changes if change.action == "changed" and not change.after.strip()), None
    )
    return (new, changes) if emptied is None else (None, [Change("html", "dropped", emptied, before="tags alone")])


def _blocklist(cleaner: Cleaner, example: Example) -> Outcome:
    listed = cleaner.blocklist
    if listed is None:
        return example, []

    def mask(text: str) -> tuple[str, int]:
        spans = listed.find(text)
        return (blocklist.mask(text, spans), len(spans)) if spans else (text, 0)

    if cleaner.spec.blocked == "mask":
        return _each(example, "blocklist", "masked", mask)
    for place in places.texts(example):
        spans = listed.find(place.text)
        if spans:
            begin, end = spans[0]
            held = place.text[begin:end]
            return None, [Change("blocklist", "dropped", place.where, before=held, count=len(spans))]
    return example, []


def _personal(cleaner: Cleaner, example: Example) -> Outcome:
    changes: list[Change] = []
    action: Action = "dropped" if cleaner.spec.personal == "drop" else "masked"

    def rewrite(where: str, text: str) -> str:
        found = personal.find(text, cleaner.spec.personal_kinds)
        if found:
            changes.append(Change("personal", action, where, count=len(found), kinds=personal.tally(found)))
        return personal.mask(text, found) if found else text

    new = places.rewritten(example, rewrite)
    return (None if changes and action == "dropped" else new), changes


def _without_personal(changes: list[Change], spec: CleanSpec) -> list[Change]:
    """What is told of the other rules must not hold what was masked.

    Masking comes after them, so the text before a change is told masked, too. Where a change made personal data
    readable (`me&#64;home.org`), neither it nor what came before it in that place is told.
    """
    told: list[Change] = []
    secret: set[str] = set()
    for change in reversed(changes):
        before, after = (personal.find(text, spec.personal_kinds) for text in (change.before, change.after))
        is_dropped = change.action == "dropped"
        if not is_dropped and change.rule != "personal" and personal.tally(before) != personal.tally(after):
            secret.add(change.where)
        if change.where in secret:
            told.append(replace(change, before="", after=""))
        else:
            masked = personal.mask(change.before, before), personal.mask(change.after, after)
            told.append(replace(change, before=masked[0], after=masked[1]))
    return told[::-1]


def _languages(cleaner: Cleaner, example: Example) -> Outcome:
    text = "\n".join(place.text for place in places.without_system(example))
    told = language.languages_of(text)
    if not told or set(told) & set(cleaner.spec.languages):
        return example, []
    return None, [Change("languages", "dropped", "", before=" ".join(told))]


def _shortest(cleaner: Cleaner, example: Example) -> Outcome:
    """An answer that calls a tool says enough, however short."""
    if example.texts:
        lengths = [len(text.strip()) for text in example.texts]
    else:
        answers = [example.messages[-1], *([example.rejected] if example.rejected else [])]
        lengths = [len(answer.content.strip()) for answer in answers if not answer.calls]
    shortest = min(lengths, default=cleaner.spec.min_characters)
    if shortest >= cleaner.spec.min_characters:
        return example, []
    return None, [Change("min_characters", "dropped", "", before=f"{shortest} characters")]


def _longest(cleaner: Cleaner, example: Example) -> Outcome:
    total = sum(len(place.text) for place in places.texts(example))
    if cleaner.spec.max_characters is None or total <= cleaner.spec.max_characters:
        return example, []
    return None, [Change("max_characters", "dropped", "", before=f"{total} characters")]


RULES: dict[Rule, tuple[Callable[[CleanSpec], bool], Callable[[Cleaner, Example], Outcome]]] = {
    "encoding": (lambda spec: spec.encoding != "keep", _encoding),
    "html": (lambda spec: spec.html != "keep", _html),
    "blocklist": (lambda spec: spec.blocklist is not None, _blocklist),
    "personal": (lambda spec: spec.personal != "keep", _personal),
    "languages": (lambda spec: bool(spec.languages), _languages),
    "min_characters": (lambda spec: spec.min_characters > 0, _shortest),
    "max_characters": (lambda spec: spec.max_characters is not None, _longest),
}
"""Whether a rule is on, and what it does; in this order, so that the later ones see mended text."""

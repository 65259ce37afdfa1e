"""Personal data in a text: e-mail, WeChat, QQ, telephone numbers, identity and bank cards, number plates, IP addresses.

What only looks like it stays: order numbers, ISBNs, prices, dates, versions, and addresses that are nobody's
(example.com of RFC 2606, private and documentation networks of RFC 6890). Full-width digits count as digits.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass

from luthier.prepare.clean.card_number import is_bank_card, is_identity_card, is_of_a_province, is_old_identity_card
from luthier.prepare.clean.contact import may_hold_contact, plates, qq_numbers, wechat_names
from luthier.prepare.clean.phone import END, FREE, Spans, is_called_otherwise, phones
from luthier.prepare.spec import Personal

_DASHES_AND_SPACE = {0x2010: 0x2D, 0x2011: 0x2D, 0x2013: 0x2D, 0x3000: 0x20, 0xA0: 0x20}
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | _DASHES_AND_SPACE
"""To ASCII, character by character, so that places stay."""
_ANY = re.compile(r"@|\d(?:[-.: ()]{0,3}\d){6}|[0-9A-Fa-f]:[0-9A-Fa-f:]*:|(?:\d+\.){3}\d")
"""What every kind but contacts has at least: an @, seven digits, two colons between hexadecimal digits, three dots."""
_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+/=-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"[A-Za-z]{2,24}(?![A-Za-z0-9])"
)
_NOBODYS = re.compile(
    r"^git@|@(?:.*\.)?(?:example(?:\.(?:com|org|net|edu))?|test|invalid|localhost|local)$", re.IGNORECASE
)
_ID_CARD = re.compile(r"(?<![\dA-Za-z_.])[1-9]\d{5} ?(?:19|20)\d{2}[01]\d[0-3]\d ?\d{3}[\dXx](?![\dA-Za-z_])")
_OLD_ID_CARD = re.compile(r"(?<![\dA-Za-z_.])[1-9]\d{14}(?![\dA-Za-z_])")
_SAID_ID_CARD = re.compile(r"身份证|证件号|ID ?(?:card|number|no)", re.IGNORECASE)
_SURELY_ID_CARD = re.compile(r"身份证|证件号|ID ?card", re.IGNORECASE)
_BANK_CARD = re.compile(
    rf"{FREE}(?:\d{{13,19}}|\d{{4}}(?:[ -]\d{{4}}){{3}}(?:[ -]\d{{1,3}})?|3\d{{3}}[ -]\d{{6}}[ -]\d{{5}}){END}"
)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_IP4 = re.compile(rf"(?<![\dA-Za-z_./-])(?:{_BYTE}\.){{3}}{_BYTE}(?![\dA-Za-z_]|\.\d|-\d)")
_IP6 = re.compile(r"(?<![0-9A-Za-z:.])[23][0-9A-Fa-f]{3}:(?:[0-9A-Fa-f]{0,4}:){1,6}[0-9A-Fa-f]{0,4}(?![0-9A-Za-z:])")


@dataclass(frozen=True)
class Found:
    """Where in a text personal data stands, and of which kind."""

    begin: int
    end: int
    kind: Personal


def find(text: str, kinds: Collection[Personal]) -> list[Found]:
    """Give all finds in their order; where two overlap, the kind that is surer (in the order of `FINDERS`) stays."""
    plain = text if text.isascii() else text.translate(_HALF_WIDTH)
    if not _ANY.search(plain) and not may_hold_contact(plain):
        return []
    found: list[Found] = []
    for kind, finder in FINDERS.items():
        if kind in kinds:
            for begin, end in finder(plain):
                if all(end <= other.begin or begin >= other.end for other in found):
                    found.append(Found(begin, end, kind))
    return sorted(found, key=lambda one: one.begin)


def mask(text: str, found: Collection[Found]) -> str:
    """Put the name of its kind in the place of each find: `[email]`, `[phone]`."""
    for one in sorted(found, key=lambda one: -one.begin):
        text = f"{text[: one.begin]}[{one.kind}]{text[one.end :]}"
    return text


def tally(found: Collection[Found]) -> tuple[tuple[str, int], ...]:
    """Count the finds of each kind, in the order of the kinds' names."""
    return tuple(sorted(Counter(str(one.kind) for one in found).items()))


def _emails(text: str) -> Spans:
    for match in _EMAIL.finditer(text):
        if not _NOBODYS.search(match.group()) and ".." not in match.group():
            yield match.span()


def _identity_cards(text: str) -> Spans:
    for match in _ID_CARD.finditer(text):
        number = match.group().replace(" ", "")
        # One mistyped digit breaks the check digit, and hides nobody
        if is_identity_card(number) or (is_of_a_province(number) and _is_said(_SURELY_ID_CARD, text, match.start())):
            yield match.span()
    for match in _OLD_ID_CARD.finditer(text):
        # Without a check digit one in some hundred numbers looks like it: it must be called what it is
        if _is_said(_SAID_ID_CARD, text, match.start()) and is_old_identity_card(match.group()):
            yield match.span()


def _is_said(name: re.Pattern[str], text: str, begin: int) -> bool:
    return name.search(text, max(0, begin - 20), begin) is not None


def _bank_cards(text: str) -> Spans:
    for match in _BANK_CARD.finditer(text):
        if is_bank_card(re.sub("[ -]", "", match.group())) and not is_called_otherwise(text, match.start()):
            yield match.span()


def _addresses(text: str) -> Spans:
    for pattern in (_IP4, _IP6):
        for match in pattern.finditer(text):
            if _is_somebodys(match.group()) and not is_called_otherwise(text, match.start()):
                yield match.span()


def _is_somebodys(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # 1.2.3.4, 1.1.1.1 and the like are headings and versions far more often than machines
    return parsed.is_global and not (parsed.version == 4 and all(int(part) < 10 for part in address.split(".")))


FINDERS: dict[Personal, Callable[[str], Spans]] = {
    "email": _emails,
    "wechat": wechat_names,
    "qq": qq_numbers,
    "plate": plates,
    "id_card": _identity_cards,
    "bank_card": _bank_cards,
    "phone": phones,
    "ip": _addresses,
}
"""A kind and what finds it."""

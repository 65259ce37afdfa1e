"""Numbers that prove themselves: identity cards by GB 11643-1999, bank cards by ISO/IEC 7812-1 (Luhn)."""

from datetime import date

_PROVINCES = frozenset(
    (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83)
)
"""GB/T 2260: the first two digits of an identity card."""
_WEIGHTS = tuple(2 ** (17 - place) % 11 for place in range(17))
"""GB 11643-1999, 5.2 (ISO 7064, MOD 11-2): 7, 9, 10, 5, 8, 4 ..."""
_CHECKS = "10X98765432"


def is_identity_card(number: str) -> bool:
    """Whether 18 characters are a Chinese identity card: province, day of birth and check digit are right."""
    if not is_of_a_province(number) or not _is_day(number[6:14]):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    return _CHECKS[total % 11] == number[17].upper()


def is_old_identity_card(number: str) -> bool:
    """Whether 15 digits may be a Chinese identity card of before 1999: province and day of birth are right."""
    return is_of_a_province(number) and _is_day("19" + number[6:12])


def is_of_a_province(number: str) -> bool:
    """Whether it begins as an identity card does."""
    return int(number[:2]) in _PROVINCES


def _is_day(digits: str) -> bool:
    try:
        date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return True


def is_bank_card(digits: str) -> bool:
    """Whether digits are a bank card's: they begin as an issuer's do, in its length, and the check digit is right."""
    return len(set(digits)) > 1 and _is_of_an_issuer(digits) and luhn(digits)


def _is_of_an_issuer(digits: str) -> bool:
    lengths = next((lengths for starts, lengths in _ISSUERS if digits.startswith(starts)), ())
    return len(digits) in lengths


_ISSUERS: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = (
    (("62",), (16, 17, 18, 19)),  # UnionPay
    (("4",), (13, 16, 19)),  # Visa
    (("51", "52", "53", "54", "55"), (16,)),  # Mastercard
    (tuple(str(start) for start in range(2221, 2721)), (16,)),  # Mastercard, since 2017
    (("34", "37"), (15,)),  # American Express
    (("6011", "644", "645", "646", "647", "648", "649", "65"), (16,)),  # Discover
    (tuple(str(start) for start in range(3528, 3590)), (16,)),  # JCB
    (("36", "38", "39", "300", "301", "302", "303", "304", "305"), (14,)),  # Diners Club
)
"""How the numbers of each issuer begin, and how long they are."""


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(doubled) + sum(int(digit) for digit in digits[::-2])) % 10 == 0

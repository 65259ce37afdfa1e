"""Which Han characters are common: the first levels of the Chinese, Taiwanese and Japanese standards.

Text that was read with a wrong Chinese encoding consists of rare characters: of 17,000 Chinese alpaca answers none has
less than two thirds of common ones; the same answers, written as UTF-8 and read as GBK, have a third.
"""

import re
from collections.abc import Iterator
from functools import cache

HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\ue000-\uf8ff]")
"""Han characters, and the private ones that decoders give for what GBK leaves open."""


def common_share(text: str) -> float:
    """Give the share of common ones among the Han characters of a text; 1 if it has none."""
    total = len(HAN.findall(text))
    return len(common_han().findall(text)) / total if total else 1.0


@cache
def common_han() -> re.Pattern[str]:
    """One common Han character: level 1 of GB 2312 (3,755), of Big5 (5,401) or of JIS X 0208 (2,965)."""
    return re.compile(f"[{''.join(sorted(set(_first_levels())))}]")


def _first_levels() -> Iterator[str]:
    for encoding, leads, trails in (
        ("gb2312", range(0xB0, 0xD8), range(0xA1, 0xFF)),
        ("big5", range(0xA4, 0xC7), (*range(0x40, 0x7F), *range(0xA1, 0xFF))),
        ("shift_jis", range(0x88, 0x99), range(0x40, 0xFD)),
    ):
        for lead in leads:
            for trail in trails:
                character = bytes((lead, trail)).decode(encoding, "ignore")
                if len(character) == 1 and "\u4e00" <= character <= "\u9fff":
                    yield character

"""Damage is made by the codecs themselves, and mended; what is right stays."""

import pytest

from luthier.prepare.clean.common_han import common_share
from luthier.prepare.clean.damage import check, is_about_encodings

CHINESE = "保持健康的三个方法：饮食均衡，经常运动，睡眠充足。"
RIGHT = [
    CHINESE,
    "Naïve café — “quoted” résumé… 😀👍🏽",
    "茲說明如下：依據民法第一百八十四條規定，因故意或過失，不法侵害他人之權利者，負損害賠償責任。",
    "日本国憲法の前文は、政府の行為によつて再び戦争の惨禍が起ることのないやうに",
    "x²+y²≠z³ ½ ±5 °C ≤ ∞ → ← Ω µm",
    "ÀÉÎÕÜÈ ÇA ÑANDÚ",
    'fn main() { println!("é"); } // ñ',
    "烫烫烫！这茶真烫。",
    "邓喆、王堃和李珺去了饕餮餐厅，看了魑魅魍魉。",
    "Привет, как дела? Γειά σου",
]


@pytest.mark.parametrize("text", RIGHT)
def test_text_that_is_right_stays(text: str) -> None:
    checked = check(text)
    assert (checked.text, checked.mended, checked.lost) == (text, 0, 0)


@pytest.mark.parametrize(
    ("text", "written", "read"),
    [
        ("Café, naïve, it’s ‘quoted’", "utf-8", "cp1252"),
        (CHINESE, "utf-8", "latin-1"),
        (CHINESE, "gbk", "latin-1"),
        ("在是这个世界", "utf-8", "gb18030"),
        ("你好", "utf-8", "gb18030"),
        ("产品名称：iPhone 12 Pro Max、Apple Watch", "utf-8", "gb18030"),
        ("It’s easy, isn’t it?", "utf-8", "gb18030"),
    ],
)
def test_text_read_with_a_wrong_encoding_is_mended(text: str, written: str, read: str) -> None:
    checked = check(text.encode(written).decode(read))
    assert (checked.text, checked.lost) == (text, 0)
    assert checked.mended


def test_a_damaged_line_is_mended_beside_one_that_is_right() -> None:
    broken = "很好吃的面".encode().decode("gb18030", "ignore")
    assert check(f"这是对的。\n{'你好'.encode().decode('gb18030')}").text == "这是对的。\n你好"
    assert check(f"{CHINESE}\n{broken}").text.startswith(CHINESE)


@pytest.mark.parametrize(
    "text",
    [
        "the \ufffdquick\ufffd fox",
        "锟斤拷锟斤拷",
        "值是烫烫烫烫烫",
        "屯屯屯",
        CHINESE.encode().decode("gbk", "replace"),
        CHINESE.encode().decode("gbk", "replace").replace("\ufffd", "?"),
        CHINESE.encode("gbk").decode("utf-8", "replace"),
    ],
)
def test_what_is_lost_is_counted_and_not_touched_up(text: str) -> None:
    assert check(text).lost


def test_chinese_is_made_of_common_characters_and_damaged_chinese_is_not() -> None:
    assert common_share(CHINESE) == 1
    assert common_share(CHINESE.encode().decode("gbk", "ignore")) < 0.5


def test_a_row_about_encodings_is_known() -> None:
    assert is_about_encodings(["为什么会出现乱码？", "锟斤拷"])
    assert not is_about_encodings(["Why is the sky blue?"])

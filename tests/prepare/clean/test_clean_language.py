"""Languages are told by content; what is too short or not sure is not told."""

import pytest

from luthier.errors import SpecError
from luthier.prepare.clean.language import check_names, languages_of


@pytest.mark.parametrize(
    ("text", "languages"),
    [
        ("给出三个保持健康的提示。", ("zh",)),
        ("你好世界", ("zh",)),
        ("請問臺灣大學在哪裡？", ("zh",)),
        ("用 Python 写一个 function 计算平均值", ("zh",)),
        ("これは日本語の文章です", ("ja",)),
        ("東京タワーの高さは何メートルですか", ("ja",)),
        ("한국어 문장입니다", ("ko",)),
        ("Give three tips for staying healthy.", ("en",)),
        ("Bonjour, comment allez-vous aujourd'hui ? Très bien, merci.", ("fr",)),
        ("Ich habe gestern ein sehr interessantes Buch gelesen.", ("de",)),
        ("Сегодня очень хорошая погода, пойдём гулять в парк.", ("ru",)),
        ("What does this Chinese sentence mean exactly? 今天天气很好我们去公园吧", ("zh", "en")),
        ("你好", ()),
        ("Yes.", ()),
        ("1 + 1 = 2", ()),
        ("", ()),
        ("```python\nfor item in values:\n    print(item)\n```", ()),
    ],
)
def test_language_is_told_by_content(text: str, languages: tuple[str, ...]) -> None:
    assert languages_of(text) == languages


def test_an_unknown_language_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(SpecError) as caught:
        check_names(["zh", "cn"])
    assert caught.value.where == "clean.languages"
    assert "'cn'" in caught.value.what
    assert " zh" in caught.value.mend

from hypothesis import given
from hypothesis import strategies as st

from luthier.measure.coded import coded_texts
from luthier.measure.words import words

TEXTS = st.lists(st.text() | st.text("ab 1你好吗，𠀀ガ한é\0"), max_size=6)


@given(TEXTS)
def test_words_of_texts_as_numbers_are_the_words_one_by_one(texts: list[str]) -> None:
    truth = [[word if word > "z" else word[::-1] for word in words(text, bigrams=True)] for text in texts]
    coded, lines = coded_texts(texts, lambda word: word if word > "z" else word[::-1])
    said = [coded.words[code] for code in coded.codes.tolist()]
    assert coded.lengths == list(map(len, truth))
    assert said == [word for one in truth for word in one]
    assert lines == list(map(" ".join, truth))
    assert sorted(coded.words) == sorted(set(said))

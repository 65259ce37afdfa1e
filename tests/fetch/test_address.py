"""What a source text names."""

import pytest

from luthier.errors import FetchError, SpecError
from luthier.fetch.address import Place, kind_of, read_place, row_of

HUB = "https://huggingface.co"

ROWS = [
    (f"{HUB}/Qwen/Qwen2.5-0.5B", "hub"),
    (f"{HUB}/Qwen/Qwen2.5-0.5B/tree/main", "hub"),
    (f"{HUB}/Qwen/Qwen2.5-0.5B-GGUF/blob/main/q8_0.gguf", "hub"),
    (f"{HUB}/gpt2/resolve/main/config.json", "hub"),
    (f"{HUB}/datasets/openai/gsm8k", "dataset"),
    (f"{HUB}/datasets/openai/gsm8k/resolve/main/main/train.parquet", "dataset"),
    ("https://hf-mirror.com/Qwen/Qwen3-0.6B", "hub"),
    ("https://modelscope.cn/models/Qwen/Qwen3-0.6B", "modelscope"),
    ("https://www.modelscope.cn/models/Qwen/Qwen3-0.6B/file/view/master/config.json", "modelscope"),
    ("https://modelscope.cn/datasets/AI-ModelScope/alpaca-gpt4-data-zh", "modelscope-dataset"),
    ("https://github.com/tatsu-lab/stanford_alpaca/blob/main/alpaca_data.json", "url"),
    ("https://raw.githubusercontent.com/o/r/main/rows.csv", "url"),
    ("https://example.org/rows.csv", "url"),
    ("https://example.org/data/rows.csv", "url"),
    ("https://example.org/a/b/rows.jsonl.gz", "url"),
]


@pytest.mark.parametrize(("url", "row"), ROWS)
def test_an_address_tells_its_source(url: str, row: str) -> None:
    assert row_of(url) == row


PLACES = [
    ("owner/name", False, Place("owner/name")),
    ("gpt2", False, Place("gpt2")),
    ("owner/name/a/b.csv", True, Place("owner/name", True, "a/b.csv")),
    (f"{HUB}/owner/name", False, Place("owner/name", endpoint=HUB)),
    (f"{HUB}/owner/name/tree/v1", False, Place("owner/name", revision="v1", endpoint=HUB)),
    (f"{HUB}/owner/name/blob/main/a%20b.gguf", False, Place("owner/name", False, "a b.gguf", "main", HUB)),
    (f"{HUB}/datasets/o/n/resolve/refs%2Fpr%2F1/x.csv", True, Place("o/n", True, "x.csv", "refs/pr/1", HUB)),
    (f"{HUB}/gpt2/raw/main/rows.json", False, Place("gpt2", False, "rows.json", "main", HUB)),
    (
        "https://modelscope.cn/models/o/n/file/view/master/a%2Fb.csv?status=1",
        False,
        Place("o/n", False, "a/b.csv", "master", "https://modelscope.cn"),
    ),
    ("https://modelscope.cn/models/o/n/files", False, Place("o/n", endpoint="https://modelscope.cn")),
]


@pytest.mark.parametrize(("rest", "is_data", "place"), PLACES)
def test_a_place_is_read(rest: str, is_data: bool, place: Place) -> None:
    assert read_place(rest, is_data, None, None) == place


def test_settings_fill_in_what_an_address_leaves_open() -> None:
    assert read_place("o/n", False, "v1", HUB) == Place("o/n", revision="v1", endpoint=HUB)
    assert read_place(f"{HUB}/o/n", False, "v1", None) == Place("o/n", revision="v1", endpoint=HUB)
    assert read_place(f"{HUB}/o/n/tree/v1", False, "v1", HUB) == Place("o/n", revision="v1", endpoint=HUB)


@pytest.mark.parametrize(
    ("revision", "endpoint", "key"), [("v2", None, "revision"), (None, "https://hf-mirror.com", "endpoint")]
)
def test_a_setting_that_says_otherwise_than_the_address_is_refused(
    revision: str | None, endpoint: str | None, key: str
) -> None:
    with pytest.raises(SpecError, match=f"{key} is .* the address says") as caught:
        read_place(f"{HUB}/o/n/tree/v1", False, revision, endpoint)
    assert caught.value.where == f"fetch, key {key}"
    assert f"leave {key} out" in caught.value.mend


def test_a_folder_of_a_repository_names_the_pattern_to_write() -> None:
    with pytest.raises(FetchError, match="the folder 'a/b'") as caught:
        read_place(f"{HUB}/o/n/tree/main/a/b", False, None, None)
    assert caught.value.where == "fetch, key source"
    assert caught.value.mend == "write source=o/n include=[a/b/*] exclude=[]"


@pytest.mark.parametrize("name", ["a--b/c", "a/b..c", "../etc/passwd", "a/", "ä/b", "-a/b", "a/b.", "a" * 97 + "/b"])
def test_a_name_no_hub_can_have_is_refused(name: str) -> None:
    with pytest.raises(FetchError, match="cannot be a name") as caught:
        read_place(name, False, None, None)
    assert (caught.value.where, caught.value.mend) == ("fetch, key source", "write owner/name")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "rows"), ("a.JSONL.gz", "rows"), ("a.parquet", "rows"), ("a.Q4_K_M.gguf", "model"), ("a.bin", None)],
)
def test_a_file_tells_what_it_becomes(name: str, kind: str | None) -> None:
    assert kind_of(name) == kind

"""Fetching one file from any web server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from gguf_writer import write_gguf
from local_hub import Hub, serving, sha256

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, SpecError
from luthier.event import Event, hush
from luthier.fetch.download import _raw
from luthier.fetch.patience import Patience
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec

ROWS = b'{"question": "a", "answer": "b"}\n' * 10_000


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", Patience(attempts=3, first_wait_seconds=0.01))


@pytest.fixture
def web(tiny_model: Artifact, tmp_path: Path) -> Iterator[Hub]:
    """A server with rows and a model."""
    write_gguf(tiny_model.folder, tmp_path / "violin.gguf")
    with serving({"rows.jsonl": ROWS, "violin.gguf": (tmp_path / "violin.gguf").read_bytes()}) as served:
        yield served


@pytest.mark.parametrize("prefix", ["", "url:"])
def test_a_file_of_rows_arrives_as_it_is(web: Hub, store: Store, prefix: str) -> None:
    made = fetch(FetchSpec(source=f"{prefix}{web.address}/plain/rows.jsonl"), store, hush)
    assert made.kind == "rows"
    assert (made.folder / "rows.jsonl").read_bytes() == ROWS
    assert made.card.figures["sha256"] == sha256(ROWS)
    assert made.card.figures["address"] == f"{web.address}/plain/rows.jsonl"


def test_what_was_fetched_once_never_asks_again(web: Hub, store: Store) -> None:
    spec = FetchSpec(source=f"{web.address}/plain/rows.jsonl")
    first = fetch(spec, store, hush)
    web.asked.clear()
    web.refusal = (500, {})
    assert fetch(spec, store, hush).id == first.id
    assert web.asked == []


def test_a_gguf_becomes_a_plain_model(web: Hub, store: Store) -> None:
    made = fetch(FetchSpec(source=f"{web.address}/plain/violin.gguf", dtype="bfloat16"), store, hush)
    assert made.kind == "model"
    assert (made.folder / "model.safetensors").exists()
    assert made.card.figures["sha256"] == sha256(web.files["violin.gguf"])


def test_a_checksum_behind_the_address_is_held(web: Hub, store: Store) -> None:
    right = f"{web.address}/plain/rows.jsonl#sha256={sha256(ROWS)}"
    assert fetch(FetchSpec(source=right), store, hush).exists
    wrong = f"{web.address}/plain/rows.jsonl#sha256={'0' * 64}"
    with pytest.raises(FetchError, match=f"its SHA-256 is not {'0' * 64}") as caught:
        fetch(FetchSpec(source=wrong), store, hush)
    assert caught.value.where == f"{web.address}/plain/rows.jsonl, rows.jsonl"
    assert "same command again" in caught.value.mend


def test_a_token_file_goes_to_the_host_and_nowhere_else(
    web: Hub, store: Store, told: list[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_for_the_hub")
    (tmp_path / "token").write_text("verysecret")
    source = f"url:{web.address}/maker/violin/resolve/main/violin.gguf"  # redirects to another host
    fetch(FetchSpec(source=source, token_file=str(tmp_path / "token")), store, told.append)
    assert {headers["authorization"] for _, _, headers in web.asked} == {"Bearer verysecret"}
    assert web.asked_store
    assert not any("authorization" in headers for _, _, headers in web.asked_store)
    assert "verysecret" not in repr(told)
    web.asked.clear()
    fetch(FetchSpec(source=f"{web.address}/plain/rows.jsonl"), store, hush)
    assert not any("authorization" in headers for _, _, headers in web.asked)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("https://me:pass@example.org/rows.csv", "a user"),
        ("https://example.org/rows.csv?token=abc", "token"),
        ("url:https://example.org/rows.csv?X-Amz-Signature=abc", "X-Amz-Signature"),
        ("url:https://me:pass@example.org/rows.csv", "a user"),
        ("dataset:https://me:pass@example.org/owner/name", "a user"),
    ],
)
def test_an_address_with_a_secret_is_refused_before_it_is_stored(store: Store, source: str, what: str) -> None:
    with pytest.raises(SpecError, match="may be a secret") as caught:
        fetch(FetchSpec(source=source), store, hush)
    assert what in caught.value.what
    assert "abc" not in str(caught.value)
    assert "pass" not in str(caught.value)
    assert caught.value.where == "fetch, key source"
    assert "token_file" in caught.value.mend


@pytest.mark.parametrize(
    ("source", "what", "mend"),
    [
        ("https://example.org/model.onnx", "'model.onnx' is neither rows", "name a file that ends so"),
        ("url:example.org/rows.csv", "is no address", "https://HOST"),
        ("https://example.org/rows.csv#part", "'part' behind the # is no checksum", "64 hex digits"),
        ("owner/name/model.safetensors", "is no source", "owner/name"),
        ("hub:owner/name/model.safetensors", "'model.safetensors' is neither", "the repository alone"),
    ],
)
def test_what_is_no_file_of_rows_is_refused(store: Store, source: str, what: str, mend: str) -> None:
    with pytest.raises(FetchError) as caught:
        fetch(FetchSpec(source=source), store, hush)
    assert what in caught.value.what
    assert caught.value.where == "fetch, key source"
    assert mend in caught.value.mend


@pytest.mark.parametrize(("status", "what"), [(401, "wants one"), (404, "no such file"), (410, "has it no more")])
def test_a_refusal_says_what_where_and_mend(web: Hub, store: Store, status: int, what: str) -> None:
    web.refusals.append((status, {}))
    with pytest.raises(FetchError, match=what) as caught:
        fetch(FetchSpec(source=f"{web.address}/plain/rows.jsonl"), store, hush)
    assert caught.value.where == f"{web.address}/plain/rows.jsonl"
    assert caught.value.mend


RAW = [
    ("https://github.com/o/r/blob/main/a/b.csv", "https://github.com/o/r/raw/main/a/b.csv"),
    ("https://gitlab.example/o/r/-/blob/main/b.csv", "https://gitlab.example/o/r/-/raw/main/b.csv"),
    ("https://gitea.example/o/r/src/branch/main/b.csv", "https://gitea.example/o/r/raw/branch/main/b.csv"),
    ("https://example.org/o/r/b.csv", "https://example.org/o/r/b.csv"),
]


@pytest.mark.parametrize(("shown", "raw"), RAW)
def test_the_address_that_shows_a_file_is_rewritten_to_the_file(shown: str, raw: str) -> None:
    assert _raw(shown) == raw

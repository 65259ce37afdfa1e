"""Fetching from ModelScope: a real server on this machine that speaks its protocol."""

from collections.abc import Iterator

import pytest
from local_hub import Hub
from local_modelscope import COMMIT, NAME, serving_modelscope

from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError
from luthier.event import Chose, Event, hush
from luthier.fetch.patience import Patience
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


@pytest.fixture(autouse=True)
def _no_token_and_little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.fetch.patience.PATIENCE", Patience(attempts=3, first_wait_seconds=0.01))
    monkeypatch.setenv("HF_TOKEN", "hf_for_another_hub")
    monkeypatch.delenv("MODELSCOPE_API_TOKEN", raising=False)


@pytest.fixture
def scope(tiny_model: Artifact) -> Iterator[Hub]:
    """A ModelScope that holds the tiny model."""
    files = {path.name: path.read_bytes() for path in tiny_model.folder.iterdir() if path.name != "card.json"}
    with serving_modelscope({**files, ".gitattributes": b"", "configuration.json": b"{}"}) as served:
        yield served


def spec_of(scope: Hub, **more: object) -> FetchSpec:
    return FetchSpec.model_validate({"source": f"modelscope:{NAME}", "endpoint": scope.address, **more})


def test_a_model_arrives_byte_for_byte_each_file_of_its_commit(scope: Hub, store: Store, told: list[Event]) -> None:
    made = fetch(spec_of(scope), store, told.append)
    names = set(scope.files) - {".gitattributes"}
    assert {path.name for path in made.folder.iterdir()} == names | {"card.json"}
    assert all((made.folder / name).read_bytes() == scope.files[name] for name in names)
    assert made.card.figures["hub"] == f"{scope.address}/models/{NAME}"
    assert made.card.figures["revision"] == "master"
    assert Chose("content", made.card.figures["content"], "of all files that master holds right now") in told
    assert not any("authorization" in headers or "cookie" in headers for _, _, headers in scope.asked)
    assert fetch(spec_of(scope, revision=COMMIT), store, hush).card.figures["revision"] == COMMIT


def test_the_token_goes_to_modelscope_only(
    scope: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "ms-verysecret")
    fetch(spec_of(scope), store, told.append)
    assert scope.asked
    assert {headers["authorization"] for _, _, headers in scope.asked} == {"Bearer ms-verysecret"}
    assert {headers["cookie"] for _, _, headers in scope.asked} == {"m_session_id=ms-verysecret"}
    assert scope.asked_store
    assert not any({"authorization", "cookie"} & headers.keys() for _, _, headers in scope.asked_store)
    assert "ms-verysecret" not in repr(told)
    assert not any(b"verysecret" in path.read_bytes() for path in store.root.rglob("*") if path.is_file())


def test_data_come_in_pages_as_rows(store: Store) -> None:
    files = {f"data/{number}.jsonl": b'{"a": %d}\n' % number for number in range(7)}
    with serving_modelscope({**files, "README.md": b"", "dataset_infos.json": b"{}"}, "datasets") as scope:
        scope.entries_per_page = 3
        made = fetch(FetchSpec(source=f"modelscope-dataset:{NAME}", endpoint=scope.address), store, hush)
    assert made.kind == "rows"
    taken = [path.relative_to(made.folder).as_posix() for path in made.folder.rglob("*.jsonl")]
    assert sorted(taken) == sorted(files)
    assert made.card.figures["hub"] == f"{scope.address}/datasets/{NAME}"


def test_one_file_is_fetched_alone(scope: Hub, store: Store) -> None:
    scope.files["data/rows.csv"] = b"a,b\n"
    made = fetch(spec_of(scope, source=f"modelscope:{NAME}/data/rows.csv"), store, hush)
    assert (made.kind, (made.folder / "data/rows.csv").read_bytes()) == ("rows", b"a,b\n")


def test_a_domain_of_the_environment_is_asked_and_told(
    scope: Hub, store: Store, told: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_DOMAIN", scope.address)
    made = fetch(FetchSpec(source=f"modelscope:{NAME}"), store, told.append)
    assert Chose("hub", scope.address, "MODELSCOPE_DOMAIN says so") in told
    assert made.card.figures["hub"].startswith(scope.address)


REFUSALS = [
    (404, "no model 'maker/violin'", "MODELSCOPE_API_TOKEN"),
    (401, "does not accept the token, or wants one", "MODELSCOPE_API_TOKEN"),
    (403, "forbids", "ask its owner"),
    (500, "out of order (status 500); tried 3 times", "same command again"),
]


@pytest.mark.parametrize(("status", "what", "mend"), REFUSALS)
def test_a_refusal_says_what_where_and_mend(scope: Hub, store: Store, status: int, what: str, mend: str) -> None:
    scope.refusal = (status, {})
    with pytest.raises(FetchError) as caught:
        fetch(spec_of(scope), store, hush)
    assert what in caught.value.what
    assert caught.value.where.startswith(scope.address)
    assert mend in caught.value.mend


def test_a_refusal_with_status_200_is_one(scope: Hub, store: Store) -> None:
    with pytest.raises(FetchError, match=r"refuses 'maker/violin': revision not found \(code 10010205001\)") as caught:
        fetch(spec_of(scope, revision="v9"), store, hush)
    assert caught.value.where == f"{scope.address}/models/{NAME}"
    assert "'v9'" in caught.value.mend


def test_a_server_of_another_kind_is_told(store: Store) -> None:
    with serving_modelscope({}) as scope:
        scope.refusal = (200, {})
        with pytest.raises(FetchError, match="refuses 'maker/violin'") as caught:
            fetch(spec_of(scope), store, hush)
    assert caught.value.where == f"{scope.address}/models/{NAME}"
    assert "spelling" in caught.value.mend

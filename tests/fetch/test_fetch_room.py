"""Room on the disk: looked at before the work that takes it, for all that will be there at once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import gguf
import pytest
from gguf_writer import write_gguf
from local_hub import NAME, serving

from luthier.artifact.store import Artifact, Store
from luthier.errors import RoomError
from luthier.event import hush
from luthier.fetch.model_files import PICKLED
from luthier.fetch.plan import expected_bytes
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], None]:
    """Lets the disk have so many bytes free."""
    usage = shutil.disk_usage(tmp_path)
    return lambda free: monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=free))


def test_room_for_pickles_and_their_copies_is_looked_at_before_the_download(
    store: Store, leave: Callable[[int], None]
) -> None:
    leave(19_999)
    with serving({"config.json": b"{}", "tokenizer.json": b"{}", PICKLED: bytes(10_000)}) as hub:
        with pytest.raises(RoomError) as caught:
            fetch(FetchSpec(source=NAME, endpoint=hub.address, convert=True), store, hush)
        assert not hub.sent
    assert caught.value.what == ("the download takes 10,004 more bytes and what is made of it 10,000, 19,999 are free")
    assert caught.value.where.startswith(str(store.work))
    assert "luthier remove ID" in caught.value.mend


@pytest.mark.parametrize("is_url", [False, True], ids=["hub", "url"])
def test_room_for_a_gguf_and_at_least_its_weights_is_looked_at_before_the_download(
    is_url: bool, store: Store, leave: Callable[[int], None]
) -> None:
    leave(14_999)
    with serving({"violin.gguf": bytes(10_000)}) as hub:
        place = f"url:{hub.address}/plain/violin.gguf" if is_url else f"hub:{NAME}/violin.gguf"
        spec = FetchSpec(source=place, dtype="bfloat16", endpoint=None if is_url else hub.address)
        with pytest.raises(RoomError) as caught:
            fetch(spec, store, hush)
        assert hub.sent["violin.gguf"] <= 1
    assert caught.value.what == "the download takes 10,000 more bytes and what is made of it 5,000, 14,999 are free"


def test_room_for_the_weights_of_a_gguf_is_looked_at_before_they_are_read(
    tmp_path: Path, tiny_model: Artifact, store: Store, leave: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "violin.gguf"
    write_gguf(tiny_model.folder, path, gguf.GGMLQuantizationType.Q8_0)
    needed = expected_bytes(FetchSpec(source=str(path)))
    assert needed is not None
    assert needed > 2 * path.stat().st_size
    leave(needed - 1)
    monkeypatch.setattr("luthier.fetch.gguf_model._model", None)
    with pytest.raises(RoomError) as caught:
        fetch(FetchSpec(source=str(path)), store, hush)
    assert caught.value.what == f"the model as float32 takes {needed:,} more bytes, {needed - 1:,} are free"
    assert "luthier remove ID" in caught.value.mend

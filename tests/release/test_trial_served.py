"""What a real server writes while a canary is tried decides about it, by the real commands."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from luthier.artifact.released import current, history
from luthier.artifact.store import Store
from luthier.artifact.traffic import read_exchanges
from luthier.cli.main import main

TASK = """
title: Sums
rows: sums.jsonl
prompt: "{{ q }}"
reference: "{{ a }}"
metrics: [chrf]
max_tokens: 4
"""
REQUESTS = 12
TRIAL = "trial={requests: 10, judge: offline, gate: [errors.after <= 0, relevance.gain.low >= -0.5]}"


def word(store: Store, *words: str) -> None:
    main(["--project", str(store.root), *words])


@pytest.fixture
def pair(store: Store, tmp_path: Path) -> tuple[str, str]:
    """Release a tiny model by the real commands: to everybody, and under another gate as a canary."""
    rows = "".join(json.dumps({"q": f"What is {n} plus {n}?", "a": str(2 * n)}) + "\n" for n in range(4))
    (tmp_path / "sums.jsonl").write_text(rows, encoding="utf-8")
    (tmp_path / "sums.yaml").write_text(TASK, encoding="utf-8")
    word(store, "fetch", "tiny:llama")
    word(store, "evaluate", f"task={tmp_path / 'sums.yaml'}", "alone=true", "bootstrap=100")
    model = store.newest("model")
    assert model is not None
    word(store, "release", "gate=[chrf.after >= 0]", "--tuned", model.id)
    word(store, "release", "gate=[chrf.after >= 0]", "channel=canary", TRIAL, "--tuned", model.id)
    return str(current(store)), str(current(store, "canary"))


@contextmanager
def serving(store: Store, pair: tuple[str, str], folder: Path, **share: float) -> Iterator[str]:
    trial = json.dumps([{"model": pair[0], "candidate": pair[1], "folder": str(folder), **share}])
    names = ["--model", pair[0], "--model", pair[1], "--dtype", "float32"]
    command = [sys.executable, "-m", "luthier", "--project", str(store.root), "serve", *names]
    log = folder.parent / "serve.log"
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen([*command, "port=0", f"trials={trial}"], stdout=out, stderr=out)
    try:
        end = time.monotonic() + 90
        while not (found := re.search(r"(http://127\.0\.0\.1:\d+/v1)\s", log.read_text(encoding="utf-8"))):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < end
            time.sleep(0.1)
        yield found[1]
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.parametrize("share", [{"shadow": 1.0}, pytest.param({"canary": 1.0}, marks=pytest.mark.journey)])
def test_what_serve_writes_is_what_release_decides_by(
    store: Store, pair: tuple[str, str], tmp_path: Path, share: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "traffic"
    with serving(store, pair, folder, **share) as url:
        for number in range(REQUESTS):
            turns = [{"role": "user", "content": f"What is {number} plus {number}?"}]
            body = {"model": pair[0], "messages": turns, "max_tokens": 4, "temperature": 0}
            assert httpx.post(f"{url}/chat/completions", json=body, timeout=60).is_success
        [path] = folder.glob("*/exchanges.jsonl")
        end = time.monotonic() + 60
        while len(list(read_exchanges(path))) < REQUESTS:  # shadows end after the answers that users see
            assert time.monotonic() < end
            time.sleep(0.1)
        status: str | int | None = 0
        try:
            word(store, "release", "--from", str(path))  # while the server still writes to it
        except SystemExit as ended:
            status = ended.code
    said = capsys.readouterr().err
    exchanges = list(read_exchanges(path))
    assert {exchange.stable is not None for exchange in exchanges} == {"shadow" in share}
    assert all(exchange.canary is not None for exchange in exchanges)
    [line] = [line for line in history(store) if "table" in line.figures]
    table = line.figures["table"]
    assert table["rows"] == REQUESTS
    assert table["metrics"]["errors"]["after"] == 0
    assert 1 <= table["metrics"]["relevance"]["after"] <= 5
    if "shadow" in share:  # both were asked, and say the same: the pairs decide
        assert table["metrics"]["relevance"]["gain"] == 0
        assert table["metrics"]["agreement"]["after"] == 1
        assert (status, current(store)) == (0, pair[1])
    else:  # nobody was asked but the canary: what is not known is not passed
        assert "relevance.gain.low >= -0.5: unknown" in said
        assert (status, current(store)) == (3, pair[0])
    assert current(store, "canary") is None

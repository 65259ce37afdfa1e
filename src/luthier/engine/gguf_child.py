"""Runs in the environment of the tool `xllamacpp`, with nothing of ours: a GGUF in llama.cpp, asked by files.

    python gguf_child.py MODEL.gguf ASKED.json TOLD.json

ASKED holds `prompts` (lists of ids), `count` (new tokens), `texts` (to be tokenised). TOLD holds `answers`, `seconds`
and `ids`. llama.cpp listens on a loopback port of its own choosing while this runs.
"""

import json
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import xllamacpp

THREADS = 2


def main(model: str, asked: str, told: str) -> None:
    """Load the file, ask it, and write what it says."""
    given = json.loads(Path(asked).read_text(encoding="utf-8"))
    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_ctx = 2048
    settings.n_parallel = 1
    settings.cpuparams.n_threads = THREADS
    settings.port = 0
    settings.verbosity = -1
    server = xllamacpp.Server(settings)

    def post(path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            server.listening_address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    begun = time.perf_counter()
    answers = [
        post("/completion", {"prompt": prompt, "n_predict": given["count"], "temperature": 0, "return_tokens": True})[
            "tokens"
        ]
        for prompt in given["prompts"]
    ]
    seconds = time.perf_counter() - begun
    ids = [post("/tokenize", {"content": text, "parse_special": True})["tokens"] for text in given["texts"]]
    Path(told).write_text(json.dumps({"answers": answers, "seconds": seconds, "ids": ids}), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

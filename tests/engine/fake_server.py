"""A server that speaks as vLLM's does, by rules instead of a model. Arguments: those of `vllm serve`."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


MODELS = {option("--served-model-name")}
if "--lora-modules" in sys.argv:
    MODELS.add(option("--lora-modules").split("=")[0])


class Handler(BaseHTTPRequestHandler):
    """/health, /v1/models, /v1/chat/completions, and vLLM's two words for adapters."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            return self.say(200, {})
        return self.say(200, {"data": [{"id": name} for name in sorted(MODELS)]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {option('--api-key')}":
            return self.say(401, {"error": {"message": "no key"}})
        if self.path == "/v1/load_lora_adapter":
            if not os.path.isdir(body["lora_path"]):
                return self.say(404, {"error": {"message": f"no adapter at {body['lora_path']}"}})
            MODELS.add(body["lora_name"])
            return self.say(200, {})
        if self.path == "/v1/unload_lora_adapter":
            MODELS.discard(body["lora_name"])
            return self.say(200, {})
        if body["model"] not in MODELS:
            return self.say(404, {"error": {"message": f"no model {body['model']}"}})
        if body["messages"][-1]["content"] == "die":
            os._exit(9)
        return self.answer(body)

    def answer(self, body: dict[str, Any]) -> None:
        told = {"index": 0, "token_ids": [5], "finish_reason": "stop"}
        message = {"role": "assistant", "content": f"I am {body['model']}"}
        if not body.get("stream"):
            return self.say(200, {"prompt_token_ids": [1], "choices": [told | {"message": message}]})
        chunk = {"prompt_token_ids": [1], "choices": [told | {"delta": message}]}
        return self.send(200, f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode())

    def say(self, status: int, body: object) -> None:
        self.send(status, json.dumps(body).encode())

    def send(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""


if __name__ == "__main__":
    assert sys.argv[1] == "serve"
    if os.path.basename(sys.argv[2]) == "unreadable":
        sys.exit("ValueError: no config.json in it")
    ThreadingHTTPServer((option("--host"), int(option("--port"))), Handler).serve_forever()

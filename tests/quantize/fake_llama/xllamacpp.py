"""Stands in for the package `xllamacpp`: its server's wire, over a Llama written out in NumPy.

Letters: T tokens, H heads, K key-value heads, D width of a head.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf.quants import dequantize
from tokenizers import Tokenizer

Floats = npt.NDArray[np.float64]


def CommonParams() -> SimpleNamespace:  # noqa: N802  as xllamacpp calls it
    return SimpleNamespace(model=SimpleNamespace(path=""))


class Llama:
    """The model in a file, as llama.cpp computes it: rotary pairs lie side by side."""

    def __init__(self, path: str) -> None:
        reader = gguf.GGUFReader(path)
        self.weights: dict[str, Floats] = {
            one.name: np.asarray(dequantize(one.data, one.tensor_type), np.float64).reshape(one.shape[::-1])
            for one in reader.tensors
        }
        self.facts = {name: field.contents() for name, field in reader.fields.items() if name.startswith("llama.")}

    def logits(self, ids: list[int]) -> Floats:
        """Give the logits after the last token."""
        w, facts = self.weights, self.facts
        x = w["token_embd.weight"][ids]
        for layer in range(facts["llama.block_count"]):
            name = f"blk.{layer}."
            h = self.norm(x, name + "attn_norm")
            q, k, v = (h @ w[f"{name}attn_{part}.weight"].T for part in "qkv")
            x = x + self.attend(q, k, v) @ w[name + "attn_output.weight"].T
            h = self.norm(x, name + "ffn_norm")
            gate = h @ w[name + "ffn_gate.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w[name + "ffn_up.weight"].T)) @ w[name + "ffn_down.weight"].T
        found: Floats = self.norm(x[-1:], "output_norm")[0] @ w.get("output.weight", w["token_embd.weight"]).T
        return found

    def norm(self, x: Floats, name: str) -> Floats:
        epsilon = self.facts["llama.attention.layer_norm_rms_epsilon"]
        found: Floats = x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * self.weights[name + ".weight"]
        return found

    def attend(self, q: Floats, k: Floats, v: Floats) -> Floats:
        heads, kept = self.facts["llama.attention.head_count"], self.facts["llama.attention.head_count_kv"]
        count = len(q)
        q_HTD, k_KTD, v_KTD = (
            part.reshape(count, number, -1).swapaxes(0, 1) for part, number in ((q, heads), (k, kept), (v, kept))
        )
        k_HTD, v_HTD = (np.repeat(part, heads // kept, axis=0) for part in (self.turn(k_KTD), v_KTD))
        scores = self.turn(q_HTD) @ k_HTD.swapaxes(1, 2) / np.sqrt(q_HTD.shape[-1])
        scores = np.where(np.tri(count, dtype=bool), scores, -np.inf)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        found: Floats = (scores / scores.sum(-1, keepdims=True)) @ v_HTD
        return found.swapaxes(0, 1).reshape(count, -1)

    def turn(self, x_HTD: Floats) -> Floats:
        width = x_HTD.shape[-1]
        angle = np.arange(x_HTD.shape[1])[:, None] / self.facts["llama.rope.freq_base"] ** (
            np.arange(0, width, 2) / width
        )
        pair = (x_HTD[..., ::2] + 1j * x_HTD[..., 1::2]) * np.exp(1j * angle)
        return np.stack([pair.real, pair.imag], -1).reshape(x_HTD.shape)


class Server:
    """Listens as llama.cpp's does, with what Luthier asks of it."""

    def __init__(self, parameters: Any) -> None:
        model, end = Llama(parameters.model.path), 2
        tokenizer = Tokenizer.from_file(str(Path(parameters.model.path).with_name("tokenizer.json")))
        key = f"Bearer {parameters.api_keys[0]}"

        def complete(body: dict[str, Any]) -> dict[str, Any]:
            said: list[int] = []
            told = []
            while len(said) < body["n_predict"] and said[-1:] != [end]:
                logits = model.logits([*body["prompt"], *said])
                likely = logits - logits.max()
                likely -= np.log(np.exp(likely).sum())
                said.append(int(likely.argmax()))
                best = np.argsort(-likely)[: body.get("n_probs", 0)]
                told.append({"top_logprobs": [{"id": int(one), "logprob": float(likely[one])} for one in best]})
            return {"tokens": said, "completion_probabilities": told}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.say(200, {"status": "ok"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.headers["Authorization"] != key:
                    return self.say(401, {"error": {"message": "Invalid API Key"}})
                if self.path == "/tokenize":
                    return self.say(200, {"tokens": tokenizer.encode(body["content"], add_special_tokens=False).ids})
                return self.say(200, complete(body))

            def say(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Stay quiet."""

        server = ThreadingHTTPServer((parameters.hostnames[0], parameters.port), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

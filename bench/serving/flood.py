"""Many stock clients in one process, which heed what they are told: OpenAI's own, with its own retries.

python bench/serving/flood.py URL MODEL CLIENTS SECONDS TOKENS
python bench/serving/flood.py stub RETRY_SECONDS       answers 503 and nothing else, and prints its port

The first prints one line of JSON: each status by count, refusals without Retry-After, first tokens of what was
accepted, the tokens that came, and this process's share of a core.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

QUESTION: Any = [{"role": "user", "content": "Tell me a long story."}]


@dataclass
class Counts:
    """What came of all requests, the clients' own retries included."""

    statuses: Counter[str] = field(default_factory=Counter)
    unadvised: int = 0
    advised: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    pieces: int = 0
    sent: dict[Any, float] = field(default_factory=dict)
    """When each client sent what it waits for."""

    async def on_request(self, request: Any) -> None:
        """Note when a request is sent."""
        self.sent[asyncio.current_task()] = time.perf_counter()

    async def on_response(self, response: Any) -> None:
        """Count a status, and whether it says when to come again."""
        self.statuses[str(response.status_code)] += 1
        if response.status_code in (429, 503):
            advice = response.headers.get("retry-after")
            self.unadvised += advice is None
            self.advised.append(float(advice or 0))

    async def hear(self, stream: Any) -> None:
        """Read an answer to its end."""
        first = 0.0
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                first = first or time.perf_counter() - self.sent[asyncio.current_task()]
                self.pieces += 1
        self.firsts.append(first)

    def plain(self, passed: float) -> dict[str, Any]:
        """Give the figures."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        firsts = sorted(self.firsts)
        return {
            "statuses": dict(self.statuses),
            "without_retry_after": self.unadvised,
            "advised_seconds": round(sum(self.advised) / len(self.advised), 2) if self.advised else None,
            "answers": len(firsts),
            "first_p50": round(firsts[len(firsts) // 2], 3) if firsts else None,
            "first_p99": round(firsts[int(len(firsts) * 0.99)], 3) if firsts else None,
            "pieces_per_second": round(self.pieces / passed, 1),
            "core": round((used.ru_utime + used.ru_stime) / passed, 3),
            "seconds": round(passed, 1),
        }


async def flood(url: str, model: str, clients: int, seconds: float, tokens: int) -> dict[str, Any]:
    """Ask with so many clients, each again and again, until the time is over."""
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI, DefaultAsyncHttpxClient

    counts = Counts()
    hooks: Any = {"request": [counts.on_request], "response": [counts.on_response]}
    web = DefaultAsyncHttpxClient(event_hooks=hooks, timeout=120)
    begun = time.perf_counter()

    async def one() -> None:
        while time.perf_counter() < begun + seconds:
            try:
                stream = await client.chat.completions.create(
                    model=model, messages=QUESTION, max_tokens=tokens, temperature=0, stream=True
                )
                await counts.hear(stream)
            except APIStatusError:
                continue  # its retries are used up: its status is counted
            except APIConnectionError as error:
                counts.statuses[f"{type(error).__name__}: {error.__cause__!r:.80}"] += 1

    async with AsyncOpenAI(base_url=url, api_key="bench", http_client=web) as client:
        tasks = [asyncio.ensure_future(one()) for _ in range(clients)]
        _, late = await asyncio.wait(tasks, timeout=seconds + 10)  # a client may sleep a whole minute, as it was told
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return counts.plain(time.perf_counter() - begun)


async def stub(retry_seconds: float) -> None:
    """Answer every request with 503."""
    body = json.dumps({"error": {"message": "full", "type": "server_error", "param": None, "code": "overloaded"}})
    head = f"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: {retry_seconds:.0f}\r\n"
    reply = f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
                await reader.readexactly(int(size or 0))
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "stub":
        asyncio.run(stub(float(sys.argv[2])))
    else:
        _, url, model, clients, seconds, tokens = sys.argv
        print(json.dumps(asyncio.run(flood(url, model, int(clients), float(seconds), int(tokens)))))

"""What the server counts, in Prometheus' form: by model and by the kind of key, never by key or by text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

FIRST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        by = ("model", "key_kind")

        def histogram(name: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"luthier_{name}", about, by, buckets=buckets, registry=self.registry)

        def counter(name: str, about: str, labels: tuple[str, ...]) -> Counter:
            return Counter(f"luthier_{name}", about, labels, registry=self.registry)

        self.first = histogram("first_token_seconds", "From a request's arrival to its first token.", FIRST_SECONDS)
        self.between = histogram("inter_token_seconds", "From one token to the next.", TOKEN_SECONDS)
        self.queued = histogram("queue_seconds", "From a request's place in the line to its turn.", FIRST_SECONDS)
        self.prompt_tokens = counter("prompt_tokens_total", "Tokens of prompts that were answered.", by)
        self.said_tokens = counter("generated_tokens_total", "Tokens of answers.", by)
        self.requests = counter("requests_total", "Requests by the status of their answer.", (*by, "status"))
        self.refused = counter("refused_total", "Requests that were refused, by the code of the error.", (*by, "code"))
        self.rungs = counter("rung_answers_total", "Answers by the rung that gave them.", ("model", "rung"))
        self.running = Gauge("luthier_running", "Answers being made.", ("model",), registry=self.registry)
        self.waiting = Gauge("luthier_waiting", "Answers waiting for their turn.", ("model",), registry=self.registry)
        self.waiting_tokens = Gauge("luthier_waiting_tokens", "Their tokens.", ("model",), registry=self.registry)
        self.breaker_open = Gauge("luthier_breaker_open", "1 while left alone.", ("model",), registry=self.registry)
        self.rung = Gauge("luthier_rung", "The rung that answers; 0 is the best.", ("model",), registry=self.registry)

    def text(self) -> bytes:
        """Give all figures as Prometheus reads them."""
        return generate_latest(self.registry)

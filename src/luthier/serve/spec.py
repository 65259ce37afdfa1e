"""What one may ask of serve."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from luthier.spec import Spec

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(gt=0)]


class RatesSpec(Spec):
    """What one key may ask; a key may have its own bounds (`luthier keys make`)."""

    requests_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Requests a key may send in a minute; none: no bound."""

    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None
    """Tokens a key may ask for in a minute, prompt and wished answer together; none: no bound."""

    at_once: Annotated[int, Field(ge=1)] | None = None
    """Requests of a key that may be open at the same time, in this server; none: no bound."""

    storage: str = "memory://"
    """Where the minutes are counted; redis://host:port counts for several servers together."""


class RungSpec(Spec):
    """One rung of a ladder: a model that is served, or words that are always the same."""

    model: str | None = None
    """The name of a served model."""

    say: str | None = None
    """In place of a model: an apology, said as it is."""

    score: float | None = None
    """What the rung reached in evaluation; a rung below the ladder's floor is never used."""


class LadderSpec(Spec):
    """What answers for a model that is overloaded or failing: each rung cheaper than the one before."""

    model: str
    """The name that clients ask for."""

    rungs: Annotated[tuple[RungSpec, ...], Field(min_length=2)]
    """From the best to the last resort."""

    floor: float | None = None
    """The lowest score a rung may have; words (`say`) are no answer and are always allowed."""

    down_wait_seconds: Seconds = 5.0
    """One rung down once a request would wait longer than this for its turn."""

    down_error_share: Share = 0.5
    """One rung down once so many of the last 20 answers failed."""

    calm_seconds: Seconds = 30.0
    """One rung up after so long without a reason to go down."""


class BreakerSpec(Spec):
    """When a failing engine is left alone."""

    failures: Annotated[int, Field(ge=1)] = 5
    """Failures in a row after which no request is sent to the engine."""

    first_seconds: Seconds = 1.0
    """How long it is left alone at first; each failed try doubles it."""

    longest_seconds: Seconds = 60.0
    """The longest time it is left alone."""

    retry_share: Share = 0.1
    """At most so many requests in a hundred (as a share) are tried again on another rung after a failure."""


class CaptureSpec(Spec):
    """Conversations that are kept to learn from; nobody's without a word of consent in the request."""

    folder: str | None = None
    """Where they are written, one file a day; none: nothing is kept."""

    consent: str = "yes"
    """What the header X-Luthier-Consent of a request must say."""

    redact: bool = True
    """Whether personal data (addresses, numbers, cards) is masked before anything is written."""


class TrialSpec(Spec):
    """A second model that is tried beside one that is served."""

    model: str = "stable"
    """The name that clients ask for, or `stable`: the release of that channel, whichever it is."""

    candidate: str = "canary"
    """The served model that is tried, or `canary`: the release of that channel, as long as there is one."""

    canary: Share = 0.0
    """The share of requests that the candidate answers."""

    shadow: Share = 0.0
    """The share of requests that the candidate is asked as well, without anybody seeing its answer."""

    folder: str | None = None
    """Where the pairs of answers are written; none: nothing is written."""


class ClusterSpec(Spec):
    """How many whole servers a Ray cluster runs, and where (`luthier serve --cluster ray`)."""

    address: str | None = None
    """The cluster, as host:port of its head or `auto` for the one this machine is part of; none: one of its own."""

    replicas: Annotated[int, Field(ge=1)] = 1
    """Servers, each with models of its own; with most_replicas the fewest."""

    most_replicas: Annotated[int, Field(ge=1)] | None = None
    """The most servers there may be under load; none: always as many."""

    open_requests: Annotated[float, Field(gt=0)] = 8.0
    """Requests a server has open on average, above which another is started and below which one is ended."""

    up_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long there must be too many requests before another server is started."""

    down_seconds: Annotated[float, Field(ge=0)] = 300.0
    """How long there must be too few before one is ended."""

    cpus: Annotated[float, Field(ge=0)] = 1.0
    """Cores a server is given; it is placed where they are free."""

    gpus: Annotated[float, Field(ge=0)] = 0.0
    """Accelerators a server is given."""

    resources: dict[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Other things a machine must have, by the names the cluster gave them, and how much of each a server takes."""

    replicas_per_node: Annotated[int, Field(ge=1)] | None = None
    """The most servers on one machine; none: no bound."""

    health_seconds: Seconds = 10.0
    """How often each server is asked whether its engines make tokens; one that does not is replaced."""


class ServeSpec(Spec):
    """Where the server listens, and what it lets in."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines ask, and needs a key."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one and tells which."""

    max_tokens: Annotated[int, Field(ge=1)] | None = 1024
    """New tokens of an answer whose request sets no bound; none: up to the end of the model's context."""

    waiting: Annotated[int, Field(ge=0)] = 64
    """Answers that may wait for a model; one more is refused with status 429."""

    waiting_tokens: Annotated[int, Field(ge=1)] = 262_144
    """Tokens (of prompts and of wished answers) that may wait for a model; more are refused with status 429."""

    first_token_seconds: Seconds = 60.0
    """The promise: a request that would wait longer for its turn is refused at once, with status 503."""

    stuck_seconds: Seconds = 60.0
    """An engine that says nothing for so long while it should is stuck: its answers end with an error."""

    body_bytes: Annotated[int, Field(ge=1024)] = 4 * 2**20
    """The longest request body, in bytes."""

    body_seconds: Seconds = 30.0
    """How long a client may take to send its body; then it gets status 408."""

    header_bytes: Annotated[int, Field(ge=1024)] = 16 * 2**10
    """The longest headers of a request, in bytes."""

    messages: Annotated[int, Field(ge=1)] = 2048
    """The most messages (or prompts, or texts) of a request."""

    api_keys: tuple[SecretStr, ...] = ()
    """Keys of which a request must bring one (`Authorization: Bearer KEY`), beside those of `luthier keys make`."""

    admin_keys: tuple[SecretStr, ...] = ()
    """Keys that may also use /admin; none: only keys made with `--scope admin` may."""

    cors: tuple[str, ...] = ()
    """Web pages (as https://host) whose scripts may ask from a browser; none: only the page this server sends."""

    log: Literal["faults", "requests", "prompts"] = "faults"
    """What is told of requests: faults of ours, or one line for each, or with the prompts in it."""

    shutdown_seconds: Annotated[int, Field(ge=0)] = 5
    """How long running answers may go on after the server was asked to stop, in seconds."""

    rates: RatesSpec = RatesSpec()
    """Bounds for each key."""

    ladders: tuple[LadderSpec, ...] = ()
    """What answers for a model that is overloaded or failing."""

    breaker: BreakerSpec = BreakerSpec()
    """When a failing engine is left alone."""

    capture: CaptureSpec = CaptureSpec()
    """Conversations that are kept to learn from."""

    trials: tuple[TrialSpec, ...] = ()
    """Models that are tried beside those that are served."""

    cluster: ClusterSpec = ClusterSpec()
    """How many servers a cluster runs, and where (`--cluster ray`)."""

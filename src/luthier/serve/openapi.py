"""The description of the API in OpenAPI's form, made from what is read: the same models that read the requests."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from luthier import __version__
from luthier.serve.admin import DrainRequest, LadderRequest, PutRequest, TakeRequest
from luthier.serve.embedding import EmbeddingRequest
from luthier.serve.feedback import FeedbackRequest
from luthier.serve.request import ChatRequest, CompletionRequest
from luthier.serve.responses_request import ResponsesRequest
from luthier.spec import Spec

POSTS: Mapping[str, tuple[type[Spec], str]] = {
    "/v1/chat/completions": (ChatRequest, "Answer a conversation, whole or as a stream."),
    "/v1/completions": (CompletionRequest, "Continue a text or token ids."),
    "/v1/responses": (ResponsesRequest, "Answer a conversation in the newer form; nothing is remembered."),
    "/v1/embeddings": (EmbeddingRequest, "Turn texts into vectors."),
    "/v1/feedback": (FeedbackRequest, "Say what you think of an answer that may be kept."),
    "/admin/models": (PutRequest, "Open a model and serve it under a name."),
    "/admin/models/remove": (TakeRequest, "Serve a name no longer."),
    "/admin/ladder": (LadderRequest, "Set a ladder's rung by hand."),
    "/admin/drain": (DrainRequest, "Take no more requests, or take them again."),
}
GETS: Mapping[str, str] = {
    "/v1/models": "The models that are served.",
    "/v1/models/{name}": "One of them.",
    "/health/live": "Whether the server lives.",
    "/health/ready": "Whether every engine does its work.",
    "/metrics": "Figures, as Prometheus reads them.",
    "/admin/state": "What is served and how it does.",
}
STREAMS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
FAULTS = ("400", "401", "403", "404", "408", "413", "422", "429", "431", "503")


@cache
def openapi() -> dict[str, Any]:
    """Give the description."""
    schemas: dict[str, Any] = {"Error": ERROR}
    paths: dict[str, Any] = {}
    for path, (kind, about) in POSTS.items():
        form = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= {name: _open(inner) for name, inner in form.pop("$defs", {}).items()}
        schemas[kind.__name__] = _open(form)
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}}
        operation = {**_operation(about), "requestBody": {"required": True, "content": body}}
        if path in STREAMS:
            operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
        paths[path] = {"post": operation}
    for path, about in GETS.items():
        operation = _operation(about)
        if path == "/metrics":
            operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
        if "{name}" in path:
            operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
        paths[path] = {"get": operation}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Luthier", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"key": []}],
    }


def _operation(about: str) -> dict[str, Any]:
    fault = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses: dict[str, Any] = {code: {"description": "Refused.", "content": fault} for code in FAULTS}
    responses["200"] = {"description": "Done.", "content": {"application/json": {"schema": {}}}}
    return {"summary": about, "responses": responses}


def _open(schema: Any) -> Any:
    """Give a schema as requests are read: keys that nobody knows are taken too."""
    return {key: value for key, value in schema.items() if key != "additionalProperties" or value is not False}


ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

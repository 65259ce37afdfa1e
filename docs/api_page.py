"""The page that says, field by field, what the server makes of a request."""

import json
from collections.abc import Callable
from dataclasses import fields

from luthier.cli.fields import type_name
from luthier.engine.ports import ALWAYS_TAKEN, Sampling
from luthier.serve.openapi import GETS, POSTS
from luthier.serve.request import CHAT_LACKED, COMPLETION_LACKED, HARMLESS
from luthier.serve.responses_request import LACKED as RESPONSES_LACKED

ABOUT = """\
Any engine has what is marked so; what only some engines have is refused with status 400, by the name of field and
engine, where the model's engine lacks it. Fields that nobody knows are taken, and named in the header
`x-luthier-ignored`. The same in OpenAPI's form: `/openapi.json`.
"""
LACKED = {
    "/v1/chat/completions": CHAT_LACKED,
    "/v1/completions": COMPLETION_LACKED,
    "/v1/responses": RESPONSES_LACKED,
}
WISHES = {
    "guided_json": "json_schema",
    "logprobs": "top_logprobs",
    "max_completion_tokens": "max_tokens",
    "max_output_tokens": "max_tokens",
    "max_time": "max_seconds",
    "response_format": "json_schema",
    "text": "json_schema",
}
"""A field -> the wish it becomes, where they differ in name."""


def api(note: str, table: Callable[..., str]) -> str:
    """Give the page."""
    harmless = ", ".join(f"`{name}`" for name in sorted(HARMLESS))
    sections = [f"# The API, field by field\n\n{note}\n{ABOUT}Taken and left alone: {harmless}.\n"]
    for path, (kind, about) in POSTS.items():
        rows = (
            (f"`{field.alias or name}`", type_name(field.annotation), _taken(path, name), field.description or "")
            for name, field in kind.model_fields.items()
        )
        sections.append(f"\n## POST {path}\n\n{about}\n\n")
        sections.append(table(("field", "value", "who has it", "meaning"), rows))
        lacked = ((f"`{name}`", ", ".join(map(json.dumps, values))) for name, values in LACKED.get(path, {}).items())
        if path in LACKED:
            sections.append("\nRefused by name, unless the value asks for nothing:\n\n")
            sections.append(table(("field", "asks for nothing"), lacked))
    gets = ((f"`{path}`", about) for path, about in GETS.items())
    sections.append("\n## GET\n\n" + table(("path", "what it gives"), gets))
    return "".join(sections)


def _taken(path: str, name: str) -> str:
    """Say who has a field: the server itself, any engine, or some."""
    if name == "tool_choice":
        return "the server; `required` and a name: some engines"
    wish = WISHES.get(name, name)
    if path not in LACKED or wish not in {part.name for part in fields(Sampling)}:
        return "the server"
    return "any engine" if wish in ALWAYS_TAKEN else "some engines"

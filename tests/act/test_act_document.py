"""OpenAPI documents: read, references followed, cycles and bombs survived."""

import json
from pathlib import Path
from typing import Any

import pytest
from shop_server import document_of, write_document

from luthier.act.document import Document, choose, read_document
from luthier.act.parameters import parameters_of, request_of, schema_of
from luthier.act.tool import CallError
from luthier.errors import SpecError


def documented(**parts: Any) -> Document:
    return Document({"openapi": "3.1.0", "paths": {}, **parts}, "here.json")


def operation_of(operation: dict[str, Any], method: str = "get", path: str = "/a/{id}", **more: Any) -> Any:
    document = Document({"openapi": "3.0.0", "paths": {path: {method: operation}}, **more}, "here.json")
    [found] = document.operations()
    return document, found, parameters_of(document, found)


def test_a_document_is_read_as_json_and_as_yaml(tmp_path: Path) -> None:
    text = "openapi: 3.0.0\ninfo: {version: 2024-01-01}\npaths: {/a: {get: {operationId: a, responses: {200: {}}}}}\n"
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    assert [operation.name for operation in read_document(file).operations()] == ["a"]
    assert read_document(file).root["info"]["version"] == "2024-01-01"  # a date is text, as in JSON
    found = read_document(Path(write_document(tmp_path, document_of())))
    assert [operation.name for operation in choose(found, ())] == ["getOrder", "moved", "big", "zip", "echo", "picture"]


def test_operations_are_chosen_by_their_id_or_their_path() -> None:
    document = Document(document_of(), "here.json")
    assert [found.method for found in choose(document, ("createOrder", "DELETE /orders/{number}"))] == [
        "POST",
        "DELETE",
    ]
    with pytest.raises(SpecError) as caught:
        choose(document, ("getOrdr",))
    assert "did you mean 'getOrder'?" in caught.value.mend
    assert "key operations" in caught.value.where


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("{", "not JSON or YAML", ":1"),
        ("a: 1\nb: @", "not JSON or YAML", ":2"),
        ("[]", "no OpenAPI document", ""),
        ('{"openapi": "3.0.0"}', "no OpenAPI document", ""),
        ("openapi: &a [*a]\npaths: *a", "", ""),
    ],
)
def test_what_is_no_document_is_refused_with_its_place(tmp_path: Path, text: str, what: str, where: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        list(read_document(file).operations())
    assert what in caught.value.what
    assert where in caught.value.where
    assert caught.value.mend


def test_a_missing_document_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_document(tmp_path / "none.json")
    assert "curl -o" in caught.value.mend


def test_a_schema_that_leads_back_into_itself_is_written_out_once() -> None:
    node = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "inner": {"$ref": "#/components/schemas/Node"}},
    }
    document = documented(components={"schemas": {"Node": node}})
    schema = document.schema({"$ref": "#/components/schemas/Node"})
    assert schema["properties"]["name"] == {"type": "string"}
    assert schema["properties"]["inner"] == {"description": "of the same form again"}
    json.dumps(schema)


def test_references_in_a_circle_or_to_nowhere_are_refused() -> None:
    schemas = {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}
    document = documented(components={"schemas": schemas})
    for reference, what in (
        ("#/components/schemas/A", "leads in a circle"),
        ("#/components/schemas/None", "leads nowhere"),
        ("https://evil.example/a.json", "leads out of the document"),
        ("file:///etc/passwd", "leads out of the document"),
    ):
        with pytest.raises(SpecError, match=what) as caught:
            document.schema({"$ref": reference})
        assert caught.value.where == "here.json"


def test_a_schema_that_doubles_at_each_level_is_refused_at_once() -> None:
    """Each level names the next one twice: written out it would have 2^40 parts."""
    schemas = {
        f"L{level}": {"properties": {side: {"$ref": f"#/components/schemas/L{level + 1}"} for side in "ab"}}
        for level in range(40)
    } | {"L40": {"type": "string"}}
    with pytest.raises(SpecError, match="more than 5000 parts"):
        documented(components={"schemas": schemas}).schema({"$ref": "#/components/schemas/L0"})


def test_words_of_version_3_0_become_json_schema() -> None:
    schema = documented().schema(
        {"type": "integer", "nullable": True, "minimum": 0, "exclusiveMinimum": True, "example": 7, "title": "N"}
    )
    assert schema == {"type": ["integer", "null"], "exclusiveMinimum": 0}
    joined = documented().schema(
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
                {"properties": {"b": {"type": "string"}, "c": {"readOnly": True}}, "required": ["b", "c"]},
            ]
        }
    )
    assert joined["required"] == ["a", "b"]
    assert set(joined["properties"]) == {"a", "b"}  # what only the server writes is not asked for


def test_arguments_go_where_the_document_says() -> None:
    _, operation, parameters = operation_of(
        {
            "operationId": "find",
            "parameters": [
                {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
                {"name": "id", "in": "query", "schema": {"type": "integer"}},
                {"name": "tag", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                {"name": "near", "in": "query", "explode": False, "schema": {"type": "array"}},
                {"name": "filter", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                {"name": "X-Page", "in": "header", "schema": {"type": "integer"}},
                {"name": "Authorization", "in": "header", "schema": {"type": "string"}},
            ],
        }
    )
    schema = schema_of(parameters)
    assert list(schema["properties"]) == ["id", "id_query", "tag", "near", "filter", "X-Page"]
    assert schema["required"] == ["id"]
    request = request_of(
        "GET",
        "https://a.example/v1/",
        operation.path,
        parameters,
        {"id": "a/../b?c", "id_query": 3, "tag": ["x y", "z"], "near": [1, 2], "filter": {"k": "v"}, "X-Page": 2},
    )
    # RFC 3986: a slash in a value is no border of the path
    assert request.url == ("https://a.example/v1/a/a%2F..%2Fb%3Fc?id=3&tag=x%20y&tag=z&near=1%2C2&filter%5Bk%5D=v")
    assert request.headers["X-Page"] == "2"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_value_that_would_change_the_path_is_refused(value: str) -> None:
    _, operation, parameters = operation_of(
        {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
    )
    with pytest.raises(CallError, match="cannot stand in the path"):
        request_of("GET", "https://a.example", operation.path, parameters, {"id": value})


def test_a_line_break_in_a_header_is_refused() -> None:
    _, operation, parameters = operation_of({"parameters": [{"name": "X-A", "in": "header", "schema": {}}]})
    with pytest.raises(CallError, match="line break"):
        request_of("GET", "https://a.example", operation.path, parameters, {"X-A": "a\r\nHost: evil.example"})


def test_bodies_are_written_in_the_kind_the_operation_takes() -> None:
    for media, sent in (
        ("application/json", b'{"a": "x y", "b": 2}'),
        ("application/x-www-form-urlencoded", b"a=x+y&b=2"),
        ("application/merge-patch+json", b'{"a": "x y", "b": 2}'),
    ):
        body = {"required": True, "content": {media: {"schema": {"type": "object"}}}}
        _, operation, parameters = operation_of({"requestBody": body}, "post", "/a")
        request = request_of("POST", "https://a.example", operation.path, parameters, {"body": {"a": "x y", "b": 2}})
        assert (request.headers["Content-Type"], request.body) == (media, sent)
    with pytest.raises(SpecError, match="wants a body of the kind multipart/form-data"):
        operation_of({"requestBody": {"required": True, "content": {"multipart/form-data": {}}}}, "post", "/a")


def test_version_2_documents_are_read_too() -> None:
    root = {
        "swagger": "2.0",
        "paths": {
            "/a": {
                "post": {
                    "parameters": [
                        {
                            "name": "tags",
                            "in": "query",
                            "type": "array",
                            "items": {"type": "string"},
                            "collectionFormat": "pipes",
                        },
                        {"name": "body", "in": "body", "required": True, "schema": {"$ref": "#/definitions/A"}},
                    ]
                }
            }
        },
        "definitions": {"A": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }
    document = Document(root, "here.json")
    [operation] = document.operations()
    parameters = parameters_of(document, operation)
    assert schema_of(parameters)["properties"]["body"]["properties"] == {"n": {"type": "integer"}}
    request = request_of("POST", "https://a.example", "/a", parameters, {"tags": ["x", "y"], "body": {"n": 1}})
    assert (request.url, request.body) == ("https://a.example/a?tags=x%7Cy", b'{"n": 1}')

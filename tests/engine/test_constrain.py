"""Answers under a schema: what jsonschema's rules allow, whatever the model would rather say."""

import json

import pytest

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.engine.local import LocalModel, open_local
from luthier.engine.ports import Sampling
from luthier.errors import DataError

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "kind": {"enum": ["cat", "dog"]},
    },
    "required": ["name", "age", "kind"],
    "additionalProperties": False,
}
QUESTION = (Message("user", "Who?"),)


@pytest.fixture(scope="module")
def model(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


@pytest.mark.parametrize("seed", range(6))
def test_a_model_of_random_weights_keeps_the_schema(model: LocalModel, seed: int) -> None:
    sampling = Sampling(max_tokens=300, temperature=1.0, seed=seed, json_schema=json.dumps(PERSON))
    [answer] = model.answer([QUESTION], sampling)
    assert answer.finish == "stop"
    found = json.loads(answer.text)
    assert list(found) == ["name", "age", "kind"]
    assert len(found["name"]) <= 8
    assert 0 <= found["age"] <= 130
    assert found["kind"] in ("cat", "dog")


def test_rows_with_and_without_a_schema_go_through_one_batch(model: LocalModel) -> None:
    wish = Sampling(max_tokens=200, temperature=0, json_schema='{"enum": ["yes", "no", "may be"]}')
    answers = model.answer([QUESTION, (Message("user", "Is it so?"),)], wish)
    assert {json.loads(answer.text) for answer in answers} <= {"yes", "no", "may be"}
    *pieces, last = model.stream(QUESTION, wish, lambda: False)
    assert last.answer == answers[0]
    assert "".join(piece.text for piece in [*pieces, last]) == answers[0].text


def test_any_value_is_json(model: LocalModel) -> None:
    answers = [
        model.answer([QUESTION], Sampling(max_tokens=400, temperature=1.0, seed=seed, json_schema="{}"))[0]
        for seed in range(8)
    ]
    whole = [answer for answer in answers if answer.finish == "stop"]
    assert whole
    assert all(json.loads(answer.text) is not ... for answer in whole)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ("[1", "EOF while parsing"),
        ('{"type": "person"}', "Invalid type: person"),
        ('{"type": "string", "minLength": 5, "maxLength": 2}', "minLength (5) is greater than maxLength (2)"),
        ('{"type": "array", "uniqueItems": true}', "uniqueItems"),
        ('{"$ref": "#/nowhere"}', "'/nowhere' does not exist"),
    ],
)
def test_a_schema_that_cannot_be_kept_is_refused_with_the_reason(model: LocalModel, schema: str, why: str) -> None:
    with pytest.raises(DataError) as caught:
        model.answer([QUESTION], Sampling(json_schema=schema))
    assert why in caught.value.what
    assert caught.value.where == "key json_schema"
    assert "some value meets" in caught.value.mend

"""The contract is valid OpenAPI, says what the columns say, and its examples are answered."""

import json

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipelines.config import Column, Problem, UserError
from pipelines.feature.decode import CSV, FORMATS, JSON, RequestDecoder
from pipelines.serving.openapi import document, example
from pipelines.serving.problems import MEDIA_TYPE
from pipelines.settings import Settings
from tests.conftest import PROBLEMS
from tests.unit.feature.test_request import GOOD, SCHEMA


def contract(package=PROBLEMS[0], columns=None):
    config = Problem.load(package).config
    if columns:
        table = config.tables[config.request.table].model_copy(update={"columns": columns})
        config = config.model_copy(update={"tables": {**config.tables, config.request.table: table}})
    return document(config, Settings())


@pytest.mark.parametrize("package", [*PROBLEMS, "model"])
def test_it_is_valid_and_its_examples_are_valid_requests(package):
    made = contract(package)
    OpenAPIV31SpecValidator(made).validate()
    content = made["paths"]["/invocations"]["post"]["requestBody"]["content"]
    assert set(content) == set(FORMATS)
    decode = RequestDecoder(Problem.load(package).config.request_columns)
    for one in content[JSON]["examples"].values():
        decode(json.dumps(one["value"]).encode())
    decode(content[CSV]["examples"]["table"]["value"].encode(), CSV)


def test_the_schema_says_what_the_columns_say():
    request = contract(columns=SCHEMA)["components"]["schemas"]["Request"]
    assert request["required"] == ["id", "asked", "depot", "weight"]
    assert request["properties"]["asked"] == {
        "type": "string",
        "format": "date-time",
        "examples": ["2024-01-01T00:00:00Z"],
    }
    assert request["properties"]["depot"] == {"type": "string", "enum": ["a", "b"], "examples": ["a"]}
    assert request["properties"]["weight"] == {"type": "number", "minimum": 0, "maximum": 100, "examples": [0.0]}
    assert request["properties"]["floor"]["type"] == ["integer", "null"]
    assert request["additionalProperties"] is False


@pytest.mark.parametrize(
    "change", [{}, {"weight": 101}, {"weight": "1"}, {"depot": "c"}, {"floor": None}, {"floor": 1.5}, {"x": 1}, {"id": None}]
)  # fmt: skip
def test_schema_and_decoder_accept_the_same(change):
    request = contract(columns=SCHEMA)["components"]["schemas"]["Request"]
    row = {**GOOD, **change}
    valid = jsonschema.Draft202012Validator(request).is_valid(row)
    try:
        RequestDecoder(SCHEMA)(json.dumps(row).encode())
    except UserError:
        assert not valid
    else:
        assert valid


def test_nullable_enums_allow_null_and_personal_fields_have_no_example():
    columns = {
        "depot": Column(type="string", values=("a",), nullable=True),
        "name": Column(type="string", personal=True, nullable=True),
    }
    made = contract(columns={**SCHEMA, **columns})["components"]["schemas"]["Request"]
    assert made["properties"]["depot"]["enum"] == ["a", None]
    assert "Personal" in made["properties"]["name"]["description"]
    assert "name" not in example(columns)


def test_every_error_is_a_problem():
    responses = contract()["paths"]["/invocations"]["post"]["responses"]
    for status, response in responses.items():
        assert (status == "200") != (MEDIA_TYPE in response["content"])
    assert "10,000 rows" in responses["413"]["description"]

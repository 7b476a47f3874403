"""The app's contract as OpenAPI 3.1, derived from the request's columns and the app's limits."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipelines.config import Column, ProblemConfig, Task
from pipelines.feature.decode import ARROW, CSV, JSON, limits
from pipelines.serving.formats import COLUMNS
from pipelines.serving.problems import MEDIA_TYPE
from pipelines.settings import Settings

Schema = dict[str, Any]

_TYPES = {"string": "string", "float": "number", "integer": "integer", "boolean": "boolean", "timestamp": "string"}
_ERRORS = {
    "400": "The body is not a valid request; the problem says what to change.",
    "401": "The request shows no token of a caller; only where the app has a file of callers.",
    "406": "Accept names no format of answers.",
    "408": "The body did not arrive within {deadline_seconds:g} seconds.",
    "413": "The body has more than {max_body_bytes:,} bytes or {max_rows:,} rows, or more than {max_explained_rows} "
    "to explain.",
    "415": "The content type is none of the three.",
    "422": "A feature view has no value for a row, and its policy is to reject such.",
    "429": "{max_concurrency} requests are being answered already, no more bodies fit into memory, or the caller asks "
    "more often than it may.",
    "500": "The app failed; its log has more.",
    "503": "There is no release, the request waited too long, or a store does not answer.",
}
_RETRY = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}}


def document(config: ProblemConfig, settings: Settings) -> Schema:
    """Return the document of the app for a problem."""
    return {
        "openapi": "3.1.0",
        "info": {"title": config.title, "description": config.business.goal.strip(), "version": "1"},
        "paths": {
            "/invocations": {"post": _invocations(config, settings)},
            "/ping": {"get": _ready("ping", "As /ready, by SageMaker's name.")},
            "/ready": {"get": _ready("ready", "Whether requests can be answered, and by which release.")},
            "/live": {"get": _get("live", "Whether the app lives.", JSON, _LIVE)},
            "/metrics": {"get": _get("metrics", "What the app counts, for Prometheus.", "text/plain", _TEXT)},
            "/openapi.json": {"get": _get("contract", "This document.", JSON, {"type": "object"})},
        },
        "components": {
            "schemas": {
                "Request": _request(config.request_columns),
                "Requests": _several("instances", "Request", settings.max_rows),
                "Prediction": _prediction(config),
                "Predictions": _several("predictions", "Prediction", settings.max_rows),
                "Problem": _PROBLEM,
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def example(columns: Mapping[str, Column]) -> Schema:
    """Return a request that is valid."""
    return {name: _example(column) for name, column in columns.items() if not column.personal}


def _request(columns: Mapping[str, Column]) -> Schema:
    return {
        "type": "object",
        "properties": {name: _property(column) for name, column in columns.items()},
        "required": [name for name, column in columns.items() if not column.nullable],
        "additionalProperties": False,
        "examples": [example(columns)],
    }


def _property(column: Column) -> Schema:
    kind = _TYPES[column.type]
    bounds = limits(column)
    schema: Schema = {"type": [kind, "null"] if column.nullable else kind}
    if column.values:
        schema["enum"] = [*column.values, *([None] if column.nullable else [])]
    if bounds:
        schema |= {"minimum": bounds["ge"], "maximum": bounds["le"]}
    if column.type == "timestamp":
        schema["format"] = "date-time"
    description = column.description + (" Personal: neither logged nor a feature." if column.personal else "")
    if description:
        schema["description"] = description.strip()
    return schema | {"examples": [_example(column)]}


def _example(column: Column) -> Any:
    if column.example is not None:
        return column.example.isoformat() if isinstance(column.example, datetime) else column.example
    if column.values:
        return column.values[0]
    middle = next((bound for bound in (column.min, column.max) if bound is not None), 0)
    typical = {"string": "text", "boolean": True, "timestamp": "2024-01-01T00:00:00Z", "integer": round(middle)}
    return typical.get(column.type, float(middle))


def _prediction(config: ProblemConfig) -> Schema:
    binary = config.task is Task.BINARY
    told = f"The probability that {config.label.description}." if binary else config.label.description
    number: Schema = {"type": "number", "description": told}
    explanation = {
        "type": "object",
        "description": "With explain=true: base and contributions add up to the prediction.",
        "properties": {
            "base": {"type": "number"},
            "contributions": {"type": "object", "additionalProperties": {"type": "number"}},
        },
        "required": ["base", "contributions"],
    }
    return {
        "type": "object",
        "properties": {
            "prediction": number | ({"minimum": 0, "maximum": 1} if binary else {}),
            "prediction_id": {"type": "string", "description": "Names the prediction in the log."},
            "model_version": {"type": "integer"},
            "variant": {"type": "string", "description": "Which variant of the release answered."},
            "explanation": explanation,
        },
        "required": list(COLUMNS),
    }


def _several(name: str, schema: str, most: int) -> Schema:
    items: Schema = {"type": "array", "items": _ref(schema), "minItems": 1, "maxItems": most}
    return {"type": "object", "properties": {name: items}, "required": [name], "additionalProperties": False}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _invocations(config: ProblemConfig, settings: Settings) -> Schema:
    columns = config.request_columns
    shown = example(columns)
    lines = [",".join(shown), ",".join("" if value is None else str(value) for value in shown.values())]
    table = f"A table in CSV, its first line naming the fields: {', '.join(columns)}."
    return {
        "operationId": "predict",
        "summary": config.title,
        "security": [{"token": []}] if settings.callers else [],
        "parameters": [
            {
                "name": "explain",
                "in": "query",
                "description": f"Whether to explain each prediction; JSON only, {settings.max_explained_rows} rows.",
                "schema": {"type": "boolean", "default": False},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {"anyOf": [_ref("Request"), _ref("Requests")]},
                    "examples": {"one": {"value": shown}, "several": {"value": {"instances": [shown, shown]}}},
                },
                CSV: {
                    "schema": {"type": "string", "description": table},
                    "examples": {"table": {"value": "\n".join(lines) + "\n"}},
                },
                ARROW: {"schema": {"description": "An Arrow IPC stream, not compressed, with the fields as columns."}},
            },
        },
        "responses": {
            "200": {
                "description": "One prediction for each row, in their order; for one JSON object, one object.",
                "content": {
                    JSON: {"schema": {"anyOf": [_ref("Prediction"), _ref("Predictions")]}},
                    CSV: {"schema": {"type": "string", "description": f"The columns {', '.join(COLUMNS)}."}},
                    ARROW: {"schema": {"description": f"A stream of the columns {', '.join(COLUMNS)}."}},
                },
            },
            **{status: _error(status, text, settings) for status, text in _ERRORS.items()},
        },
    }


def _error(status: str, text: str, settings: Settings) -> Schema:
    content = {MEDIA_TYPE: {"schema": _ref("Problem")}}
    response: Schema = {"description": text.format(**settings.model_dump()), "content": content}
    return response | ({"headers": _RETRY} if status in {"429", "503"} else {})


def _get(name: str, summary: str, media_type: str, schema: Schema) -> Schema:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "content": {media_type: {"schema": schema}}}},
    }


def _ready(name: str, summary: str) -> Schema:
    asked = _get(name, summary, JSON, _READY)
    unready = {"description": "A release cannot be loaded, and none was before.", "content": {JSON: {"schema": _READY}}}
    return {**asked, "responses": {**asked["responses"], "503": unready}}


_TEXT: Schema = {"type": "string"}
_LIVE: Schema = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
_READY: Schema = {
    "type": "object",
    "properties": {"status": {"type": "string"}, "release": {"type": ["integer", "null"]}},
    "required": ["status", "release"],
}
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to change."},
    },
    "required": ["type", "title", "status", "detail"],
}

"""The OpenAPI document of the JSON API. It is the same for every network."""

from __future__ import annotations

from typing import Any

from lightcnn.explaining.methods.catalogue import METHODS
from lightcnn.version import __version__

LINES = "application/x-ndjson"
"""The content type of an answer with progress: one JSON value per line."""
REFUSALS = {
    "400": "The request cannot be read, or names a host that is not this server.",
    "401": "The token is missing or wrong.",
    "403": "The request comes from another site.",
    "408": "The request did not arrive in time.",
    "413": "The request is too large.",
    "415": "The request is not a form, or a file is not an image.",
    "422": "An image cannot be decoded, or a field has a value that is not possible.",
    "429": "Too many requests a second.",
    "503": "The server is busy.",
}
"""Status → when a request is refused."""
READING = ("400", "401", "429", "503")
"""The refusals of a request without a body."""


def document() -> dict[str, Any]:
    """The document, as `GET /openapi.json` and `lightcnn serve --openapi` return it."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lightcnn serve",
            "version": __version__,
            "description": "Predicts and explains images with one network. Not for diagnosis.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"token": []}],
        "paths": {
            "/predict": {"post": _predict()},
            "/explain": {"post": _explain()},
            "/model": {"get": _get("model", "What the network is", _schema("Model"))},
            "/healthz": {"get": _get("healthz", "Whether the server answers", _schema("Health"), security=[])},
            "/metrics": {"get": _get("metrics", "Counters for Prometheus", {"type": "string"}, "text/plain")},
            "/openapi.json": {"get": _get("openapi", "This document", {"type": "object"}, security=[])},
        },
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "headers": {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "In seconds."}},
        },
    }


def _predict() -> dict[str, Any]:
    fields = {
        "images": {
            "type": "array", "minItems": 1, "items": _FILE,
            "description": "JPEG, PNG, WebP or BMP files.",
        },
        "abstain_below": {
            "type": "number", "minimum": 0, "maximum": 1, "default": 0,
            "description": 'Predict "abstained" if the highest probability is below.',
        },
    }  # fmt: skip
    return _post("predict", "Predict images", fields, ["images"], {"application/json": _schema("Predictions")})


def _explain() -> dict[str, Any]:
    fields = {
        "images": {"type": "array", "minItems": 1, "maxItems": 1, "items": _FILE, "description": "One file."},
        "method": {
            "type": "string", "enum": list(METHODS),
            "description": "GET /model lists those of this network (default: the first of them).",
        },
        "target": {"type": "string", "description": "The class to explain (default: the predicted one)."},
    }  # fmt: skip
    line = {"description": "With `Accept: application/x-ndjson`: lines of progress, and the answer.", "type": "string"}
    answers = {"application/json": _schema("Explanation"), LINES: line}
    return _post("explain", "Explain one image by one method", fields, ["images"], answers)


def _post(
    name: str, summary: str, fields: dict[str, Any], required: list[str], answers: dict[str, Any]
) -> dict[str, Any]:
    form = {"type": "object", "required": required, "properties": fields, "additionalProperties": False}
    return {
        "operationId": name,
        "summary": summary,
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {"200": _answer("The result.", answers), **_refusals(*REFUSALS)},
    }


def _get(
    name: str, summary: str, schema: dict[str, Any], kind: str = "application/json", **more: Any
) -> dict[str, Any]:
    answers = {"200": _answer("The result.", {kind: schema}), **_refusals(*READING)}
    return {"operationId": name, "summary": summary, "responses": answers, **more}


def _answer(description: str, contents: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema} for kind, schema in contents.items()}}


def _refusals(*statuses: str) -> dict[str, Any]:
    answers = {status: _answer(REFUSALS[status], {"application/json": _schema("Error")}) for status in statuses}
    for status in {"429", "503"} & answers.keys():
        answers[status]["headers"] = {"Retry-After": {"$ref": "#/components/headers/Retry-After"}}
    return answers


def _schema(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties, "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "null"}]}


_FILE = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
_TEXT, _NUMBER, _COUNT, _BOOLEAN = ({"type": name} for name in ("string", "number", "integer", "boolean"))
_SHARE = {"type": "number", "minimum": 0, "maximum": 1.0000001}
SCHEMAS: dict[str, Any] = {
    "Error": _object(error=_TEXT),
    "Health": _object(status={"const": "ok"}),
    "Prediction": _object(
        image=_TEXT, prediction=_TEXT,
        probabilities={"type": "object", "additionalProperties": _SHARE},
        unlikeness=_or_null(_NUMBER) | {"description": "Above 1, the image is unlike the training images."},
        is_unlike=_BOOLEAN, differences=_list(_TEXT),
    ),
    "Predictions": _object(
        predictions=_list(_schema("Prediction")), classes=_list(_TEXT), threshold=_or_null(_SHARE),
        abstain_below=_SHARE, notice=_TEXT,
    ),
    "Check": _object(name=_TEXT, passed=_or_null(_BOOLEAN), text=_TEXT, rule=_TEXT),
    "Explanation": _object(
        image=_TEXT, method={"enum": list(METHODS)}, title=_TEXT, unit=_TEXT, layer=_or_null(_TEXT), target=_TEXT,
        prediction=_TEXT, probability=_SHARE, checks=_list(_schema("Check")), notes=_list(_TEXT),
        overlay={"type": "string", "contentEncoding": "base64", "contentMediaType": "image/png"}, seconds=_NUMBER,
    ),
    "Curve": _object(
        **{"class": _TEXT}, images=_COUNT, others=_COUNT, sensitivity=_or_null(_list(_SHARE)),
        specificity=_or_null(_list(_SHARE)),
    ),
    "Model": _object(
        lightcnn=_TEXT, name=_TEXT, classes=_list(_TEXT), threshold=_or_null(_SHARE), stand_in=_or_null(_BOOLEAN),
        data=_or_null(_object(source=_TEXT, counts=_or_null({"type": "object", "additionalProperties": _COUNT}))),
        accuracy=_or_null(_object(value=_SHARE, low=_or_null(_SHARE), high=_or_null(_SHARE))),
        operating_points=_or_null(_object(thresholds=_list(_SHARE), classes=_list(_schema("Curve")))),
        unlikeness=_or_null(_object(false_alarm_rate=_SHARE, validation_images=_COUNT)),
        note=_TEXT, notice=_TEXT, methods=_list(_schema("Method")), limits={"type": "object"},
    ),
    "Method": _object(
        name={"enum": list(METHODS)}, title=_TEXT, at_once=_BOOLEAN,
        images=_COUNT | {"description": "About how many images go through the network."},
    ),
}  # fmt: skip
"""The schemas of all answers."""

"""The OpenAPI document is true: it lists every path, real answers fit it, and so does the answer to any request."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.served import BOUNDARY, Client, form, image_bytes

from lightcnn.serving.app import make_app
from lightcnn.serving.job import make_api
from lightcnn.serving.openapi import document
from lightcnn.serving.settings import ServeSettings

PATHS = document()["paths"]
PAGE = {"/", "/page.js", "/favicon.svg", "/favicon.ico"}
CHECKS = "positive_data_acceptance,negative_data_rejection"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "integer": int, "boolean": bool,
         "null": type(None)}  # fmt: skip


def problems(value: Any, schema: dict[str, Any], place: str = "") -> list[str]:
    """Where a value does not fit a schema; the keywords are those that the document uses."""
    if "$ref" in schema:
        return problems(value, document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]], place)
    if "anyOf" in schema:
        tried = [problems(value, each, place) for each in schema["anyOf"]]
        return [] if [] in tried else tried[0]
    kind, faults = schema.get("type"), []
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return [f"{place}: {value!r} is not a {kind}"]
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        faults.append(f"{place}: {value!r}")
    if kind == "number" and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        faults.append(f"{place}: {value} is out of range")
    if kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        faults += [f"{place}: lacks {name}" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            if name not in known and others is False:
                faults.append(f"{place}: has {name}")
            elif isinstance(known.get(name, others), dict):
                faults += problems(item, known.get(name, others), f"{place}.{name}")
    if kind == "array":
        faults += [fault for item in value for fault in problems(item, schema.get("items", {}), f"{place}[]")]
    return faults


def answer_problems(path: str, method: str, answer: Any) -> list[str]:
    """Why an answer is not one that the document lists."""
    described = PATHS[path][method.lower()]["responses"].get(str(answer.status))
    if described is None:
        return [f"{method} {path}: status {answer.status}: {answer.content!r}"]
    kind = answer.headers["content-type"].split(";")[0]
    if kind not in described["content"]:
        return [f"{method} {path}: {kind}"]
    faults = problems(answer.json, described["content"][kind]["schema"]) if kind == "application/json" else []
    return faults + [f"lacks {name}" for name in described.get("headers", {}) if name.lower() not in answer.headers]


def test_the_checker_of_schemas_finds_faults() -> None:
    schema = {"$ref": "#/components/schemas/Error"}
    assert problems({"error": "x"}, schema) == []
    for wrong in ({}, {"error": 1}, {"error": "x", "more": 1}, [], None):
        assert problems(wrong, schema)
    assert problems(2.0, {"type": "number", "maximum": 1}) and problems(True, {"type": "integer"})


def test_every_route_is_in_the_document(settings: ServeSettings) -> None:
    app: Any = make_app(make_api(settings), settings)
    routes = {route.path for route in app._app.routes}
    assert routes - PAGE == set(PATHS) and routes >= PAGE
    assert {name for each in PATHS.values() for name in each} == {"get", "post"}
    references = re.findall(r"'#/components/schemas/(\w+)'", str(document()))
    assert set(references) == set(document()["components"]["schemas"])


def test_answers_fit_the_document(client: Client) -> None:
    answers = [("GET", path, client.ask("GET", path)) for path in PATHS if "get" in PATHS[path]]
    assert [answer.status for _, _, answer in answers] == [200] * 4
    answers += [("POST", path, client.send(path, [("a.png", image_bytes())])) for path in ("/predict", "/explain")]
    for path in ("/predict", "/explain"):
        answers += [
            ("POST", path, client.send(path, [("a.png", b"")])),
            ("POST", path, client.send(path, [])),
            ("POST", path, client.ask("POST", path, b"{}", Content_Type="application/json")),
            ("POST", path, client.send(path, [("a.png", image_bytes())], Origin="http://other.example")),
            ("POST", path, client.ask("POST", path, b"", Content_Type=FORM, Content_Length="5000000")),
        ]
    assert [answer.status for _, _, answer in answers[4:8]] == [200, 200, 422, 400]
    assert [fault for method, path, answer in answers for fault in answer_problems(path, method, answer)] == []


def test_answers_to_random_requests_fit_the_document(client: Client) -> None:
    """The short form of what schemathesis does."""
    statuses = set()
    for number in range(150):
        chance = random.Random(number)
        path, method = chance.choice([(path, method) for path, methods in PATHS.items() for method in methods])
        fields = {
            chance.choice(["abstain_below", "method", "target", "x", ""]): chance.choice(
                ["0.5", "lime", "gradcam", "-1", "nan", "", "\0", "é", "0" * 300]
            )
            for _ in range(chance.randrange(3))
        }
        files = [(chance.choice(["a.png", "", "é", "\\"]), chance.choice([image_bytes(), b"", b"\0" * 9]))]
        body = form(files * chance.randrange(3), fields, kind=chance.choice(["image/png", "text/html", ""]))
        kind = chance.choice([FORM] * 4 + ["text/plain", "multipart/form-data"])
        query = chance.choice(["", "?a=1", "?" + "a" * 2000])
        answer = client.ask(method.upper(), path + query, body if method == "post" else None, Content_Type=kind)
        assert answer_problems(path, method, answer) == [], number
        statuses.add(answer.status)
    assert {200, 400, 415, 422} <= statuses


@pytest.mark.long
@pytest.mark.timeout(1800)  # 33 s on two idle cores
def test_schemathesis_finds_nothing(client: Client, tmp_path: Path) -> None:
    pytest.importorskip("schemathesis", reason="needs schemathesis: pip install schemathesis")
    address = f"http://127.0.0.1:{client.port}/openapi.json"
    # Random bytes fit the schema and are no image; an empty list violates it, and is nothing in a form.
    options = ["--max-examples", "50", "--seed", "1", "--exclude-checks", CHECKS]
    script = "from schemathesis.cli import schemathesis; schemathesis()"
    command = [sys.executable, "-c", script, "run", address, *options]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)  # it keeps what it found there
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "5 selected / 5 total" in done.stdout or "6 selected / 6 total" in done.stdout

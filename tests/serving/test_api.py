"""The responses of the JSON API."""

from __future__ import annotations

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.served import Client, image_bytes, serving
from PIL import Image

import lightcnn
from lightcnn.explaining.methods.catalogue import METHODS
from lightcnn.serving.job import make_api
from lightcnn.serving.settings import ServeSettings


def test_predictions_equal_those_of_the_command(client: Client, served_run: Path, tmp_path: Path) -> None:
    files = [
        (f"{seed}.{kind.lower()}", image_bytes(seed, kind=kind)) for seed, kind in enumerate(("PNG", "JPEG", "BMP"))
    ]
    for name, content in files:
        (tmp_path / name).write_bytes(content)
    expected = lightcnn.Run.load(served_run).predict([tmp_path / name for name, _ in files])
    answer = client.send("/predict", files)
    assert answer.status == 200
    rows = answer.json["predictions"]
    assert [row["image"] for row in rows] == [name for name, _ in files]
    assert [row["prediction"] for row in rows] == list(expected.predictions)
    table = [[row["probabilities"][name] for name in expected.classes] for row in rows]
    assert np.abs(np.array(table) - expected.probabilities).max() < 1e-6
    assert expected.unlikeness is not None
    assert np.allclose([row["unlikeness"] for row in rows], expected.unlikeness, rtol=1e-4)
    assert [row["is_unlike"] for row in rows] == (expected.unlikeness > 1).tolist()


def test_a_prediction_abstains(client: Client) -> None:
    answer = client.send("/predict", [("a.png", image_bytes())], {"abstain_below": "1"}).json
    assert answer["predictions"][0]["prediction"] == "abstained" and answer["abstain_below"] == 1


@pytest.mark.parametrize("value", ["x", "-1", "1.01", "nan", ""])
def test_an_impossible_abstention_is_refused(client: Client, value: str) -> None:
    answer = client.send("/predict", [("a.png", image_bytes())], {"abstain_below": value})
    assert answer.status == 422 and "abstain_below: must be a number from 0 to 1" in answer.json["error"]


@pytest.mark.parametrize("method", ["gradcam", "ig", "occlusion"])
def test_an_explanation_has_an_overlay_and_the_verdicts_of_its_checks(client: Client, method: str) -> None:
    names = client.ask("GET", "/model").json["classes"]
    answer = client.send("/explain", [("a.png", image_bytes(1))], {"method": method, "target": names[0]})
    assert answer.status == 200
    explanation = answer.json
    assert explanation["method"] == method and explanation["target"] == names[0]
    overlay = Image.open(io.BytesIO(base64.b64decode(explanation["overlay"])))
    assert overlay.size == (420, 280) or overlay.size == (60, 40)
    assert {"deletion", "insertion", "map"} <= {check["name"] for check in explanation["checks"]}
    assert all(check["text"] and check["text"][0] not in "✓✗–" for check in explanation["checks"])


def test_progress_is_sent_line_by_line(client: Client) -> None:
    answer = client.send("/explain", [("a.png", image_bytes(2))], {"method": "lime"}, Accept="application/x-ndjson")
    assert answer.status == 200 and answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert lines[-1]["result"]["method"] == "lime"
    counts = [line["images"] for line in lines[:-1]]
    assert counts == sorted(counts)


def test_the_facts_of_the_network(client: Client) -> None:
    model = client.ask("GET", "/model").json
    assert model["data"] == {"source": "photos", "counts": model["data"]["counts"]}
    assert model["stand_in"] is False and 0 <= model["accuracy"]["low"] <= model["accuracy"]["value"] <= 1
    assert [method["name"] for method in model["methods"]] == list(METHODS)
    assert model["unlikeness"]["validation_images"] > 0
    assert "/" not in json.dumps(model["data"]) and "Not for diagnosis" in model["notice"]


def test_rates_rise_and_fall_with_the_threshold(client: Client) -> None:
    points = client.ask("GET", "/model").json["operating_points"]
    assert points["thresholds"][0] == 0 and points["thresholds"][-1] == 1
    for curve in points["classes"]:
        assert curve["images"] > 0 and curve["others"] > 0
        assert curve["sensitivity"][0] == 1 and curve["specificity"][0] == 0
        assert curve["sensitivity"] == sorted(curve["sensitivity"], reverse=True)
        assert curve["specificity"] == sorted(curve["specificity"])


def test_an_edited_run_has_no_operating_points(served_run: Path, settings: ServeSettings, tmp_path: Path) -> None:
    copy = shutil.copytree(served_run, tmp_path / "run")
    with (copy / "predictions.csv").open("a") as file:
        file.write("\n")
    assert make_api(ServeSettings(copy)).facts["operating_points"] is None
    report = json.loads((copy / "report.json").read_text())
    (copy / "report.json").write_text(json.dumps(report | {"data": 3}))
    facts = make_api(ServeSettings(copy)).facts
    assert facts["data"] is None and facts["accuracy"] is None


def test_metrics_count_requests_and_images(settings: ServeSettings) -> None:
    with serving(make_api(settings), settings) as client:
        client.send("/predict", [("a.png", image_bytes()), ("b.png", image_bytes(1))])
        client.send("/predict", [("a.png", b"no image")])
        text = client.ask("GET", "/metrics").content.decode()
    assert 'lightcnn_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'lightcnn_requests_total{path="/predict",status="422"} 1.0' in text
    assert "lightcnn_images_total 2.0" in text and "a.png" not in text


def test_health_and_unknown_paths(client: Client) -> None:
    assert client.ask("GET", "/healthz").json == {"status": "ok"}
    assert client.ask("GET", "/nothing").status == 404
    refused = client.ask("GET", "/predict")
    assert refused.status == 405 and refused.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"method": "gradcm"}, "method: must be one of gradcam, "), ({"target": "nothing"}, "target: is not a class")],
)
def test_an_unknown_method_or_class_is_refused(client: Client, fields: dict[str, str], message: str) -> None:
    answer = client.send("/explain", [("a.png", image_bytes())], fields)
    assert answer.status == 422 and message in answer.json["error"]


def test_one_image_is_explained_at_a_time(client: Client) -> None:
    answer = client.send("/explain", [("a.png", image_bytes()), ("b.png", image_bytes())])
    assert answer.status == 422 and answer.json["error"] == "send one image; 2 were sent"

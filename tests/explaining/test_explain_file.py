"""`lightcnn explain MODEL.onnx`: exported files are explained without torch, by methods that need predictions only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from helpers.exported_files import photographs, trained_network, write_exported
from PIL import Image, ImageOps

import lightcnn
from lightcnn.cli.main import run
from lightcnn.errors import InputError
from lightcnn.explaining.images.projection import Frame
from lightcnn.exported_model import ExportedModel
from lightcnn.open_predictor import open_predictor

pytestmark = pytest.mark.usefixtures("undrawn_charts")

QUICK = ("--samples", "40", "--segments", "9")
TORCH_FREE = """
import sys
from lightcnn.cli.main import run
code = run(sys.argv[1:])
assert code == 0 and not {"torch", "optuna", "fvcore"} & set(sys.modules), code
"""
TORCH_FREE_FUNCTION = """
import sys
import lightcnn
(explanation,) = lightcnn.explain("model.onnx", ["photos/0.jpg"], methods=["occlusion"])
assert explanation.attribution.map.any() and not {"torch", "optuna", "fvcore"} & set(sys.modules)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `model.onnx`, `bare.onnx` without metadata, `labels.txt` and two images in `photos`."""
    write_exported(tmp_path / "model.onnx", trained_network())
    model = onnx.load(tmp_path / "model.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "bare.onnx")
    (tmp_path / "labels.txt").write_text("a\nb\nc\n")
    (tmp_path / "photos").mkdir()
    for path in photographs(tmp_path / "photos")[2:]:
        path.unlink()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def report_of(capsys: pytest.CaptureFixture[str], *arguments: str, out: str = "out") -> dict[str, Any]:
    assert run(["explain", *arguments, *QUICK, "--out", out, "--json"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert report == json.loads((Path(out) / "report.json").read_text())
    return report


def test_a_file_is_explained_without_torch(place: Path) -> None:
    command = ["explain", "model.onnx", "photos", "--quiet", "--out", "out", *QUICK]
    done = subprocess.run([sys.executable, "-c", TORCH_FREE, *command], capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]
    report = json.loads((place / "out" / "report.json").read_text())
    assert report["methods"] == ["lime", "occlusion"] and report["counts"]["explained"] == 2
    assert "LIME" in (place / "out" / "report.html").read_text()
    assert len(list((place / "out" / "overlays").glob("*.png"))) == 4


@pytest.mark.usefixtures("place")
def test_a_file_is_explained_at_the_probabilities_that_it_predicts(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "model.onnx", "photos", "--target", "class b")
    predicted = ExportedModel("model.onnx").predict(sorted(Path("photos").iterdir()))
    for number, entry in enumerate(report["explanations"]):
        row = predicted.probabilities[number // 2]
        assert entry["probability"] == pytest.approx(row[1], abs=2e-3) and entry["target"] == "class b"
        assert entry["prediction"] == predicted.predictions[number // 2] and entry["unlikeness"] is not None
        assert {"map", "deletion", "insertion"} <= entry["checks"].keys()
        assert ("seeds" in entry["checks"]) == (entry["method"] == "lime")
        assert np.load(Path("out") / entry["map"]).shape == (12, 12)
    assert (report["run"], report["device"], report["network"]) == ("model.onnx", "cpu", None)


@pytest.mark.usefixtures("place")
def test_a_file_of_others_is_explained_at_a_size_that_is_not_square(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "bare.onnx", "photos", "--labels", "labels.txt", "--input", "3x10x16")
    assert report["classes"] == ["a", "b", "c"] and "has no metadata of lightcnn" in report["notes"][0]
    assert np.load(Path("out") / report["explanations"][0]["map"]).shape == (10, 16)


def test_a_stand_in_is_stated_and_a_changed_file_is_not_resumed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_exported(place / "model.onnx", trained_network(), data={"source": "a", "stand_in": True})
    report = report_of(capsys, "model.onnx", "photos", "--method", "occlusion")
    assert "stand-in" in report["warning"].lower() and report["warnings"]
    again = ["explain", "model.onnx", "photos", "--method", "occlusion", *QUICK, "--out", "out", "--resume"]
    assert run([*again, "--quiet"]) == 0
    write_exported(place / "model.onnx", trained_network())
    capsys.readouterr()
    assert run(again) == 2
    assert "out was started with other file (" in capsys.readouterr().err


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.onnx"], "model.onnx: an exported file has no test set; give images, or the run folder"),
        (["model.onnx", "photos", "--method", "gradcam"], "--method gradcam: needs the layer maps of the network"),
        (["model.onnx", "photos", "--method", "lime,ig"], "--method ig: needs the gradients of the network"),
        (["model.onnx", "photos", "--layer", "a"], "--layer: model.onnx does not give the layers of its network"),
        (["model.onnx", "photos", "--layers"], "--layer: model.onnx does not give the layers of its network"),
        (["model.onnx", "photos", "--checks", "full"], "--checks full: randomises the weights of the network"),
        (["model.onnx", "photos", "--target", "class d"], "--target class d: no such class"),
        (["model.onnx", "photos", "--device", "cuda"], "--device cuda: exported files run on the CPU"),
        (["model.onnx", "photos", "--labels", "labels.txt"], "--labels, --input: model.onnx states both"),
        (["bare.onnx", "photos"], "bare.onnx: has no metadata of lightcnn"),
        (["bare.onnx", "photos", "--input", "3x8x8"], "bare.onnx: has no metadata of lightcnn; give --labels FILE"),
        (["missing.onnx", "photos"], "missing.onnx: cannot be read (No such file or directory)"),
        (["labels.onnx", "photos"], "labels.onnx: ONNX Runtime cannot read it"),
    ],
)
def test_what_a_file_does_not_give_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("labels.onnx").write_text("cat\ndog\n")
    assert run(["explain", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not Path("runs").exists()


def test_maps_of_an_input_that_is_not_square_cover_the_whole_image() -> None:
    frame = Frame(40, 30, 10, "stretch", 16)
    values = np.add.outer(np.zeros(10), np.arange(16)).astype(np.float32)
    drawn = frame.onto(values, 40, 30)
    assert drawn.shape == (40, 30) and drawn[0, 0] == 0 and drawn[-1, -1] == 15
    assert frame.nearest(np.arange(160).reshape(10, 16), 40, 30)[-1, -1] == 159
    mask = np.zeros((40, 30), bool)
    mask[:20] = True
    assert frame.mask(mask).shape == (10, 16) and frame.mask(mask).sum() == 80


@pytest.mark.usefixtures("place")
def test_the_function_explains_a_file_as_the_command_does(capsys: pytest.CaptureFixture[str]) -> None:
    report = report_of(capsys, "model.onnx", "photos", "--target", "class b")
    photos = sorted(Path("photos").iterdir())
    explanations = lightcnn.explain("model.onnx", photos, target="class b", samples=40, segments=9)
    assert [explanation.attribution.method for explanation in explanations] == ["lime", "occlusion"] * 2
    for explanation, entry in zip(explanations, report["explanations"], strict=True):
        assert (explanation.image, explanation.target) == (entry["image"], entry["target"])
        assert explanation.probability == entry["probability"] and explanation.checks == entry["checks"]
        assert np.array_equal(explanation.attribution.map, np.load(Path("out") / entry["map"]))
    (again,) = lightcnn.explain(
        ExportedModel("model.onnx"),
        [np.asarray(ImageOps.exif_transpose(Image.open(photos[0])))],
        methods=["occlusion"],
        target=1,
        checks="none",
    )
    assert np.array_equal(again.attribution.map, explanations[1].attribution.map) and len(again.figure().axes) >= 2


@pytest.mark.usefixtures("place")
def test_the_function_explains_a_file_of_others_and_states_what_it_assumes() -> None:
    model = open_predictor("bare.onnx", labels=("a", "b", "c"), input=(3, 10, 16))
    with pytest.warns(UserWarning, match="explain: bare.onnx: has no metadata of lightcnn; it gets RGB images"):
        (explanation,) = lightcnn.explain(model, ["photos/0.jpg"], methods=["occlusion"], checks="none", target="c")
    assert explanation.attribution.map.shape == (10, 16) and "has no metadata" in explanation.attribution.notes[-1]


def test_the_function_explains_a_file_without_torch(place: Path) -> None:
    done = subprocess.run([sys.executable, "-c", TORCH_FREE_FUNCTION], capture_output=True, text=True, cwd=place)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": ["gradcam"]}, "method=gradcam: needs the layer maps of the network, which model.onnx does not"),
        ({"methods": []}, "explain: methods names no method; name one or several, or leave it out"),
        ({"layer": "a"}, "layer: model.onnx does not give the layers of its network"),
        ({"checks": "full"}, "checks=full: randomises the weights of the network"),
        ({"target": "class d"}, "target=class d: no such class"),
        ({"device": "cuda"}, "device=cuda: exported files run on the CPU"),
        ({"batch": 0}, "batch=0: must be a number of images, 1 or more"),
        ({"masks": [None, None]}, "2 masks for 1 images"),
        ({"model": "bare.onnx"}, "bare.onnx: has no metadata of lightcnn"),
        ({"model": "missing.onnx"}, "missing.onnx: cannot be read (No such file or directory)"),
        ({"images": ["nowhere.png"]}, "nowhere.png is missing"),
        ({"images": "photos"}, "must be a list of paths"),
    ],
)
def test_what_a_file_does_not_give_the_function_is_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        lightcnn.explain(**{"model": "model.onnx", "images": ["photos/0.jpg"]} | arguments)
    assert len(str(raised.value).splitlines()) == 1

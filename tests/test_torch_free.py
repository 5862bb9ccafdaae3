"""The installed wheel predicts with an exported file beside the packages that it names, and nothing else: no torch."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.export_subjects import export_subject, extract_training
from helpers.exported_files import photographs
from helpers.paths import ROOT
from helpers.wheels import build_wheel
from PIL import Image

import lightcnn
from lightcnn.exporting.onnx_formats import onnx_file
from lightcnn.predictor import Predictions
from lightcnn.progress import no_progress

GUIDE = ROOT / "docs" / "guides" / "deploy.md"
MODULE_PACKAGES = ("onnxruntime", "numpy", "pillow")
"""What `ExportedModel` needs."""
COMMAND_PACKAGES = ("typer", "rich", "pydantic", "ruamel.yaml")
"""What `lightcnn predict MODEL.onnx` needs beside them."""
AT_THE_SIZE, AT_OTHER_SIZES = 1e-5, 2e-3
"""Tolerances of probabilities: a resized pixel between two grey levels may be rounded to either."""
SCRIPT = """
import json, sys
from lightcnn import ExportedModel
result = ExportedModel("model.onnx").predict(sys.argv[1:])
unlikeness = None if result.unlikeness is None else result.unlikeness.tolist()
print(json.dumps([result.probabilities.tolist(), result.predictions, unlikeness, sorted(sys.modules)]))
"""


def execute(*command: str | Path, cwd: Path) -> str:
    """What a command prints on stdout. Raises: AssertionError with its messages if it fails."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=240)
    assert process.returncode == 0, process.stderr
    return process.stdout


def install(python: Path, packages: Sequence[str]) -> None:
    """Installs packages with pip; skips the test, with pip's reason, if that is not possible."""
    command = [python, "-m", "pip", "install", "-q", "--retries", "0", "--timeout", "10", "--only-binary", ":all:"]
    process = subprocess.run([*command, *packages], capture_output=True, text=True, timeout=240)
    if process.returncode:
        pytest.skip(f"pip cannot install {', '.join(packages)}: {process.stderr.strip().splitlines()[-1]}")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with MODULE_PACKAGES and the wheel without its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    install(python, MODULE_PACKAGES)
    execute(python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", build_wheel(folder), cwd=folder)
    return python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, which the exporter wrote, its run `train`, and files of images in `images`."""
    folder = tmp_path_factory.mktemp("place")
    subject = export_subject(extract_training(folder))
    onnx_file.write(subject, folder, no_progress)
    (folder / "images").mkdir()
    size = (subject.preprocess.size, subject.preprocess.size)
    Image.fromarray(np.random.default_rng(5).integers(0, 256, size, dtype=np.uint8)).save(folder / "images" / "a.png")
    photographs(folder / "images")
    return folder


@pytest.fixture(scope="module")
def expected(place: Path) -> Predictions:
    """The predictions of the run; those of the first image are at the network's size."""
    return lightcnn.Run.load(place / "train").predict(images_of(place))


def images_of(place: Path) -> list[Path]:
    """The files in the order of their names, a.png first."""
    images = sorted((place / "images").iterdir(), key=lambda path: path.name != "a.png")
    assert len(images) == 9
    return images


def require_equal(probabilities: Sequence[Sequence[float]], expected: Predictions) -> None:
    np.testing.assert_allclose(probabilities[:1], expected.probabilities[:1], atol=AT_THE_SIZE)
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=AT_OTHER_SIZES)
    assert np.ptp(expected.probabilities, axis=0).max() > 0.1, "images that are predicted alike would show nothing"


def test_the_module_predicts_as_the_run_beside_three_packages(python: Path, place: Path, expected: Predictions) -> None:
    printed = execute(python, "-c", SCRIPT, *images_of(place), cwd=place)
    probabilities, predictions, unlikeness, modules = json.loads(printed)
    require_equal(probabilities, expected)
    assert tuple(predictions) == expected.predictions
    assert (unlikeness is None) == (expected.unlikeness is None)
    assert not {"torch", "pydantic", "ruamel.yaml", "typer", "rich", "cv2", "scipy"} & set(modules)


def test_the_script_of_the_guide_predicts_as_the_run_beside_three_packages(
    python: Path, place: Path, expected: Predictions, tmp_path: Path
) -> None:
    (script,) = [text for text in GUIDE.read_text(encoding="utf-8").split("```") if "import json, numpy, onnx" in text]
    script = script.removeprefix("python\n")
    assert len(script.splitlines()) == 10 and "lightcnn" not in script
    (tmp_path / "exported").symlink_to(place)
    (tmp_path / "digit.png").symlink_to(images_of(place)[0])
    lines = execute(python, "-c", script, cwd=tmp_path).splitlines()
    names, numbers = zip(*(line.split(": ") for line in lines), strict=True)
    assert names == expected.classes
    np.testing.assert_allclose([float(number) for number in numbers], expected.probabilities[0], atol=AT_THE_SIZE)


def test_the_command_predicts_as_the_run_beside_four_more(python: Path, place: Path, expected: Predictions) -> None:
    install(python, COMMAND_PACKAGES)
    command = [python, "-m", "lightcnn", "predict", "model.onnx", *images_of(place), "--csv", "-", "--quiet"]
    rows = list(csv.DictReader(io.StringIO(execute(*command, cwd=place))))
    require_equal([[float(row[f"p_{name}"]) for name in expected.classes] for row in rows], expected)
    assert tuple(row["prediction"] for row in rows) == expected.predictions
    names = {line.partition("==")[0].lower() for line in execute(python, "-m", "pip", "freeze", cwd=place).split("\n")}
    assert "onnxruntime" in names
    assert not names & {"torch", "torchvision", "opencv-python-headless", "scipy", "optuna", "onnx"}

"""Folders for Hugging Face."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.export_subjects import export_subject, extract_training, noise
from PIL import Image
from ruamel.yaml import YAML
from safetensors.torch import load_file

import lightcnn
from lightcnn.errors import InputError
from lightcnn.exporting import hub
from lightcnn.inference import probabilities
from lightcnn.progress import no_progress

ROOT = Path(lightcnn.__file__).parents[1]
NO_NETWORK = """
import socket, sys
def refuse(*_): raise OSError("no network in this test")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
sys.argv = sys.argv[1:]
__file__ = sys.argv[0]
exec(compile(open(__file__).read(), __file__, "exec"))
"""
"""Runs a script with network access refused."""


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    return extract_training(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def folder(training: Path, tmp_path: Path) -> Path:
    """The written folder."""
    hub.write(export_subject(training), tmp_path, no_progress)
    return tmp_path / hub.FOLDER


def test_the_folder_is_what_is_compared_and_predicts_like_the_run(training: Path, tmp_path: Path) -> None:
    subject = export_subject(training)
    exported = hub.write(subject, tmp_path, no_progress)
    images = noise(subject, 5)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert (exported.probabilities(images) == probabilities(subject.network.model, pixels, subject.preprocess)).all()
    assert sorted(exported.files) == sorted(f"hub/{file.name}" for file in (tmp_path / "hub").iterdir())
    tensors = load_file(tmp_path / "hub" / "model.safetensors")
    assert exported.weight_bytes == sum(value.nbytes for value in tensors.values())


def test_the_card_has_metadata_and_states_the_accuracy(training: Path, folder: Path) -> None:
    _, head, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    metadata = YAML(typ="safe").load(head)
    assert metadata["library_name"] == "lightcnn"
    assert metadata["pipeline_tag"] == "image-classification"
    report = json.loads((training / "report.json").read_text())
    assert f"{report['metrics']['test']['accuracy']['value']:.2%}" in body
    assert "Not for diagnosis" in body and report["data"]["fingerprint"] in body
    assert ("STAND-IN" in body) == report["data"]["stand_in"] == ("stand-in-data" in metadata["tags"])


def test_the_configuration_names_the_classes(training: Path, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    classes = json.loads((training / "preprocess.json").read_text())["classes"]
    assert list(config["id2label"].values()) == classes
    assert list(config["id2label"]) == [str(index) for index in range(len(classes))]


def test_the_example_runs_without_a_network(training: Path, folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, str(folder / "example.py"), str(tmp_path / "red.png")],
        capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(ROOT), "PATH": ""}, check=True,
    )  # fmt: skip
    expected = lightcnn.Run.load(training).predict(tmp_path / "red.png")
    name = expected.predictions[0]
    probability = expected.probabilities[0][expected.classes.index(name)]
    assert done.stdout == f"{tmp_path / 'red.png'}: {name}, {probability:.4f}\n"


def test_a_folder_of_links_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    for file in folder.iterdir():
        (tmp_path / "cache" / file.name).symlink_to(file)
    assert hub.read_folder(tmp_path / "cache").preprocess == hub.read_folder(folder).preprocess


def _refusal(folder: Path) -> str:
    """The line with which the folder is refused."""
    with pytest.raises(InputError) as error:
        hub.read_folder(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def _damage_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def test_a_damaged_folder_is_refused_in_one_line(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    _damage_config(folder, preprocess=config["preprocess"] | {"classes": ["a", "b", "c", "d", "e", "f", "g"]})
    assert "of 7 classes, the network reads" in _refusal(folder)
    _damage_config(folder, model_type="bert")
    assert "model_type" in _refusal(folder)
    (folder / "config.json").write_text("{")
    assert "config.json: is damaged" in _refusal(folder)
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-100])
    assert "model.safetensors: damaged" in _refusal(folder)
    (folder / "model.safetensors").unlink()
    assert "model.safetensors: is missing; export the run again" in _refusal(folder)

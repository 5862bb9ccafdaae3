"""`.tflite` files, run by TensorFlow Lite Micro."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.export_subjects import export_subject, extract_training, noise, subject_of
from helpers.specs import drawn

from lightcnn.errors import InputError, LightcnnError
from lightcnn.exporting.subject import ExportSubject, NumberTypes
from lightcnn.exporting.tflite import float_file, int8_file
from lightcnn.exporting.tflite.flatbuffer import number_types
from lightcnn.exporting.tflite.micro import MicroInterpreter
from lightcnn.exporting.tflite.operators import float_bytes
from lightcnn.inference import probabilities
from lightcnn.program import program
from lightcnn.progress import no_progress
from lightcnn.spec import ConvBlock, NetworkSpec

RANDOM_NETWORKS = 40


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> ExportSubject:
    """A trained network and images for calibration."""
    return export_subject(extract_training(tmp_path_factory.mktemp("runs")))


def predicted(subject: ExportSubject, images: np.ndarray) -> np.ndarray:
    """The probabilities of the run's network."""
    return probabilities(subject.network.model, torch.from_numpy(images).permute(0, 3, 1, 2), subject.preprocess)


def test_fp32_predicts_like_the_network(subject: ExportSubject, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    exported = float_file.write(subject, tmp_path, no_progress)
    images = noise(subject, 20)
    assert np.abs(exported.probabilities(images) - predicted(subject, images)).max() < 1e-5
    assert exported.files == ("model.tflite",) and (tmp_path / "model.tflite").read_bytes()[4:8] == b"TFL3"
    assert (
        exported.number_types is None
        and exported.details["tflm_arena_bytes"] > exported.details["tflm_activation_bytes"] > 0
    )


def test_int8_predicts_nearly_like_the_network(subject: ExportSubject, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    exported = int8_file.write(subject, tmp_path, no_progress)
    images = noise(subject, 20)
    difference = np.abs(exported.probabilities(images) - predicted(subject, images)).max()
    assert 1e-5 < difference < 0.05
    assert exported.number_types == NumberTypes(frozenset({"int8"}), frozenset({"int8"}))
    in_float = number_types(float_bytes(float_file.subject_program(subject), float_file.subject_state(subject)))
    assert str(in_float) == "weights in float32 and activations in float32" and not in_float.is_int8
    assert 3 * exported.weight_bytes < sum(v.nbytes for v in subject.deployed.state_dict().values())
    assert "divide by 255" in exported.preprocessing and "-128 to 127" in exported.preprocessing


def test_fp32_computes_any_network_that_it_has_operators_for() -> None:
    pytest.importorskip("tflite_micro")
    refusals = [_refusal(seed) for seed in range(RANDOM_NETWORKS)]
    assert 5 < refusals.count("") < RANDOM_NETWORKS
    assert all("gelu is not an operator" in text or "windows that end beyond" in text for text in refusals if text)


def _refusal(seed: int) -> str:
    """Compares a random network with its file; returns why it has none."""
    spec, _, folded = drawn(seed)
    image = torch.rand((1, *spec.input), generator=torch.Generator().manual_seed(seed))
    state = {name: value.numpy() for name, value in folded.state_dict().items()}
    try:
        data = float_bytes(program(spec), state)
    except LightcnnError as error:
        return str(error)
    with torch.no_grad():
        expected = folded(image).numpy()
    outputs = MicroInterpreter(data).outputs(image.permute(0, 2, 3, 1).numpy())
    assert np.abs(outputs - expected).max() <= 1e-4 * max(1, np.abs(expected).max()), seed
    return ""


def test_a_function_without_an_operator_is_named(subject: ExportSubject, tmp_path: Path) -> None:
    pytest.importorskip("tflite_micro")
    spec = NetworkSpec(input=(1, 8, 8), classes=2, stages=(ConvBlock(width=4, act="gelu"),))
    with pytest.raises(LightcnnError, match=r"stages\.0\.0: gelu is not an operator of TensorFlow Lite Micro"):
        float_file.write(subject_of(subject, spec), tmp_path, no_progress)


def test_a_missing_extra_is_named_with_its_command(
    subject: ExportSubject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tflite_micro")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with pytest.raises(InputError, match=r'tflite-micro is not installed; pip install "lightcnn\[tflite\]"'):
        float_file.write(subject, tmp_path, no_progress)
    assert list(tmp_path.iterdir()) == []

"""The network of a run in timm: the same weights, timm's methods, and names that clash."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from helpers.paths import TESTS

import lightcnn
from lightcnn.errors import InputError, RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A trained run in a folder of its own name."""
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as archive:
        archive.extractall(tmp_path)
    return (tmp_path / "train").rename(tmp_path / f"Run-{tmp_path.name}")


def test_timm_makes_the_network_of_the_run_with_its_methods(folder: Path) -> None:
    name = lightcnn.register_timm(folder)
    assert name.startswith("lightcnn_run_") and timm.is_model(name)
    assert lightcnn.register_timm(folder) == name
    trained = lightcnn.Run.load(folder).trained
    model = timm.create_model(name, pretrained=True).eval()
    images = torch.rand(2, *trained.spec.input)
    with torch.no_grad():
        expected = trained.model(images)
        features = model.forward_features(images)
        assert torch.allclose(model(images), expected, atol=1e-5)
        assert torch.allclose(model.forward_head(features), expected, atol=1e-5)
        assert features.shape[1] == model.num_features
        before = model.forward_head(features, pre_logits=True)
        assert torch.allclose(model.get_classifier()(before), expected, atol=1e-5)
    assert model.state_dict().keys() == trained.model.state_dict().keys()
    model.reset_classifier(7)
    assert model(images).shape == (2, 7)
    model.reset_classifier(0)
    assert model(images).shape == (2, model.head_hidden_size)
    config = timm.data.resolve_model_data_config(model)
    assert config["input_size"] == trained.spec.input
    assert config["mean"] == trained.preprocess.mean


def test_weights_are_random_without_pretrained_and_classes_are_changed(folder: Path) -> None:
    name = lightcnn.register_timm(folder)
    first, second = timm.create_model(name), timm.create_model(name, pretrained=True, num_classes=5)
    trained = timm.create_model(name, pretrained=True)
    assert second.get_classifier().out_features == 5
    pairs = zip(first.parameters(), trained.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)


def test_other_arguments_of_timm_are_taken_at_their_neutral_values(folder: Path) -> None:
    name = lightcnn.register_timm(folder)
    channels = lightcnn.Run.load(folder).trained.spec.input[0]
    model = timm.create_model(name, pretrained=True, drop_rate=0.0, drop_path_rate=None, in_chans=channels)
    assert model.num_classes == timm.create_model(name, pretrained=True).num_classes
    for option, value in (("in_chans", channels + 1), ("drop_rate", 0.1), ("drop_path_rate", 0.1)):
        with pytest.raises(InputError, match=f"takes pretrained and num_classes only, not {option}={value}$"):
            timm.create_model(name, **{option: value})


def test_names_that_clash_and_runs_that_cannot_be_used_are_refused(folder: Path) -> None:
    name = lightcnn.register_timm(folder)
    other = Path(shutil.copytree(folder, folder.with_name("other")))
    with pytest.raises(InputError, match="is registered for another network; give another name"):
        lightcnn.register_timm(other, name=name.removeprefix("lightcnn_"))
    (other / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(RunError, match="damaged"):
        lightcnn.register_timm(other)
    with pytest.raises(RunError, match="not a run folder"):
        lightcnn.register_timm(folder / "nothing")
    (folder / "spec.yaml").write_text("{baseline: mobilenetv2, input: [3, 32, 32], classes: 2}\n")
    with pytest.raises(RunError, match="its network is the baseline mobilenetv2, which timm has already"):
        lightcnn.register_timm(folder)

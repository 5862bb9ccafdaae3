"""The network of a run in timm: the same weights, timm's methods, and names that clash."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers.paths import TESTS

import lightcnn
from lightcnn.errors import InputError, RunError
from lightcnn.weights import weights_file


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


def test_a_run_that_was_continued_has_its_new_network(folder: Path, tmp_path: Path) -> None:
    name = lightcnn.register_timm(folder)
    before = timm.create_model(name, pretrained=True)
    trained = lightcnn.Run.load(folder).trained
    spec = trained.spec
    assert isinstance(spec, lightcnn.NetworkSpec)
    wider = spec.model_copy(update={"head": spec.head.model_copy(update={"hidden": (5,)})})
    wider.save(folder / "spec.yaml")
    (folder / "weights.safetensors").write_bytes(weights_file(lightcnn.build(wider), wider, stand_in=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # timm warns if a name is registered twice
        assert lightcnn.register_timm(folder) == name
    after = timm.create_model(name, pretrained=True)
    assert after.head_hidden_size == 5 != before.head_hidden_size
    assert after.state_dict().keys() == lightcnn.Run.load(folder).trained.model.state_dict().keys()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("???", r"^name='\?\?\?': has neither letters from A to Z nor digits; give a name such as 'mine'$"),
        ("", "^name='': has neither letters"),
        ("_", "^name='_': has neither letters"),
        (5, "^name=5: has type int; give a text such as 'mine'$"),
    ],
)
def test_a_name_without_letters_is_refused(folder: Path, name: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        lightcnn.register_timm(folder, name=name)
    unnamed = folder.rename(folder.with_name("öß"))
    with pytest.raises(InputError, match=r"^name='öß': has neither letters"):
        lightcnn.register_timm(unnamed)
    assert not timm.is_model("lightcnn_")

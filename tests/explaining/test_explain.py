"""`lightcnn.explain`: explanations from Python, and one line for wrong input."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from helpers.explained_run import Flat, make_run_folder, photographs, three_class_network
from PIL import Image
from torch import nn

import lightcnn
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `photos`, `masks` and a finished `run`."""
    return make_run_folder(tmp_path_factory.mktemp("explain"))


@pytest.fixture(autouse=True)
def _in_place(place, monkeypatch):
    monkeypatch.chdir(place)


@pytest.fixture
def network():
    return three_class_network()


PLAIN = Preprocess(
    size=12, channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3, classes=("a", "b", "c")
)


def test_runs_and_modules_are_explained_from_python(network):
    photos = photographs()[:2]
    by_path = lightcnn.explain("run", photos, methods=("gradcam", "ig"), device="cpu")
    assert [(explanation.image, explanation.attribution.method) for explanation in by_path] == [
        (str(photo), method) for photo in photos for method in ("gradcam", "ig")
    ]
    loaded = lightcnn.explain(lightcnn.Run.load("run"), photos, methods=["ig"], checks="none", device="cpu")
    trained = lightcnn.explain(lightcnn.Run.load("run").trained, photos, methods=["ig"], checks="none")
    for explanation, other, trained_one in zip(by_path[1::2], loaded, trained, strict=True):
        assert (explanation.attribution.map == other.attribution.map).all()
        np.testing.assert_allclose(explanation.attribution.map, trained_one.attribution.map, atol=1e-5)
        assert other.checks == {}
    arrays = [np.asarray(Image.open(photo)) for photo in photos]
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    masked = lightcnn.explain(network, arrays, preprocess=PLAIN, methods=["gradcam"], target="c", masks=[mask, None])
    assert [explanation.target for explanation in masked] == ["c", "c"]
    assert masked[0].checks["mask"]["area"] > 0
    assert "mask" not in masked[1].checks
    assert network.training
    assert network[1].inplace


def test_a_module_reads_tensors_and_its_classes_are_numbers(network):
    images = torch.rand(2, 3, 10, 14)
    explanations = lightcnn.explain(network, images, methods=["gradcam", "occlusion"], target=2)
    assert [explanation.attribution.map.shape for explanation in explanations] == [(10, 14)] * 4
    assert {explanation.target for explanation in explanations} == {"2"}
    logits = network.eval()(images).softmax(1)[:, 2]
    assert [explanation.probability for explanation in explanations[::2]] == pytest.approx(logits.tolist(), abs=1e-6)
    named = lightcnn.explain(network, images[:1], methods=["ig"], classes=("x", "y", "z"), target="y", checks="none")
    assert named[0].target_index == 1
    sigmoid_network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 64, 1))
    image = torch.rand(1, 1, 10, 10)
    probability = float(sigmoid_network(image).detach().sigmoid())
    (predicted,) = lightcnn.explain(sigmoid_network, image, methods=["ig"], checks="none")
    assert predicted.prediction == ("1" if probability >= 0.5 else "0")
    assert predicted.probability == pytest.approx(max(probability, 1 - probability), abs=1e-6)
    (explanation,) = lightcnn.explain(sigmoid_network, image, methods=["ig"], target="1", checks="none")
    (other,) = lightcnn.explain(sigmoid_network, image, methods=["ig"], target="0", checks="none")
    assert explanation.probability == pytest.approx(probability, abs=1e-6)
    np.testing.assert_allclose(explanation.attribution.map, -other.attribution.map, atol=1e-6)


def test_an_explanation_draws_itself():
    (explanation,) = lightcnn.explain("run", [photographs()[0]], methods=["lime"], device="cpu", samples=40)
    assert len(explanation.figure().axes) >= 4
    html = explanation._repr_html_()
    assert html.startswith("<figure>")
    assert "data:image/png" in html
    from rich.console import Console

    printed = io.StringIO()
    Console(width=200, file=printed).print(explanation)
    assert re.search(r"lime +\w+ +[01]\.\d{3} +[✓✗]", printed.getvalue())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda n: lightcnn.explain(n, [np.zeros((4, 4, 3), np.uint8)]), "must be a float tensor"),
        (lambda n: lightcnn.explain(n, torch.zeros(0, 3, 8, 8)), "must be a float tensor"),
        (lambda n: lightcnn.explain("x", torch.zeros(1, 3, 8, 8)), "run x: not a run folder"),
        (lambda n: lightcnn.explain(7, []), "model has type int; give a run folder"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=3), "no such class; give a number from 0 to 2"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=-1), "no such class; give a number from 0 to 2"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target="d"), "no such class"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), classes=("a", "b")), "2 class names.* distinguishes 3"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods=["gradcan"]), "did you mean 'gradcam'"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[]), "0 masks for 1 images"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[np.ones((3, 3), bool)]), "mask has the shape"),
        (lambda n: lightcnn.explain(n, torch.full((1, 3, 8, 8), float("nan"))), "numbers overflow"),
        (lambda n: lightcnn.explain(n, ["nowhere.png"], preprocess=PLAIN), "nowhere.png is missing"),
        (lambda n: lightcnn.explain(n, "photos", preprocess=PLAIN), "must be a list of paths"),
        (lambda n: lightcnn.explain(Flat(), torch.zeros(1, 3, 16, 16), methods=["gradcam"]), "Grad-CAM needs a layer"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods=["lime"], samples=0), "2 samples or more"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), checks="some"), "checks: 'some' is not one of "),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), masks=[np.ones((8, 8), np.uint8)]), "uint8; give bool"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), target=True), "target=True: no such class"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), methods="ig"), r"into brackets: \['ig'\]"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), batch=0), "batch=0: must be a number of images, 1"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), batch=-1), "batch=-1: must be a number of images, 1"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), seed=-1), "explain: seed: .* 0, not -1"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 1, 8, 8)), r"cannot read images of \(1, 8, 8\): .* 3 channels"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), samples=10**12), "at most 100,000, not 1,000,000,"),
        (lambda n: lightcnn.explain(n, torch.zeros(1, 3, 8, 8), segments=10**6), "at most 1,000, not 1,000,000"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(network, call, message):
    with pytest.raises(InputError, match=message) as raised:
        call(network)
    assert len(str(raised.value).splitlines()) == 1


def test_tensors_targets_and_masks_of_any_type_are_accepted(network):
    image = torch.rand(1, 3, 8, 8)
    inside = np.zeros((8, 8), bool)
    inside[:4, :4] = True
    settings = {"methods": ["gradcam"], "target": 1, "masks": [inside]}
    (explanation,) = lightcnn.explain(network, image, **settings)
    for images, change in (
        (image.double(), {"target": np.int64(1)}),
        (image, {"masks": [torch.from_numpy(inside)]}),
        (image, {"masks": [inside.tolist()], "classes": ("a", "b", "c")}),
    ):
        (other,) = lightcnn.explain(network, images, **settings | change)
        assert np.array_equal(explanation.attribution.map, other.attribution.map)
        assert explanation.checks == other.checks


def test_a_network_without_layer_maps_is_explained_by_gradients():
    (explanation,) = lightcnn.explain(Flat(), torch.rand(1, 3, 16, 16), methods=["ig"])
    assert explanation.attribution.map.any()

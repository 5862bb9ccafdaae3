"""Grad-CAM and its variants agree with hand computations and with the package grad-cam."""

from __future__ import annotations

from functools import partial
from typing import Any

import cv2
import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import lightcnn
from lightcnn.errors import InputError, LightcnnError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.gradcam import GradCam
from lightcnn.network import build
from lightcnn.recipe import Recipe
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec

VARIANTS = ("gradcam", "gradcam++", "layercam")
CLASSES = ("a", "b", "c")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make()


class Plain(nn.Module):
    """A convolution with maps A (2, h, w), the ReLU of A + 1, and logits that weight the means of its squares."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.act = nn.ReLU()
        self.head = nn.Linear(2, 3, bias=False)
        self.head.weight.data = torch.tensor([[1.0, -0.5], [-1.0, 2.0], [0.3, 0.4]])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.act(self.conv(x) + 1).square().mean(dim=(2, 3)))
        return out


class Writing(Plain):
    """The same with functions that write into a layer's output, twice."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x += 1
        nn.functional.relu(x, inplace=True)
        out: Tensor = self.head(x.square().mean(dim=(2, 3)))
        return out


def by_hand(model: Plain, inputs: Tensor, target: int, variant: str, layer: str = "act") -> NDArray[np.float64]:
    """By the papers' equations: the gradient of w·mean(ReLU(A + 1)²) is 2·w·ReLU(A + 1) / (h·w) for both layers."""
    values = model.conv(inputs)[0].detach().double().numpy()
    active = np.maximum(values + 1, 0)
    gradient = 2 * active * model.head.weight[target].detach().double().numpy()[:, None, None] / active[0].size
    maps = values if layer == "conv" else active
    out = np.zeros(maps.shape[1:])
    for a, g in zip(maps, gradient, strict=True):
        if variant == "gradcam":
            out += g.mean() * a
        elif variant == "layercam":
            out += np.maximum(g, 0) * a
        else:
            weight = 0.0
            for value in g.ravel():
                weight += value**2 / (2 * value**2 + a.sum() * value**3) * max(value, 0) if value > 0 else 0
            out += weight * a
    return out


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("target", [0, 1, 2])
def test_a_map_follows_the_equations_of_the_paper(variant: Any, target: int) -> None:
    model = seeded(Plain)
    inputs = random(1, 3, 9, 11)
    layer, coarse = GradCam(variant=variant).coarse(ExplainedNetwork.bare(model, 3, CLASSES), inputs, target)
    expected = by_hand(model, inputs, target, variant)
    assert layer.name == "act"
    assert coarse.numpy() == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert np.abs(expected).max() > 1e-4


@pytest.mark.parametrize("layer", ["conv", "act"])
def test_the_requested_layer_is_used(layer: str) -> None:
    model = seeded(Plain)
    inputs = random(1, 3, 8, 8)
    attribution = GradCam(layer)(ExplainedNetwork.bare(model, 3, CLASSES), inputs, 1)
    assert (attribution.method, attribution.layer, attribution.facts["size"], attribution.notes) == (
        "gradcam",
        layer,
        [8, 8],
        (),
    )
    assert attribution.map == pytest.approx(by_hand(model, inputs, 1, "gradcam", layer), rel=1e-4, abs=1e-6)
    assert attribution.map.min() < 0 < attribution.map.max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_writing_into_the_output_of_a_layer_does_not_change_its_map(variant: Any) -> None:
    plain, writing = seeded(Plain), seeded(Writing)
    inputs = random(1, 3, 8, 8)
    expected = GradCam("conv", variant)(ExplainedNetwork.bare(plain, 3, CLASSES), inputs, 2).map
    attribution = GradCam("conv", variant)(ExplainedNetwork.bare(writing, 3, CLASSES), inputs, 2).map
    assert attribution == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert np.abs(expected).max() > 1e-4


def as_the_package_shows(coarse: Tensor, size: int) -> NDArray[np.float32]:
    """A map rectified, scaled to 0..1, resized to the image, and scaled again."""
    rectified = np.maximum(coarse.numpy(), 0)
    return scaled(cv2.resize(scaled(rectified), (size, size)))


def scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    values = values - values.min()
    return np.asarray(values / (1e-7 + values.max()), dtype=np.float32)


class Louder(nn.Module):
    """A network with logits that are a million times as large.

    The package adds 1e-6 to the denominators of Grad-CAM++, which is negligible only for large gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.model(x) * 1_000_000
        return out


NETWORKS = {
    "resnet18": lambda: timm.create_model("resnet18", num_classes=3),
    "mobilenetv2_050": lambda: timm.create_model("mobilenetv2_050", num_classes=3),
    "convnext_atto": lambda: timm.create_model("convnext_atto", num_classes=3),
    "micrompoxnet": lambda: build(Recipe.load("micrompoxnet").network, seed=0),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_agrees_with_the_package_grad_cam(name: str, variant: Any) -> None:
    package = pytest.importorskip("pytorch_grad_cam")
    model = Louder(seeded(NETWORKS[name])).eval()
    inputs = random(1, 3, 64, 64, seed=1)
    layer, coarse = GradCam(variant=variant).coarse(ExplainedNetwork.bare(model, 3, CLASSES), inputs, 1)
    kind = {"gradcam": package.GradCAM, "gradcam++": package.GradCAMPlusPlus, "layercam": package.LayerCAM}[variant]
    with kind(model, [model.get_submodule(layer.name)]) as theirs:
        shown = theirs(inputs, [lambda logits: logits[-1 if len(logits) == 1 else 1]])[0]
        (maps,), (gradients,) = theirs.activations_and_grads.activations, theirs.activations_and_grads.gradients
        signed = theirs.get_cam_image(inputs, None, [], maps.numpy(), gradients.numpy(), False)[0]
    assert as_the_package_shows(coarse, 64) == pytest.approx(shown, abs=1e-4)
    assert coarse.numpy() == pytest.approx(signed, abs=float(1e-4 * np.abs(signed).max()))
    assert signed.std() > 0.01 * np.abs(signed).max() > 0


def test_the_map_is_resized_bilinearly_to_the_image() -> None:
    model = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    inputs = random(1, 3, 32, 40)
    model(inputs)
    subject = ExplainedNetwork.bare(model, 3, CLASSES)
    _, coarse = GradCam().coarse(subject, inputs, 1)
    assert coarse.shape == (8, 10)
    assert GradCam()(subject, inputs, 1).map == pytest.approx(cv2.resize(coarse.numpy(), (40, 32)), rel=1e-4, abs=1e-6)


class Symmetric(nn.Module):
    """Kernels that are their own mirror images, at even sizes, so that left and right are equivalent."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)
        for conv in (self.first, self.second):
            conv.weight.data = (conv.weight.data + conv.weight.data.flip(3)) / 2

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(nn.functional.avg_pool2d(self.first(x), 2))
        out: Tensor = self.head(nn.functional.silu(self.second(x)).square().mean(dim=(2, 3)))
        return out


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_mirrored_image_has_a_mirrored_map(variant: Any) -> None:
    subject = ExplainedNetwork.bare(seeded(Symmetric), 3, CLASSES)
    inputs = random(1, 3, 32, 32)
    first, second = (GradCam(variant=variant)(subject, images, 1).map for images in (inputs, inputs.flip(3)))
    assert second[:, ::-1] == pytest.approx(first, rel=1e-4, abs=1e-7)
    assert not np.allclose(second, first, rtol=0.1)


def test_the_classes_of_a_sigmoid_head_have_opposite_maps() -> None:
    spec = NetworkSpec(
        input=(3, 16, 16), stages=(ConvBlock(width=8), ConvBlock(width=8)), head=HeadSpec(output="sigmoid"), classes=2
    )
    subject = ExplainedNetwork.bare(build(spec, seed=0), 3, ("a", "b"))
    first, second = (GradCam()(subject, random(1, 3, 16, 16), target).map for target in (0, 1))
    assert np.array_equal(first, -second)
    assert np.abs(first).max() > 0


def test_a_network_without_maps_is_refused() -> None:
    dense = ExplainedNetwork.bare(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), 3, ("a", "b"))
    with pytest.raises(InputError, match=r"Grad-CAM needs a layer .* use --method ig"):
        GradCam()(dense, random(1, 3, 4, 4), 0)
    with pytest.raises(InputError, match=r"--layer x: .* layers with maps: none"):
        GradCam("x")(dense, random(1, 3, 4, 4), 0)


@pytest.mark.parametrize("size", [1, 6])
def test_small_maps_are_used_and_noted(size: int) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    attribution = GradCam()(ExplainedNetwork.bare(model, 3, CLASSES), random(1, 3, size, size), 0)
    assert attribution.map.shape == (size, size)
    assert any(f"has only {size} × {size} points" in note for note in attribution.notes)


def test_an_early_layer_is_noted() -> None:
    parts = (*(partial(nn.Conv2d, 3, 3, 3, padding=1) for _ in range(3)), nn.Flatten, partial(nn.Linear, 192, 3))
    model = seeded(lambda: nn.Sequential(*(part() for part in parts)))
    subject = ExplainedNetwork.bare(model, 3, CLASSES)
    assert GradCam("0")(subject, random(1, 3, 8, 8), 0).notes[0].startswith("75% of the network's layers with weights")
    assert GradCam()(subject, random(1, 3, 8, 8), 0).notes == ()


@pytest.mark.parametrize(("variant", "noted"), [("gradcam", True), ("layercam", False)])
def test_a_map_that_is_nowhere_above_0_names_an_alternative(variant: Any, noted: bool) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2, bias=False)
    )
    model[4].weight.data = torch.tensor([[-1.0] * 4, [1.0] * 4])
    against, for_it = (
        GradCam("1", variant)(ExplainedNetwork.bare(model, 3, ("a", "b")), random(1, 3, 8, 8), target)
        for target in (0, 1)
    )
    assert against.map.max() <= 0 < for_it.map.max()
    assert [("layercam weights each position" in " ".join(attribution.notes)) for attribution in (against, for_it)] == [
        noted,
        False,
    ]


def test_out_of_memory_with_one_image_is_one_line() -> None:
    class Large(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(LightcnnError, match="out of memory with a single image"):
        GradCam()(ExplainedNetwork.bare(Large(), 3, CLASSES), random(1, 3, 8, 8), 0)


@pytest.mark.parametrize(("act", "noted"), [(nn.ReLU(), False), (nn.SiLU(), True)])
def test_outputs_below_0_are_noted_for_grad_cam_plus_plus(act: nn.Module, noted: bool) -> None:
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), act, nn.Flatten(), nn.Linear(4 * 64, 3)))
    subject = ExplainedNetwork.bare(model, 3, CLASSES)
    for variant in VARIANTS:
        notes = GradCam("1", variant)(subject, random(1, 3, 8, 8), 1).notes
        assert any("below 0" in note for note in notes) == (noted and variant == "gradcam++")


class Complex(nn.Module):
    """A convolution of complex numbers, and logits from their magnitudes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, dtype=torch.complex64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x.to(torch.complex64)).abs().mean(dim=(2, 3))
        return out


def test_maps_of_complex_numbers_are_no_layers() -> None:
    with pytest.raises(InputError, match="needs a layer whose output is a map"):
        lightcnn.explain(Complex().eval(), torch.rand(1, 3, 16, 16), methods=["gradcam"])

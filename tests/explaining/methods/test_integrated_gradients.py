"""Integrated Gradients: exact if the integral is known, complete otherwise, and a note if the tolerance is missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.catalogue import BaselineImage
from lightcnn.explaining.methods.integrated_gradients import (
    MIN_STEPS,
    RANDOM_BASELINES,
    IntegratedGradients,
    completeness_error,
)
from lightcnn.network import build
from lightcnn.spec import ConvBlock, HeadSpec, NetworkSpec, PoolBlock

CLASSES = ("a", "b", "c")
SHAPE = (1, 3, 12, 10)
PREPROCESS = Preprocess(
    size=12, channels=3, shorter_side=12, mean=(0.5, 0.4, 0.3), deviation=(0.2, 0.25, 0.3), classes=("a", "b")
)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Linear(nn.Module):
    """Logits (N, 3): a weighted sum of all pixels, and a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(random(3, *SHAPE[1:], seed=1))
        self.bias = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x, self.weight) + self.bias


def network(act: Any = "silu", output: Any = "softmax", classes: int = 3, size: int = 12) -> nn.Module:
    stages = (ConvBlock(width=16, act=act), PoolBlock(op="avg"), ConvBlock(width=16, act=act))
    spec = NetworkSpec(input=(3, size, size), stages=stages, classes=classes, head=HeadSpec(output=output, act=act))
    model = build(spec, seed=0)
    model.head.classifier.weight.data.mul_(5)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.bias.data = random(part.num_features)
    return model


def unbiased() -> nn.Module:
    """A network whose logits double if all values of the image double."""
    layers = (
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(240, 3, bias=False),
    )  # fmt: skip
    for number, layer in enumerate(layers):
        if hasattr(layer, "weight"):
            layer.weight.data = random(*layer.weight.shape, seed=number) / layer.weight[0].numel() ** 0.5
    return nn.Sequential(*layers)


@pytest.mark.parametrize("target", [0, 2])
def test_a_linear_network_is_explained_exactly(target: int) -> None:
    model, inputs = Linear(), random(*SHAPE)
    attribution = IntegratedGradients()(ExplainedNetwork.bare(model, 3, CLASSES), inputs, target)
    assert attribution.map == pytest.approx(
        (model.weight[target] * inputs[0]).sum(0).detach().numpy(), rel=1e-4, abs=1e-5
    )
    assert attribution.map.dtype == np.float32 and attribution.map.shape == (12, 10)
    assert attribution.facts["completeness_error"] < 1e-5
    assert attribution.facts["steps"] == MIN_STEPS
    assert attribution.notes == ()


def test_the_baseline_is_subtracted() -> None:
    model, pixels = Linear(), torch.randint(256, SHAPE, generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    subject = ExplainedNetwork.of(model, PREPROCESS)
    inputs = subject.inputs(pixels)
    for name, baseline in (("black", subject.inputs(torch.zeros(SHAPE))), ("mean", torch.zeros(SHAPE))):
        expected = (model.weight[1] * (inputs - baseline)[0]).sum(0).detach().numpy()
        assert IntegratedGradients(name)(subject, inputs, 1).map == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_without_biases_the_map_is_gradient_times_image() -> None:
    model = unbiased()
    inputs = random(*SHAPE).requires_grad_()
    (gradient,) = torch.autograd.grad(model(inputs)[0, 1], inputs)
    attribution = IntegratedGradients()(ExplainedNetwork.bare(model, 3, CLASSES), inputs, 1)
    assert attribution.map == pytest.approx((gradient * inputs)[0].sum(0).detach().numpy(), rel=1e-3, abs=1e-5)
    assert attribution.facts["steps"] == MIN_STEPS
    assert np.abs(attribution.map).max() > 1e-2


@pytest.mark.parametrize("baseline", list(BaselineImage))
@pytest.mark.parametrize("smooth", [0, 3])
def test_the_map_adds_up_to_the_difference_of_the_scores(baseline: str, smooth: int) -> None:
    subject = ExplainedNetwork.bare(network(), 3, CLASSES)
    attribution = IntegratedGradients(baseline, smooth)(subject, 3 * random(1, 3, 12, 12), 1)
    difference = attribution.facts["score"] - attribution.facts["score_baseline"]
    assert attribution.map.sum() == pytest.approx(difference, rel=0.0101)
    assert attribution.facts["completeness_error"] == pytest.approx(
        abs(attribution.map.sum() / difference - 1), abs=1e-3
    )
    assert attribution.facts["reached"] is True
    assert attribution.facts["paths"] == max(smooth, RANDOM_BASELINES if baseline == "random" else 1)
    assert abs(difference) > 0.01


def test_the_reported_scores_are_those_of_image_and_baseline() -> None:
    subject, inputs = ExplainedNetwork.bare(network(), 3, CLASSES), random(1, 3, 12, 12)
    facts = IntegratedGradients()(subject, inputs, 1).facts
    assert facts["score"] == pytest.approx(subject.score(inputs, 1).item())
    assert facts["score_baseline"] == pytest.approx(subject.score(torch.zeros_like(inputs), 1).item())


class Counting(nn.Module):
    """Counts the images that pass through it with a gradient."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.counted = [0, 0]

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and torch.is_grad_enabled():
            self.counted[0] += len(x)
            self.counted[1] = max(self.counted[1], len(x))
        out: Tensor = self.model(x)
        return out


def test_steps_double_until_the_error_is_small() -> None:
    subject = ExplainedNetwork.bare(Counting(network("relu")), 3, CLASSES, batch=16)
    inputs = 3 * random(1, 3, 12, 12, seed=1)
    few, many = (IntegratedGradients(tolerance=tolerance)(subject, inputs, 2).facts for tolerance in (1.0, 0.01))
    assert few["steps"] == MIN_STEPS < many["steps"]
    assert many["completeness_error"] <= 0.01 < few["completeness_error"]
    assert (few["evaluations"], few["last_change"]) == (MIN_STEPS, None)
    assert many["evaluations"] == 2 * many["steps"] - MIN_STEPS
    assert 0 < many["last_change"] < 0.5
    # One more gradient each, to test whether there is one.
    assert subject.model.counted == [few["evaluations"] + many["evaluations"] + 2, 16]


def test_a_missed_tolerance_is_reported() -> None:
    subject = ExplainedNetwork.bare(network("relu"), 3, CLASSES)
    attribution = IntegratedGradients(tolerance=0, max_steps=64)(subject, 3 * random(1, 3, 12, 12), 2)
    assert (attribution.facts["steps"], attribution.facts["reached"]) == (64, False)
    assert attribution.notes[0].startswith(
        "after 64 steps the sum of the map still differs from the difference of the scores by "
    )
    assert f"{attribution.facts['completeness_error']:.1%} (tolerance: 0.0%)" in attribution.notes[0]
    assert attribution.facts["completeness_error"] > 1e-3


def test_the_error_for_scores_that_hardly_differ() -> None:
    assert completeness_error(1.98, 2, 0) == pytest.approx(0.01)
    assert completeness_error(0.02, 2, 2) == pytest.approx(1)
    assert completeness_error(-0.02, -2, -2) == pytest.approx(1)
    assert completeness_error(0, 0, 0) == 0
    black = torch.zeros(1, 3, 12, 12)
    attribution = IntegratedGradients()(ExplainedNetwork.bare(network(), 3, CLASSES), black, 0)
    assert not attribution.map.any()
    assert attribution.facts["completeness_error"] == 0
    assert "nearly the same score" in attribution.notes[0]


def test_the_classes_of_a_sigmoid_head_have_opposite_maps() -> None:
    subject = ExplainedNetwork.bare(network(output="sigmoid", classes=2), 3, ("a", "b"))
    first, second = (IntegratedGradients()(subject, random(1, 3, 12, 12), target) for target in (0, 1))
    assert np.array_equal(first.map, -second.map)
    assert second.map.sum() == pytest.approx(second.facts["score"] - second.facts["score_baseline"], rel=0.01)
    assert np.abs(first.map).max() > 0


@pytest.mark.parametrize("options", [{"baseline": "random"}, {"smooth": 4}])
def test_equal_seeds_give_equal_maps(options: dict[str, Any]) -> None:
    subject, inputs = ExplainedNetwork.bare(network(), 3, CLASSES), random(1, 3, 12, 12)
    state = torch.get_rng_state()
    first, again, other = (IntegratedGradients(**options, seed=seed)(subject, inputs, 1).map for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other, rtol=1e-3)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_batch_size_changes_only_memory() -> None:
    inputs = 3 * random(1, 3, 12, 12)
    maps = []
    for batch in (1, 3, 32):
        subject = ExplainedNetwork.bare(Counting(network()), 3, CLASSES, batch=batch)
        maps.append(IntegratedGradients()(subject, inputs, 1).map)
        assert subject.model.counted[1] <= batch
    assert maps[0] == pytest.approx(maps[2], rel=1e-3, abs=1e-6)
    assert maps[1] == pytest.approx(maps[2], rel=1e-3, abs=1e-6)


def test_a_batch_reduced_for_lack_of_memory_is_reported() -> None:
    class Large(Counting):
        def forward(self, x: Tensor) -> Tensor:
            if len(x) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    inputs = 3 * random(1, 3, 12, 12)
    subject = ExplainedNetwork.bare(Large(network()), 3, CLASSES, batch=16)
    expected = IntegratedGradients()(ExplainedNetwork.bare(network(), 3, CLASSES), inputs, 1).map
    assert IntegratedGradients()(subject, inputs, 1).map == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert subject.batch.note == "memory sufficed for 2 of 16 images at once"


def test_half_precision_is_explained_in_float32() -> None:
    inputs = random(1, 3, 12, 12)
    model = network()
    rounded = {name: value.bfloat16() for name, value in model.state_dict().items()}
    model.load_state_dict(rounded)
    expected = IntegratedGradients()(ExplainedNetwork.bare(model, 3, CLASSES), inputs, 1).map
    assert np.array_equal(
        IntegratedGradients()(ExplainedNetwork.bare(model.bfloat16(), 3, CLASSES), inputs, 1).map, expected
    )


def test_a_single_pixel_and_a_network_without_convolutions() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 3))
    for baseline in BaselineImage:
        assert IntegratedGradients(baseline)(
            ExplainedNetwork.bare(model, 3, CLASSES), random(1, 3, 1, 1), 1
        ).map.shape == (
            1,
            1,
        )


def test_invalid_options_are_refused() -> None:
    with pytest.raises(InputError, match=r"--baseline: 'blak' is not one of .*; did you mean 'black'\?"):
        IntegratedGradients("blak")
    with pytest.raises(InputError, match="--smooth -1"):
        IntegratedGradients(smooth=-1)


def test_a_network_without_gradients_is_refused() -> None:
    class Rounded(Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()

    with pytest.raises(InputError, match=r"this network gives none; use --method lime or occlusion"):
        IntegratedGradients()(ExplainedNetwork.bare(Rounded(), 3, CLASSES), random(*SHAPE), 0)

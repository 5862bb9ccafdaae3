"""Whether a network returns logits or probabilities is seen from its graph, or from the values of several outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import lightcnn
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import InputError
from lightcnn.inference import class_probabilities
from lightcnn.output_kinds import as_logits, output_kind

SCALE = 6.0
"""Factor of the logits, so that some probabilities are almost 1."""


def logits(seed: int = 0, classes: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return SCALE * torch.randn(8, classes, generator=generator).requires_grad_()


def classifier(*last: nn.Module, classes: int = 10) -> nn.Sequential:
    """A small network with the modules `last` behind its logits."""
    torch.manual_seed(0)
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes))
    with torch.no_grad():
        body[-1].weight.mul_(20)
    return nn.Sequential(*body, *last)


class Function(nn.Module):
    """A function without parameters as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, outputs: Tensor) -> Tensor:
        return self.function(outputs)


PROBABILITIES = {
    "softmax": lambda z: z.softmax(1),
    "exponentials": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
    "of log probabilities": lambda z: z.log_softmax(1).exp(),
    "behind a view": lambda z: z[:, :, None, None].softmax(1).flatten(1),
    "clamped": lambda z: z.softmax(1).clamp(1e-5, 1 - 1e-5),
    "mean of two": lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2,
    "two classes of a sigmoid": lambda z: torch.cat([1 - z[:, :1].sigmoid(), z[:, :1].sigmoid()], 1),
}
LOG_PROBABILITIES = {
    "log_softmax": lambda z: z.log_softmax(1),
    "logarithm": lambda z: (z.softmax(1) + 1e-12).log(),
}
INDEPENDENT = {
    "sigmoid": lambda z: z.sigmoid(),
    "one output": lambda z: z[:, :1].sigmoid(),
    "reversed": lambda z: 1 - z[:, :1].sigmoid(),
    "hardsigmoid": functional.hardsigmoid,
}
LOGITS = {
    "linear": lambda z: z @ torch.eye(3),
    "negative": lambda z: z - 20,
    "gated": lambda z: z * z.sigmoid(),
    "rectified": lambda z: z.relu(),
    "small": lambda z: 0.02 * z.sin() + 1 / 3,
    "constant, with the sum 1": lambda z: 0 * z + torch.tensor([0.2, 0.3, 0.5]),
    "temperature behind a softmax": lambda z: 8 * z.softmax(1),
}


@pytest.mark.parametrize(
    ("kind", "functions"),
    [
        ("probabilities", PROBABILITIES), ("log probabilities", LOG_PROBABILITIES),
        ("independent probabilities", INDEPENDENT), ("logits", LOGITS),
    ],
)  # fmt: skip
def test_kinds_are_recognised_with_their_graph(kind, functions):
    assert {name: output_kind(function(logits())) for name, function in functions.items()} == dict.fromkeys(
        functions, kind
    )


@pytest.mark.parametrize(
    ("kind", "functions"),
    [("probabilities", PROBABILITIES), ("log probabilities", LOG_PROBABILITIES), ("logits", LOGITS)],
)
def test_kinds_are_recognised_from_values_alone(kind, functions):
    kinds = {name: output_kind(function(logits()).detach()) for name, function in functions.items()}
    assert kinds == dict.fromkeys(functions, kind)


def test_no_ordinary_network_is_taken_for_probabilities():
    for seed in range(200):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 2 + seed % 5))
        outputs = network(torch.rand(8, 3, 2, 2))
        assert output_kind(outputs) == output_kind(outputs.detach()) == "logits"


@pytest.mark.parametrize("outputs", [logits().softmax(0), logits(classes=1).softmax(1), logits()[:1].softmax(0)])
def test_a_softmax_that_is_not_over_the_classes_is_refused(outputs):
    with pytest.raises(ValueError, match="softmax is not over the classes"):
        output_kind(outputs)


def test_logits_have_the_probabilities_and_gradients_of_the_outputs():
    for kind, function in (("probabilities", Tensor.softmax), ("log probabilities", Tensor.log_softmax)):
        values = logits()
        restored = as_logits(function(values, 1), kind)
        torch.testing.assert_close(class_probabilities(restored), class_probabilities(values), atol=1e-6, rtol=1e-5)
        (gradient,) = torch.autograd.grad(restored[:, 0].sum(), values)
        expected = torch.tensor([2 / 3, -1 / 3, -1 / 3]).expand(8, 3)  # of a logit minus the mean of three
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=0)
    single = as_logits(logits(classes=1).sigmoid(), "independent probabilities")
    torch.testing.assert_close(single, logits(classes=1), atol=1e-2, rtol=1e-3)


def explain(network: nn.Module, **options):
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    return lightcnn.explain(network, images, methods=["gradcam", "ig"], samples=20, **options)


@pytest.mark.parametrize("last", [nn.Softmax(1), nn.LogSoftmax(1), Function(lambda z: z.softmax(dim=-1))])
def test_explanations_of_probabilities_have_the_probabilities_of_the_logits(last):
    truth = explain(classifier())
    assert not any("not logits" in note for explanation in truth for note in explanation.attribution.notes)
    with pytest.warns(UserWarning, match="returns (log )?probabilities, not logits: they are used as such") as caught:
        explanations = explain(classifier(last))
    assert len(caught) == 1
    for explanation, expected in zip(explanations, truth, strict=True):
        assert (explanation.prediction, explanation.target) == (expected.prediction, expected.target)
        assert explanation.probability == pytest.approx(expected.probability, abs=1e-5)
        for name in ("deletion", "insertion"):
            assert explanation.checks[name]["controls"]["random"] == pytest.approx(
                expected.checks[name]["controls"]["random"], abs=1e-4
            )
        assert any("not logits" in note for note in explanation.attribution.notes)
        assert np.abs(explanation.attribution.map).max() > 0


def test_explanations_of_a_sigmoid_have_its_probabilities():
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    for classes in (1, 4):
        with torch.no_grad():
            shares = classifier(nn.Sigmoid(), classes=classes)(images).double()
        expected = torch.cat([1 - shares, shares], 1).amax(1) if classes == 1 else shares.amax(1)
        with pytest.warns(UserWarning, match="independent probabilities, not logits"):
            explanations = explain(classifier(nn.Sigmoid(), classes=classes), checks="none")
        assert [explanation.probability for explanation in explanations[::2]] == pytest.approx(
            expected.tolist(), abs=1e-6
        )


def test_the_temperature_and_the_preprocessing_apply_to_probabilities_too():
    preprocess = Preprocess(
        size=12, channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3,
        classes=tuple("abcdefghij"), temperature=2.5,
    )  # fmt: skip
    images = [np.random.default_rng(0).integers(0, 256, (12, 12, 3), np.uint8)]
    options = {"preprocess": preprocess, "methods": ["ig"], "checks": "none"}
    (expected,) = lightcnn.explain(classifier(), images, **options)
    with pytest.warns(UserWarning, match="probabilities, not logits"):
        (explanation,) = lightcnn.explain(classifier(nn.Softmax(1)), images, **options)
    assert explanation.probability == pytest.approx(expected.probability, abs=1e-5)


def test_a_softmax_over_the_images_is_one_line():
    with pytest.raises(InputError, match=r"explain: .* its softmax is not over the classes"):
        explain(classifier(nn.Softmax(0)))

"""Networks whose ground truth is known, methods that find, hide or ignore it, and the checks of their maps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.explaining.checks.checker import Checker
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution, Method

Map = NDArray[np.float32]
CLASSES = ("clear", "ill")
SIZE = 32
PATCH = np.zeros((SIZE, SIZE), dtype=np.bool_)
PATCH[2:10, 20:28] = True
"""Not in the middle, and smooth in `patch_image`: no control finds it."""


class WeightedSum(nn.Module):
    """A sigmoid head whose logit is a weighted sum of the pixels, less a bias."""

    def __init__(self, weights: NDArray[np.floating[Any]], bias: float = 0.0) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.from_numpy(np.asarray(weights, dtype=np.float32)))
        self.bias, self.largest = bias, 0

    def forward(self, x: Tensor) -> Tensor:
        self.largest = max(self.largest, len(x))
        return ((x[:, 0] * self.weights).sum(dim=(1, 2)) - self.bias)[:, None]


@dataclass(frozen=True)
class FakeMethod:
    """A method whose map is any function of the network, image, target and seed."""

    find: Callable[[ExplainedNetwork, Tensor, int, int], Any]
    name: str = "fake"
    seed: int = 0

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        values = np.asarray(self.find(explained, inputs, target, self.seed), dtype=np.float32)
        return Attribution(self.name, values, facts={"r2": 0.9} if self.name == "lime" else {})


def gradient_times_input(explained: ExplainedNetwork, inputs: Tensor, target: int, seed: int) -> Map:
    """Gradient times input."""
    leaf = inputs.clone().requires_grad_()
    (slope,) = torch.autograd.grad(explained.score(leaf, target).sum(), leaf)
    return np.asarray((slope * inputs).sum(dim=1)[0])


def patch_image(seed: int = 0) -> Tensor:
    """Noise around the training mean, and the smooth patch at 1: (1, 1, SIZE, SIZE)."""
    pixels = np.random.default_rng(seed).normal(0, 0.7, (SIZE, SIZE)).astype(np.float32)
    pixels[PATCH] = 1
    return torch.from_numpy(pixels)[None, None]


def patch_network(batch: int = 32) -> ExplainedNetwork:
    """A network that sees only the patch: the whole patch gives a logit of 4, none of it -4."""
    return ExplainedNetwork.bare(WeightedSum(PATCH * 8 / PATCH.sum(), 4), 1, CLASSES, batch=batch)


def checks_of(
    explained: ExplainedNetwork,
    method: Method,
    image: Tensor | None = None,
    *,
    target: int = 1,
    mask: NDArray[np.bool_] | None = None,
    level: str = "full",
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """The checks of a method's map of an image, `patch_image` if none is given."""
    image = patch_image() if image is None else image
    attribution = method(explained, image, target)
    return Checker(explained, level=level, seed=seed).image(image, target, mask)(attribution, method)


def checks_of_map(values: Any, level: str = "quick", **options: Any) -> dict[str, dict[str, Any]]:
    """The checks of one map of `patch_image`."""
    return checks_of(patch_network(), FakeMethod(lambda *_: values), level=level, **options)


def convolutional_network() -> ExplainedNetwork:
    """A convolution and a dense layer with seeded random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIZE**2, 2))
    return ExplainedNetwork.bare(model, 1, CLASSES)


def image_of_signs() -> Tensor:
    """An image of -1 and 1, whose magnitudes carry no information: (1, 1, SIZE, SIZE)."""
    return torch.from_numpy(np.random.default_rng(1).choice([-1.0, 1.0], (1, 1, SIZE, SIZE)).astype(np.float32))

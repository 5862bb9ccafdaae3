"""Occlusion: exact on a linear network, and independent of the batch size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.occlusion import Occlusion

SHAPE = (1, 2, 12, 16)
WEIGHT = torch.randn(*SHAPE[1:], generator=torch.Generator().manual_seed(1))
INPUTS = torch.randn(*SHAPE, generator=torch.Generator().manual_seed(2))


class Linear(nn.Module):
    """A sigmoid head whose logit is a weighted sum of all pixels; records the largest batch."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def forward(self, x: Tensor) -> Tensor:
        self.largest = max(self.largest, len(x))
        return (x * WEIGHT).sum(dim=(1, 2, 3))[:, None] + 1


def subject(batch: int = 32) -> ExplainedNetwork:
    return ExplainedNetwork.bare(Linear(), 2, ("a", "b"), batch=batch)


def by_hand(window: tuple[int, int], stride: tuple[int, int]) -> np.ndarray[Any, Any]:
    """The contributions that each window hides, averaged over the windows on a pixel; the last may cross the edge."""
    parts = (WEIGHT * INPUTS[0]).sum(0).numpy()
    total, count = np.zeros_like(parts), np.zeros_like(parts)
    tops, lefts = (
        range(0, -(-(length - size) // step) * step + 1, step)
        for length, size, step in zip(parts.shape, window, stride, strict=True)
    )
    for top in tops:
        for left in lefts:
            place = slice(top, top + window[0]), slice(left, left + window[1])
            total[place] += parts[place].sum()
            count[place] += 1
    assert count.min() > 0
    return total / count


@pytest.mark.parametrize(
    ("occlusion", "window", "stride"),
    [
        (Occlusion(1, 1), (1, 1), (1, 1)),
        (Occlusion(4, 4), (4, 4), (4, 4)),
        (Occlusion(5, 3), (5, 5), (3, 3)),
        (Occlusion(), (2, 2), (1, 1)),
        (Occlusion(window=7), (7, 7), (3, 3)),
        (Occlusion(12, 12), (12, 12), (12, 12)),
    ],
)
def test_a_linear_network_is_explained_exactly(
    occlusion: Occlusion, window: tuple[int, int], stride: tuple[int, int]
) -> None:
    attribution = occlusion(subject(), INPUTS, 1)
    assert attribution.map == pytest.approx(by_hand(window, stride), rel=1e-3, abs=1e-4)
    assert (attribution.map.dtype, attribution.method) == (np.float32, "occlusion")
    assert attribution.facts == {"window": list(window), "stride": list(stride)}


def test_the_classes_of_a_sigmoid_head_have_opposite_maps() -> None:
    first, second = (Occlusion(4, 2)(subject(), INPUTS, target).map for target in (0, 1))
    assert np.array_equal(first, -second)
    assert np.abs(first).max() > 1


def test_the_batch_size_changes_only_memory() -> None:
    few, many = subject(3), subject(64)
    assert Occlusion(4, 2)(few, INPUTS, 1).map == pytest.approx(Occlusion(4, 2)(many, INPUTS, 1).map, abs=1e-4)
    assert (few.model.largest, many.model.largest) == (3, 35)


def test_a_single_pixel() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    inputs = torch.ones(1, 3, 1, 1)
    attribution = Occlusion()(ExplainedNetwork.bare(model, 3, ("a", "b")), inputs, 1)
    assert attribution.map.item() == pytest.approx(model[1].weight[1].sum().item(), abs=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(13, 2), (4, 5), (0, 1), (-2, 1), (4, -1)])
def test_a_window_that_does_not_fit_is_refused(window: int, stride: int) -> None:
    with pytest.raises(InputError, match="explain: occlusion with a window of "):
        Occlusion(window, stride)(subject(), INPUTS, 1)

"""Occlusion: how far the score falls where a window hides the image, whatever the network is made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution

SHARE = 8
"""The side of an image over that of the window."""


@dataclass(frozen=True)
class Occlusion:
    """Occlusion (arXiv:1311.2901) over captum's, by a window that has the mean of the training side.

    `window` and `stride` are pixels of the network's input; the window is an eighth of each side, and the stride half
    of the window. The map is the fall of the score, the mean of the windows over a pixel.
    """

    window: int | None = None
    stride: int | None = None

    @property
    def name(self) -> str:
        """As in `--method`."""
        return "occlusion"

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """Raises: InputError for a window or a stride that does not fit."""
        from captum import attr

        window, stride = self._sizes(inputs)
        whole = (inputs.shape[1],)
        captum = attr.Occlusion(partial(explained.score, target=target))
        with torch.no_grad():
            found = explained.batch.attempt(
                lambda size: captum.attribute(
                    inputs, whole + window, whole + stride, baselines=0.0, perturbations_per_eval=size
                )
            )
        facts = {"window": list(window), "stride": list(stride)}
        return Attribution(self.name, found[0, 0].cpu().float().numpy(), facts=facts)

    def _sizes(self, inputs: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Height and width of the window, and the steps down and to the right."""
        sides = tuple(inputs.shape[2:])
        window = tuple(max(1, round(side / SHARE)) if self.window is None else self.window for side in sides)
        stride = tuple(max(1, size // 2) if self.stride is None else self.stride for size in window)
        for side, size, step in zip(sides, window, stride, strict=True):
            if not 1 <= step <= size <= side:
                raise InputError(
                    f"explain: occlusion with a window of {size} and a stride of {step} pixels on a side of {side}; "
                    "the stride must not be above the window, nor the window above the side"
                )
        return window, stride

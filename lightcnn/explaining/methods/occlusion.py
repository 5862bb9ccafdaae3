"""Occlusion: how far the score falls when a window hides a part of the image. It works for every network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution

WINDOWS_PER_LENGTH = 8
"""Length of an image divided by that of the window."""


@dataclass(frozen=True)
class Occlusion:
    """Occlusion (arXiv:1311.2901), computed by captum, with a window that shows the training mean.

    `window` and `stride` are in pixels of the network's input. By default the window is an eighth of the height and the
    width, and the stride is half the window. The value of a pixel is the fall of the score, averaged over the windows
    that cover it.
    """

    window: int | None = None
    stride: int | None = None

    @property
    def name(self) -> str:
        """The method's name, as in `--method`."""
        return "occlusion"

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The map for one image (1, C, H, W). Raises: InputError for a window or a stride that does not fit."""
        from captum import attr

        window, stride = self._sizes(inputs)
        channels = (inputs.shape[1],)
        captum = attr.Occlusion(partial(explained.score, target=target))
        with torch.no_grad():
            attributions = explained.batch.attempt(
                lambda size: captum.attribute(
                    inputs, channels + window, channels + stride, baselines=0.0, perturbations_per_eval=size
                )
            )
        facts = {"window": list(window), "stride": list(stride)}
        return Attribution(self.name, attributions[0, 0].cpu().float().numpy(), facts=facts)

    def _sizes(self, inputs: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Height and width of the window, and the steps down and to the right."""
        lengths = tuple(inputs.shape[2:])
        window = tuple(
            max(1, round(length / WINDOWS_PER_LENGTH)) if self.window is None else self.window for length in lengths
        )
        stride = tuple(max(1, size // 2) if self.stride is None else self.stride for size in window)
        for length, size, step in zip(lengths, window, stride, strict=True):
            if not 1 <= step <= size <= length:
                raise InputError(
                    f"explain: occlusion with a window of {size} and a stride of {step} pixels on an image of "
                    f"{length}; the stride must be at least 1 and at most the window, the window at most the image"
                )
        return window, stride

"""Occlusion: how far the score falls when a window hides a part of the image. It works for every network."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError
from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.methods.attribution import Attribution

WINDOWS_PER_LENGTH = 8
"""Length of an image divided by that of the window."""


@dataclass(frozen=True)
class Occlusion:
    """Occlusion (arXiv:1311.2901) with a window that shows the training mean; captum computes the same.

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

    def __call__(self, explained: Explained, inputs: Inputs, target: int) -> Attribution:
        """The map for one image (1, C, H, W). Raises: InputError for a window or a stride that does not fit."""
        window, stride = self._sizes(inputs)
        lengths = tuple(inputs.shape[2:])
        starts = list(product(*map(_starts, lengths, window, stride)))

        def hidden(first: int, end: int) -> NDArray[np.bool_]:
            masks = np.zeros((end - first, *lengths), dtype=np.bool_)
            for mask, start in zip(masks, starts[first:end], strict=True):
                mask[_place(start, window)] = True
            return masks

        mean = explained.mean_image(inputs)
        (score,) = explained.mixed_scores(mean, inputs, lambda first, end: np.zeros((1, *lengths), bool), 1, target)
        scores = explained.mixed_scores(mean, inputs, hidden, len(starts), target)
        falls, counts = np.zeros(lengths), np.zeros(lengths)
        for start, value in zip(starts, scores, strict=True):
            falls[_place(start, window)] += score - value
            counts[_place(start, window)] += 1
        facts = {"window": list(window), "stride": list(stride)}
        return Attribution(self.name, (falls / counts).astype(np.float32), facts=facts)

    def _sizes(self, inputs: Inputs) -> tuple[tuple[int, ...], tuple[int, ...]]:
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


def _starts(length: int, window: int, stride: int) -> range:
    """Where windows begin; the last may cross the edge."""
    return range(0, length - window + stride, stride)


def _place(start: tuple[int, ...], window: tuple[int, ...]) -> tuple[slice, ...]:
    """The pixels of a window."""
    return tuple(slice(first, first + size) for first, size in zip(start, window, strict=True))

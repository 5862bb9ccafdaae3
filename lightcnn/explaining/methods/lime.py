"""LIME for images (arXiv:1602.04938): a linear model of which superpixels are shown, fitted around the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError
from lightcnn.explaining.explained import Explained, Inputs
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.superpixels import superpixels

MIN_R2 = 0.5
"""Below this local R² a note is added: the linear model misses most of how the prediction varies around the image."""
MIN_SPREAD = 0.01
"""If the probability varies by less than this whatever is hidden, a note is added: there is little to explain."""
MAX_SAMPLES, MAX_SEGMENTS = 100_000, 1_000
"""The regression needs memory for their product, and time for the product times the number of superpixels."""
SAMPLES_PER_SEGMENT = 5
"""With fewer samples per superpixel a note is added: noise alone would then have an R² of 0.2."""


@dataclass(frozen=True)
class Lime:
    """The weight of each superpixel in the calibrated probability of a class, at every pixel of the superpixel.

    Each sample shows every superpixel or hides it under its mean colour, with equal probability; the first sample shows
    all. As in the package lime, a sample has the weight exp(-d² / 2w²), where d is its cosine distance to the first
    sample and w the `kernel_width`; the linear model is a ridge regression of strength `ridge`. Samples depend on
    `seed` only.
    """

    samples: int = 1000
    segments: int | None = None
    seed: int = 0
    kernel_width: float = 0.25
    ridge: float = 1.0
    name = "lime"

    def __post_init__(self) -> None:
        """Raises: InputError."""
        if not 2 <= self.samples <= MAX_SAMPLES:
            raise InputError(f"explain: LIME needs 2 samples or more, at most {MAX_SAMPLES:,}, not {self.samples:,}")
        if self.segments is not None and not 1 <= self.segments <= MAX_SEGMENTS:
            raise InputError(
                f"explain: LIME needs 1 superpixel or more, at most {MAX_SEGMENTS:,}, not {self.segments:,}"
            )

    def __call__(self, explained: Explained, inputs: Inputs, target: int) -> Attribution:
        """The map for one image (1, C, H, W)."""
        segments = superpixels(np.moveaxis(explained.pixels_of(inputs), 0, 2), self.segments)
        shown = draw(self.samples, int(segments.max()) + 1, self.seed)
        flat = explained.from_values(hidden(explained.values(inputs), segments))
        table = explained.mixed_probabilities(inputs, flat, lambda a, b: shown[a:b][:, segments], len(shown))
        probabilities = table[:, target]
        model = fit(shown, probabilities, proximity(shown, self.kernel_width), self.ridge)
        facts = {
            "samples": self.samples,
            "segments": shown.shape[1],
            "r2": model.r2,
            "intercept": model.intercept,
            "kernel_width": self.kernel_width,
            "spread": float(np.ptp(probabilities)),
        }
        notes = tuple(_notes(model.r2, float(np.ptp(probabilities)), *shown.shape))
        return Attribution("lime", model.weights[segments].astype(np.float32), None, facts, notes, segments)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Weights (segments,) and intercept of a linear model, and its R²: the share of the weighted variance it explains.

    R² is None if nothing varies.
    """

    weights: NDArray[np.float64]
    intercept: float
    r2: float | None


def draw(samples: int, segments: int, seed: int) -> NDArray[np.bool_]:
    """Which superpixels each sample shows, (samples, segments): random, except that the first sample shows all."""
    shown = np.random.default_rng(seed).integers(0, 2, (samples, segments), dtype=np.uint8).astype(bool)
    shown[0] = True
    return shown


def proximity(shown: NDArray[np.bool_], width: float) -> NDArray[np.float64]:
    """The weight of each sample, (samples,), by its cosine distance to a sample that shows all.

    A sample that shows nothing has a distance of 1.
    """
    distance = 1 - np.sqrt(shown.mean(axis=1))
    return np.asarray(np.exp(-(distance**2) / (2 * width**2)))


def fit(
    shown: NDArray[np.bool_], values: NDArray[np.float64], weights: NDArray[np.float64], ridge: float = 1.0
) -> LinearModel:
    """The ridge regression of values (samples,) with sample weights (samples,) and an unpenalised intercept.

    Of several solutions the one with the smallest norm is taken.
    """
    share = weights / weights.sum()
    # Relative to the first value, so that values that never change give exactly 0.
    moved = values - values[0]
    means, mean = share @ shown, float(share @ moved)
    centred, rest = shown - means, moved - mean
    # Not `@`: BLAS splits this product over threads that wait for each other for longer than it takes.
    gram = np.einsum("ni,nj->ij", centred * weights[:, None], centred) + ridge * np.eye(len(means))
    solution = np.linalg.lstsq(gram, centred.T @ (weights * rest), rcond=None)[0]
    unexplained, variance = float(share @ (rest - centred @ solution) ** 2), float(share @ rest**2)
    intercept = float(values[0]) + mean - float(means @ solution)
    return LinearModel(solution, intercept, 1 - unexplained / variance if variance else None)


def hidden(values: NDArray[np.float32], segments: NDArray[np.int64]) -> NDArray[np.float64]:
    """One image (1, C, H, W) in which every pixel has the mean colour of its superpixel."""
    numbers = segments.ravel()
    channels = values[0].reshape(len(values[0]), -1).astype(np.float64)
    means = np.stack([np.bincount(numbers, channel) for channel in channels]) / np.bincount(numbers)
    return np.asarray(means[:, segments][None])


def _notes(r2: float | None, spread: float, samples: int, segments: int) -> Iterator[str]:
    if segments == 1:
        yield "the image is a single superpixel: LIME cannot locate anything"
    if spread < MIN_SPREAD:
        yield f"the probability varies by at most {spread:.2g}, whatever is hidden: LIME has almost nothing to explain"
    if r2 is not None and r2 < MIN_R2:
        yield f"local R² {r2:.2f}, below {MIN_R2:g}: a linear model of superpixels explains little of this network"
    if samples < SAMPLES_PER_SEGMENT * segments:
        yield f"{samples} samples are few for {segments} superpixels: use {SAMPLES_PER_SEGMENT * segments} or more"

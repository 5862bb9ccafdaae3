"""LIME for images (arXiv:1602.04938): a linear model of which superpixels are shown, fitted near the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.errors import InputError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.explaining.methods.superpixels import superpixels

EXPLAINS = 0.5
"""A local R² under this is said: the linear model misses more than half of what the network does near the image."""
MOVES = 0.01
"""A probability that moves by less than this, whatever is hidden, is said: there is next to nothing to explain."""
SAMPLES, SEGMENTS = 100_000, 1_000
"""At most: the regression needs memory for their product, and time for that with the superpixels once more."""
EACH = 5
"""Fewer samples per superpixel are said: noise alone would then have an R² of 0.2."""


@dataclass(frozen=True)
class Lime:
    """The weight of each superpixel in the calibrated probability of a class, at every pixel of it.

    Each sample shows every superpixel or hides it under its mean colour, one as likely as the other; the first shows
    all. As in the package lime, samples count by exp(-d² / 2w²) of their cosine distance d to the first, w being
    `kernel_width`, and the linear model is a ridge regression of strength `ridge`. Samples come from `seed` alone.
    """

    samples: int = 1000
    segments: int | None = None
    seed: int = 0
    kernel_width: float = 0.25
    ridge: float = 1.0
    name = "lime"

    def __post_init__(self) -> None:
        if not 2 <= self.samples <= SAMPLES:
            raise InputError(f"explain: LIME needs 2 samples or more, at most {SAMPLES:,}, not {self.samples:,}")
        if self.segments is not None and not 1 <= self.segments <= SEGMENTS:
            raise InputError(f"explain: LIME needs 1 superpixel or more, at most {SEGMENTS:,}, not {self.segments:,}")

    def __call__(self, explained: ExplainedNetwork, inputs: Tensor, target: int) -> Attribution:
        """The map of a class for one image (1, C, H, W)."""
        segments = superpixels(explained.pixels(inputs)[0].permute(1, 2, 0).cpu().numpy(), self.segments)
        shown = draw(self.samples, int(segments.max()) + 1, self.seed)
        found = _answers(explained, inputs, target, segments, shown)
        model = fit(shown, found, proximity(shown, self.kernel_width), self.ridge)
        facts = {
            "samples": self.samples,
            "segments": shown.shape[1],
            "r2": model.r2,
            "intercept": model.intercept,
            "kernel_width": self.kernel_width,
            "spread": float(np.ptp(found)),
        }
        notes = tuple(_notes(model.r2, float(np.ptp(found)), *shown.shape))
        return Attribution("lime", model.weights[segments].astype(np.float32), None, facts, notes, segments)


@dataclass(frozen=True, eq=False)
class Linear:
    """Weights (segments,) and intercept of a linear model, and the share of the weighted variance it explains.

    That R² is None where nothing varies.
    """

    weights: NDArray[np.float64]
    intercept: float
    r2: float | None


def draw(samples: int, segments: int, seed: int) -> NDArray[np.bool_]:
    """Which superpixels each sample shows (samples, segments): any or none, but all in the first."""
    shown = np.random.default_rng(seed).integers(0, 2, (samples, segments), dtype=np.uint8).astype(bool)
    shown[0] = True
    return shown


def proximity(shown: NDArray[np.bool_], width: float) -> NDArray[np.float64]:
    """How much each sample counts, (samples,): by its cosine distance to one that shows all; 1 where it shows none."""
    distance = 1 - np.sqrt(shown.mean(axis=1))
    return np.asarray(np.exp(-(distance**2) / (2 * width**2)))


def fit(
    shown: NDArray[np.bool_], values: NDArray[np.float64], counts: NDArray[np.float64], ridge: float = 1.0
) -> Linear:
    """The ridge regression of values (samples,) that count (samples,), its intercept free; of many the smallest."""
    share = counts / counts.sum()
    # From the first on, so that what never moves is exactly 0.
    moved = values - values[0]
    means, mean = share @ shown, float(share @ moved)
    centred, rest = shown - means, moved - mean
    # Not by `@`: BLAS shares that out over threads that wait for each other for longer than this takes.
    gram = np.einsum("ni,nj->ij", centred * counts[:, None], centred) + ridge * np.eye(len(means))
    weights = np.linalg.lstsq(gram, centred.T @ (counts * rest), rcond=None)[0]
    left, whole = float(share @ (rest - centred @ weights) ** 2), float(share @ rest**2)
    return Linear(weights, float(values[0]) + mean - float(means @ weights), 1 - left / whole if whole else None)


def hidden(inputs: Tensor, segments: NDArray[np.int64]) -> Tensor:
    """One image (1, C, H, W) with the mean colour of its superpixel at every pixel."""
    places = segments.ravel()
    values = inputs[0].flatten(1).cpu().double().numpy()
    means = np.stack([np.bincount(places, channel) for channel in values]) / np.bincount(places)
    return torch.from_numpy(means[:, segments]).to(inputs)[None]


def _answers(
    explained: ExplainedNetwork, inputs: Tensor, target: int, segments: NDArray[np.int64], shown: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The probability of a class for each sample, whose images are made a batch at a time."""
    flat, places = hidden(inputs, segments), torch.from_numpy(segments).to(inputs.device)
    rows = torch.from_numpy(shown).to(inputs.device)

    def work(start: int, end: int) -> Tensor:
        kept = rows[start:end][:, places][:, None]
        return explained.probabilities_once(torch.where(kept, inputs, flat))[:, target]

    found: NDArray[np.float64] = explained.batch.map(len(rows), work).numpy()
    return found


def _notes(r2: float | None, spread: float, samples: int, segments: int) -> Iterator[str]:
    if segments == 1:
        yield "the image is one superpixel: LIME says nothing of where"
    if spread < MOVES:
        yield f"the probability moves by {spread:.2g} at most, whatever is hidden: LIME has next to nothing to explain"
    if r2 is not None and r2 < EXPLAINS:
        yield f"local R² {r2:.2f}, under {EXPLAINS:g}: a linear model of superpixels explains little of this network"
    if samples < EACH * segments:
        yield f"{samples} samples are few for {segments} superpixels: use {EACH * segments} or more"

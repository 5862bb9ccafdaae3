"""The predictions of a network for labelled images, with all that scores are computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lightcnn.decisions import decide
from lightcnn.evaluation.bootstrap import GroupedScores

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """Labels (N,), probabilities (N, K), predicted class (N,) and number of the group (N,) of each image."""

    labels: NDArray[np.int64]
    probabilities: Numbers
    predicted: NDArray[np.int64]
    codes: NDArray[np.intp]
    classes: tuple[str, ...]

    @cached_property
    def counts(self) -> tuple[Numbers, ...]:
        """Per class (K,): its correctly classified images, its images, and the images predicted as it."""
        kinds = len(self.classes)
        correct = self.labels[self.labels == self.predicted]
        return tuple(
            np.bincount(images, minlength=kinds).astype(float) for images in (correct, self.labels, self.predicted)
        )

    @cached_property
    def independent(self) -> bool:
        """Whether every image is its own group."""
        return len(np.unique(self.codes)) == len(self.labels)

    def count_groups(self, images: NDArray[np.bool_] | slice = slice(None)) -> int:
        """The number of groups that these images belong to."""
        return len(np.unique(self.codes[images]))

    def equal_groups(self, images: NDArray[np.bool_] | slice = slice(None)) -> float:
        """How many groups of equal size carry the same weight as the groups of these images; 0 without images."""
        sizes = np.bincount(self.codes[images]).astype(float)
        return float(sizes.sum() ** 2 / max(1.0, (sizes**2).sum()))

    @cached_property
    def curves(self) -> list[GroupedScores | None]:
        """Per class, the scores of the images by group; None if all images are of the class, or none is."""
        return [
            GroupedScores.of(self.labels == c, self.probabilities[:, c], self.codes)
            if 0 < (self.labels == c).sum() < len(self.labels)
            else None
            for c in range(len(self.classes))
        ]

    @cached_property
    def errors(self) -> tuple[Numbers, Numbers]:
        """What each image (N,) contributes to the Brier score and to the log loss."""
        of_label = self.probabilities[np.arange(len(self.labels)), self.labels]
        squares = ((self.probabilities - np.eye(len(self.classes))[self.labels]) ** 2).sum(axis=1)
        return squares / (2 if len(self.classes) == 2 else 1), -np.log(np.maximum(of_label, 1e-12))


def labelled_predictions(
    labels: NDArray[np.int64],
    probabilities: Numbers,
    *,
    groups: NDArray[np.str_] | None = None,
    threshold: float = 0.5,
    predicted: NDArray[np.int64] | None = None,
    classes: Sequence[str] | None = None,
) -> LabelledPredictions:
    """Combines labels (N,) and probabilities (N, K), with classes predicted as in `decide` at this threshold.

    `predicted` (N,) replaces those predictions, for example if networks with several thresholds are pooled. Without
    `groups` (N,), every image is its own group; without `classes`, their names are numbers.
    """
    codes = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    names = tuple(map(str, range(probabilities.shape[1])) if classes is None else classes)
    decided = decide(probabilities, threshold) if predicted is None else predicted
    return LabelledPredictions(labels, probabilities, decided, codes, names)

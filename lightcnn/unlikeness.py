"""How unlike the training images an image is: one score, measured with a network's features, kept in preprocess.json.

The score is the Mahalanobis distance (arXiv:1807.03888) of an image's features from the nearest class mean, divided by
a limit that 1 % of the validation images exceed. tests/benchmarks/unlikeness.py compares it with others. No torch, and
no pydantic: exported files are read without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from lightcnn.output.warnings import ReportWarning

MAX_FALSE_ALARMS = 0.01
"""Largest share of validation images that may exceed the limit."""
SHRINKAGE = 0.1
"""Share of the identity in the correlation matrix, so that it can be inverted for few images."""
MAX_CENTRES = 50
"""Maximum number of classes that each have a mean; with more classes there is a single mean."""
MAX_FEATURES = 100
"""Maximum number of features of an image."""
FAR = 5.0
"""Number of deviations from every class mean from which a feature counts as different."""
MISMATCHES = {
    "channels": "are in colour and were made grey, since the network reads grey images",
    "size": "have less than half of the shorter side of the smallest training image",
    "colours": "have other colours or another contrast",
}
"""What may differ from the training images, and the words of the warning."""
Numbers = NDArray[np.float64]
Row = tuple[float, ...]


@dataclass(frozen=True)
class Unlikeness:
    """The distribution of the features of training images, and the distance that is unusual for validation images.

    `precision` is the lower triangle, row by row, of the inverse correlation matrix within classes. `false_alarm_rate`
    is the share of each half of validation above the limit that the other half sets. `smallest_side` is the smallest
    shorter side of a sample of training images, in pixels.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}
    centres: tuple[Row, ...]
    deviation: Row
    precision: Row
    limit: float = 1.0
    false_alarm_rate: float = 0.0
    validation_images: int = 0
    smallest_side: int = 1

    def __post_init__(self) -> None:
        """Raises: ValueError for numbers that are no such distribution."""
        count = len(self.deviation)
        if any(len(centre) != count for centre in self.centres) or len(self.precision) != count * (count + 1) // 2:
            raise ValueError(f"{count} deviations need as many features in centres and precision")
        if not (1 <= len(self.centres) <= MAX_CENTRES and 1 <= count <= MAX_FEATURES):
            raise ValueError(f"needs 1 to {MAX_CENTRES} centres of 1 to {MAX_FEATURES} features")
        if min(self.deviation) <= 0:
            raise ValueError("deviation must be numbers above 0")
        if not (self.limit > 0 and 0 <= self.false_alarm_rate <= 1):
            raise ValueError("limit must be above 0, and false_alarm_rate from 0 to 1")
        if self.validation_images < 0 or self.smallest_side < 1:
            raise ValueError("validation_images must be 0 or more, and smallest_side 1 or more")

    @property
    def features(self) -> int:
        """The number of features of an image."""
        return len(self.deviation)

    def scores(self, features: Numbers) -> Numbers:
        """The scores (N,) of features (N, features); above 1, an image is unlike the training images."""
        precision = np.zeros((self.features, self.features))
        precision[np.tril_indices(self.features)] = self.precision
        precision += np.tril(precision, -1).T
        squares = np.einsum("nkd,de,nke->nk", distances := self._distances(features), precision, distances)
        return np.asarray(np.sqrt(np.maximum(squares.min(axis=1), 0) / self.features) / self.limit)

    def differs(self, features: Numbers, last: int) -> NDArray[np.bool_]:
        """Whether one of the `last` features of each image is far from its value in every class, (N,)."""
        farthest = np.abs(self._distances(features)[:, :, -last:]).max(axis=2)
        far: NDArray[np.bool_] = farthest.min(axis=1) > FAR
        return far

    def _distances(self, features: Numbers) -> Numbers:
        """Distances from the class means in deviations, (N, centres, features)."""
        return np.asarray((features[:, None] - np.array(self.centres)) / np.array(self.deviation))


def fit_unlikeness(
    training: Numbers, labels: NDArray[np.int64], validation: Numbers, *, smallest_side: int = 1
) -> Unlikeness:
    """The score of features (N, features) of training images with labels (N,); validation images set its limit."""
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) > MAX_CENTRES:
        classes, codes = classes[:1], np.zeros_like(codes)
    centres = np.stack([training[codes == code].mean(axis=0) for code in range(len(classes))])
    within = training - centres[codes]
    deviation = np.maximum(within.std(axis=0), 1e-3 * training.std(axis=0) + 1e-6)
    scaled = within / deviation
    correlation = scaled.T @ scaled / len(scaled)
    precision = np.linalg.inv((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(deviation)))
    fitted = Unlikeness(
        centres=tuple(map(_rounded, centres)),
        deviation=_rounded(deviation),
        precision=_rounded(precision[np.tril_indices(len(deviation))]),
        validation_images=len(validation),
        smallest_side=smallest_side,
    )
    distances = fitted.scores(validation)
    return replace(fitted, limit=_limit(distances), false_alarm_rate=_false_alarm_rate(distances))


def _limit(distances: Numbers) -> float:
    """The distance that at most `MAX_FALSE_ALARMS` of the given ones (N,) exceed."""
    highest = np.sort(distances)[len(distances) - 1 - int(MAX_FALSE_ALARMS * len(distances))]
    return max(_rounded(np.array([1.00001 * highest]))[0], 1e-6)


def _false_alarm_rate(distances: Numbers) -> float:
    """The share of distances (N,) above the limit that the other half of them sets: with few, well above 1 %."""
    halves = distances[::2], distances[1::2]
    if not len(halves[1]):
        return 0.0
    alarms = sum(int((ours > _limit(theirs)).sum()) for ours, theirs in (halves, halves[::-1]))
    return alarms / len(distances)


def difference_warnings(
    unlikeness: Unlikeness | None, scores: Collection[float | None], mismatches: Mapping[tuple[str, ...], int]
) -> list[ReportWarning]:
    """The warnings that images are unlike the training images, or differ from them; `scores` are those of all images.

    `mismatches` has names of MISMATCHES → number of images.
    """
    return [*unlike_warnings(unlikeness, scores), *mismatch_warnings(mismatches)]


def unlike_warnings(unlikeness: Unlikeness | None, scores: Collection[float | None]) -> list[ReportWarning]:
    """The warning that images are unlike the training images, if any is. `scores` are those of all images."""
    count = sum(score is not None and score > 1 for score in scores)
    if unlikeness is None or not count:
        return []
    message = (
        f"{count} of {len(scores)} images are unlike the training images (unlikeness above 1; rate of false alarms "
        f"{unlikeness.false_alarm_rate:.1%}, from {unlikeness.validation_images} validation images): do not rely on "
        "the predictions for them."
    )
    return [ReportWarning("unlike_training_images", message, count)]


def mismatch_warnings(mismatches: Mapping[tuple[str, ...], int]) -> list[ReportWarning]:
    """The warning that images differ from the training images. `mismatches`: names of MISMATCHES → number of images."""
    images = sum(mismatches.values())
    counts = {name: sum(n for names, n in mismatches.items() if name in names) for name in MISMATCHES}
    parts = [f"{counts[name]} of {images} {text}" for name, text in MISMATCHES.items() if counts[name]]
    if not parts:
        return []
    message = f"Some images differ from the training images: {'; '.join(parts)}."
    return [ReportWarning("images_mismatched", message, images - mismatches.get((), 0))]


def _rounded(numbers: Numbers) -> tuple[float, ...]:
    """Numbers with six digits, which keep the file small."""
    return tuple(float(f"{number:.6g}") for number in numbers)

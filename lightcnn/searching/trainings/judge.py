"""How the weights of a search are judged on the whole validation set: by the metric, and the noise of a difference."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError
from lightcnn.evaluation.labelled_predictions import LabelledPredictions, labelled_predictions
from lightcnn.evaluation.score_values import bootstrap_scores, over_classes, point_values
from lightcnn.searching.metric_names import EQUAL_CLASSES, MetricName, rank

Numbers = NDArray[np.float64]
DRAWS = 200
"""Draws of the bootstrap for the noise of a difference, which is then known to within about 5 %."""
MIN_GROUPS = 5
"""Groups of every class that the noise of a class metric needs, and groups that a noise of 0 needs."""
CLASS_METRICS = ("auc", "f1")
"""Metrics of one class against the rest: of two classes the second one's, else the mean of all."""


class Judge:
    """Scores predictions for the validation images, whose labels and groups are (N,).

    Raises: InputError if the metric is undefined for these images.
    """

    def __init__(
        self,
        metric: MetricName,
        labels: NDArray[np.int64],
        groups: NDArray[np.str_],
        classes: Sequence[str],
    ) -> None:
        self.metric = metric
        self._labels = labels
        self._groups = groups
        self._classes = classes
        self._drawn: dict[int, tuple[Numbers, Numbers]] = {}
        missing = [name for c, name in enumerate(classes) if not (labels == c).any()]
        needs_all = metric == "auc" or (metric in EQUAL_CLASSES and len(classes) == 2)
        if missing and (needs_all or (metric in EQUAL_CLASSES and len(classes) - len(missing) < 2)):
            raise InputError(
                f"--metric {metric}: class {missing[0]!r} has no image in the validation set, so the metric is "
                "undefined; use another one, or more images"
            )
        groups_of = [len(np.unique(groups[labels == c])) for c in range(len(classes)) if (labels == c).any()]
        self._can_draw = min(groups_of, default=0) >= MIN_GROUPS
        self._has_noise = len(np.unique(groups)) >= MIN_GROUPS

    def score(self, probabilities: Numbers) -> float:
        """The metric of predictions (N, K), with the sign that makes higher values better."""
        if self.metric == "accuracy":
            return float(self.correct(probabilities).mean())
        return rank(self.metric, metric_value(self.metric, self._predictions(probabilities)))

    def correct(self, probabilities: Numbers) -> NDArray[np.bool_]:
        """Whether each image is classified correctly (N,)."""
        return np.asarray(probabilities.argmax(axis=1) == self._labels)

    def error(self, first: Numbers, second: Numbers) -> float:
        """The standard error of the difference of the metric of two predictions (N, K) of the same images.

        Groups are independent, the images of one group are not. Infinite if there are too few groups.
        """
        if self.metric == "accuracy":
            return self._paired_error(self.correct(first), self.correct(second))
        if self.metric == "log_loss":
            return self._paired_error(self._predictions(first).errors[1], self._predictions(second).errors[1])
        if not self._can_draw:
            return math.inf
        count = len(np.unique(self._groups))
        draws = self._draws(first) - self._draws(second)  # with the same groups in each draw
        return float(np.nanstd(draws, ddof=1)) * math.sqrt(count / (count - 1))

    def _paired_error(self, first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
        """`paired_error`, but infinite if it is 0 because all of very few groups have the same difference."""
        error = paired_error(first, second, self._groups)
        is_unknown = not self._has_noise and error == 0 and (first != second).any()
        return math.inf if is_unknown else error

    def _draws(self, probabilities: Numbers) -> Numbers:
        """The metric in each draw; kept, since the same predictions are compared several times."""
        key = id(probabilities)
        if key not in self._drawn:
            predictions, with_areas = self._predictions(probabilities), self.metric == "auc"
            drawn = bootstrap_scores(predictions, np.array([]), draws=DRAWS, with_areas=with_areas)[self.metric]
            scores = drawn[:DRAWS]  # without the rows that leave one group out
            of_draws = np.asarray(_of_all_classes(self.metric, scores))
            self._drawn[key] = probabilities, of_draws  # with the array, so that its id is not used again
        return self._drawn[key][1]

    def _predictions(self, probabilities: Numbers) -> LabelledPredictions:
        return labelled_predictions(self._labels, probabilities, groups=self._groups, classes=self._classes)


def metric_value(metric: MetricName, predictions: LabelledPredictions) -> float:
    """A metric of predictions, NaN if it is undefined."""
    return float(_of_all_classes(metric, point_values(predictions, with_areas=metric == "auc")[metric]))


def _of_all_classes(metric: MetricName, values: Any) -> Any:
    return over_classes(np.asarray(values)) if metric in CLASS_METRICS else values


def paired_error(first: NDArray[np.generic], second: NDArray[np.generic], groups: NDArray[np.str_]) -> float:
    """The standard error of the difference of two means over the same images, whose groups are independent."""
    difference = first.astype(float) - second.astype(float)
    centred = difference - difference.mean()
    _, group = np.unique(groups, return_inverse=True)
    sums = np.bincount(group, weights=centred)
    count = len(sums)
    if count < 2:
        return math.inf
    return float(np.sqrt((sums**2).sum() * count / (count - 1)) / len(difference))

"""Scores of predictions, each with a 95 % interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.bootstrap import DRAWS
from lightcnn.evaluation.calibration import calibration_error
from lightcnn.evaluation.intervals import BootstrapDraws, Interval, bounded_interval, loss_interval, wilson
from lightcnn.evaluation.labelled_predictions import LabelledPredictions, Numbers, labelled_predictions
from lightcnn.evaluation.sample_size import MIN_GROUPS, MIN_GROUPS_PER_CLASS, sample_size_warning
from lightcnn.evaluation.score_values import bootstrap_scores, over_classes, point_values

CLASS_SCORES = ("precision", "sensitivity", "specificity", "f1", "auc", "pr_auc")
"""Scores of one class against the rest."""
AREA_SCORES = ("auc", "pr_auc")
"""Areas under curves."""
LOSS_SCORES = ("brier", "log_loss")
"""Scores of all classes that are better if they are lower."""


def scores(
    labels: NDArray[np.int64],
    probabilities: Numbers,
    *,
    groups: NDArray[np.str_] | None = None,
    threshold: float = 0.5,
    predicted: NDArray[np.int64] | None = None,
    classes: Sequence[str] | None = None,
    operating: Mapping[str, Mapping[str, float | None]] | None = None,
) -> dict[str, Any]:
    """The contract's metrics of one set: labels (N,), probabilities (N, K); the others as in `labelled_predictions`.

    Each score is `{value, low, high, interval}`; a score without a value gives the reason in `undefined`. A score of a
    class against the rest is the second class's if there are two, else the mean over all classes for which it is
    defined. `operating` are the thresholds that `operating_points` chose on the validation set.
    """
    predictions = labelled_predictions(
        labels, probabilities, groups=groups, threshold=threshold, predicted=predicted, classes=classes
    )
    table = _ScoreTable(predictions, operating or {})
    singles = {name: table.single(name) for name in ("accuracy", "balanced_accuracy", "mcc", "kappa", *LOSS_SCORES)}
    rates = {name: table.mean(name) for name in CLASS_SCORES}
    ece = {"value": calibration_error(labels, probabilities), "low": None, "high": None}
    from sklearn.metrics import confusion_matrix

    return {
        **{name: singles[name] for name in ("accuracy", "balanced_accuracy")},
        **rates,
        **{name: singles[name] for name in ("mcc", "kappa", *LOSS_SCORES)},
        "ece": ece | {"interval": "none: chance deviations of the bins add up in it"},
        "confusion": confusion_matrix(labels, predictions.predicted, labels=range(len(predictions.classes))).tolist(),
        "per_class": {
            name: {"images": int((labels == c).sum()), "groups": predictions.count_groups(labels == c)}
            | {rate: table.rate(rate, c) for rate in CLASS_SCORES}
            for c, name in enumerate(predictions.classes)
        },
        "at_specificity": table.at("at_specificity"),
        "at_sensitivity": table.at("at_sensitivity"),
        "at_threshold": table.at("at_threshold"),
        "images": len(labels),
        "groups": predictions.count_groups(),
        "warning": sample_size_warning(labels, predictions.codes, predictions.classes),
    }


def accuracy_score(
    labels: NDArray[np.int64],
    probabilities: Numbers,
    *,
    groups: NDArray[np.str_] | None = None,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """The `accuracy` of `scores` alone, with the same interval. Independent images need no bootstrap."""
    return chosen_scores(labels, probabilities, ("accuracy",), groups=groups, threshold=threshold)["accuracy"]


def chosen_scores(
    labels: NDArray[np.int64],
    probabilities: Numbers,
    names: Iterable[str],
    *,
    groups: NDArray[np.str_] | None = None,
    threshold: float = 0.5,
    classes: Sequence[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """Some of the scores of all classes together, by name, as they are in `scores`."""
    names = tuple(names)
    predictions = labelled_predictions(labels, probabilities, groups=groups, threshold=threshold, classes=classes)
    table = _ScoreTable(predictions, {}, with_areas=any(name in AREA_SCORES for name in names))
    return {name: table.mean(name) if name in CLASS_SCORES else table.single(name) for name in names}


def point_scores(labels: NDArray[np.int64], probabilities: Numbers, *, threshold: float = 0.5) -> dict[str, Any]:
    """Accuracy, balanced accuracy, F1 and ROC-AUC without intervals; None if undefined."""
    values = point_values(labelled_predictions(labels, probabilities, threshold=threshold))
    chosen = {name: values[name] for name in ("accuracy", "balanced_accuracy")}
    chosen |= {name: over_classes(values[name]) for name in ("f1", "auc")}
    return {name: None if np.isnan(value) else float(value) for name, value in chosen.items()}


def repeated_accuracy(accuracies: Sequence[float], interval: Mapping[str, Any]) -> dict[str, Any]:
    """Accuracies of several trainings on one test set: mean, sd (None for one), and the interval due to the images."""
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    mean, bounds = float(np.mean(accuracies)), {"low": interval["low"], "high": interval["high"]}
    return {"mean": mean, "sd": deviation, "values": list(accuracies)} | bounds


def interval_bounds(per_class: Mapping[str, Any], score: str) -> dict[str, tuple[float, float]]:
    """Class → the interval of one score, for the classes that have one."""
    entries = {name: values[score] for name, values in per_class.items()}
    return {name: (entry["low"], entry["high"]) for name, entry in entries.items() if entry["low"] is not None}


class _ScoreTable:
    """Values, bootstrap draws and numbers of groups of one set, and each score as it is in the report."""

    def __init__(
        self,
        predictions: LabelledPredictions,
        operating: Mapping[str, Mapping[str, float | None]],
        *,
        with_areas: bool = True,
    ) -> None:
        self._predictions, self._operating, self._with_areas = predictions, operating, with_areas
        self._thresholds = sorted({t for targets in operating.values() for t in targets.values() if t is not None})
        of_class = [predictions.labels == c for c in range(len(predictions.classes))]
        predicted = [predictions.predicted == c for c in range(len(of_class))]
        either = [actual | chosen for actual, chosen in zip(of_class, predicted, strict=True)]
        masks = {"of_class": of_class, "rest": [~mask for mask in of_class], "predicted": predicted, "either": either}
        self._groups = {
            name: np.array([predictions.count_groups(mask) for mask in masks[name]], dtype=float) for name in masks
        }
        self._equal_groups = {
            name: np.array([predictions.equal_groups(mask) for mask in masks[name]]) for name in masks
        }

    @cached_property
    def _values(self) -> dict[str, Any]:
        return point_values(self._predictions, with_areas=self._with_areas)

    @cached_property
    def _draws(self) -> dict[str, Numbers]:
        return bootstrap_scores(self._predictions, np.array(self._thresholds), with_areas=self._with_areas)

    def single(self, name: str) -> dict[str, Any]:
        """A score of all classes together."""
        predictions = self._predictions
        if name == "accuracy" and predictions.independent:
            return self._from_counts(float(predictions.counts[0].sum()), len(predictions.labels))
        balanced = name == "balanced_accuracy"
        units = self._mean_units(self._groups["of_class"]) if balanced else predictions.count_groups()
        equal = (
            self._mean_units(self._equal_groups["of_class"])
            if balanced
            else predictions.equal_groups()
            if name == "accuracy"
            else None
        )
        if name in LOSS_SCORES and self._too_few(self._groups["of_class"]):
            return self._without_interval(self._values[name], self._groups["of_class"])
        return self._from_draws(name, self._values[name], self._draws[name], units, self._reason(name), equal)

    def rate(self, name: str, c: int) -> dict[str, Any]:
        """A score of class `c` against the rest."""
        hits, actual, predicted = (float(counts[c]) for counts in self._predictions.counts)
        total = len(self._predictions.labels)
        shares = {
            "precision": (hits, predicted),
            "sensitivity": (hits, actual),
            "specificity": (total - actual - predicted + hits, total - actual),
        }
        if self._predictions.independent and name in shares and shares[name][1]:
            return self._from_counts(*shares[name])
        value, units = self._values[name][c], self._units(name, self._groups)[c]
        if name in AREA_SCORES and not np.isnan(value) and self._too_few(units):
            return self._without_interval(value, units)
        equal = None if name in AREA_SCORES else self._units(name, self._equal_groups)[c]
        return self._from_draws(name, value, self._draws[name][:, c], units, self._reason(name, c), equal)

    def mean(self, name: str) -> dict[str, Any]:
        """The score of the second class if there are two, else the mean over all classes."""
        if len(self._predictions.classes) == 2:
            return self.rate(name, 1)
        defined, value = ~np.isnan(self._values[name]), over_classes(self._values[name])
        known = self._units(name, self._groups)[defined]
        if name in AREA_SCORES and not np.isnan(value) and self._too_few(known):
            return self._without_interval(value, known)
        equal = None if name in AREA_SCORES else self._mean_units(self._units(name, self._equal_groups)[defined])
        draws = over_classes(self._draws[name])
        return self._from_draws(name, value, draws, self._mean_units(known), self._reason(name), equal)

    def at(self, name: str) -> dict[str, Any] | None:
        """Sensitivity and specificity at each of the thresholds; None without thresholds."""
        if name not in self._operating:
            return None
        rates = ("sensitivity", "specificity")
        return {
            target: {"threshold": threshold} | {rate: self._at(rate, threshold) for rate in rates}
            for target, threshold in self._operating[name].items()
        }

    def _at(self, rate: str, threshold: float | None) -> dict[str, Any]:
        """Sensitivity or specificity at one threshold."""
        predictions, c = self._predictions, 1 if rate == "sensitivity" else 0
        if threshold is None:
            return _undefined("a class has no image in the validation set, where the threshold is chosen")
        of_class = predictions.labels == c
        correct = (predictions.probabilities[:, 1] >= threshold) == bool(c)
        hits, actual = float((of_class & correct).sum()), float(of_class.sum())
        if not actual:
            return _undefined(f"no image of this set is of class {predictions.classes[c]!r}")
        if predictions.independent:
            return self._from_counts(hits, actual)
        draws = self._draws["at"][:, 1 - c, self._thresholds.index(threshold)]
        equal = self._equal_groups["of_class"][c]
        return self._from_draws(rate, hits / actual, draws, self._groups["of_class"][c], "", equal)

    @staticmethod
    def _units(name: str, groups: Mapping[str, Numbers]) -> Numbers:
        """The numbers of groups (K,) that a score of each class is based on."""
        if name in AREA_SCORES:
            return np.asarray(np.minimum(groups["of_class"], groups["rest"]))
        return groups[{"specificity": "rest", "precision": "predicted", "f1": "either"}.get(name, "of_class")]

    def _mean_units(self, units: Numbers) -> float:
        """The number of groups that a mean over classes is based on, if all rates are equal; at most all groups."""
        known = units[units > 0]
        return min(self._predictions.count_groups(), float(len(known) ** 2 / (1 / known).sum())) if len(known) else 0.0

    def _too_few(self, units: Numbers | float) -> bool:
        """Whether the groups, or those of a class, are too few for the interval of an area or a loss.

        Such scores depend on rare errors, and no interval accounts for errors that have not happened yet.
        """
        return self._predictions.count_groups() < MIN_GROUPS or float(np.min(units)) < MIN_GROUPS_PER_CLASS

    def _without_interval(self, value: float, units: Numbers | float) -> dict[str, Any]:
        unit = "images" if self._predictions.independent else "groups"
        count = self._predictions.count_groups()
        reason = f"none: {count} {unit}, {int(np.min(units))} of the rarest class, are too few"
        return _entry(float(value), Interval(None, None, reason))

    def _from_counts(self, correct: float, total: float) -> dict[str, Any]:
        return _entry(correct / total, Interval(*wilson(correct, total), "Wilson"))

    def _from_draws(
        self, name: str, value: float, draws: Numbers, units: float, reason: str, equal: float | None = None
    ) -> dict[str, Any]:
        """A score with the interval of its bootstrap draws; `reason` applies if the value is undefined."""
        if np.isnan(value):
            return _undefined(reason)
        predictions = self._predictions
        unit = "image" if predictions.independent else "group"
        spread = BootstrapDraws(draws[:DRAWS], draws[DRAWS:], predictions.count_groups(), units, unit, equal)
        if name in LOSS_SCORES:
            return _entry(value, loss_interval(value, spread))
        return _entry(value, bounded_interval(value, spread, -1.0 if name in ("mcc", "kappa") else 0.0))

    def _reason(self, name: str, c: int | None = None) -> str:
        """Why a score would be undefined."""
        predictions = self._predictions
        present = np.unique(predictions.labels)
        if len(present) == 1 and (c is None or c == present[0]):
            return f"all images of this set are of class {predictions.classes[present[0]]!r}"
        if c is None:
            return f"all images are predicted as class {predictions.classes[predictions.predicted[0]]!r}"
        missing = "no image is predicted as" if name == "precision" else "no image of this set is of"
        return f"{missing} class {predictions.classes[c]!r}"


def _entry(value: float, interval: Interval) -> dict[str, Any]:
    low, high = (None if end is None else float(end) for end in (interval.low, interval.high))
    return {"value": float(value), "low": low, "high": high, "interval": interval.method}


def _undefined(reason: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "interval": None, "undefined": reason}

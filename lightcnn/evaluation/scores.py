"""Scores of one side, each with its interval. scikit-learn does the arithmetic; the bootstrap has its own, on sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.decisions import decide
from lightcnn.evaluation.bootstrap import DRAWS, RankedScores, resample
from lightcnn.evaluation.calibration import calibration_error
from lightcnn.evaluation.intervals import BootstrapDraws, Interval, bounded_interval, loss_interval, wilson
from lightcnn.evaluation.sample_size import MIN_GROUPS, MIN_GROUPS_PER_CLASS, sample_size_warning

CLASS_SCORES = ("precision", "sensitivity", "specificity", "f1", "auc", "pr_auc")
"""Scores of a class against the rest."""
LOSS_SCORES = ("brier", "log_loss")
AREA_SCORES = ("auc", "pr_auc")
Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LabelledPredictions:
    """Answers on one side: labels (N,), probabilities (N, K), the class decided for each image (N,), its group (N,)."""

    labels: NDArray[np.int64]
    probabilities: Numbers
    predicted: NDArray[np.int64]
    codes: NDArray[np.intp]
    classes: tuple[str, ...]

    @cached_property
    def counts(self) -> tuple[Numbers, ...]:
        """Of every class (K,): images of it told right, images of it, images that are taken for it."""
        kinds = len(self.classes)
        right = self.labels[self.labels == self.predicted]
        return tuple(np.bincount(of, minlength=kinds).astype(float) for of in (right, self.labels, self.predicted))

    @cached_property
    def independent(self) -> bool:
        """Whether every image is its own group."""
        return len(np.unique(self.codes)) == len(self.labels)

    def groups(self, images: NDArray[np.bool_] | slice = slice(None)) -> int:
        """How many groups some of the images are of."""
        return len(np.unique(self.codes[images]))

    def even(self, images: NDArray[np.bool_] | slice = slice(None)) -> float:
        """How many groups of one size weigh as much as those that some of the images are of; 0 without images."""
        sizes = np.bincount(self.codes[images]).astype(float)
        return float(sizes.sum() ** 2 / max(1.0, (sizes**2).sum()))

    @cached_property
    def curves(self) -> list[RankedScores | None]:
        """One for every class that some images are of and some are not."""
        return [
            RankedScores.of(self.labels == c, self.probabilities[:, c])
            if 0 < (self.labels == c).sum() < len(self.labels)
            else None
            for c in range(len(self.classes))
        ]

    @cached_property
    def errors(self) -> tuple[Numbers, Numbers]:
        """The Brier score's and the log loss's share of every image (N,)."""
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
    """Answers with `threshold` as in `decide`; without `groups` every image is its own, without `classes` numbers.

    `predicted` (N,) are classes that were decided elsewhere, as where networks with several thresholds are pooled.
    """
    codes = np.arange(len(labels)) if groups is None else np.unique(groups, return_inverse=True)[1]
    names = tuple(map(str, range(probabilities.shape[1])) if classes is None else classes)
    decided = decide(probabilities, threshold) if predicted is None else predicted
    return LabelledPredictions(labels, probabilities, decided, codes, names)


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
    """The contract's metrics of one side: labels (N,), probabilities (N, classes); the others as in `side`.

    Every score is `{value, low, high, interval}`, and says in `undefined` why it has no value. Those of a class against
    the rest are the second one's of two classes, and the mean over all defined ones of more. `operating` are the
    thresholds that `operating_points` found on the validation side.
    """
    held = labelled_predictions(
        labels, probabilities, groups=groups, threshold=threshold, predicted=predicted, classes=classes
    )
    found = _Found(held, operating or {})
    singles = {name: found.single(name) for name in ("accuracy", "balanced_accuracy", "mcc", "kappa", *LOSS_SCORES)}
    rates = {name: found.mean(name) for name in CLASS_SCORES}
    ece = {"value": calibration_error(labels, probabilities), "low": None, "high": None}
    from sklearn.metrics import confusion_matrix

    return {
        **{name: singles[name] for name in ("accuracy", "balanced_accuracy")},
        **rates,
        **{name: singles[name] for name in ("mcc", "kappa", *LOSS_SCORES)},
        "ece": ece | {"interval": "none: a bin's chance deviations add up to it"},
        "confusion": confusion_matrix(labels, held.predicted, labels=range(len(held.classes))).tolist(),
        "per_class": {
            name: {"images": int((labels == c).sum()), "groups": held.groups(labels == c)}
            | {rate: found.rate(rate, c) for rate in CLASS_SCORES}
            for c, name in enumerate(held.classes)
        },
        "at_specificity": found.at("at_specificity"),
        "at_sensitivity": found.at("at_sensitivity"),
        "images": len(labels),
        "groups": held.groups(),
        "warning": sample_size_warning(labels, held.codes, held.classes),
    }


def point_scores(labels: NDArray[np.int64], probabilities: Numbers, *, threshold: float = 0.5) -> dict[str, Any]:
    """Accuracy, balanced accuracy, F1 and ROC-AUC alone, without intervals; None where undefined."""
    held = labelled_predictions(labels, probabilities, threshold=threshold)
    values = point_values(held)
    found = {name: values[name] for name in ("accuracy", "balanced_accuracy")}
    found |= {name: over_classes(values[name]) for name in ("f1", "auc")}
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}


def point_values(held: LabelledPredictions) -> dict[str, Any]:
    """Every score by scikit-learn: a number, or one a class (K,); NaN where undefined."""
    from sklearn import metrics

    labels, predicted, kinds = held.labels, held.predicted, range(len(held.classes))
    with np.errstate(invalid="ignore", divide="ignore"):
        tables = metrics.multilabel_confusion_matrix(labels, predicted, labels=kinds)
        specificity = tables[:, 0, 0] / tables[:, 0].sum(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, predicted, labels=kinds, average=None, zero_division=np.nan
    )
    several = len(np.unique(labels)) > 1
    judged = several and len(np.unique(predicted)) > 1
    areas = [
        [
            np.nan if curve is None else area(labels == c, held.probabilities[:, c])
            for c, curve in enumerate(held.curves)
        ]
        for area in (metrics.roc_auc_score, metrics.average_precision_score)
    ]
    brier, log_loss = (float(errors.mean()) for errors in held.errors)
    return {
        "accuracy": metrics.accuracy_score(labels, predicted),
        "balanced_accuracy": np.nanmean(recall) if several else np.nan,
        "mcc": metrics.matthews_corrcoef(labels, predicted) if judged else np.nan,
        "kappa": metrics.cohen_kappa_score(labels, predicted) if several else np.nan,
        "brier": brier,
        "log_loss": log_loss,
        "precision": precision,
        "sensitivity": recall,
        "specificity": specificity,
        "f1": np.where(np.isnan(recall), np.nan, f1),
        "auc": np.array(areas[0]),
        "pr_auc": np.array(areas[1]),
    }


def bootstrap_scores(
    held: LabelledPredictions, operating: Numbers, *, seed: int = 0, draws: int = DRAWS
) -> dict[str, Numbers]:
    """The same scores in every row of `resampled`: (R,), or (R, K); NaN where undefined.

    `operating` (T,) are thresholds, whose sensitivity and specificity are under `at` (R, 2, T).
    """
    kinds = len(held.classes)
    own, taken = (np.eye(kinds)[of] for of in (held.labels, held.predicted))
    beyond = held.probabilities[:, 1:2] >= operating
    told = (beyond * own[:, 1:2], ~beyond * own[:, :1])
    columns = np.concatenate([own * taken, own, taken, np.stack(held.errors, axis=1), *told], axis=1)
    sums, auc, pr_auc = resample(held.codes, columns, held.curves, seed=seed, draws=draws)
    hits, actual, predicted, errors, at = np.split(sums, np.cumsum([kinds, kinds, kinds, 2]), axis=1)
    total = actual.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            **_rates(hits, actual, predicted),
            **_agreement(hits, actual, predicted),
            "brier": errors[:, 0] / total,
            "log_loss": errors[:, 1] / total,
            "auc": auc,
            "pr_auc": pr_auc,
            "at": at.reshape(len(at), 2, len(operating)) / actual[:, 1::-1, None][:, :2],
        }


def over_classes(rates: Numbers) -> Any:
    """One number of each (..., K): the second of two classes', the mean over the defined ones of more."""
    if rates.shape[-1] == 2:
        return rates[..., 1]
    defined = ~np.isnan(rates)
    with np.errstate(invalid="ignore"):
        return np.where(defined, rates, 0).sum(axis=-1) / defined.sum(axis=-1)


def repeated_accuracy(accuracies: Sequence[float], interval: Mapping[str, Any]) -> dict[str, Any]:
    """The accuracy of trainings on one test side: mean, sd (None for one), and the interval that the images leave."""
    deviation = float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None
    mean, bounds = float(np.mean(accuracies)), {"low": interval["low"], "high": interval["high"]}
    return {"mean": mean, "sd": deviation, "values": list(accuracies)} | bounds


def interval_bounds(classes: Mapping[str, Any], score: str) -> dict[str, tuple[float, float]]:
    """Of one score, by class, as far as they are known."""
    found = {name: of[score] for name, of in classes.items()}
    return {name: (of["low"], of["high"]) for name, of in found.items() if of["low"] is not None}


class _Found:
    """Values, draws and units of one side, and each score as the report has it."""

    def __init__(self, held: LabelledPredictions, operating: Mapping[str, Mapping[str, float | None]]) -> None:
        self._held, self._operating = held, operating
        self._thresholds = sorted({t for of in operating.values() for t in of.values() if t is not None})
        self._values = point_values(held)
        self._draws = bootstrap_scores(held, np.array(self._thresholds))
        own = [held.labels == c for c in range(len(held.classes))]
        taken = [held.predicted == c for c in range(len(own))]
        either = [of | told for of, told in zip(own, taken, strict=True)]
        masks = {"own": own, "rest": [~of for of in own], "taken": taken, "either": either}
        self._groups = {of: np.array([held.groups(mask) for mask in masks[of]], dtype=float) for of in masks}
        self._even = {of: np.array([held.even(mask) for mask in masks[of]]) for of in masks}

    def single(self, name: str) -> dict[str, Any]:
        """A score of all classes together."""
        held = self._held
        if name == "accuracy" and held.independent:
            return self._counted(float(held.counts[0].sum()), len(held.labels))
        balanced = name == "balanced_accuracy"
        units = self._over(self._groups["own"]) if balanced else held.groups()
        even = self._over(self._even["own"]) if balanced else held.even() if name == "accuracy" else None
        if name in LOSS_SCORES and self._scarce(self._groups["own"]):
            return self._alone(self._values[name], self._groups["own"])
        return self._drawn(name, self._values[name], self._draws[name], units, self._why(name), even)

    def rate(self, name: str, c: int) -> dict[str, Any]:
        """A score of one class against the rest."""
        hits, actual, predicted = (float(of[c]) for of in self._held.counts)
        total = len(self._held.labels)
        shares = {
            "precision": (hits, predicted),
            "sensitivity": (hits, actual),
            "specificity": (total - actual - predicted + hits, total - actual),
        }
        if self._held.independent and name in shares and shares[name][1]:
            return self._counted(*shares[name])
        value, units = self._values[name][c], self._units(name, self._groups)[c]
        if name in AREA_SCORES and not np.isnan(value) and self._scarce(units):
            return self._alone(value, units)
        even = None if name in AREA_SCORES else self._units(name, self._even)[c]
        return self._drawn(name, value, self._draws[name][:, c], units, self._why(name, c), even)

    def mean(self, name: str) -> dict[str, Any]:
        """The second class's score of two classes, the mean over all of more."""
        if len(self._held.classes) == 2:
            return self.rate(name, 1)
        defined, value = ~np.isnan(self._values[name]), over_classes(self._values[name])
        known = self._units(name, self._groups)[defined]
        if name in AREA_SCORES and not np.isnan(value) and self._scarce(known):
            return self._alone(value, known)
        even = None if name in AREA_SCORES else self._over(self._units(name, self._even)[defined])
        return self._drawn(name, value, over_classes(self._draws[name]), self._over(known), self._why(name), even)

    def at(self, name: str) -> dict[str, Any] | None:
        """Sensitivity and specificity at each of the thresholds; None without any."""
        if name not in self._operating:
            return None
        rates = ("sensitivity", "specificity")
        return {
            target: {"threshold": threshold} | {rate: self._at(rate, threshold) for rate in rates}
            for target, threshold in self._operating[name].items()
        }

    def _at(self, rate: str, threshold: float | None) -> dict[str, Any]:
        held, of = self._held, 1 if rate == "sensitivity" else 0
        if threshold is None:
            return _undefined("a class is missing on the validation side, where the threshold is chosen")
        own = held.labels == of
        right = (held.probabilities[:, 1] >= threshold) == bool(of)
        hits, actual = float((own & right).sum()), float(own.sum())
        if not actual:
            return _undefined(f"no image of class {held.classes[of]!r} on this side")
        if held.independent:
            return self._counted(hits, actual)
        draws = self._draws["at"][:, 1 - of, self._thresholds.index(threshold)]
        return self._drawn(rate, hits / actual, draws, self._groups["own"][of], "", self._even["own"][of])

    @staticmethod
    def _units(name: str, counted: Mapping[str, Numbers]) -> Numbers:
        """The groups that a rate of each class rests on (K,), as they were `counted`."""
        if name in AREA_SCORES:
            return np.asarray(np.minimum(counted["own"], counted["rest"]))
        return counted[{"specificity": "rest", "precision": "taken", "f1": "either"}.get(name, "own")]

    def _over(self, units: Numbers) -> float:
        """Those that a mean of shares rests on, were all shares equal; no more than there are."""
        known = units[units > 0]
        return min(self._held.groups(), float(len(known) ** 2 / (1 / known).sum())) if len(known) else 0.0

    def _scarce(self, units: Numbers | float) -> bool:
        """Whether groups, or those of a class, are too few for the interval of an area or a loss: no interval holds
        errors that have not happened yet, and these scores turn on them."""
        return self._held.groups() < MIN_GROUPS or float(np.min(units)) < MIN_GROUPS_PER_CLASS

    def _alone(self, value: float, units: Numbers | float) -> dict[str, Any]:
        """A score without an interval."""
        unit = "images" if self._held.independent else "groups"
        told = f"none: {self._held.groups()} {unit}, {int(np.min(units))} of the rarest class, are too few"
        return _entry(float(value), Interval(None, None, told))

    def _counted(self, correct: float, total: float) -> dict[str, Any]:
        return _entry(correct / total, Interval(*wilson(correct, total), "Wilson"))

    def _drawn(
        self, name: str, value: float, draws: Numbers, units: float, why: str, even: float | None = None
    ) -> dict[str, Any]:
        if np.isnan(value):
            return _undefined(why)
        held = self._held
        unit = "image" if held.independent else "group"
        made = BootstrapDraws(draws[:DRAWS], draws[DRAWS:], held.groups(), units, unit, even)
        if name in LOSS_SCORES:
            return _entry(value, loss_interval(value, made))
        return _entry(value, bounded_interval(value, made, -1.0 if name in ("mcc", "kappa") else 0.0))

    def _why(self, name: str, c: int | None = None) -> str:
        """What a score is undefined for, where it is."""
        held = self._held
        present = np.unique(held.labels)
        if len(present) == 1 and (c is None or c == present[0]):
            return f"only images of class {held.classes[present[0]]!r} on this side"
        if c is None:
            return f"every image is taken for class {held.classes[held.predicted[0]]!r}"
        missing = "no image is taken for" if name == "precision" else "no image on this side is of"
        return f"{missing} class {held.classes[c]!r}"


def _rates(hits: Numbers, actual: Numbers, predicted: Numbers) -> dict[str, Numbers]:
    """Of every class against the rest, from sums (draws, K)."""
    others = actual.sum(axis=-1, keepdims=True) - actual
    return {
        "precision": hits / predicted,
        "sensitivity": hits / actual,
        "specificity": (others - predicted + hits) / others,
        "f1": np.where(actual > 0, 2 * hits / (actual + predicted), np.nan),
    }


def _agreement(hits: Numbers, actual: Numbers, predicted: Numbers) -> dict[str, Numbers]:
    """Of all classes together, from sums (draws, K). MCC as in Gorodkin, 2004; kappa as in Cohen, 1960."""
    total, right = actual.sum(axis=-1), hits.sum(axis=-1)
    several = (actual > 0).sum(axis=-1) > 1
    chance = (actual * predicted).sum(axis=-1)
    spread = (total**2 - (actual**2).sum(axis=-1)) * (total**2 - (predicted**2).sum(axis=-1))
    recalls = np.where(actual > 0, hits / actual, 0).sum(axis=-1) / (actual > 0).sum(axis=-1)
    return {
        "accuracy": right / total,
        "balanced_accuracy": np.where(several, recalls, np.nan),
        "mcc": np.where(spread > 0, (right * total - chance) / np.sqrt(spread), np.nan),
        "kappa": np.where(several, (right * total - chance) / (total**2 - chance), np.nan),
    }


def _entry(value: float, interval: Interval) -> dict[str, Any]:
    low, high = (None if end is None else float(end) for end in (interval.low, interval.high))
    return {"value": float(value), "low": low, "high": high, "interval": interval.method}


def _undefined(why: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "interval": None, "undefined": why}

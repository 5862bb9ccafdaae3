"""Two runs on the same test images: what differs, by how much, and whether chance alone would do it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.errors import InputError
from lightcnn.evaluation import paired_tests
from lightcnn.evaluation.auc_variance import area_difference, mean_area
from lightcnn.evaluation.paired_tests import ALPHA, Discordant, Estimate, Test

METRICS = ("accuracy", "balanced_accuracy", "auc")
SOURCES, IMAGES = "sources", "images"


@dataclass(frozen=True)
class Pair:
    """Run a less run b by one metric: the 95 % interval, the test, and the least difference that it can see.

    `p_adjusted` is by Holm over the `pairs` of this metric that `holm` was given, and so is `detectable`, the true
    difference that is found four times in five; None where not even the largest would be. `unit` says what the `units`
    are that count as independent: images or sources.
    """

    a: str
    b: str
    metric: str
    value_a: float
    value_b: float
    estimate: Estimate
    test: Test
    units: int
    unit: str
    discordant: Discordant | None = None
    p_adjusted: float = 1.0
    pairs: int = 1
    detectable: float | None = None

    @property
    def shown(self) -> bool:
        """Whether the difference is one, after Holm."""
        return self.p_adjusted < ALPHA

    def document(self) -> dict[str, Any]:
        """One of the `pairs` of report.json."""
        return {
            "a": self.a, "b": self.b, "metric": self.metric, "value_a": self.value_a, "value_b": self.value_b,
            "difference": self.estimate.difference, "low": self.estimate.low, "high": self.estimate.high,
            "test": self.test.name, "p": self.test.p, "p_adjusted": self.p_adjusted, "pairs": self.pairs,
            "shown": self.shown, "detectable": self.detectable, "units": self.units, "unit": self.unit,
            "discordant": self.discordant and asdict(self.discordant),
        }  # fmt: skip


def compared(a: RunPredictions, b: RunPredictions, metrics: Sequence[str] = METRICS, seed: int = 0) -> list[Pair]:
    """a less b by each metric, `holm` already applied as if this were the only pair; an undefined AUC is left out.

    Each run's mean over its seeds is what is compared. Raises: InputError where the two were not asked the same.
    """
    require_same_images(a, b)
    groups = numbered(a.groups)
    makers = {"accuracy": _accuracy, "balanced_accuracy": _balanced, "auc": _area}
    pairs = (makers[metric](a, b, groups, seed) for metric in metrics)
    return holm([pair for pair in pairs if pair is not None])


def holm(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with p adjusted for how many there are of each metric."""
    adjusted: dict[int, Pair] = {}
    for metric in dict.fromkeys(pair.metric for pair in pairs):
        mine = [(place, pair) for place, pair in enumerate(pairs) if pair.metric == metric]
        values = paired_tests.holm([pair.test.p for _, pair in mine])
        for (place, pair), p in zip(mine, values, strict=True):
            adjusted[place] = replace(pair, p_adjusted=p, pairs=len(mine), detectable=_detectable(pair, len(mine)))
    return [adjusted[place] for place in range(len(pairs))]


def all_pairs(runs: Sequence[RunPredictions], metrics: Sequence[str] = METRICS, seed: int = 0) -> list[Pair]:
    """Every two of the runs by every metric, metric by metric. Raises: InputError."""
    found = [pair for a, b in combinations(runs, 2) for pair in compared(a, b, metrics, seed)]
    return holm(sorted(found, key=lambda pair: metrics.index(pair.metric)))


def require_same_images(a: RunPredictions, b: RunPredictions) -> None:
    """Raises: InputError with the first thing in which the questions to the two runs differ."""
    difference = next(_differences(a, b), None)
    if difference is not None:
        raise InputError(f"compare: {a.path} and {b.path} cannot be compared: {difference}")


def scores_of(run: RunPredictions) -> dict[str, tuple[float, float, float] | None]:
    """Value, low and high (95 %) of each metric of a run: its report.json's, else over the mean of its seeds.

    None for an undefined AUC.
    """
    found = {metric: run.report.score(metric) for metric in METRICS}
    computed = {} if all(found.values()) else _computed(run)
    return {
        metric: computed.get(metric) if score is None else (score.value, score.low, score.high)
        for metric, score in found.items()
    }


def numbered(names: NDArray[Any]) -> NDArray[np.int64]:
    """Groups or labels (N,) as numbers from 0, without gaps."""
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _computed(run: RunPredictions) -> dict[str, tuple[float, float, float]]:
    """The same from the answers alone, without an undefined AUC."""
    right, groups, classes = run.right.mean(axis=0), numbered(run.groups), numbered(run.labels)
    found = {}
    for metric, strata in (("accuracy", np.zeros_like(classes)), ("balanced_accuracy", classes)):
        counts = np.bincount(strata)
        means = np.bincount(strata, weights=right) / counts
        value, components = float(means.mean()), (right - means[strata]) / (counts * len(counts))[strata]
        found[metric] = (value, *paired_tests.score_interval(value, components, groups))
    if (of_curve := mean_area(run.labels, run.probabilities, run.folds)) is not None:
        interval = paired_tests.score_interval(of_curve.value, of_curve.components, groups)
        found["auc"] = (of_curve.value, *interval)
    return found


def _differences(a: RunPredictions, b: RunPredictions) -> Iterator[str]:
    remedy = "train both on the same data with the same --seed, or give the data a split"
    if a.classes != b.classes:
        alike = sorted(a.classes) == sorted(b.classes)
        what = "their classes stand in another order" if alike else "they know other classes"
        yield f"{what}: {_listed(a.classes)} and {_listed(b.classes)}"
    if a.fold_count != b.fold_count:
        yield f"they have {a.fold_count} and {b.fold_count} folds (1: a single split); train both with the same --folds"
    if a.images != b.images:
        only_a, only_b = (sorted(set(x.images) - set(y.images)) for x, y in ((a, b), (b, a)))
        example = (only_a or only_b)[0]
        yield (
            f"their test sides differ: {len(a.images):,} and {len(b.images):,} images, {len(only_a):,} only in the "
            f"first and {len(only_b):,} only in the second, {example} among them; {remedy}"
        )
        return
    for name, differ in (("label", a.labels != b.labels), ("group", a.groups != b.groups)):
        if differ.any():
            example = a.images[int(differ.argmax())]
            yield f"{int(differ.sum()):,} test images have another {name}, {example} among them; {remedy}"
    if a.report.data.fingerprint != b.report.data.fingerprint:
        prints = " and ".join(run.report.data.fingerprint[:12] for run in (a, b))
        yield f"their data have other fingerprints, {prints}: pixels, labels, groups or splits differ; {remedy}"


def _listed(classes: Sequence[str]) -> str:
    return ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")


def _accuracy(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair:
    """McNemar and Tango where there is one answer of each run about every source, else sign flips and t."""
    strata = np.zeros(len(groups), dtype=np.int64)
    if groups.max() + 1 < len(groups) or len(a.seeds) > 1 or len(b.seeds) > 1:
        return _of_answers(a, b, groups, strata, "accuracy", seed)
    only_a, only_b = int((a.right[0] & ~b.right[0]).sum()), int((b.right[0] & ~a.right[0]).sum())
    low, high = paired_tests.tango(only_a, only_b, len(groups))
    estimate = paired_tests.mean_difference(a.right[0].astype(float) - b.right[0], strata, groups)
    values = (float(a.right.mean()), float(b.right.mean()))
    estimate, test = replace(estimate, low=low, high=high), paired_tests.mcnemar(only_a, only_b)
    pair = _pair(a, b, "accuracy", values, estimate, test, groups)
    return replace(pair, discordant=paired_tests.discordant(only_a, only_b))


def _balanced(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair:
    return _of_answers(a, b, groups, numbered(a.labels), "balanced_accuracy", seed)


def _of_answers(
    a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], strata: NDArray[np.int64], metric: str, seed: int
) -> Pair:
    of_a, of_b = a.right.mean(axis=0), b.right.mean(axis=0)
    values = (_mean_over(strata, of_a), _mean_over(strata, of_b))
    estimate = paired_tests.mean_difference(of_a - of_b, strata, groups)
    return _pair(a, b, metric, values, estimate, paired_tests.sign_flips(of_a - of_b, strata, groups, seed), groups)


def _area(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair | None:
    of_a, of_b = (mean_area(run.labels, run.probabilities, run.folds) for run in (a, b))
    if of_a is None or of_b is None:
        return None
    estimate, test = area_difference(of_a, of_b, a.labels, groups, seed)
    return _pair(a, b, "auc", (of_a.value, of_b.value), estimate, test, groups)


def _mean_over(strata: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """The mean of the means of all strata."""
    return float((np.bincount(strata, weights=values) / np.bincount(strata)).mean())


def _pair(
    a: RunPredictions, b: RunPredictions, metric: str, values: tuple[float, float], estimate: Estimate, test: Test,
    groups: NDArray[np.int64],
) -> Pair:  # fmt: skip
    unit = SOURCES if a.report.data.groups.known else IMAGES
    return Pair(a.name, b.name, metric, *values, estimate, test, int(groups.max()) + 1, unit)


def _detectable(pair: Pair, pairs: int) -> float | None:
    """At Holm's first and strictest step."""
    least = 2.0 ** (1 - pair.units) if pair.metric != "auc" else 0.0
    value = paired_tests.detectable_difference(pair.estimate, ALPHA / pairs)
    return value if value and value <= 1 and least * pairs < ALPHA else None

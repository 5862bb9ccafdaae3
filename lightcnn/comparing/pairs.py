"""Two runs on the same test images: the difference between them, its interval, and the test whether it is by chance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.comparing.settings import METRICS
from lightcnn.errors import InputError
from lightcnn.evaluation import paired_tests
from lightcnn.evaluation.auc_variance import area_difference, mean_area
from lightcnn.evaluation.paired_tests import ALPHA, Discordant, Estimate, Test

UNITS = {"sources": "groups", "images": "images"}
"""What counts as independent: the value of `unit` in report.json, and the word for it in sentences."""
MAX_LISTED = 8
"""Classes that an error lists."""
ALL = tuple(METRICS)


@dataclass(frozen=True)
class Pair:
    """The difference of run a minus run b in one metric: its 95 % interval, its test, and the detectable difference.

    `p_adjusted` is corrected by Holm for the `pairs` of this metric that `holm` was given. So is `detectable`, the true
    difference that is shown in 80 % of such comparisons; None if not even the largest one would be. `units` is the
    number of images or groups that count as independent, and `unit` which of the two (a key of `UNITS`).
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
        """Whether the runs are shown to differ, after Holm's correction."""
        return self.p_adjusted < ALPHA

    @property
    def unit_name(self) -> str:
        """The word for `unit` in sentences: groups or images."""
        return UNITS[self.unit]

    def document(self) -> dict[str, Any]:
        """One of the `pairs` of report.json."""
        return {
            "a": self.a, "b": self.b, "metric": self.metric, "value_a": self.value_a, "value_b": self.value_b,
            "difference": self.estimate.difference, "low": self.estimate.low, "high": self.estimate.high,
            "test": self.test.name, "p": self.test.p, "p_adjusted": self.p_adjusted, "pairs": self.pairs,
            "shown": self.shown, "detectable": self.detectable, "units": self.units, "unit": self.unit,
            "discordant": self.discordant and asdict(self.discordant),
        }  # fmt: skip


def compare_pair(a: RunPredictions, b: RunPredictions, metrics: Sequence[str] = ALL, seed: int = 0) -> list[Pair]:
    """Run a minus run b in each metric, corrected as if this were the only pair; an undefined AUC is left out.

    The mean over the seeds of each run is compared. Raises: InputError if the test images of the runs differ.
    """
    require_same_images(a, b)
    groups = as_numbers(a.groups)
    compare_by = {"accuracy": _compare_accuracy, "balanced_accuracy": _compare_balanced, "auc": _compare_auc}
    pairs = (compare_by[metric](a, b, groups, seed) for metric in metrics)
    return holm([pair for pair in pairs if pair is not None])


def holm(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs with p values corrected for the number of pairs of each metric."""
    adjusted: dict[int, Pair] = {}
    for metric in dict.fromkeys(pair.metric for pair in pairs):
        family = [(place, pair) for place, pair in enumerate(pairs) if pair.metric == metric]
        values = paired_tests.holm([pair.test.p for _, pair in family])
        for (place, pair), p in zip(family, values, strict=True):
            detectable = _detectable(pair, len(family))
            adjusted[place] = replace(pair, p_adjusted=p, pairs=len(family), detectable=detectable)
    return [adjusted[place] for place in range(len(pairs))]


def all_pairs(runs: Sequence[RunPredictions], metrics: Sequence[str] = ALL, seed: int = 0) -> list[Pair]:
    """Every pair of runs in every metric, metric by metric. Raises: InputError if test images differ."""
    pairs = [pair for a, b in combinations(runs, 2) for pair in compare_pair(a, b, metrics, seed)]
    return holm(sorted(pairs, key=lambda pair: metrics.index(pair.metric)))


def require_same_images(a: RunPredictions, b: RunPredictions) -> None:
    """Raises: InputError that names the first difference between the test images of two runs."""
    difference = next(_differences(a, b), None)
    if difference is not None:
        raise InputError(f"compare: {a.path} and {b.path} cannot be compared: {difference}")


def scores_of(run: RunPredictions) -> dict[str, tuple[float, float, float] | None]:
    """Value, low and high (95 %) of a run by metric: from its report.json, else computed over the mean of its seeds.

    None for an undefined AUC.
    """
    reported = {metric: run.report.score(metric) for metric in METRICS}
    computed = {} if all(reported.values()) else _compute_scores(run)
    return {
        metric: computed.get(metric) if score is None else (score.value, score.low, score.high)
        for metric, score in reported.items()
    }


def as_numbers(names: NDArray[Any]) -> NDArray[np.int64]:
    """Groups or labels (N,) as numbers from 0, without gaps."""
    return np.asarray(np.unique(names, return_inverse=True)[1], dtype=np.int64)


def _compute_scores(run: RunPredictions) -> dict[str, tuple[float, float, float]]:
    """Value, low and high by metric, from the predictions alone; an undefined AUC is left out."""
    correct, groups, classes = run.correct.mean(axis=0), as_numbers(run.groups), as_numbers(run.labels)
    scores = {}
    for metric, strata in (("accuracy", np.zeros_like(classes)), ("balanced_accuracy", classes)):
        counts = np.bincount(strata)
        means = np.bincount(strata, weights=correct) / counts
        value, components = float(means.mean()), (correct - means[strata]) / (counts * len(counts))[strata]
        scores[metric] = (value, *paired_tests.score_interval(value, components, groups))
    if (area := mean_area(run.labels, run.probabilities, run.folds)) is not None:
        interval = paired_tests.score_interval(area.value, area.components, groups)
        scores["auc"] = (area.value, *interval)
    return scores


def _differences(a: RunPredictions, b: RunPredictions) -> Iterator[str]:
    """Every reason why two runs cannot be compared, with its remedy."""
    remedy = "train both on the same data with the same --seed, or give the data a split"
    if a.classes != b.classes:
        reordered = sorted(a.classes) == sorted(b.classes)
        what = "their classes are in a different order" if reordered else "their classes differ"
        yield f"{what}: {_format_list(a.classes)} and {_format_list(b.classes)}; train both on the same classes"
    if a.fold_count != b.fold_count:
        yield f"they have {a.fold_count} and {b.fold_count} folds (1: a single split); train both with the same --folds"
    if a.images != b.images:
        yield f"{_format_other_images(a, b)}; {remedy}"
        return
    for name, differ in (("label", a.labels != b.labels), ("group", a.groups != b.groups)):
        if differ.any():
            example = a.images[int(differ.argmax())]
            yield f"the {name} of {int(differ.sum()):,} test images differs, for example of {example}; {remedy}"
    if a.pixels and b.pixels:
        differ = np.array(a.pixels) != np.array(b.pixels)
        if differ.any():
            example = a.images[int(differ.argmax())]
            yield f"the pixels of {int(differ.sum()):,} test images differ, for example of {example}; {remedy}"
    elif a.report.data.fingerprint != b.report.data.fingerprint:
        prints = " and ".join(run.report.data.fingerprint[:12] for run in (a, b))
        yield f"the fingerprints of their data differ, {prints}: pixels, labels, groups or splits differ; {remedy}"


def _format_other_images(a: RunPredictions, b: RunPredictions) -> str:
    """How many test images only one of two runs has, by their pixels if both have hashes, else by their paths."""
    hashed = bool(a.pixels and b.pixels)
    paths_a, paths_b = (dict(zip(run.pixels if hashed else run.images, run.images, strict=True)) for run in (a, b))
    only_a, only_b = (
        sorted(path for key, path in paths.items() if key not in other)
        for paths, other in ((paths_a, paths_b), (paths_b, paths_a))
    )
    example = [*only_a, *only_b, a.images[0]][0]
    return (
        f"their test sets differ: {len(a.images):,} and {len(b.images):,} images, {len(only_a):,} only in the first "
        f"and {len(only_b):,} only in the second, for example {example}"
    )


def _format_list(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - MAX_LISTED} more" if len(classes) > MAX_LISTED else ""
    return ", ".join(classes[:MAX_LISTED]) + more


def _compare_accuracy(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair:
    """McNemar and Tango if each run has one prediction per group, else sign flips and t."""
    strata = np.zeros(len(groups), dtype=np.int64)
    if groups.max() + 1 < len(groups) or len(a.seeds) > 1 or len(b.seeds) > 1:
        return _compare_means(a, b, groups, strata, "accuracy", seed)
    only_a, only_b = int((a.correct[0] & ~b.correct[0]).sum()), int((b.correct[0] & ~a.correct[0]).sum())
    low, high = paired_tests.tango(only_a, only_b, len(groups))
    estimate = paired_tests.mean_difference(a.correct[0].astype(float) - b.correct[0], strata, groups)
    values = (float(a.correct.mean()), float(b.correct.mean()))
    estimate, test = replace(estimate, low=low, high=high), paired_tests.mcnemar(only_a, only_b)
    pair = _make_pair(a, b, "accuracy", values, estimate, test, groups)
    return replace(pair, discordant=paired_tests.discordant(only_a, only_b))


def _compare_balanced(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair:
    return _compare_means(a, b, groups, as_numbers(a.labels), "balanced_accuracy", seed)


def _compare_means(
    a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], strata: NDArray[np.int64], metric: str, seed: int
) -> Pair:
    """Sign flips and the adjusted t interval of the mean over strata (N,) of the share of correct predictions."""
    correct_a, correct_b = a.correct.mean(axis=0), b.correct.mean(axis=0)
    values = (_mean_over(strata, correct_a), _mean_over(strata, correct_b))
    estimate = paired_tests.mean_difference(correct_a - correct_b, strata, groups)
    test = paired_tests.sign_flips(correct_a - correct_b, strata, groups, seed)
    return _make_pair(a, b, metric, values, estimate, test, groups)


def _compare_auc(a: RunPredictions, b: RunPredictions, groups: NDArray[np.int64], seed: int) -> Pair | None:
    """DeLong's test and interval; None if the AUC is undefined."""
    area_a, area_b = (mean_area(run.labels, run.probabilities, run.folds) for run in (a, b))
    if area_a is None or area_b is None:
        return None
    estimate, test = area_difference(area_a, area_b, a.labels, groups, seed)
    return _make_pair(a, b, "auc", (area_a.value, area_b.value), estimate, test, groups)


def _mean_over(strata: NDArray[np.int64], values: NDArray[np.float64]) -> float:
    """The mean of the means of all strata."""
    return float((np.bincount(strata, weights=values) / np.bincount(strata)).mean())


def _make_pair(
    a: RunPredictions, b: RunPredictions, metric: str, values: tuple[float, float], estimate: Estimate, test: Test,
    groups: NDArray[np.int64],
) -> Pair:  # fmt: skip
    unit = "sources" if a.groups_known else "images"
    return Pair(a.name, b.name, metric, *values, estimate, test, int(groups.max()) + 1, unit)


def _detectable(pair: Pair, pairs: int) -> float | None:
    """The detectable difference at the first and strictest step of Holm's correction; None if there is none."""
    smallest_p = 2.0 ** (1 - pair.units) if pair.metric != "auc" else 0.0
    value = paired_tests.detectable_difference(pair.estimate, ALPHA / pairs)
    return value if value and value <= 1 and smallest_p * pairs < ALPHA else None

"""How often the 95 % intervals of scores contain the truth, on simulated predictions whose truth is known.

    python tests/benchmarks/coverage.py [--quick]

Groups have 1 to 8 images of one class; all sizes and both classes have the same probability. The correlation is that of
predictions, or of scores, within a group. The probability that a prediction is correct is drawn for each group from a
beta distribution. For areas and losses, scores are normal with a standard deviation of 1 in both classes, and
probabilities are computed from them exactly. In the columns `any` the truth is drawn uniformly for each repetition,
from 0.50 to 0.99 (areas: 0.60 to 0.98). They show the mean coverage, by which intervals of shares are judged (Newcombe,
Statist. Med. 17, 1998; Brown, Cai and DasGupta, Statist. Sci. 16, 2001), because for a single truth the number of
correct predictions takes few values. Intervals are computed as in `lightcnn.evaluation.scores`; every cell checks that
they are equal.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import expit
from scipy.stats import binom, norm
from sklearn.metrics import average_precision_score

from lightcnn.evaluation.bootstrap import DRAWS, GroupedScores, draw_counts, leave_one_out_counts
from lightcnn.evaluation.intervals import BootstrapDraws, Interval, bounded_interval, loss_interval, wilson
from lightcnn.evaluation.sample_size import MIN_GROUPS_PER_CLASS
from lightcnn.evaluation.scores import scores

CORRELATIONS = (0.0, 0.3, 0.8)
COUNTED = ("accuracy", "sensitivity", "F1", "images", "percentiles")
RANKED = ("AUC", "PR-AUC", "Brier", "log loss")
SHARES, UNDER = np.linspace(0.5, 0.99, 50), np.linspace(0.6, 0.98, 20)
"""Truths from which the columns `any` draw: shares of correct predictions, areas under the ROC curve."""


def groups_of(count: int, random: np.random.Generator, fewest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Number of images of each group, and its class, both (count,); each class has at least `fewest` groups."""
    while True:
        labels = random.integers(0, 2, count)
        if fewest <= labels.sum() <= count - fewest:
            return random.integers(1, 9, count), labels


def counted(count: int, correlation: float, share: float | None, repetitions: int) -> dict[str, float]:
    """Coverage for predictions that are correct with probability `share`, which is also the truth of each score."""
    random = np.random.default_rng([1, count, int(100 * correlation), int(100 * (share or 0))])
    times = np.concatenate([*draw_counts(count, DRAWS), *leave_one_out_counts(count, count)])
    fixed, covered = share, {name: [] for name in COUNTED}
    for repetition in range(repetitions):
        share = random.choice(SHARES) if fixed is None else fixed
        sizes, labels = groups_of(count, random)
        spread = (1 - correlation) / correlation if correlation else 0
        chance = random.beta(share * spread, (1 - share) * spread, count) if correlation else share
        right = random.binomial(sizes, chance)
        taken = np.where(labels == 1, right, sizes - right)
        either = np.where(labels == 1, sizes, taken)
        columns = np.stack([right, sizes, labels * right, labels * sizes, taken], axis=1)
        drawn, whole = times @ columns, columns.sum(axis=0)
        with np.errstate(invalid="ignore"):
            values = {
                "accuracy": (whole[0] / whole[1], drawn[:, 0] / drawn[:, 1], sizes),
                "sensitivity": (whole[2] / whole[3], drawn[:, 2] / drawn[:, 3], sizes[labels == 1]),
                "F1": (2 * whole[2] / whole[3:].sum(), 2 * drawn[:, 2] / drawn[:, 3:].sum(axis=1), either[either > 0]),
            }  # fmt: skip
        values["F1"][1][drawn[:, 3] == 0] = np.nan
        intervals = {
            name: bounded_interval(value, draws(of, len(units), count, units.sum() ** 2 / (units**2).sum()))
            for name, (value, of, units) in values.items()
        }
        intervals["images"] = Interval(*wilson(whole[0], whole[1]), "")
        intervals["percentiles"] = Interval(*np.percentile(values["accuracy"][1][:DRAWS], (2.5, 97.5)), "")
        for name, interval in intervals.items():
            covered[name].append(contains(interval, share))
        if not repetition:
            of_image = np.repeat(labels, sizes)
            answers = np.concatenate([np.arange(n) < k for n, k in zip(sizes, right, strict=True)])
            predicted = np.where(answers, of_image, 1 - of_image)
            require_same(of_image, np.eye(2)[predicted], sizes, {"accuracy": intervals["accuracy"],
                 "sensitivity": intervals["sensitivity"], "f1": intervals["F1"]})  # fmt: skip
    return {name: float(np.mean(of)) for name, of in covered.items()}


def ranked(count: int, correlation: float, area: float | None, repetitions: int) -> dict[str, float]:
    """Coverage for areas and losses of scores whose area under the ROC curve is `area`."""
    random = np.random.default_rng([2, count, int(100 * correlation), int(100 * (area or 0))])
    times = np.concatenate([*draw_counts(count, DRAWS), *leave_one_out_counts(count, count)])
    fixed, covered = area, {name: [] for name in RANKED}
    for repetition in range(repetitions):
        distance, truth = of_population(random.choice(UNDER) if fixed is None else fixed)
        sizes, classes = groups_of(count, random, MIN_GROUPS_PER_CLASS)  # with fewer no interval is given
        codes = np.repeat(np.arange(count), sizes)
        labels = classes[codes]
        noise = np.sqrt(correlation) * random.normal(size=count)[codes]
        scored = distance * (labels - 0.5) + noise + np.sqrt(1 - correlation) * random.normal(size=len(codes))
        probability = expit(distance * scored)
        losses = [(probability - labels) ** 2, -np.log(np.where(labels, probability, 1 - probability))]
        curve = GroupedScores.of(labels == 1, probability, codes)
        areas, value = curve.areas(times.T), curve.areas(np.ones((count, 1)))
        fewest = min(classes.sum(), count - classes.sum())
        intervals = {
            name: bounded_interval(float(of[0]), draws(drawn, fewest, count))
            for name, of, drawn in zip(RANKED[:2], value, areas, strict=True)
        }
        for name, loss in zip(RANKED[2:], losses, strict=True):
            drawn = (times @ np.bincount(codes, weights=loss)) / (times @ sizes)
            intervals[name] = loss_interval(float(loss.mean()), draws(drawn, count, count))
        for name, interval in intervals.items():
            covered[name].append(contains(interval, truth[name]))
        if not repetition:
            intervals_by_key = dict(zip(("auc", "pr_auc", "brier", "log_loss"), intervals.values(), strict=True))
            require_same(labels, np.stack([1 - probability, probability], axis=1), sizes, intervals_by_key)
    return {name: float(np.mean(of)) for name, of in covered.items()}


@cache
def of_population(area: float, images: int = 2_000_000) -> tuple[float, dict[str, float]]:
    """The distance of the classes in standard deviations, and the truth, estimated on many images."""
    distance, labels = float(np.sqrt(2) * norm.ppf(area)), np.arange(images) % 2
    scored = distance * (labels - 0.5) + np.random.default_rng(3).normal(size=images)
    probability = expit(distance * scored)
    return distance, {
        "AUC": float(area),
        "PR-AUC": float(average_precision_score(labels, probability)),
        "Brier": float(((probability - labels) ** 2).mean()),
        "log loss": float(-np.log(np.where(labels, probability, 1 - probability)).mean()),
    }


def draws(values: np.ndarray, units: float, count: int, even: float | None = None) -> BootstrapDraws:
    """Draws of a bootstrap over `count` groups."""
    return BootstrapDraws(values[:DRAWS], values[DRAWS:], count, float(units), "group", even)


def contains(interval: Interval, truth: float) -> bool:
    """Whether the interval contains the truth."""
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


def require_same(
    labels: np.ndarray, probabilities: np.ndarray, sizes: np.ndarray, intervals: dict[str, Interval]
) -> None:
    """Raises: SystemExit if lightcnn reports another interval."""
    groups = np.repeat([f"{place:06}" for place in range(len(sizes))], sizes)
    report = scores(labels, probabilities, groups=groups)
    for name, interval in intervals.items():
        if not np.allclose([report[name]["low"], report[name]["high"]], [interval.low, interval.high], atol=1e-6):
            raise SystemExit(f"{name}: {interval} here, {report[name]} in the report")


def table(
    names: tuple[str, ...], truths: tuple[float | None, ...], sizes: tuple[int, ...],
    simulate: Callable[[int, float, float | None, int], dict[str, float]], repetitions: int,
) -> None:  # fmt: skip
    """Prints coverage in per cent: rows are numbers of groups and correlations, columns are scores and truths."""
    print(f"{repetitions:,} repetitions")
    width = max(7, 13 // len(truths))
    print(f"{'':20}" + "".join(f"{name:>{width * len(truths)}}" for name in names))
    heads = [f"{'any' if truth is None else f'{truth:.2f}':>{width}}" for truth in truths]
    print(f"{'groups  correlation':20}" + "".join(heads) * len(names))
    for count in sizes:
        for correlation in CORRELATIONS:
            cells = [simulate(count, correlation, truth, repetitions) for truth in truths]
            shown = "".join(f"{100 * cell[name]:{width}.1f}" for name in names for cell in cells)
            print(f"{count:6}  {correlation:11.1f} {shown}", flush=True)


def exactly(truths: tuple[float, ...], sizes: tuple[int, ...]) -> None:
    """Prints the exact coverage of Wilson's interval for independent images, from the binomial distribution."""
    print(f"{'images, Wilson exactly':23}" + "".join(f"{truth:7.2f}" for truth in truths))
    for size in sizes:
        correct = np.arange(size + 1)
        ends = np.array([wilson(count, size) for count in correct])
        coverage = [
            binom.pmf(correct, size, truth)[(ends[:, 0] <= truth) & (truth <= ends[:, 1])].sum() for truth in truths
        ]
        print(f"{size:23}" + "".join(f"{100 * share:7.1f}" for share in coverage))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="Run a twentieth of the repetitions.")
    options = parser.parse_args()
    start, part = time.perf_counter(), 20 if options.quick else 1
    exactly((0.6, 0.8, 0.95), (10, 20, 50, 150))
    table(COUNTED, (None,), (10, 20, 50, 150), counted, 4_000 // part)
    table(RANKED, (None,), (30, 50, 150), ranked, 4_000 // part)
    table(COUNTED, (0.6, 0.8, 0.95), (10, 20, 50, 150), counted, 1_000 // part)
    print("The columns are truths of the area under the ROC curve.")
    table(RANKED, (0.7, 0.9, 0.97), (30, 50, 150), ranked, 1_000 // part)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()

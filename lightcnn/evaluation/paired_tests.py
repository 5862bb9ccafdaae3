"""Compares two sets of predictions for the same images: tests and 95 % intervals of the difference.

`differences` (N,) are from -1 to 1: how often one run classified an image correctly, minus how often the other did.
Images of one group (for example a patient) count as one observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from lightcnn.evaluation.intervals import Z, wilson

ALPHA, POWER = 0.05, 0.8
EXACT_BELOW = 25
"""Number of discordant pairs below which McNemar's test is exact."""
MAX_ENUMERATED = 14
"""Maximum number of groups for which all sign flips are enumerated."""
FLIP_DRAWS = 10_000
"""Number of random sign flips if there are more groups."""
MAX_SIGNS = 4_000_000
"""About how many signs are in memory at once."""


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval, standard error and degrees of freedom (infinite: normal distribution)."""

    difference: float
    low: float | None
    high: float | None
    standard_error: float
    degrees: float


@dataclass(frozen=True)
class Test:
    """A two-sided p value and the name of the test."""

    p: float
    name: str


@dataclass(frozen=True)
class Effect:
    """An effect size with its 95 % interval; what is not finite is None."""

    value: float | None
    low: float
    high: float | None


@dataclass(frozen=True)
class Discordant:
    """How many images only one run classified correctly, and effect sizes, which are None without such images.

    Cohen's g is the share of `only_a` minus a half; the odds ratio is `only_a` over `only_b`.
    """

    only_a: int
    only_b: int
    cohens_g: Effect | None
    odds_ratio: Effect | None


def mcnemar(only_a: int, only_b: int) -> Test:
    """McNemar's test (Psychometrika 12, 1947): exact under `FEW` discordant pairs, else chi-square.

    It has no continuity correction, which would make it needlessly conservative (Fagerland, Lydersen and Laake, BMC
    Medical Research Methodology 13:91, 2013).
    """
    count = only_a + only_b
    if count == 0:
        return Test(1.0, "McNemar, exact")
    if count < EXACT_BELOW:
        return Test(float(stats.binomtest(only_a, count, 0.5).pvalue), "McNemar, exact")
    return Test(float(stats.chi2.sf((only_a - only_b) ** 2 / count, 1)), "McNemar, chi-square")


def tango(only_a: int, only_b: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a paired difference of proportions (Tango, Statistics in Medicine 17, 1998).

    It inverts the score test, of which McNemar's test is the special case of no difference.
    """
    difference = (only_a - only_b) / count

    def distance(at: float) -> float:
        linear = -only_a - only_b + (2 * count - only_a + only_b) * at
        root = math.sqrt(max(0.0, linear**2 + 8 * count * only_b * at * (1 - at)))
        share = (root - linear) / (4 * count)
        variance = count * (2 * share + at * (1 - at))
        gap = only_a - only_b - count * at
        return gap**2 - Z**2 * max(0.0, variance)

    return _crossing(distance, difference, -1.0), _crossing(distance, difference, 1.0)


def discordant(only_a: int, only_b: int) -> Discordant:
    """Effect sizes of independent pairs, with exact intervals by Clopper and Pearson (Biometrika 26, 1934)."""
    count = only_a + only_b
    if count == 0:
        return Discordant(0, 0, None, None)
    interval = stats.binomtest(only_a, count, 0.5).proportion_ci(0.95)
    low, high = float(interval.low), float(interval.high)
    g = Effect(only_a / count - 0.5, low - 0.5, high - 0.5)
    ratio = Effect(only_a / only_b if only_b else None, low / (1 - low), high / (1 - high) if high < 1 else None)
    return Discordant(only_a, only_b, g, ratio)


def mean_difference(differences: NDArray[np.float64], strata: NDArray[np.int64], groups: NDArray[np.int64]) -> Estimate:
    """The mean over strata of the mean difference in each, with an interval that is valid for few and similar groups.

    `strata` (N,) are numbers from 0: all 0 for accuracy, the labels for balanced accuracy. The interval is the adjusted
    one of Bonett and Price (J. Educational and Behavioral Statistics 37, 2012; for strata Price and Bonett,
    Computational Statistics and Data Analysis 45, 2004), extended to groups: a t interval of sums over `groups` (N,)
    with two pseudo-groups of mean size, one fully in favour of each run, distributed over the strata. It therefore has
    a width even if the two runs never differ. Degrees of freedom: the number of groups in the smallest stratum, plus 1.
    """
    counts = np.bincount(strata)
    sums = np.bincount(strata, weights=differences)
    group_counts = np.array([len(np.unique(groups[strata == stratum])) for stratum in range(len(counts))])
    size, share = counts / group_counts, 1 / len(counts)
    centres = sums / (counts + 2 * share * size)
    scale = share / (counts + 2 * share * size)
    observed = np.bincount(groups, weights=(differences - centres[strata]) * scale[strata])
    pseudo = np.concatenate([(sign - centres) * size * scale for sign in (-1, 1)])
    total = len(observed) + 2
    error = math.sqrt(total / (total - 1) * float(observed @ observed + share * pseudo @ pseudo))
    degrees = int(group_counts.min()) + 1
    margin = float(stats.t.ppf(1 - ALPHA / 2, degrees)) * error
    centre, difference = float(centres.mean()), float((sums / counts).mean())
    return Estimate(difference, max(-1.0, centre - margin), min(1.0, centre + margin), error, degrees)


def sign_flips(
    differences: NDArray[np.float64], strata: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> Test:
    """A permutation test that exchanges the two runs in whole groups, for the mean over strata of `mean_difference`.

    The p value is the share of exchanges with a difference at least as large as the observed one.
    """
    weights = (1 / np.bincount(strata) / (strata.max() + 1))[strata]
    return flip_signs(np.bincount(groups, weights=differences * weights), seed)


def flip_signs(sums: NDArray[Any], seed: int) -> Test:
    """How often the sum of values (G,) with flipped signs is at least as far from 0 as with the observed signs.

    All signs are enumerated if at most `MAX_ENUMERATED` values differ from 0, else `FLIP_DRAWS` are drawn, and the
    observed signs are counted too (Phipson and Smyth, Stat. Appl. Genetics and Molecular Biology 9, 2010).
    """
    sums = sums[np.abs(sums) > 1e-12]
    bound, count = abs(float(sums.sum())) - 1e-12, len(sums)
    if count == 0:
        return Test(1.0, "sign flips, all")
    if count <= MAX_ENUMERATED:
        bits = np.arange(2**count)[:, None] >> np.arange(count) & 1
        hits = int((np.abs((2 * bits - 1) @ sums) >= bound).sum())
        return Test(hits / 2**count, "sign flips, all")
    random, hits = np.random.default_rng([seed, 7]), 0
    for start in range(0, FLIP_DRAWS, step := max(1, MAX_SIGNS // count)):
        signs = 2 * random.integers(0, 2, (min(step, FLIP_DRAWS - start), count), dtype=np.int8) - 1
        hits += int((np.abs(signs @ sums) >= bound).sum())
    return Test((1 + hits) / (1 + FLIP_DRAWS), f"sign flips, {FLIP_DRAWS:,} draws")


def score_interval(value: float, components: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float]:
    """The 95 % interval of one run's score, from the contribution of each image to it: components (N,) around 0.

    It is Wilson's on the number of independent images with the same variance as the sums over groups (Dean and Pagano,
    J. Survey Statistics and Methodology 3, 2015), or on the number of groups if the sums do not vary.
    """
    sums = np.bincount(groups, weights=components)
    variance, total = float(sums @ sums), float(len(sums))
    if variance > 1e-24 and 0 < value < 1:
        quantile = Z if total == len(components) else float(stats.t.ppf(1 - ALPHA / 2, total - 1))
        total = value * (1 - value) / variance * (Z / quantile) ** 2
    return wilson(value * total, total)


def holm(values: Sequence[float]) -> list[float]:
    """p values adjusted for multiple tests, in the same order (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(values, kind="stable")
    scaled = np.asarray(values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(p) for p in adjusted]


def detectable_difference(estimate: Estimate, alpha: float = ALPHA) -> float:
    """The true difference that a test at level `alpha` would detect with a probability of `POWER`."""
    distribution = stats.norm if math.isinf(estimate.degrees) else stats.t(estimate.degrees)
    return float(distribution.ppf(1 - alpha / 2) + distribution.ppf(POWER)) * estimate.standard_error


def _crossing(distance: Callable[[float], float], inside: float, edge: float) -> float:
    """Where `distance` becomes positive between the estimate `inside` and the limit `edge`; else the edge."""
    if inside == edge or distance(edge) <= 0:
        return edge
    # Slightly away from the estimate, where `distance` may be zero.
    return float(optimize.brentq(distance, inside + 1e-9 * (edge - inside), edge))

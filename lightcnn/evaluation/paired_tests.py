"""Two sets of answers about the same images: tests and 95 % intervals of the difference. numpy and scipy only.

What is compared are `differences` (N,) from -1 to 1: whether, or how often, one run was right about an image, less the
same of the other. Images of one group (a patient, a source) count as one witness.
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
"""Discordant pairs below which McNemar's test is exact."""
MAX_ENUMERATED = 14
"""Groups up to which all sign flips are tried."""
FLIP_DRAWS = 10_000
MAX_SIGNS = 4_000_000
"""Signs that are held at once."""


@dataclass(frozen=True)
class Estimate:
    """A difference with its 95 % interval, standard error and degrees of freedom (infinite for a normal law)."""

    difference: float
    low: float | None
    high: float | None
    standard_error: float
    degrees: float


@dataclass(frozen=True)
class Test:
    """A two-sided p and the test's name."""

    p: float
    name: str


@dataclass(frozen=True)
class Effect:
    """An effect size with its 95 % interval; None where it is not finite."""

    value: float | None
    low: float
    high: float | None


@dataclass(frozen=True)
class Discordant:
    """How many images one run alone got right, and effect sizes, which are None where there is no such image.

    Cohen's g is the share of `only_a` less a half; the odds ratio is `only_a` over `only_b`.
    """

    only_a: int
    only_b: int
    cohens_g: Effect | None
    odds_ratio: Effect | None


def mcnemar(only_a: int, only_b: int) -> Test:
    """McNemar's test (Psychometrika 12, 1947): exact under `FEW` discordant pairs, else chi-square.

    Without continuity correction, which makes the test needlessly timid (Fagerland, Lydersen and Laake, BMC Medical
    Research Methodology 13:91, 2013).
    """
    count = only_a + only_b
    if count == 0:
        return Test(1.0, "McNemar, exact")
    if count < EXACT_BELOW:
        return Test(float(stats.binomtest(only_a, count, 0.5).pvalue), "McNemar, exact")
    return Test(float(stats.chi2.sf((only_a - only_b) ** 2 / count, 1)), "McNemar, chi-square")


def tango(only_a: int, only_b: int, count: int) -> tuple[float, float]:
    """The 95 % score interval of a paired difference of proportions (Tango, Statistics in Medicine 17, 1998).

    It inverts the score test of which McNemar's is the case of no difference.
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
    """Effect sizes of independent pairs, with the exact intervals of Clopper and Pearson (Biometrika 26, 1934)."""
    count = only_a + only_b
    if count == 0:
        return Discordant(0, 0, None, None)
    interval = stats.binomtest(only_a, count, 0.5).proportion_ci(0.95)
    low, high = float(interval.low), float(interval.high)
    g = Effect(only_a / count - 0.5, low - 0.5, high - 0.5)
    ratio = Effect(only_a / only_b if only_b else None, low / (1 - low), high / (1 - high) if high < 1 else None)
    return Discordant(only_a, only_b, g, ratio)


def mean_difference(differences: NDArray[np.float64], strata: NDArray[np.int64], groups: NDArray[np.int64]) -> Estimate:
    """The mean over strata of the mean difference in each, with an interval that holds where groups are few and alike.

    `strata` (N,) number from 0: all 0 for accuracy, the labels for balanced accuracy. The t interval from sums over
    `groups` (N,) with two imagined groups of mean size, one wholly for each side, shared out over the strata: the
    adjusted interval of Bonett and Price (J. Educational and Behavioral Statistics 37, 2012; for strata Price and
    Bonett, Computational Statistics and Data Analysis 45, 2004) carried over to groups. So it has a width also where
    the two never differ. Degrees of freedom: groups of the stratum that has fewest, plus one.
    """
    counts = np.bincount(strata)
    sums = np.bincount(strata, weights=differences)
    held = np.array([len(np.unique(groups[strata == stratum])) for stratum in range(len(counts))])
    size, share = counts / held, 1 / len(counts)
    centres = sums / (counts + 2 * share * size)
    scale = share / (counts + 2 * share * size)
    seen = np.bincount(groups, weights=(differences - centres[strata]) * scale[strata])
    imagined = np.concatenate([(sign - centres) * size * scale for sign in (-1, 1)])
    total = len(seen) + 2
    error = math.sqrt(total / (total - 1) * float(seen @ seen + share * imagined @ imagined))
    degrees = int(held.min()) + 1
    reach = float(stats.t.ppf(1 - ALPHA / 2, degrees)) * error
    centre, difference = float(centres.mean()), float((sums / counts).mean())
    return Estimate(difference, max(-1.0, centre - reach), min(1.0, centre + reach), error, degrees)


def sign_flips(
    differences: NDArray[np.float64], strata: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> Test:
    """The two runs are exchanged in whole groups: how often is the difference then as large as it is?

    For the mean over strata, as in `mean_difference`.
    """
    weights = (1 / np.bincount(strata) / (strata.max() + 1))[strata]
    return flip_signs(np.bincount(groups, weights=differences * weights), seed)


def flip_signs(sums: NDArray[Any], seed: int) -> Test:
    """How often a sum over groups (G,), each with either sign, is as far from 0 as with the signs that they have.

    All signs where at most `ENUMERATED` groups differ, else `FLIPS` draws, the observed one counted (Phipson and Smyth,
    Stat. Appl. Genetics and Molecular Biology 9, 2010).
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
    """The 95 % interval of one run's score, from what each image adds to it: components (N,) around 0.

    Wilson's, on as many images as would spread as much as the sums over groups do (Dean and Pagano, J. Survey
    Statistics and Methodology 3, 2015); on the groups where these do not spread.
    """
    sums = np.bincount(groups, weights=components)
    variance, total = float(sums @ sums), float(len(sums))
    if variance > 1e-24 and 0 < value < 1:
        quantile = Z if total == len(components) else float(stats.t.ppf(1 - ALPHA / 2, total - 1))
        total = value * (1 - value) / variance * (Z / quantile) ** 2
    return wilson(value * total, total)


def holm(values: Sequence[float]) -> list[float]:
    """p adjusted for their number, in their order (Holm, Scandinavian Journal of Statistics 6, 1979)."""
    order = np.argsort(values, kind="stable")
    scaled = np.asarray(values, dtype=float)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(scaled))
    return [float(p) for p in adjusted]


def detectable_difference(estimate: Estimate, alpha: float = ALPHA) -> float:
    """The true difference that a test at level `alpha` would find with a probability of `POWER`."""
    law = stats.norm if math.isinf(estimate.degrees) else stats.t(estimate.degrees)
    return float(law.ppf(1 - alpha / 2) + law.ppf(POWER)) * estimate.standard_error


def _crossing(distance: Callable[[float], float], inside: float, edge: float) -> float:
    """Where `distance` turns positive between the estimate and an edge of what is possible, or the edge."""
    if inside == edge or distance(edge) <= 0:
        return edge
    # Off the estimate, where `distance` may touch zero.
    return float(optimize.brentq(distance, inside + 1e-9 * (edge - inside), edge))

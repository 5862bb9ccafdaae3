"""95 % intervals: Wilson's for shares of independent images, and for others from a bootstrap of whole groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""
REPORTED_SHARE = 0.05
"""If more than this share of draws is undefined, the method of the interval states how many."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, and how it was computed; both are None if no interval can be given."""

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True, eq=False)
class BootstrapDraws:
    """One score in each draw of a bootstrap (draws,), and with each group left out (groups,) or ().

    It is NaN if undefined. `unit` is what was drawn, "group" or "image", `drawn` their number, and `units` the number
    that the score is based on. For a share of images, `equal` is the number of groups of equal size with the same
    weight (Kish, Survey Sampling, 1965): the effective sample size if all images of a group are classified alike.
    """

    values: NDArray[np.float64]
    without: NDArray[np.float64]
    drawn: int
    units: float
    unit: str
    equal: float | None = None

    @property
    def method(self) -> str:
        """How the draws were made."""
        text = f"bootstrap of {self.drawn:,} {self.unit}s, {len(self.values):,} draws"
        lost = int(np.isnan(self.values).sum())
        return text + (f", {lost:,} undefined draws left out" if lost > REPORTED_SHARE * len(self.values) else "")

    def spread(self) -> tuple[float, float]:
        """The standard error, and the quantile of Student's t for it; the error is 0 if the draws do not differ.

        If the contributions of G groups to the variance have kurtosis k, it has 2 G / (k - 1) degrees of freedom
        (Satterthwaite, Biometrics 2, 1946): fewer than G - 1 if a few groups contribute most of the variance.
        """
        from scipy.stats import t

        defined, without = (values[~np.isnan(values)] for values in (self.values, self.without))
        if self.units < 2 or len(defined) < 2 or np.ptp(defined) < 1e-12:
            return 0.0, Z
        error = float(defined.std(ddof=1)) * math.sqrt(self.drawn / (self.drawn - 1))
        freedom = self.drawn - 1.0
        if len(without) and np.ptp(without) > 1e-12:
            squares = (without - without.mean()) ** 2
            kurtosis = len(squares) * float((squares**2).sum()) / float(squares.sum()) ** 2
            freedom = min(freedom, 2 * len(squares) / max(kurtosis - 1, 1e-9))
        return error, float(t.ppf(0.975, max(1.0, freedom)))


def wilson(correct: float, total: float, quantile: float = Z) -> tuple[float, float]:
    """The 95 % score interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share = correct / total
    centre = share + quantile**2 / (2 * total)
    spread = quantile * math.sqrt(share * (1 - share) / total + quantile**2 / (4 * total**2))
    scale = 1 + quantile**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bounded_interval(value: float, draws: BootstrapDraws, lowest: float = 0.0) -> Interval:
    """The interval of a score from `lowest` to 1: Wilson's on the effective sample size (Dean and Pagano, 2015).

    That is the number of independent images whose score would have the same spread as the draws. If the draws do not
    differ, for example because all predictions are correct, it is Wilson's on the units. It is never wider than
    Wilson's on the groups of equal size with the same weight.
    """
    share = min(1.0, max(0.0, (value - lowest) / (1 - lowest)))
    error, quantile = draws.spread()
    error /= 1 - lowest
    if error and 0 < share < 1:
        total, method = share * (1 - share) / error**2, draws.method
        if draws.equal and quantile**2 / total > Z**2 / draws.equal:
            total, quantile = float(draws.equal), Z
            method = f"Wilson on {math.floor(total):,} {draws.unit}s of equal size; the bootstrap's would be wider"
    else:
        total, quantile, method = max(1.0, draws.units), Z, f"Wilson on {math.floor(draws.units):,} {draws.unit}s"
    low, high = wilson(share * total, total, quantile)
    return Interval(lowest + low * (1 - lowest), lowest + high * (1 - lowest), method)


def loss_interval(value: float, draws: BootstrapDraws) -> Interval:
    """The interval of a loss, which is symmetric on a logarithmic scale."""
    error, quantile = draws.spread()
    if not error or value <= 0:
        return Interval(None, None, f"none: the {draws.unit}s do not differ")
    factor = math.exp(quantile * error / value)
    return Interval(value / factor, value * factor, draws.method)

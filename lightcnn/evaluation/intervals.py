"""95 % intervals: Wilson's for shares of independent images, and Wilson's shape around a bootstrap of whole groups."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Z = 1.959963984540054
"""The normal distribution's 97.5 % point."""
REPORTED_SHARE = 0.05
"""Share of undefined draws from which an interval says how many were left out."""


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, and how it was found; both None where nothing can be said."""

    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True, eq=False)
class BootstrapDraws:
    """One score in every draw of a bootstrap (draws,), and with each group left out (groups,) or ().

    NaN where it is undefined. `unit` names what was drawn, group or image, `drawn` counts them, and `units` those that
    the score rests on. `even`, of a share of images, is how many groups of one size weigh as much as these (Kish,
    Survey Sampling, 1965): were all images of a group right or wrong together, they would be so many answers.
    """

    values: NDArray[np.float64]
    without: NDArray[np.float64]
    drawn: int
    units: float
    unit: str
    even: float | None = None

    @property
    def method(self) -> str:
        """In words."""
        said = f"bootstrap of {self.drawn:,} {self.unit}s, {len(self.values):,} draws"
        lost = int(np.isnan(self.values).sum())
        return said + (f", {lost:,} undefined ones left out" if lost > REPORTED_SHARE * len(self.values) else "")

    def spread(self) -> tuple[float, float]:
        """The standard error, and the point of Student's t that belongs to it; 0 where the draws do not differ.

        A variance of groups whose shares in it have kurtosis k is known as well as one of 2 G / (k - 1) degrees of
        freedom (Satterthwaite, Biometrics 2, 1946): fewer than G - 1 where a few groups make most of the spread.
        """
        from scipy.stats import t

        defined, without = (of[~np.isnan(of)] for of in (self.values, self.without))
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
    """The 95 % interval of a proportion (E. B. Wilson, JASA 22, 1927)."""
    share = correct / total
    centre = share + quantile**2 / (2 * total)
    spread = quantile * math.sqrt(share * (1 - share) / total + quantile**2 / (4 * total**2))
    scale = 1 + quantile**2 / total
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def bounded_interval(value: float, draws: BootstrapDraws, lowest: float = 0.0) -> Interval:
    """Of a score from `lowest` to 1: Wilson's on as many images as would spread as much (Dean and Pagano, 2015).

    The spread is that of the draws. Where they have none, as when every answer is right, it is Wilson's on the units;
    and where a few groups make it so uncertain that it would be wider than on the even groups, it is Wilson's on those.
    """
    share = min(1.0, max(0.0, (value - lowest) / (1 - lowest)))
    error, quantile = draws.spread()
    error /= 1 - lowest
    if error and 0 < share < 1:
        total, method = share * (1 - share) / error**2, draws.method
        if draws.even and quantile**2 / total > Z**2 / draws.even:
            total, quantile = float(draws.even), Z
            method = f"Wilson on {math.floor(total):,} {draws.unit}s of one size, than which the bootstrap's is wider"
    else:
        total, quantile, method = max(1.0, draws.units), Z, f"Wilson on {math.floor(draws.units):,} {draws.unit}s"
    low, high = wilson(share * total, total, quantile)
    return Interval(lowest + low * (1 - lowest), lowest + high * (1 - lowest), method)


def loss_interval(value: float, draws: BootstrapDraws) -> Interval:
    """Of a loss: symmetric on the scale of its logarithm."""
    error, quantile = draws.spread()
    if not error or value <= 0:
        return Interval(None, None, f"none: the {draws.unit}s do not differ")
    factor = math.exp(quantile * error / value)
    return Interval(value / factor, value * factor, draws.method)

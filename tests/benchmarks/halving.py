"""How long the first rung should be, and how many networks should be compared in a given time, and by which factor.

    python tests/benchmarks/halving.py [tests/benchmarks/prior_table.jsonl] [--searches 4000]

The table has finished trainings with their log loss at several lengths. From these, made-up networks are drawn: the
logarithms of their log losses at all lengths are normal, with the correlations that the trainings have (each data set
standardised, then pooled by budget). Each made-up search compares as many of them as its time allows: at the first
rung, the best 1/factor of those (two at least) at a rung of factor times the length, and so on. The two best at the
last rung are trained to the end, and the better one is delivered. With the factor 1, all are compared at one length.

A row is a factor and a first rung, a column the time for comparing, in final trainings. A value is by how many standard
deviations the logarithm of the log loss of the delivered network is below that of a random one, on average, and in
brackets the networks compared. All values of a column are of the same networks. A search that could compare fewer than
four is left out. How far the correlations of few trainings can be trusted is not part of it.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FACTORS = (1, 2, 3, 4)
TIMES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Images for comparing, in those of a final training."""
MAX_RUNGS, FINALISTS, MIN_NETWORKS = 3, 2, 4
"""As in a search."""
MIN_TRAININGS = 5
"""A data set with fewer trainings has no correlations of its own."""


@dataclass(frozen=True)
class Curves:
    """How the log losses of networks at several lengths, the last of which is the end, go together.

    `lengths` are images (L,) in ascending order, `correlations` (L, L) those of the logarithms of the log losses.
    """

    lengths: NDArray[np.float64]
    correlations: NDArray[np.float64]
    trainings: int

    def draw(self, networks: int, random: np.random.Generator) -> NDArray[np.float64]:
        """Standardised log losses (networks, L); the lower, the better."""
        zeros = np.zeros(len(self.lengths))
        return random.multivariate_normal(zeros, self.correlations, size=networks, method="eigh")

    def at(self, drawn: NDArray[np.float64], images: float, random: np.random.Generator) -> NDArray[np.float64]:
        """The log losses (networks,) at a length between two of the table's, in proportion to its logarithm.

        A mean of two varies less than each, so it gets the noise that it lacks.
        """
        after = int(np.clip(np.searchsorted(self.lengths, images), 1, len(self.lengths) - 1))
        first, second = np.log(self.lengths[after - 1 : after + 1])
        shares = np.array([second - math.log(images), math.log(images) - first]) / (second - first)
        both = slice(after - 1, after + 1)
        lacking = max(0.0, 1 - shares @ self.correlations[both, both] @ shares)
        return np.asarray(drawn[:, both] @ shares + math.sqrt(lacking) * random.standard_normal(len(drawn)))


@dataclass(frozen=True)
class Halving:
    """A way to compare networks: the first rung in images, and the factor between two rungs."""

    first: int
    factor: int

    def rungs(self, end: float) -> list[int]:
        """The rungs, the last of which is at most half of the final training."""
        count = MAX_RUNGS if self.factor > 1 else 1
        return [rung for place in range(count) if 2 * (rung := self.first * self.factor**place) <= end]

    def kept(self, networks: int, end: float) -> list[int]:
        """How many networks are trained to each rung, and to the end."""
        places = range(len(self.rungs(end)))
        return [*(max(FINALISTS, networks // self.factor**place) for place in places), FINALISTS]

    def images(self, networks: int, end: float) -> int:
        """The images of all rungs. Each network continues from rung to rung."""
        rungs = self.rungs(end)
        steps = zip([0, *rungs[:-1]], rungs, self.kept(networks, end)[:-1], strict=True)
        return sum(count * (rung - before) for before, rung, count in steps)

    def networks(self, images: float, end: float) -> int:
        """The most networks for whose rungs so many images suffice; 0 if they suffice for none."""
        most = int(images / self.first)
        return next((count for count in range(most, 0, -1) if self.images(count, end) <= images), 0)

    def delivered(self, curves: Curves, drawn: NDArray[np.float64], random: np.random.Generator) -> float:
        """The log loss at the end of the better one of the best networks at the last rung."""
        end = curves.lengths[-1]
        for rung, kept in zip(self.rungs(end), self.kept(len(drawn), end)[1:], strict=True):
            drawn = drawn[np.argsort(curves.at(drawn, rung, random))[:kept]]
        return float(drawn[:, -1].min())


def read_curves(rows: Sequence[dict[str, Any]]) -> Curves:
    """The curves of the trainings of one budget and length."""
    by_data: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for row in rows:
        by_data[row["data"]].append([*row["rungs"], row["end"] | {"images": row["images"]}])
    tables = [trainings for trainings in by_data.values() if len(trainings) >= MIN_TRAININGS]
    pooled = np.concatenate([standardised(trainings) for trainings in tables])
    lengths = np.array([float(point["images"]) for point in tables[0][0]])
    return Curves(lengths, np.corrcoef(pooled.T), len(pooled))


def standardised(trainings: Sequence[Sequence[dict[str, Any]]]) -> NDArray[np.float64]:
    """The logarithms of the log losses (trainings, lengths), with mean 0 and standard deviation 1 at each length."""
    losses = np.log([[point["averaged"]["log_loss"] for point in training] for training in trainings])
    return np.asarray((losses - losses.mean(0)) / losses.std(0, ddof=1))


def print_table(curves: Curves, searches: int) -> None:
    """Prints one row a factor and first rung."""
    end, random = curves.lengths[-1], np.random.default_rng(0)
    ways = [Halving(int(first), factor) for factor in FACTORS for first in curves.lengths if 2 * first <= end]
    compared = {(way, time): way.networks(time * end, end) for way in ways for time in TIMES}
    compared = {row: networks for row, networks in compared.items() if networks >= MIN_NETWORKS}
    sums = dict.fromkeys(compared, 0.0)
    for _, time in product(range(searches), TIMES):
        drawn = curves.draw(max(networks for (_, other), networks in compared.items() if other == time), random)
        for way in ways:
            if networks := compared.get((way, time)):
                sums[way, time] -= way.delivered(curves, drawn[:networks], random)
    print("factor  first rung" + "".join(f"{time:>12g}" for time in TIMES))
    for way in ways:
        cells = [
            f"{sums[key] / searches:.2f} ({compared[key]})" if key in compared else ""
            for key in ((way, time) for time in TIMES)
        ]
        print(f"{way.factor:>6}{way.first:>12,}" + "".join(f"{cell:>12}" for cell in cells), flush=True)


def main() -> None:
    """Prints the correlations with the end, and the table, of each budget."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path, nargs="?", default=Path(__file__).parent / "prior_table.jsonl")
    parser.add_argument("--searches", type=int, default=4_000)
    options = parser.parse_args()
    by_budget: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for line in options.table.read_text().splitlines():
        row = json.loads(line)
        by_budget[row["budget"], row["images"]].append(row)
    for (budget, images), rows in by_budget.items():
        curves = read_curves(rows)
        print(f"\n{budget}, trained to {images:,} images: {curves.trainings} trainings")
        ranks = zip(curves.lengths[:-1], curves.correlations[-1], strict=False)
        print("correlation with the end: " + ", ".join(f"{rank:.2f} at {length:,.0f}" for length, rank in ranks))
        print_table(curves, options.searches)


if __name__ == "__main__":
    main()

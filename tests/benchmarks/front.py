"""How good the Pareto fronts are that one search of several bands finds, and several searches of one band each.

python tests/benchmarks/front.py [--seeds 60] [--trials 30 60] [--strategies surrogate evolution tpe random]

Each seed is one table of the family in `made_up_table.py`: entries of 0.2 to 4 million multiply-adds, in five bands.
A score is the accuracy with the noise of one training. `bands`: one study whose trials propose in the bands in turn.
`separate`: for each band one study with a fifth of the trials. `one`: one study that proposes anywhere in the range.
Regret: at 17 costs, how far the true accuracy of the best scored entry up to this cost is below that of the best entry
up to it, in points; the mean over costs and seeds, with its standard error.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

import numpy as np
import optuna
from evaluations import MAX_MUTATIONS, NOISE, PROPOSALS
from made_up_table import Entry, WidthDepthTable
from numpy.typing import NDArray

from lightcnn.searching.strategies.base import Bands, randomness, visible_study
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.trials.storage import Outcome

LOW, HIGH, BANDS = 200_000, 4_000_000, 5
COSTS = np.geomspace(1.4 * LOW, HIGH, 17)
"""Multiply-adds at which the front is judged; with the cheapest ones, some searches have no entry."""


class Scored(NamedTuple):
    """An entry, its score in points, and its true accuracy."""

    entry: Entry
    score: float
    value: float


def search(
    spaces: Sequence[WidthDepthTable], values: NDArray[np.float64], strategy: str, seed: int, trials: int
) -> list[Scored]:
    """The entries that one study scores."""
    bands, entries = Bands(tuple(spaces)), list[Scored]()
    genes, known = spaces[0].genes(), set[str]()
    for number in range(trials):
        outcomes = [_outcome(index, scored) for index, scored in enumerate(entries)]
        promises = {index: scored.score / 100 for index, scored in enumerate(entries)}
        trial = optuna.trial.create_trial(value=0.0)
        trial.number = number
        space = spaces[bands.order[bands.turn(number)]]
        study = visible_study(genes, outcomes, promises)
        shape = bands.start(number) or PROPOSALS[strategy](space, study, trial, seed)
        random = randomness(seed, number, "fit")
        entry = space.candidate(shape, random)
        for _ in range(MAX_MUTATIONS):
            if entry.key in known:
                entry = space.candidate(space.mutate(entry.shape, random), random)
        known.add(entry.key)
        value = float(values[entry.row])
        entries.append(Scored(entry, value + Random(f"{seed}/{entry.key}").gauss(0, NOISE), value))
    return entries


def _outcome(number: int, scored: Scored) -> Outcome:
    entry, utilities = scored.entry, {1: scored.score / 100}
    return Outcome(number, "complete", "", entry.key, entry.shape, utilities, 1.0, 1.0, utilities)


def regret(table: WidthDepthTable, values: NDArray[np.float64], entries: Sequence[Scored]) -> float:
    """The mean over `COSTS`."""
    losses = []
    for cost in COSTS:
        within = [scored for scored in entries if scored.entry.macs <= cost]
        reached = max(within, key=lambda scored: scored.score).value if within else values.min()
        losses.append(values[table.macs <= cost].max() - reached)
    return float(np.mean(losses))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=60)
    parser.add_argument("--trials", type=int, nargs="+", default=[30, 60])
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(PROPOSALS))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = WidthDepthTable(LOW, HIGH)
    parts = [table.band(low, high) for low, high in pairwise(np.geomspace(LOW, HIGH, BANDS + 1))]
    ways: dict[str, Callable[[NDArray[np.float64], str, int, int], list[Scored]]] = {
        "bands": lambda values, name, seed, trials: search(parts, values, name, seed, trials),
        "separate": lambda values, name, seed, trials: [
            scored for part in parts for scored in search([part], values, name, seed, trials // BANDS)
        ],
        "one": lambda values, name, seed, trials: search([table], values, name, seed, trials),
    }
    print(f"{options.seeds} tables of {len(table)} candidates in {BANDS} bands")
    print(f"{'trials':>6}  {'strategy':<11}{'study':<10}{'regret':>7}{'error':>7}{'CPU s':>7}")
    for trials in options.trials:
        for name in options.strategies:
            for way, run in ways.items():
                start, regrets = time.process_time(), []
                for seed in range(options.seeds):
                    values = table.values(seed)
                    regrets.append(regret(table, values, run(values, name, seed, trials)))
                error = np.std(regrets, ddof=1) / np.sqrt(len(regrets))
                seconds = time.process_time() - start
                print(
                    f"{trials:>6}  {name:<11}{way:<10}{np.mean(regrets):>7.3f}{error:>7.3f}{seconds:>7.0f}", flush=True
                )


if __name__ == "__main__":
    main()

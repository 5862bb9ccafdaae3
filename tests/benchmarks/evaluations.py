"""How many evaluations each strategy needs on made-up tables until its best network is within 0.1 point of the optimum.

python tests/benchmarks/evaluations.py [--seeds 200] [--limit 200] [--lag 1] [--strategies surrogate tpe gp]

Each seed is one table of the family in `made_up_table.py`. A score is the accuracy with the noise of one training; the
best network is the one with the best score so far. Strategies read the networks that were scored, as in a search, not
the proposals from which these were made. With `--lag L`, a proposal reads the scores of trials up to L before
it, as with L workers. Seeds that reach the limit count as the limit.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from itertools import count, islice
from random import Random

import numpy as np
import optuna
from made_up_table import Entry, WidthDepthTable
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, create_trial

from lightcnn.searching.strategies.base import (
    Bands,
    SeededSampler,
    Shapes,
    Strategy,
    decode,
    distributions,
    encode,
    randomness,
)
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.strategies.random import propose_random
from lightcnn.searching.strategies.table import FUNCTIONS
from lightcnn.space import Shape

NOISE = 0.1
"""Standard deviation of a score, in points: that of one training in shared notes on Fashion-MNIST."""
NEAR = 0.1
"""Points below the optimum that count as reached."""
MAX_MUTATIONS = 10
"""Mutations of an entry that was already scored, as in a search."""


def propose_by_gp(shapes: Shapes, study: optuna.Study, trial: FrozenTrial, seed: int, /) -> Shape:
    """Optuna's Gaussian process over the genes, which needs torch."""
    sampler = optuna.samplers.GPSampler(n_startup_trials=8, seed=randomness(seed, trial.number, "gp").getrandbits(32))
    params = sampler.sample_relative(study, trial, distributions(shapes.genes()))
    return decode(shapes.genes(), params) if params else propose_random(shapes, study, trial, seed)


PROPOSALS: Mapping[str, Strategy] = {**FUNCTIONS, "gp": propose_by_gp}
"""The strategies of lightcnn, and Optuna's Gaussian process for comparison."""


def evaluations(
    table: WidthDepthTable, values: NDArray[np.float64], strategy: str, seed: int, *, limit: int, lag: int
) -> int:
    """Trials until the entry with the best score is within `NEAR` of the best value; at most `limit`."""
    best = -np.inf
    for number, (entry, trial) in enumerate(islice(trials(table, values, strategy, seed, lag=lag), limit), start=1):
        assert trial.value is not None
        if trial.value > best:
            best = trial.value
            if values[entry.row] >= values.max() - NEAR:
                return number
    return limit


def trials(
    table: WidthDepthTable, values: NDArray[np.float64], strategy: str, seed: int, *, lag: int
) -> Iterator[tuple[Entry, FrozenTrial]]:
    """The entries of a search without an end, and the trials that have scored them."""
    study, sampler = (
        optuna.create_study(direction="maximize"),
        SeededSampler(Bands((table,)), PROPOSALS[strategy], seed),
    )
    waiting: deque[FrozenTrial] = deque()
    known: set[str] = set()
    for number in count():
        entry = _entry(table, sampler, study, number, seed, known)
        known.add(entry.key)
        score = values[entry.row] + Random(f"{seed}/{entry.key}").gauss(0, NOISE)
        waiting.append(scored(table, entry, score / 100))
        yield entry, waiting[-1]
        if len(waiting) == lag:
            study.add_trial(waiting.popleft())


def _entry(
    table: WidthDepthTable, sampler: SeededSampler, study: optuna.Study, number: int, seed: int, known: set[str]
) -> Entry:
    """The entry of one trial; one that is known is replaced by a mutation."""
    random, asked = randomness(seed, number, "fit"), study.ask()
    proposal = copy(study.get_trials(deepcopy=False)[asked.number])
    proposal.number = number  # as in a search
    entry = table.candidate(decode(table.genes(), sampler.sample_relative(study, proposal, {})), random)
    for _ in range(MAX_MUTATIONS):
        if entry.key in known:
            entry = table.candidate(table.mutate(entry.shape, random), random)
    return entry


def scored(table: WidthDepthTable, entry: Entry, score: float) -> FrozenTrial:
    """A trial that has trained this entry, as proposals read it."""
    return create_trial(
        value=score,
        params={name: encode(value) for name, value in entry.shape.items()},
        distributions=distributions(table.genes()),
        user_attrs={"shape": dict(entry.shape)},
        intermediate_values={1: score},
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--lag", type=int, default=1)
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=list(PROPOSALS))
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = WidthDepthTable()
    tables = {seed: table.values(seed) for seed in range(options.first, options.first + options.seeds)}
    near = np.mean([(values >= values.max() - NEAR).mean() for values in tables.values()])
    print(
        f"{len(tables)} tables of {len(table)} candidates, {near:.1%} within {NEAR} of the optimum, lag {options.lag}"
    )
    print(f"{'strategy':<11}{'median':>8}{'mean':>8}{'90 %':>8}{'at limit':>10}{'CPU s':>8}")
    for strategy in options.strategies:
        start = time.process_time()
        counts = [
            evaluations(table, values, strategy, seed, limit=options.limit, lag=options.lag)
            for seed, values in tables.items()
        ]
        _print_row(strategy, counts, options.limit, time.process_time() - start)


def _print_row(strategy: str, counts: Sequence[int], limit: int, seconds: float) -> None:
    numbers = f"{np.median(counts):>8.1f}{np.mean(counts):>8.1f}{np.quantile(counts, 0.9):>8.1f}"
    print(f"{strategy:<11}{numbers}{np.mean(np.array(counts) == limit):>10.1%}{seconds:>8.0f}", flush=True)


if __name__ == "__main__":
    main()

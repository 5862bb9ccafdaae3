"""How good the networks are that each strategy proposes, on made-up accuracies over a real search space.

python tests/benchmarks/proposals.py [--seeds 20] [--trials 50] [--budget 1MFLOPs]

Each seed draws a function of a network from a family with the structure of a width/depth space: smooth optima in input
size, depth, parameters and the shares of the stages in the multiply-adds, effects of categories and of pairs of them,
and a penalty for bottlenecks. A score is its value with noise. The table shows the regret: how far the true value of
the network with the best score so far is below the best value known, in points, median and mean over the seeds.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import mean, median

from lightcnn.budget import Budget
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.searching.trials.halving import Fidelity, FunctionEvaluator, Rungs
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.place import StudyFile
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.space import SearchSpace

NOISE = 0.1
"""Standard deviation of a score, in points: that of one training in shared notes on Fashion-MNIST."""
CLIMBS, STEPS, SAMPLES = 4, 150, 400
"""The best value known is that of hill climbs from the best of random samples, and of all proposals."""


class MadeUpAccuracy:
    """One function of the family, in points; higher is better."""

    def __init__(self, space: BudgetedSpace, seed: int) -> None:
        random = Random(seed)
        self._space = space
        stages = len(space.space.stages) + 1
        self._size, self._params = random.uniform(2.9, 3.6), random.uniform(9.0, 12.5)
        self._shares = [random.uniform(0.05, 0.5) for _ in range(stages)]
        self._weights = [random.uniform(0.5, 3.0) for _ in range(stages)]
        self._effects = {
            (gene.name, option): random.gauss(0, 0.15)
            for gene in space.genes() if not gene.ordered for option in gene.options
        }  # fmt: skip
        names = [gene.name for gene in space.genes()]
        self._pairs = [(random.choice(names), random.choice(names), random.gauss(0, 0.2)) for _ in range(8)]

    def __call__(self, candidate: Candidate) -> float:
        shape, total = candidate.shape, candidate.cost
        value = 92.0 - 1.5 * (math.log(candidate.spec.input[1]) - self._size) ** 2
        value -= 0.15 * (math.log(total.params) - self._params) ** 2
        macs = self._space.space.stage_macs(shape)
        for share, weight, count in zip(self._shares, self._weights, macs, strict=True):
            value -= weight * (count / total.macs - share) ** 2
        widths = [shape[name] for name in sorted(shape) if name.endswith(".width")]
        value -= 0.3 * sum(max(0.0, math.log2(8 / width)) for width in widths)
        value += sum(self._effects.get((name, option), 0.0) for name, option in shape.items())
        ranks = {g.name: g.options.index(shape[g.name]) / len(g.options) - 0.5 for g in self._space.genes()}
        return value + sum(effect * ranks[a] * ranks[b] * 4 for a, b, effect in self._pairs)


def proposals(
    space: BudgetedSpace, accuracy: Callable[[Candidate], float], strategy: str, seed: int, trials: int
) -> list[float]:
    """The true value of the network with the best score after each trial."""
    values: list[float] = []
    best = -math.inf

    def score(candidate: Candidate, fidelity: Fidelity) -> float:
        nonlocal best
        value = accuracy(candidate)
        noisy = value + Random(f"{seed}/{candidate.key}").gauss(0, NOISE)
        values.append(value if noisy > best else values[-1])
        best = max(best, noisy)
        return noisy / 100

    class Clock:
        def elapsed(self) -> float:
            return 0.0

        def allows(self, seconds: float) -> bool:
            return True

    with tempfile.TemporaryDirectory() as folder:
        file = StudyFile(Path(folder) / "study.db")
        searcher = Searcher(space, file, strategy=strategy, seed=seed, rungs=Rungs((1,)), fingerprint={})
        run_trials(searcher, FunctionEvaluator(score), trials=trials, clock=Clock())
    return values + [values[-1]] * (trials - len(values))


def best_known(space: BudgetedSpace, accuracy: Callable[[Candidate], float], seed: int) -> float:
    """The largest value that hill climbs from the best of many samples find."""
    random = Random(seed)
    samples = sorted((space.candidate(space.draw(random), random) for _ in range(SAMPLES)), key=accuracy)[-CLIMBS:]
    best = -math.inf
    for candidate in samples:
        for _ in range(STEPS):
            child = space.candidate(space.mutate(candidate.shape, random), random)
            candidate = max(candidate, child, key=accuracy)
        best = max(best, accuracy(candidate))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--budget", default="1MFLOPs")
    options = parser.parse_args()
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse(options.budget))
    marks = [n for n in (10, 20, 30, 50, 100) if n <= options.trials]
    regrets: dict[str, list[list[float]]] = {name: [] for name in STRATEGIES}
    for seed in range(options.seeds):
        accuracy = MadeUpAccuracy(space, seed)
        runs = {name: proposals(space, accuracy, name, seed, options.trials) for name in STRATEGIES}
        top = max(best_known(space, accuracy, seed), *(max(run) for run in runs.values()))
        for name, run in runs.items():
            regrets[name].append([top - run[n - 1] for n in marks])
        print(f"seed {seed}: " + ", ".join(f"{name} {regrets[name][-1][-1]:.2f}" for name in STRATEGIES), flush=True)
    print(f"\nregret in points after so many trials: median (mean) over {options.seeds} functions")
    print("strategy   " + "".join(f"{n:>16}" for n in marks))
    for name, rows in regrets.items():
        cells = [f"{median(column):.2f} ({mean(column):.2f})" for column in zip(*rows, strict=True)]
        print(f"{name:<11}" + "".join(f"{cell:>16}" for cell in cells))


if __name__ == "__main__":
    main()

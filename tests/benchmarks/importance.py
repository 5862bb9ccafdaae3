"""How many networks the importance of genes needs, on made-up tables: `MIN_IMPORTANCE_NETWORKS` of a search's report.

python tests/benchmarks/importance.py [--seeds 40] [--networks 8 12 16 20 30 60]

A search by `surrogate` proposes networks from a table of `made_up_table.py`, whose scores have the noise of a training.
From the scores of the first of them, the importance of the genes is computed as a report does from predicted scores. It
is compared with that in 2,000 draws from the whole table, without noise: their rank correlation, and how often the most
important gene is the same, or is among the two most important ones there. By chance, these are 0, one divided by the
number of genes, and twice that.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from random import Random

import numpy as np
import optuna
from evaluations import scored, trials
from made_up_table import WidthDepthTable
from numpy.typing import NDArray
from optuna.trial import FrozenTrial
from scipy.stats import spearmanr

from lightcnn.searching.report.predictions import gene_shares

REFERENCE = 2_000
"""Entries from which the reference is computed."""


def importance(given: Sequence[FrozenTrial], names: Sequence[str], seed: int) -> NDArray[np.float64]:
    """The share of every gene (G,), from the scores of these trials."""
    study = optuna.create_study(direction="maximize")
    study.add_trials(given)
    shares = gene_shares(study, seed)
    return np.array([shares[name] for name in names])


def reference(
    table: WidthDepthTable, values: NDArray[np.float64], names: Sequence[str], seed: int
) -> NDArray[np.float64]:
    """The shares (G,) in entries drawn from the whole table, without noise."""
    random = Random(seed)
    entries = [table.candidate(table.draw(random), random) for _ in range(REFERENCE)]
    return importance([scored(table, entry, values[entry.row] / 100) for entry in entries], names, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--networks", type=int, nargs="+", default=[8, 12, 16, 20, 30, 60])
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = WidthDepthTable()
    names = [gene.name for gene in table.genes()]
    agreements: dict[str, list[tuple[float, bool, bool]]] = {}
    for seed in range(options.seeds):
        values = table.values(seed)
        expected = reference(table, values, names, seed)
        searched = [
            trial for _, trial in islice(trials(table, values, "surrogate", seed, lag=1), max(options.networks))
        ]
        shares = {f"{count} networks": importance(searched[:count], names, seed) for count in options.networks}
        for name, of_genes in shares.items():
            agreements.setdefault(name, []).append(agreement(of_genes, expected))
    print(f"{options.seeds} tables, {len(names)} genes")
    print(f"{'':<14}{'rank correlation':>18}{'same first gene':>18}{'among first two':>18}")
    for name, rows in agreements.items():
        correlation, first, two = np.mean(rows, axis=0)
        print(f"{name:<14}{correlation:>18.2f}{first:>18.0%}{two:>18.0%}")


def agreement(shares: NDArray[np.float64], expected: NDArray[np.float64]) -> tuple[float, bool, bool]:
    """The rank correlation, and whether the largest share is that of the first, or of the first two, of `expected`."""
    order = list(np.argsort(-expected))
    place = order.index(int(shares.argmax()))
    return float(spearmanr(shares, expected).statistic), place == 0, place < 2


if __name__ == "__main__":
    main()

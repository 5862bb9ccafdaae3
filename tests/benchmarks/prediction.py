"""How well the final score is predicted from short trainings, on a table of networks that were trained to the end.

    python tests/benchmarks/prediction.py fidelity_table.json

The table lists networks of `micro` at 1 MFLOPs with validation accuracies along the way, as in `curve_of_120k`,
`after_120k` and `after_1M`. Printed is Spearman's rank correlation with the accuracy after a million images, of the
accuracies at each length, and of the predictions from what a search would know.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from scipy.stats import spearmanr

from lightcnn.budget import Budget
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.strategies.predictor import predict_utility
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import SearchSpace

FINAL = 1_020_000
SIZE = 28


def utilities(network: dict[str, Any]) -> dict[int, float]:
    """Minus the logarithm of the error by images, of averaged weights while the learning rate is high."""
    curve = {int(name.split()[0]): value for name, value in network["curve_of_120k"].items() if "averaged" in name}
    return {images: -math.log(1 - value) for images, value in {**curve, 120_000: network["after_120k"]}.items()}


def known(space: BudgetedSpace, networks: list[dict[str, Any]], lengths: list[list[int]]) -> list[Outcome]:
    """What is known of the networks if each has been scored at so many images."""
    outcomes = []
    for number, (network, images) in enumerate(zip(networks, lengths, strict=True)):
        stored = {name: tuple(v) if isinstance(v, list) else v for name, v in network["shape"].items()}
        shape = {gene.name: stored.get(gene.name, gene.options[0]) for gene in space.genes()}
        curve = utilities(network)
        scores = {length: curve[length] for length in images}
        outcomes.append(Outcome(number, "running", "", str(number), shape, scores, 1.0, 1.0, scores))
    return outcomes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    networks = json.loads(parser.parse_args().table.read_text())["networks"]
    networks = [network for network in networks if network.get("after_1M")]
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, SIZE), Budget.parse("1MFLOPs"))
    truth = [network["after_1M"] for network in networks]
    lengths = sorted(utilities(networks[0]))
    print(f"{len(networks)} networks; rank correlation with the accuracy after a million images")
    for length in lengths:
        scores = [utilities(network)[length] for network in networks]
        print(f"  accuracy after {length:>7,}: {spearmanr(scores, truth).statistic:5.2f}")
    ranked = sorted(range(len(networks)), key=lambda number: -utilities(networks[number])[lengths[1]])
    best, few = set(ranked[: len(ranked) // 3]), set(ranked[: len(ranked) // 6])
    scenarios = {
        f"all at {lengths[0]:,}": [lengths[:1]] * len(networks),
        f"all at {lengths[0]:,} and {lengths[1]:,}": [lengths[:2]] * len(networks),
        "the same, a third and a sixth longer": [
            lengths[: 2 + (number in best) + (number in few)] for number in range(len(networks))
        ],
        f"all up to {lengths[2]:,}": [lengths[:3]] * len(networks),
        f"all up to {lengths[3]:,}": [lengths[:4]] * len(networks),
    }
    for name, images in scenarios.items():
        predicted = predict_utility(space, known(space, networks, images), FINAL)
        print(f"  predicted, {name}: {spearmanr(predicted, truth).statistic:5.2f}")


if __name__ == "__main__":
    main()

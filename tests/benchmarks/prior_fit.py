"""`prior.py fit`: the prior and the portfolio that a table gives, and what they are worth on data that they lack."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prior_mean import FEATURES, Prior, prior_features
from prior_model import Group, Matrix, fit_prior, rank_correlation

from lightcnn.cost import cost
from lightcnn.space import SearchSpace, Shape

SHORT = (12_000, 48_000)
"""Images of the short trainings whose scores are compared with the prior."""
PORTFOLIO, FIRST_FEW = 8, 3
"""Shapes of the portfolio at most; so many of them should contain a network near the best known."""
MIN_NETWORKS = 4
"""Networks of a data set and budget from which differences are learned, and on which ranks are checked."""
Row = dict[str, Any]


def family(data: str) -> str:
    """The name of a data set without its options, folder and ending: all variants of one are left out together."""
    return Path(data.partition(":")[0]).stem


def groups_by_data(rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
    """The rows by data set and budget, in the order of their shapes."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row["number"]):
        groups.setdefault((row["data"], row["budget"]), []).append(row)
    return groups


def features_of(rows: Sequence[Row]) -> Matrix:
    """The features (N, F) of the networks of one data set."""
    row = rows[0]
    return network_features([r["shape"] for r in rows], row["channels"], row["classes"], row["data_size"])


def network_features(shapes: Sequence[Shape], channels: int, classes: int, data_size: int) -> Matrix:
    """The features (N, F) of shapes of the space `micro`."""
    space = SearchSpace.load("micro").for_data(channels, classes, data_size)
    specs = [space.spec(shape) for shape in shapes]
    return np.array([prior_features(cost(spec), spec.input[1], data_size) for spec in specs])


def targets_of(rows: Sequence[Row], images: int) -> Matrix:
    """Minus the logarithm of the log loss (N,) of the rows after that many images."""
    scores = [next(s for s in (*row["rungs"], row["end"]) if s["images"] == images) for row in rows]
    return np.array([-math.log(max(score["averaged"]["log_loss"], 1e-6)) for score in scores])


def prior_of(rows: Sequence[Row]) -> Prior:
    """The prior that the rows give; data sets and budgets with few networks are left out."""
    groups, trainings = [], 0
    for members in groups_by_data(rows).values():
        if len(members) < MIN_NETWORKS:
            continue
        trainings += len(members)
        features, first = features_of(members), members[0]
        for score in (*first["rungs"], first["end"]):
            targets = targets_of(members, score["images"])
            groups.append(Group(family(first["data"]), features, targets, score["images"], first["train_images"]))
    return fit_prior(groups, trainings)


def enough(rows: Sequence[Row]) -> bool:
    """Whether a prior can be made of the rows."""
    return any(len(members) >= MIN_NETWORKS for members in groups_by_data(rows).values())


def signals(
    prior: Prior, features: Matrix, short: Sequence[Matrix], images: int, train_images: int
) -> dict[str, Matrix]:
    """What may rank networks at the end: the prior, what it has to beat, and short scores with their expected gain."""
    end = prior.mean(features, images, train_images)
    values = {"prior": end, "params": features[:, 1], "input": features[:, 0]}
    for length, scores in zip(SHORT, short, strict=True):
        gain = end - prior.mean(features, length, train_images)
        values |= {f"{length // 1000}k": scores, f"{length // 1000}k+prior": scores + gain}
    return values


def on_rows(prior: Prior, members: Sequence[Row]) -> dict[str, float]:
    """Rank correlations of the signals with the log loss at the end of the trainings of one group."""
    end, train_images = members[0]["end"]["images"], members[0]["train_images"]
    short = [targets_of(members, length) for length in SHORT]
    values = signals(prior, features_of(members), short, end, train_images)
    return {name: rank_correlation(signal, targets_of(members, end)) for name, signal in values.items()}


def on_fidelity_table(prior: Prior, file: Path) -> dict[str, float]:
    """Rank correlations of the signals with the accuracy after a million images in `fidelity_table.json`."""
    networks = [n for n in json.loads(file.read_text(encoding="utf-8"))["networks"] if "after_1M" in n]
    features = network_features([network["shape"] for network in networks], 1, 10, 28)
    short = [
        np.array([-math.log(1 - network["curve_of_120k"][f"{images} images, averaged"]) for network in networks])
        for images in (12_032, 48_000)
    ]
    values = signals(prior, features, short, 1_020_000, 51_000)
    return {name: rank_correlation(signal, [n["after_1M"] for n in networks]) for name, signal in values.items()}


def print_effects(prior: Prior) -> None:
    """Prints the effect of each feature at the compared length, and how it changes with the length."""
    print(f"\n{'one doubling of':40}{'effect':>9}{'per doubling of images':>24}{'of passes':>11}")
    for name, first, second, third in zip(FEATURES, *prior.effects, strict=True):
        print(f"{name:40}{first:9.3f}{second:24.3f}{third:11.3f}")


def print_correlations(rows: Sequence[Row], fidelity: Path | None) -> None:
    """Prints how a prior of all other data sets ranks each data set and budget at the end of the training."""
    print(f"\n{'left out':60}{'networks':>9}{'prior':>7}{'params':>7}{'input':>7}", end="")
    print("".join(f"{f'{length // 1000}k':>7}{f'{length // 1000}k+prior':>10}" for length in SHORT))
    for (data, budget), members in groups_by_data(rows).items():
        rest = without(rows, [family(data)])
        if len(members) >= MIN_NETWORKS and enough(rest):
            _print_line(f"{data} {budget}", len(members), on_rows(prior_of(rest), members))
    rest = without(rows, ["fashion-mnist"])
    if fidelity and enough(rest):
        _print_line("fashion-mnist 1MFLOPs, a million images", 12, on_fidelity_table(prior_of(rest), fidelity))


def without(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of other data sets."""
    return [row for row in rows if family(row["data"]) not in names]


def _print_line(name: str, networks: int, values: dict[str, float]) -> None:
    widths = (7, 7, 7, *(7, 10) * len(SHORT))
    cells = "".join(f"{value:{width}.2f}" for value, width in zip(values.values(), widths, strict=True))
    print(f"{name:60}{networks:9}{cells}")


def portfolio(rows: Sequence[Row]) -> list[tuple[int, float]]:
    """Numbers of shapes, chosen greedily, each with the mean regret of the best of the shapes so far.

    The regret of a set of shapes on a data set and budget is the difference in the logarithm of the log loss between
    the best of them and the best known.
    """
    tables = [targets_by_number(group) for group in groups_by_data(rows).values() if len(group) >= MIN_NETWORKS]
    rest = set.intersection(*(set(table) for table in tables))
    chosen: list[tuple[int, float]] = []
    while rest and len(chosen) < PORTFOLIO:
        numbers = [number for number, _ in chosen]
        best = min(sorted(rest), key=lambda number: regret(tables, [*numbers, number]))
        chosen.append((best, regret(tables, [*numbers, best])))
        rest.remove(best)
    return chosen


def regret(tables: Sequence[dict[int, float]], numbers: Sequence[int]) -> float:
    """The mean regret of the best of the shapes."""
    return float(np.mean([max(table.values()) - max(table[number] for number in numbers) for table in tables]))


def targets_by_number(members: Sequence[Row]) -> dict[int, float]:
    """Minus the logarithm of the final log loss, by the number of the shape."""
    final = targets_of(members, members[0]["end"]["images"])
    return {row["number"]: float(value) for row, value in zip(members, final, strict=True)}


def print_portfolio(rows: Sequence[Row]) -> None:
    """Prints the portfolio, and how its first few do on each data set if it is made without that data set."""
    print("\nstarts:  # number and mean regret of the best so far, in the logarithm of the log loss")
    for number, value in portfolio(rows):
        largest = max((row for row in rows if row["number"] == number), key=lambda row: row["data_size"])
        print(f"  - {json.dumps(largest['shape'])}  # {number}: {value:.3f}")
    print(f"\n{'left out':60}{'start':>8}{'first':>8}{f'best of {FIRST_FEW}':>11}")
    for (data, budget), members in groups_by_data(rows).items():
        rest = without(rows, [family(data)])
        if len(members) >= MIN_NETWORKS and enough(rest):
            table = targets_by_number(members)
            numbers = [number for number, _ in portfolio(rest) if number in table]
            values = (regret([table], some) for some in ([0], numbers[:1], numbers[:FIRST_FEW]))
            print(f"{data + ' ' + budget:60}" + "".join(f"{v:{w}.3f}" for v, w in zip(values, (8, 8, 11), strict=True)))

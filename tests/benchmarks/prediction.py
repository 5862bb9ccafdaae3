"""How well the final score is predicted from short trainings, and with which form of the predictor.

    python tests/benchmarks/prediction.py [--table fidelity_table.json] [--runs RUN ...]

`prior_table.jsonl` lists networks of `micro` that were trained to 96,000 images (0.3 MFLOPs) or 300,000 (1 MFLOPs) of
two data sets. `--table` adds networks at 1 MFLOPs that were trained to a million images of Fashion-MNIST, with
validation accuracies along the way, as in `curve_of_120k`, `after_120k` and `after_1M`. Printed is Spearman's rank
correlation with the end: of the last scores, of a power law through the last two scores of each network alone, and of
the predictions from what a search would know. Forms of the predictor differ in the curvature of learning curves, in
the average of all kernels or the best one alone, in the shares of multiply-adds at each resolution as features, and
in a prior, made of the rows of all other data sets, as mean. `--runs` are folders of searches: how large the error of
the last scores is if they are left out.
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from prior import resolutions
from prior_fit import family, groups_by_data, prior_of, without
from prior_mean import Prior, prior_features
from scipy.stats import spearmanr

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.data.sources.load import describe
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.settings import load_settings
from lightcnn.searching.strategies import gaussian_process, predictor
from lightcnn.searching.trials.place import STUDY_NAME
from lightcnn.searching.trials.storage import Outcome, outcome_of
from lightcnn.space import SearchSpace

PRIOR_TABLE = Path(__file__).with_name("prior_table.jsonl")
LOGARITHM = 1e-9
"""The curvature at which lengths are logarithms."""
ACT = predictor.LEARNING_GENES
network_costs = predictor.network_costs


@dataclass(frozen=True)
class Form:
    """A form of the predictor: see `use`."""

    curvature: float = 0.25
    best_only: bool = False
    genes: tuple[str, ...] = ACT
    resolutions: bool = False
    prior: bool = False


FORMS = {
    "logarithm": Form(LOGARITHM), "0.25, best kernel": Form(best_only=True), "0.25": Form(),
    "0.25, costs alone": Form(genes=()), "0.25, resolutions": Form(resolutions=True), "0.25, prior": Form(prior=True),
    "0.5": Form(0.5), "1": Form(1.0),
}  # fmt: skip
"""`0.25` is what a search uses."""
PEERS = ("last scores", "power law")
HEIGHTS = 6
"""Bands of heights, each twice as high as the one before, from 1 pixel to 32 and more."""
MIN_NETWORKS = 5


@dataclass(frozen=True)
class Table:
    """Networks with the utilities of their trainings by images, the utilities at the end, and the images there."""

    name: str
    space: BudgetedSpace
    shapes: Sequence[Mapping[str, Any]]
    curves: Sequence[Mapping[int, float]]
    ends: Sequence[float]
    images: int
    data_size: int
    train_images: int
    prior: Prior

    def predicted(self, form: str, lengths: Sequence[Sequence[int]]) -> list[float]:
        """The utilities at the end, as the predictor in that form knows them from scores after so many images."""
        use(form)
        known, added = self.outcomes(lengths), self.expected(self.images)
        if not FORMS[form].prior:
            return predictor.CurvePredictor(self.space)(known, self.images)
        for number, outcome in enumerate(known):
            left = {images: value - self.expected(images)[number] for images, value in outcome.utilities.items()}
            known[number] = replace(outcome, scores=left, utilities=left)
        return [value + added[n] for n, value in enumerate(predictor.CurvePredictor(self.space)(known, self.images))]

    def expected(self, images: int) -> NDArray[np.float64]:
        """What the prior expects of each network after so many images, less the mean of all."""
        specs = [self.space.inspect(shape).spec for shape in self.shapes]
        features = [prior_features(cost(spec), spec.input[1], self.data_size) for spec in specs]
        values = self.prior.mean(features, images, self.train_images)
        return np.asarray(values - values.mean())

    def outcomes(self, lengths: Sequence[Sequence[int]]) -> list[Outcome]:
        """What is known if each network has been scored after so many images."""
        known = []
        for number, (shape, curve, images) in enumerate(zip(self.shapes, self.curves, lengths, strict=True)):
            scores = {length: curve[length] for length in images}
            known.append(Outcome(number, "running", "", str(number), shape, scores, 1.0, 1.0, scores))
        return known

    def cases(self) -> Iterator[tuple[str, list[list[int]]]]:
        """What may be known: one, two or three rungs of all networks; or the third rung of the best third only."""
        available, count = sorted(self.curves[0]), len(self.curves)
        for rungs in (available[first : first + 3] for first in range(len(available) - 2)):
            ranked = sorted(range(count), key=lambda number: -self.curves[number][rungs[1]])
            best = set(ranked[: max(1, count // 3)])
            names = [f"{images:,}" for images in rungs]
            yield names[0], [rungs[:1]] * count
            yield ", ".join(names[:2]), [rungs[:2]] * count
            yield f"{', '.join(names[:2])}, a third {names[2]}", [rungs[: 2 + (n in best)] for n in range(count)]
            yield ", ".join(names), [rungs] * count


def long_table(path: Path) -> Table:
    """The networks that were trained to a million images. Their utility is minus the logarithm of the error."""
    networks = [network for network in json.loads(path.read_text())["networks"] if network.get("after_1M")]
    space = BudgetedSpace(SearchSpace.load("micro").for_data(1, 10, 28), Budget.parse("1MFLOPs"))
    curves = []
    for network in networks:
        curve = {int(n.split()[0]): value for n, value in network["curve_of_120k"].items() if "averaged" in n}
        curve[120_000] = network["after_120k"]
        curves.append({images: -math.log(1 - value) for images, value in curve.items()})
    ends = [-math.log(1 - network["after_1M"]) for network in networks]
    shapes = [complete(space, network["shape"]) for network in networks]
    prior = prior_of(without(prior_rows(), ["fashion-mnist"]))
    return Table("Fashion-MNIST, 1 MFLOPs", space, shapes, curves, ends, 1_020_000, 28, 51_000, prior)


def prior_rows() -> list[dict[str, Any]]:
    """The rows of prior_table.jsonl."""
    return [json.loads(line) for line in PRIOR_TABLE.read_text().splitlines()]


def short_tables() -> list[Table]:
    """The tables of prior_table.jsonl with enough networks, by data set and budget."""
    tables = []
    for (data, budget), networks in groups_by_data(prior_rows()).items():
        if len(networks) < MIN_NETWORKS:
            continue
        first = networks[0]
        micro = SearchSpace.load("micro").for_data(first["channels"], first["classes"], first["data_size"])
        space = BudgetedSpace(micro, Budget.parse(budget))
        curves = [{rung["images"]: -math.log(rung["averaged"]["log_loss"]) for rung in n["rungs"]} for n in networks]
        ends = [-math.log(network["end"]["averaged"]["log_loss"]) for network in networks]
        shapes = [complete(space, network["shape"]) for network in networks]
        prior = prior_of(without(prior_rows(), [family(data)]))
        tables.append(
            Table(
                f"{data.split(':')[0]}, {budget}", space, shapes, curves, ends, first["images"], first["data_size"],
                first["train_images"], prior,
            )
        )  # fmt: skip
    return tables


def complete(space: BudgetedSpace, shape: Mapping[str, Any]) -> dict[str, Any]:
    """A stored shape with all genes of the space."""
    stored = {name: tuple(value) if isinstance(value, list) else value for name, value in shape.items()}
    return {gene.name: stored.get(gene.name, gene.options[0]) for gene in space.genes()}


def use(name: str) -> None:
    """Lets the predictor work in that form.

    That is a curvature of learning curves, the average of all kernels or the best one alone, some genes beside the
    costs, and the shares of multiply-adds at each resolution or not.
    """
    form = FORMS[name]
    predictor.CURVATURE, predictor.LEARNING_GENES = form.curvature, form.genes
    gaussian_process.MIN_WEIGHT = 1.0 if form.best_only else 1e-3
    predictor.network_costs = costs_and_resolutions if form.resolutions else network_costs


def costs_and_resolutions(shapes: Any, outcome: Outcome) -> Sequence[float]:
    """The features of a search, and the share of multiply-adds in each band of heights."""
    candidate = shapes.inspect(outcome.shape)
    shares = [0.0] * HEIGHTS
    for height, macs in resolutions(candidate.spec):
        shares[min(HEIGHTS - 1, int(math.log2(height)))] += macs / candidate.cost.macs
    return [*network_costs(shapes, outcome), *shares]


def power_law(outcome: Outcome, images: int) -> float:
    """A power law of the exponent that a search uses, through the last two scores of a network; the last of one."""
    *earlier, last = sorted(outcome.utilities)
    if not earlier:
        return outcome.utilities[last]
    before, now, end = -np.power([earlier[-1], last, images], -0.25)
    slope = (outcome.utilities[last] - outcome.utilities[earlier[-1]]) / (now - before)
    return float(outcome.utilities[last] + slope * (end - now))


def print_correlations(tables: Sequence[Table]) -> None:
    """A line for every case, and the means."""
    print("rank correlation with the end\n")
    print("| table | known, in images | " + " | ".join([*PEERS, *FORMS]) + " |")
    print("|---|---|" + "---|" * (len(PEERS) + len(FORMS)))
    every: dict[str, list[float]] = defaultdict(list)
    for table in tables:
        for name, lengths in table.cases():
            known = table.outcomes(lengths)
            peers = (
                [outcome.utilities[outcome.images] for outcome in known],
                [power_law(outcome, table.images) for outcome in known],
            )
            row = [spearmanr(values, table.ends).statistic for values in peers]
            row += [spearmanr(table.predicted(form, lengths), table.ends).statistic for form in FORMS]
            for form, value in zip([*PEERS, *FORMS], row, strict=True):
                every[form].append(value)
            print(f"| {table.name} | {name} | " + " | ".join(f"{value:.2f}" for value in row) + " |")
    print("| mean | | " + " | ".join(f"{np.mean(values):.2f}" for values in every.values()) + " |")


def print_with_start(tables: Sequence[Table]) -> None:
    """What the whole curve of the first network adds, which is trained beside a search: means over the cases."""
    print(
        "\nrank correlation and bias (mean of prediction less end), with the whole curve of the start and without it\n"
    )
    print("| table | cases | correlation without | with | bias without | with |\n|---|---|---|---|---|---|")
    use("0.25")
    for table in tables:
        values = []
        for _, lengths in table.cases():
            predict = predictor.CurvePredictor(table.space)
            whole = [sorted(table.curves[0]), *lengths[1:]]
            both = [np.array(predict(table.outcomes(known), table.images)) for known in (lengths, whole)]
            ranks = [spearmanr(predicted, table.ends).statistic for predicted in both]
            values.append([*ranks, *(float(np.mean(predicted - table.ends)) for predicted in both)])
        means = " | ".join(f"{value:.2f}" for value in np.mean(values, axis=0))
        print(f"| {table.name} | {len(values)} | {means} |")


def print_errors(runs: Sequence[Path]) -> None:
    """The error of the last scores of searches, as a root mean square of the logarithm of the log loss."""
    print("\nerror of the last scores if they are left out\n")
    print("| run | networks | " + " | ".join(FORMS) + " |")
    print("|---|---|" + "---|" * len(FORMS))
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for run in runs:
        settings = load_settings(run)
        space = BudgetedSpace(settings.space.for_data(*describe(settings.data)), Budget.parse(settings.budget))
        study = optuna.load_study(storage=f"sqlite:///{run / 'study.db'}", study_name=STUDY_NAME)
        scored = [outcome for outcome in map(outcome_of, study.get_trials()) if outcome.is_scored]
        errors = []
        for form in FORMS:
            use(form)
            curves = predictor.LearningCurves.fit(scored, partial(predictor.network_costs, space))
            left_out = [] if curves is None else curves.left_out()
            errors.append(math.sqrt(np.mean([(score.predicted - score.utility) ** 2 for score in left_out])))
        print(f"| {run.name} | {len(left_out)} | " + " | ".join(f"{error:.3f}" for error in errors) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    tables = [*([long_table(options.table)] if options.table else []), *short_tables()]
    print_correlations(tables)
    print_with_start(tables)
    if options.runs:
        print_errors(options.runs)


if __name__ == "__main__":
    main()

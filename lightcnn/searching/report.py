"""The files that a search leaves in its run folder: trials.csv, the network, its predictions, plots, report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.budget import Budget, Cost
from lightcnn.cost import cost
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import positive_document
from lightcnn.engine.loop import Epoch
from lightcnn.errors import LightcnnError
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.predictions import (
    hashes_of_test_images,
    prediction_table,
    write_predictions,
    write_test_images,
)
from lightcnn.evaluation.score_values import largest_class
from lightcnn.evaluation.scores import repeated_accuracy, scores
from lightcnn.evaluation.thresholds import operating_points
from lightcnn.inference import measure_unlikeness
from lightcnn.output.largest_class import KEY, largest_class_warnings
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning, small_test_set_warnings
from lightcnn.recipe import RECIPE_FILE, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching import figures
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.page import report_page
from lightcnn.searching.plan import Plan, SearchClock
from lightcnn.searching.settings import SearchSettings
from lightcnn.searching.storage import Outcome
from lightcnn.space import SearchSpace
from lightcnn.weights import weights_file

TRIAL_COLUMNS = (
    "number", "state", "reason", "hash", "macs", "params", "weight_bytes", "peak_activations",
    "fidelity", "validation_accuracy", "seconds",
)  # fmt: skip


@dataclass(frozen=True)
class Final:
    """The best network after its final training.

    `outcome` is the trial that proposed it; `probabilities` are class probabilities (N, classes) of "val" and "test";
    `counters` are the multiply-adds that fvcore and thop count.
    """

    outcome: Outcome
    candidate: Candidate
    model: nn.Module
    recipe: Recipe
    epochs: list[Epoch]
    probabilities: Mapping[str, NDArray[np.float64]]
    counters: Mapping[str, int]


def write_trials(run: RunFolder, space: SearchSpace, outcomes: Sequence[Outcome]) -> None:
    """Writes trials.csv: one row per trial."""
    rows = []
    for outcome in outcomes:
        total = cost(space.spec(outcome.shape)) if outcome.shape else Cost()
        score = "" if outcome.score is None else f"{outcome.score:.6f}"
        numbers = (total.macs, total.params, total.weight_bytes_int8, total.peak_activations)
        rows.append((
            outcome.number, outcome.state, outcome.reason, outcome.key, *(numbers if outcome.shape else ("",) * 4),
            outcome.epochs, score, f"{outcome.seconds:.3f}",
        ))  # fmt: skip
    run.write_csv("trials.csv", TRIAL_COLUMNS, rows)


def write_report(
    run: RunFolder,
    settings: SearchSettings,
    pipeline: Pipeline,
    space: BudgetedSpace,
    plan: Plan,
    outcomes: Sequence[Outcome],
    final: Final,
    clock: SearchClock,
) -> None:
    """Writes all files except trials.csv; report.json last, since a folder that has it is a finished run.

    Raises: LightcnnError if the network breaks the budget by any counter.
    """
    report = report_document(settings, pipeline, space, plan, outcomes, final, clock)
    spec = final.candidate.spec
    run.write_bytes("spec.yaml", document.dump(spec).encode())
    run.write_bytes(RECIPE_FILE, document.dump(final.recipe, exclude_defaults=False).encode())
    stand_in = report["data"]["stand_in"]
    run.write_bytes("weights.safetensors", weights_file(final.model, spec, stand_in=stand_in))
    preprocess = pipeline.preprocess(spec.input[1])
    unlikeness = measure_unlikeness(final.model, pipeline, preprocess)
    preprocess = preprocess.model_copy(update={"unlikeness": unlikeness})
    run.write_json("preprocess.json", preprocess.model_dump(mode="json"))
    epochs = [(e.number, f"{e.loss:.6f}", f"{e.learning_rate:.8f}", f"{e.seconds:.3f}") for e in final.epochs]
    run.write_csv("metrics.csv", ("epoch", "loss", "learning_rate", "seconds"), epochs)
    table = prediction_table(pipeline.dataset, pipeline.split, final.probabilities, preprocess.threshold)
    images = hashes_of_test_images(pipeline.dataset, pipeline.split)
    report["predictions"] = write_predictions(run, *table) | write_test_images(run, images)
    plots = _write_plots(run, report, space, outcomes, final)
    run.write_bytes("report.html", report_page(settings, report, spec, outcomes, plots))
    run.write_json("report.json", report)


def report_document(
    settings: SearchSettings,
    pipeline: Pipeline,
    space: BudgetedSpace,
    plan: Plan,
    outcomes: Sequence[Outcome],
    final: Final,
    clock: SearchClock,
) -> dict[str, Any]:
    """report.json without `predictions`. Raises: LightcnnError if the network breaks the budget by any counter."""
    metrics = _metrics(pipeline, final)
    total = final.candidate.cost
    _require_budget(space.budget, total, final.counters)
    return {
        **report_head(
            "search",
            seed=settings.seed,
            seconds=clock.elapsed(),
            data=pipeline.document(),
            warnings=[
                *_nothing_compared(outcomes),
                *small_test_set_warnings(metrics["test"]),
                *largest_class_warnings(metrics["test"]),
            ],
        ),
        "network": {"cost": total.document(), "counters": dict(final.counters)},
        "budget": space.budget.document(),
        "strategy": settings.strategy,
        "space": space.space.name,
        "counts": counts(outcomes),
        "best": {
            "trial": final.outcome.number,
            "search_score": final.outcome.score,
            "epochs": final.recipe.training.epochs,
            "cost": total.document(),
            "val": {"accuracy": metrics["val"]["accuracy"]["value"]},
            "test": {
                "accuracy": repeated_accuracy([metrics["test"]["accuracy"]["value"]], metrics["test"]["accuracy"])
            },
        },
        "positive": positive_document(pipeline.dataset.classes),
        "metrics": metrics,
        "front": [{"cost": point.document(), "accuracy": score} for point, score in front(space, outcomes)],
        "history": history(outcomes),
        "fidelity": {
            "images": plan.images,
            "epochs": list(plan.rungs.epochs),
            "rank_correlation": _rank_correlation(outcomes),
        },
    }


def _nothing_compared(outcomes: Sequence[Outcome]) -> list[ReportWarning]:
    """A warning if a single network was trained."""
    if counts(outcomes)["trained"] != 1:
        return []
    message = "Only one network was trained, so nothing was compared: give --time or --trials more."
    return [ReportWarning("nothing_compared", message)]


def _metrics(pipeline: Pipeline, final: Final) -> dict[str, Any]:
    """Scores of the validation and the test set at the threshold of the preprocessing.

    The operating points are thresholds chosen on the validation set.
    """
    dataset, sets = pipeline.dataset, pipeline.split
    threshold = pipeline.preprocess(final.candidate.spec.input[1]).threshold
    binary, train = len(dataset.classes) == 2, dataset.labels[sets.train]
    operating = operating_points(dataset.labels[sets.val], final.probabilities["val"][:, 1]) if binary else {}
    return {
        split_name: scores(
            dataset.labels[indices], predicted, groups=dataset.groups[indices], threshold=threshold,
            classes=dataset.classes, operating=operating,
        ) | {KEY: largest_class(train, dataset.labels[indices], dataset.classes)}
        for split_name, predicted in final.probabilities.items() for indices in [getattr(sets, split_name)]
    }  # fmt: skip


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Numbers of trials: all; trained; pruned, which were trained but not at the last rung; duplicates; failed."""
    trained = [o for o in outcomes if o.scores and o.state in ("complete", "pruned")]
    return {
        "proposed": len(outcomes),
        "trained": len(trained),
        "pruned": sum(o.state == "pruned" for o in trained),
        "duplicates": sum(o.state == "duplicate" for o in outcomes),
        "failed": sum(o.state == "failed" for o in outcomes),
    }


def front(space: BudgetedSpace, outcomes: Sequence[Outcome]) -> list[tuple[Cost, float]]:
    """The Pareto front of the trained networks: cost in the budget's first resource and accuracy, cheapest first."""
    resource = space.budget.limits[0].resource
    trained = [
        (cost(space.space.spec(o.shape)), o.score or 0.0)
        for o in outcomes
        if o.scores and o.state in ("complete", "pruned")
    ]
    best: list[tuple[Cost, float]] = []
    for total, score in sorted(trained, key=lambda pair: (resource.largest_count(pair[0]), -pair[1])):
        if not best or score > best[-1][1]:
            best.append((total, score))
    return best


def history(outcomes: Sequence[Outcome]) -> list[tuple[float, float]]:
    """Seconds of search and the best validation accuracy by then, one pair per improvement."""
    points: list[tuple[float, float]] = []
    for outcome in outcomes:
        top = max(outcome.scores.values(), default=None)
        if top is not None and (not points or top > points[-1][1]):
            points.append((round(outcome.elapsed, 3), top))
    return points


def _rank_correlation(outcomes: Sequence[Outcome]) -> float | None:
    """Spearman's correlation between the scores at the first and the second rung.

    None if fewer than four networks have both, or if one of the scores is the same for all.
    """
    from scipy.stats import spearmanr

    pairs = [list(o.scores.values())[:2] for o in outcomes if len(o.scores) > 1 and o.state != "duplicate"]
    if len(pairs) < 4 or any(len(set(column)) < 2 for column in zip(*pairs, strict=True)):
        return None
    return float(spearmanr([first for first, _ in pairs], [second for _, second in pairs]).statistic)


def _require_budget(budget: Budget, total: Cost, counters: Mapping[str, int]) -> None:
    """The last check before a network is reported as within budget: by our cost and by the counters themselves.

    Raises: LightcnnError if they disagree or the network breaks the budget.
    """
    agree = counters == {"fvcore": total.fvcore, "thop": total.thop}
    if not agree or not budget.admits(total):
        raise LightcnnError(
            f"budget {budget}: the final network costs {total}, the counters show {dict(counters)}; this is a bug in "
            "lightcnn, please report it"
        )


def _write_plots(
    run: RunFolder, report: Mapping[str, Any], space: BudgetedSpace, outcomes: Sequence[Outcome], final: Final
) -> dict[str, bytes]:
    """The figures of a run as PNG by name, which are also written to plots/."""
    limit = space.budget.limits[0]
    trained = [
        (limit.resource.largest_count(cost(space.space.spec(o.shape))), o.score or 0.0, o.epochs)
        for o in outcomes
        if o.scores
    ]
    best = [(limit.resource.largest_count(point), score) for point, score in front(space, outcomes)]
    plots = {
        "history": figures.history(report["history"], max(o.elapsed for o in outcomes)),
        "front": figures.front(trained, best, limit.upper if not space.covered else None, limit.resource.label),
        "loss": figures.curves([e.loss for e in final.epochs], [e.learning_rate for e in final.epochs]),
        "confusion": score_figures.confusion(report["metrics"]["test"]["confusion"], report["data"]["classes"]),
    }
    for name, png in plots.items():
        run.write_bytes(f"plots/{name}.png", png)
    return plots

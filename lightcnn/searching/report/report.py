"""The files that a search leaves in its run folder: trials.csv, the network, its predictions, plots, report.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.budget import LATENCIES, LATENCY_RESOURCES, Budget, Cost
from lightcnn.cost_range import cost_range
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import positive_document
from lightcnn.data.sources.arrays import recipe_head
from lightcnn.device_cost import device_cost
from lightcnn.errors import LightcnnError
from lightcnn.evaluation import figures as score_figures
from lightcnn.evaluation.intervals import wilson
from lightcnn.evaluation.predictions import (
    hashes_of_test_images,
    prediction_table,
    write_predictions,
    write_test_images,
)
from lightcnn.evaluation.score_values import largest_class
from lightcnn.evaluation.scores import repeated_accuracy, scores
from lightcnn.evaluation.thresholds import operating_points
from lightcnn.inference import measure_unlikeness, probabilities
from lightcnn.network import fold
from lightcnn.network_stages import spec_stages
from lightcnn.output.charts.network_drawing import NETWORK_FILE, network_file
from lightcnn.output.charts.svg import Chart
from lightcnn.output.largest_class import KEY, largest_class_warnings
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning, small_test_set_warnings
from lightcnn.progress import Progress
from lightcnn.recipe import RECIPE_FILE, Distillation, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.comparison import SearchResult, comparison, deploy_document, fidelity_document, final_document
from lightcnn.searching.latency.models import latency_document
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.plan import Plan
from lightcnn.searching.report import figures
from lightcnn.searching.report.front import front_cost_of, front_document, write_front
from lightcnn.searching.report.front_chart import draw_front
from lightcnn.searching.report.front_neighbours import REFERENCE, neighbours_document, reference_cost, timed_neighbours
from lightcnn.searching.report.page import report_page
from lightcnn.searching.report.predictions import importance_document, prediction_document
from lightcnn.searching.report.trial_table import counts, failures, front, history, scores_by, shown_metric
from lightcnn.searching.report.warnings import hardly_trained, nothing_compared
from lightcnn.searching.report.wording import can_be_placed, front_cost
from lightcnn.searching.settings import SearchSettings, TrainingValues
from lightcnn.searching.trainings.choice import Choice, Weights
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.files import merged, read_epochs
from lightcnn.searching.trainings.jobs import EpochRow
from lightcnn.searching.trials.clock import SearchClock
from lightcnn.searching.trials.storage import Outcome
from lightcnn.teacher import TeacherPredictions
from lightcnn.weights import weights_file


@dataclass(frozen=True)
class Final:
    """The delivered network.

    `outcome` is the trial that proposed it; `probabilities` are class probabilities (N, classes) of "val" and "test";
    `counters` are the multiply-adds that fvcore and thop count.
    """

    outcome: Outcome
    candidate: Candidate
    model: nn.Module
    recipe: Recipe
    epochs: tuple[EpochRow, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    counters: Mapping[str, int]

    @cached_property
    def total(self) -> Cost:
        """Its cost, with flash and arena, and the times that the budget limits."""
        known = ((name, getattr(self.candidate.cost, name)) for name in LATENCIES)
        return replace(device_cost(self.candidate.spec), **dict(known))


def write_report(
    run: RunFolder,
    settings: SearchSettings,
    data: PipelineData,
    space: BudgetedSpace,
    plan: Plan,
    result: SearchResult,
    clock: SearchClock,
    values: TrainingValues,
    early: Sequence[ReportWarning],
    timing: Progress,
) -> None:
    """Writes all files except trials.csv; report.json last, since a folder that has it is a finished run.

    That of an earlier session is removed before the first of these files is replaced, after the test set is evaluated
    and networks are timed.

    `early` are the warnings from before any training; `timing` hears of the networks beside a Pareto front that are
    timed. The test set is evaluated here, once.

    Raises: LightcnnError if the network breaks the budget by any counter.
    """
    pipeline = data.pipeline
    final = _final(run, settings, pipeline, plan, result.choice, values)
    report = report_document(settings, data, space, plan, result, final, clock, early)
    spec = final.candidate.spec
    preprocess = pipeline.preprocess(spec.input[1])
    unlikeness = measure_unlikeness(final.model, pipeline, preprocess)
    preprocess = preprocess.model_copy(update={"unlikeness": unlikeness})
    table = prediction_table(pipeline.dataset, pipeline.split, final.probabilities, preprocess.threshold)
    images = hashes_of_test_images(pipeline.dataset, pipeline.split)
    if settings.pareto:
        with clock.paused():  # as when finalists are timed
            tested = sorted(pixels for _, pixels in images)
            report["pareto"] |= _beside_front(run, report, tested, space, timing)
    run.remove("report.json")
    run.write_bytes("spec.yaml", document.dump(spec).encode())
    run.write_bytes(RECIPE_FILE, document.dump(final.recipe, recipe_head(), exclude_defaults=False).encode())
    stand_in = report["data"]["stand_in"]
    write_front(run, result.front, stand_in=stand_in)
    run.write_bytes("weights.safetensors", weights_file(final.model, spec, stand_in=stand_in))
    run.write_json("preprocess.json", preprocess.model_dump(mode="json"))
    epochs = [(number, f"{loss:.6f}", f"{rate:.8f}", f"{seconds:.3f}") for number, loss, rate, seconds in final.epochs]
    run.write_csv("metrics.csv", ("epoch", "loss", "learning_rate", "seconds"), epochs)
    report["predictions"] = write_predictions(run, *table) | write_test_images(run, images)
    charts = _write_charts(run, report, space, result, final)
    run.write_bytes(NETWORK_FILE, network_file(spec.name, spec.input, spec_stages(spec)))
    run.write_bytes("report.html", report_page(settings, report, spec, space, result.outcomes, charts, run.path))
    run.write_json("report.json", report)


def _final(
    run: RunFolder, settings: SearchSettings, pipeline: Pipeline, plan: Plan, choice: Choice, values: TrainingValues
) -> Final:
    """The delivered network, with its recipe, its counters and its predictions."""
    weights = choice.best
    spec = weights.finalist.candidate.spec
    deployed = fold(weights.model).cpu()
    test = probabilities(
        weights.model, pipeline.images(pipeline.split.test, spec.input[1]), pipeline.preprocess(spec.input[1])
    )
    return Final(
        outcome=weights.finalist.outcome,
        candidate=weights.finalist.candidate,
        model=weights.model,
        recipe=delivered_recipe(settings, plan, weights, values),
        epochs=delivered_epochs(run, weights),
        probabilities={"val": weights.probabilities, "test": test},
        counters={"fvcore": fvcore_total(deployed, spec.input), "thop": thop_total(deployed, spec.input)},
    )


def delivered_epochs(run: RunFolder, weights: Weights) -> tuple[EpochRow, ...]:
    """The epochs of a training up to these weights: in the search, and in its final training."""
    progress = weights.progress
    searched = () if progress.second else read_epochs(run, progress.trial)
    results = [part for part in progress.parts if part.step <= weights.step]
    if weights.ended and progress.end is not None:
        results.append(progress.end)
    return merged([*searched, *(epoch for part in results for epoch in part.epochs)])


def delivered_recipe(settings: SearchSettings, plan: Plan, weights: Weights, values: TrainingValues) -> Recipe:
    """The recipe that trains these weights again: its steps, schedule, averaging, seed and split."""
    spec, reading = weights.finalist.candidate.spec, settings.reading
    reading = reading.model_copy(update={"split_seed": settings.split_seed})
    training = values.training.model_copy(
        update={
            "epochs": math.ceil(weights.step / plan.steps_per_epoch),
            "steps": weights.step,
            "decay_steps": weights.progress.decay_steps if weights.ended else 0,
            "ema": values.training.ema if weights.averaged else 0.0,
        }
    )
    return Recipe(
        name=spec.name, data=settings.data, reading=reading, seed=weights.progress.seed, network=spec,
        augment=values.augment, training=training,
        distill=weights.progress.distillation(values.distill),
    )  # fmt: skip


def report_document(
    settings: SearchSettings,
    data: PipelineData,
    space: BudgetedSpace,
    plan: Plan,
    result: SearchResult,
    final: Final,
    clock: SearchClock,
    early: Sequence[ReportWarning],
) -> dict[str, Any]:
    """report.json without `predictions`. Raises: LightcnnError if the network breaks the budget by any counter."""
    pipeline, outcomes = data.pipeline, result.outcomes
    metrics = _metrics(pipeline, final)
    shown = shown_metric(settings.metric, outcomes)
    total = final.total
    _require_budget(space.budget, total, final.counters)
    return {
        **report_head(
            "search",
            seed=settings.seed,
            seconds=clock.elapsed(),
            data=pipeline.document(),
            warnings=[
                *nothing_compared(space, outcomes),
                *hardly_trained(result.choice.best.step),
                *small_test_set_warnings(metrics["test"]),
                *largest_class_warnings(metrics["test"]),
                *early,
            ],
        ),
        "network": {"cost": total.document(), "counters": dict(final.counters)},
        "budget": space.budget.document(),
        "strategy": settings.strategy,
        "metric": settings.metric,
        "space": space.space.name,
        "counts": counts(outcomes),
        "failures": failures(outcomes),
        "best": {
            "trial": final.outcome.number,
            "search_score": final.outcome.score,
            "epochs": final.recipe.training.epochs,
            "images": plan.images_at(result.choice.best.step),
            "test_evaluations": result.test_evaluations,
            "cost": total.document(),
            "val": {name: metrics["val"][name]["value"] for name in dict.fromkeys(("accuracy", settings.metric))},
            "test": {
                "accuracy": repeated_accuracy(
                    [metrics["test"]["accuracy"]["value"], *result.repeats], metrics["test"]["accuracy"]
                )
            },
        },
        "positive": positive_document(pipeline.dataset.classes),
        "metrics": metrics,
        "front": _front_document(pipeline, space, plan, result, shown),
        "history": history(outcomes, shown),
        "history_metric": shown,
        "fidelity": fidelity_document(plan, result, data),
        "plan": plan.document(settings.seconds, settings.epochs, space.most_networks(settings.trials)),
        "comparison": comparison(settings, plan, result, clock.left()),
        **({"machines": dict(result.machines)} if result.machines else {}),
        **teacher_document(result.teacher, final.recipe.distill, pipeline.dataset.labels),
        **deploy_document(settings, result),
        **({"pareto": {"resource": cost_range(space.budget).resource.name}} if settings.pareto else {}),
        **(
            {"latency": latency_document(space.latencies, total, result.latencies, final.outcome.number)}
            if space.latencies
            else {}
        ),
        "finals": [final_document(*item) for item in zip(result.finalists, result.trained, strict=True)],
        "second_seeds": [final_document(*item) for item in result.second],
        "prediction": prediction_document(space, result),
        "importance": importance_document(space, result, settings.seed),
    }


def teacher_document(
    teacher: TeacherPredictions | None, distill: Distillation | None, labels: NDArray[np.int64]
) -> dict[str, Any]:
    """`teacher` of report.json: its run, its scores, and how networks learned from it; empty without a teacher."""
    if teacher is None or distill is None:
        return {}
    return {"teacher": teacher.document(labels) | {"alpha": distill.alpha, "temperature": distill.temperature}}


def _front_document(
    pipeline: Pipeline, space: BudgetedSpace, plan: Plan, result: SearchResult, metric: MetricName
) -> list[dict[str, Any]]:
    """The networks that no other network beats in both cost and score: of a Pareto front, those trained to the end."""
    if not result.front:
        return [
            {"cost": space.cost_of(o.shape).document(), "accuracy": o.score, metric: scores_by(metric, o)[o.images]}
            for o in front(space, result.outcomes, metric)
        ]
    images = {point.trial: plan.images_at(point.weights.step) for point in result.front}
    return front_document(result.front, pipeline, result.choice, images)


def _beside_front(
    run: RunFolder, report: Mapping[str, Any], tested: Sequence[str], space: BudgetedSpace, timing: Progress
) -> dict[str, Any]:
    """`reference` and `beside` of `pareto` in report.json; other runs lie beside `run`.

    `tested` are the hashes of the pixels of the test images, sorted.
    """
    resource = cost_range(space.budget).resource
    rows = neighbours_document(run, report, tested)
    if resource in LATENCY_RESOURCES:
        rows = timed_neighbours(rows, run.path.resolve().parent, resource, timing)
    return {"reference": {"recipe": REFERENCE, "cost": reference_cost(resource, timing)}, "beside": rows}


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


def _write_charts(
    run: RunFolder, report: Mapping[str, Any], space: BudgetedSpace, result: SearchResult, final: Final
) -> dict[str, Chart | None]:
    """The charts of a run by name, whose PNG files are also written to plots/."""
    prediction, rungs, outcomes = report["prediction"], report["fidelity"]["rungs"], result.outcomes
    charts: dict[str, Chart | None] = {
        "history": figures.history(report["history"], max(o.elapsed for o in outcomes), report["history_metric"]),
        "front": _draw_pareto(report, space, result) if result.front else _draw_front(report, space, outcomes, final),
        "rungs": figures.rung_correlations(rungs),
        "learning_curves": figures.learning_curves(
            prediction["trials"],
            report["finals"],
            report["second_seeds"],
            report["best"]["trial"],
            report["plan"]["final"]["images"],
        ),
        "importance": figures.importance(report["importance"]) if report["importance"] else None,
        "loss": figures.curves([e[1] for e in final.epochs], [e[2] for e in final.epochs]) if final.epochs else None,
        "confusion": score_figures.confusion(report["metrics"]["test"]["confusion"], report["data"]["classes"]),
    }
    for name, chart in charts.items():
        if chart is not None:
            run.write_bytes(f"plots/{name}.png", chart.png)
    return charts


def _draw_pareto(report: Mapping[str, Any], space: BudgetedSpace, result: SearchResult) -> Chart:
    """The front over the cost in the resource of the range."""
    resource = cost_range(space.budget).resource
    on_front = {point.trial for point in result.front}
    others = [
        (front_cost_of(weights, resource, result.latencies), abs(weights.judged.score))
        for weights in result.choice.networks if weights.finalist.outcome.number not in on_front
    ]  # fmt: skip
    return draw_front(
        report["front"], [front_cost(point, resource) for point in report["front"]], others, metric=report["metric"],
        label=resource.label, reference=report["pareto"]["reference"]["cost"],
        beside=[(row, front_cost(row, resource)) for row in report["pareto"]["beside"] if can_be_placed(row, resource)],
    )  # fmt: skip


def _draw_front(report: Mapping[str, Any], space: BudgetedSpace, outcomes: Sequence[Outcome], final: Final) -> Chart:
    """The scores over the cost in the budget's first resource; of the trials, only accuracies have intervals."""
    limit, metric = space.budget.limits[0], report["history_metric"]

    def cost(outcome: Outcome) -> float:
        return limit.resource.largest_count(space.cost_of(outcome.shape))

    def score(outcome: Outcome) -> float:
        return scores_by(metric, outcome)[outcome.images]

    count = report["fidelity"]["validation"]["groups"]
    trained = [
        figures.Trained(
            o.number, cost(o), score(o), o.images, wilson(score(o) * count, count) if metric == "accuracy" else None
        )
        for o in outcomes if o.is_scored
    ]  # fmt: skip
    best, validation = report["best"], report["metrics"]["val"][metric]
    ends = (validation["low"], validation["high"])
    delivered = figures.Trained(
        final.outcome.number, cost(final.outcome), validation["value"], best["images"], None if None in ends else ends
    )
    return figures.front(
        trained, [(cost(o), score(o)) for o in front(space, outcomes, metric)],
        limit.upper if not space.covered else None, limit.resource.label, delivered, metric,
    )  # fmt: skip

"""The trials of a search as tables: trials.csv, their numbers by state, the Pareto front, the best score over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lightcnn.budget import Cost
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.metric_names import MetricName, rank
from lightcnn.searching.trainings.choice import Choice, Weights
from lightcnn.searching.trials.storage import Outcome

TRIAL_COLUMNS = (
    "number", "state", "reason", "hash", "macs", "params", "weight_bytes", "peak_activations",
    "fidelity", "validation_accuracy", "seconds",
)  # fmt: skip
DEVICE_COLUMNS = ("flash_bytes", "arena_bytes")
"""Columns of trials.csv after these, if the budget limits flash or arena."""
FINAL_COLUMNS = ("final_validation", "final_validation_int8")
"""The last columns of trials.csv, if networks are compared after quantization."""


def write_trials(
    run: RunFolder, space: BudgetedSpace, outcomes: Sequence[Outcome], choice: Choice | None = None
) -> None:
    """Writes trials.csv: one row per trial; `choice` if networks were compared after quantization."""
    device: tuple[str, ...] = DEVICE_COLUMNS if space.budget.limits_device else ()
    device += tuple(resource.name for resource in space.budget.latencies)
    final = {} if choice is None else {w.finalist.outcome.number: w for w in choice.networks}
    rows = []
    for outcome in outcomes:
        total = space.cost_of(outcome.shape) if outcome.key else Cost()
        score = "" if outcome.score is None else f"{outcome.score:.6f}"
        numbers = (total.macs, total.params, total.weight_bytes_int8, total.peak_activations)
        rows.append((
            outcome.number, outcome.state, outcome.reason, outcome.key, *(numbers if outcome.key else ("",) * 4),
            outcome.images, score, f"{outcome.seconds:.3f}", *(getattr(total, name) for name in device),
            *(_final_scores(final.get(outcome.number)) if choice else ()),
        ))  # fmt: skip
    run.write_csv("trials.csv", (*TRIAL_COLUMNS, *device, *(FINAL_COLUMNS if choice else ())), rows)


def _final_scores(weights: Weights | None) -> tuple[str, ...]:
    """The metric on the validation set after the final training, in float and in 8 bits; empty for other trials."""
    if weights is None:
        return ("",) * len(FINAL_COLUMNS)
    return tuple(f"{abs(score):.6f}" for score in (weights.score, weights.judged.score))


def counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Numbers of trials: all; trained; pruned, so only trained to a rung before the last; duplicates; failed."""
    trained = [o for o in outcomes if o.is_scored]
    return {
        "proposed": len(outcomes),
        "trained": len(trained),
        "pruned": sum(o.state == "pruned" for o in trained),
        "duplicates": sum(o.state == "duplicate" for o in outcomes),
        "failed": sum(o.state == "failed" for o in outcomes),
    }


def failures(outcomes: Sequence[Outcome]) -> list[dict[str, int | str]]:
    """The trials that have failed, and why."""
    return [{"trial": o.number, "reason": o.reason} for o in outcomes if o.state == "failed"]


def shown_metric(metric: MetricName, outcomes: Sequence[Outcome]) -> MetricName:
    """What the front and the history of the trained networks are over: the metric of the search.

    It is accuracy if the metric of one of them is not known: earlier versions did not store it.
    """
    is_known = all(outcome.images in scores_by(metric, outcome) for outcome in outcomes if outcome.is_scored)
    return metric if is_known else "accuracy"


def scores_by(metric: MetricName, outcome: Outcome) -> Mapping[int, float]:
    """The metric on the validation images of the search by the images of each rung, as far as it is known."""
    return outcome.scores if metric == "accuracy" else outcome.values


def front(space: BudgetedSpace, outcomes: Sequence[Outcome], metric: MetricName = "accuracy") -> list[Outcome]:
    """The Pareto front of the trained networks in the budget's first resource and a metric, cheapest first."""
    resource = space.budget.limits[0].resource

    def place(outcome: Outcome) -> tuple[float, float]:
        score = rank(metric, scores_by(metric, outcome)[outcome.images])
        return resource.largest_count(space.cost_of(outcome.shape)), -score

    best: list[Outcome] = []
    for outcome in sorted((outcome for outcome in outcomes if outcome.is_scored), key=place):
        if not best or place(outcome)[1] < place(best[-1])[1]:
            best.append(outcome)
    return best


def history(outcomes: Sequence[Outcome], metric: MetricName = "accuracy") -> list[tuple[float, float]]:
    """Seconds of search and the best score by a metric by then, one pair per improvement.

    In studies of earlier versions, only the time of the last score of a trial is known.
    """
    scores = [
        (outcome.reached.get(images, outcome.elapsed), score)
        for outcome in outcomes
        for images, score in scores_by(metric, outcome).items()
    ]
    points: list[tuple[float, float]] = []
    for elapsed, score in sorted(scores, key=lambda pair: (pair[0], -rank(metric, pair[1]))):
        if not points or rank(metric, score) > rank(metric, points[-1][1]):
            points.append((round(elapsed, 3), score))
    return points

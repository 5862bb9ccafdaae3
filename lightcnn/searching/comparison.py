"""What a search has compared, for report.json: networks, lengths, noise, rungs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lightcnn.searching.plan import Plan
from lightcnn.searching.settings import SearchSettings

if TYPE_CHECKING:
    from lightcnn.searching.latency.models import MeasuredLatency
    from lightcnn.searching.report.front import FrontPoint
    from lightcnn.searching.trainings.choice import Choice
    from lightcnn.searching.trainings.data import PipelineData
    from lightcnn.searching.trainings.finals import Finalist, FinalProgress
    from lightcnn.searching.trials.storage import Outcome
    from lightcnn.teacher import TeacherPredictions

MIN_PAIRS = 4
"""Networks that a rank correlation needs."""
CUT_SHORT = 0.8
"""A final training with a smaller share of the planned images was cut short."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    All trials, the predicted utility of those with a score, the final trainings in the order of the finalists, the
    weights that are delivered, how often the test set has been evaluated, with this time, the test accuracies of the
    same training with other seeds, the trainings with a second seed of networks that are the best within noise, the
    latencies that the budget limits, by trial, of networks that were trained to the end, the networks of a Pareto
    front, cheapest first, what the teacher predicted, if there was one, and what is known of the machines, if there
    were several.
    """

    outcomes: Sequence[Outcome]
    promises: Mapping[int, float]
    finalists: Sequence[Finalist]
    trained: Sequence[FinalProgress]
    choice: Choice
    test_evaluations: int
    repeats: Sequence[float] = ()
    second: Sequence[tuple[Finalist, FinalProgress]] = ()
    latencies: Mapping[int, Sequence[MeasuredLatency]] = field(default_factory=dict)
    front: Sequence[FrontPoint] = ()
    teacher: TeacherPredictions | None = None
    machines: Mapping[str, Any] | None = None


def comparison(settings: SearchSettings, plan: Plan, result: SearchResult, left: float | None) -> dict[str, Any]:
    """How many networks were compared and to what length, whether the final training was cut short, and the noise.

    `left` are the seconds of the time limit that were not used.
    """
    planned = plan.least_final_images(settings.seconds, settings.epochs)
    best = result.choice.best
    longest = plan.images_at(max(best.step, best.progress.last_step))
    reached = [outcome.images for outcome in result.outcomes if outcome.is_scored]
    return {
        "networks": len(reached),
        "images": max(reached, default=0),
        "finalists": len(result.finalists),
        "final_images": plan.images_at(best.step),
        "planned_images": planned,
        "cut_short": longest < CUT_SHORT * planned,
        "is_longest": longest >= plan.images_at(plan.steps(plan.longest_images(settings.epochs))),
        "unused_seconds": None if left is None else round(max(0.0, left)),
        "second_seeds": [finalist.outcome.number for finalist, _ in result.second],
        "second_taught": any(progress.taught_by for _, progress in result.second),
        "second_delivered": best.progress.second,
        "candidates": [
            {
                "trial": weights.finalist.outcome.number,
                "images": plan.images_at(weights.step),
                "accuracy": weights.accuracy,
            }
            for weights in result.choice.networks
        ],
        **result.choice.document(),
    }


def deploy_document(settings: SearchSettings, result: SearchResult) -> dict[str, Any]:
    """`deploy` of report.json: the format, and each network in float and in 8 bits; empty if there is none."""
    if settings.deploy is None:
        return {}
    networks = [weights.document(settings.metric) for weights in result.choice.networks]
    return {"deploy": {"format": settings.deploy, "networks": networks}}


def fidelity_document(plan: Plan, result: SearchResult, data: PipelineData) -> dict[str, Any]:
    """The lengths of trainings, and how well each ranks: the training images, and the epochs and details of each rung.

    `rank_correlation` is that of the first rung; `validation` are the images on which networks are scored there.
    """
    rungs = rungs_document(plan, result)
    return {
        "images": plan.images,
        "epochs": [math.ceil(images / plan.images) for images in plan.rungs],
        "rank_correlation": rungs[0]["rank_correlation"],
        "rungs": rungs,
        "validation": {"images": len(data.validation), "groups": data.validation_groups},
    }


def rungs_document(plan: Plan, result: SearchResult) -> list[dict[str, Any]]:
    """Every rung: its steps and images, the networks that reached it, and the rank correlation with the final scores.

    The correlation is that of the utilities at the rung with those at the last rung that at least 4 of these networks
    have reached, or with the final trainings.
    """
    ends = {
        trained.trial: trained.end.averaged.rank(result.choice.metric)
        for trained in result.trained
        if trained.end is not None and trained.end.averaged is not None
    }
    scored = [outcome for outcome in result.outcomes if outcome.is_scored]
    rows = []
    for index, images in enumerate(plan.rungs):
        here = {outcome.number: outcome.utilities[images] for outcome in scored if images in outcome.utilities}
        longer = [
            ends,
            *(
                {outcome.number: outcome.utilities[rung] for outcome in scored if rung in outcome.utilities}
                for rung in reversed(plan.rungs[index + 1 :])
            ),
        ]
        later = next((scores for scores in longer if len(here.keys() & scores.keys()) >= MIN_PAIRS), {})
        both = sorted(here.keys() & later.keys())
        rows.append({
            "steps": plan.steps(images),
            "images": images,
            "networks": len(here),
            "pairs": len(both),
            "rank_correlation": rank_correlation([here[n] for n in both], [later[n] for n in both]),
        })  # fmt: skip
    return rows


def final_document(finalist: Finalist, progress: FinalProgress) -> dict[str, Any]:
    """A final training: its trial, whether it was finished, and the validation scores along the way."""
    results = [*progress.parts, *([progress.end] if progress.end else [])]
    curve = [
        {"images": result.images, "accuracy": result.averaged.accuracy, "log_loss": result.averaged.loss}
        for result in results
        if result.averaged is not None
    ]
    return {"trial": finalist.outcome.number, "ended": progress.end is not None, "curve": curve}


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None for fewer than four pairs, or if one of the scores is the same for all.

    Example:
        >>> rank_correlation([1.0, 2.0, 3.0, 4.0], [2.0, 3.0, 4.0, 9.0])
        1.0
    """
    from scipy.stats import spearmanr

    if len(first) < MIN_PAIRS or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return round(float(spearmanr(first, second).statistic), 4)

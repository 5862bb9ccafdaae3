"""What a search has compared, for report.json, and the sentences about it: networks, lengths, noise, the plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightcnn.budget import human
from lightcnn.output.terminal import format_duration
from lightcnn.searching.metric_names import format_value, metric_label
from lightcnn.searching.plan import NETWORKS, Plan
from lightcnn.searching.settings import SearchSettings

if TYPE_CHECKING:
    from lightcnn.searching.trainings.choice import Choice
    from lightcnn.searching.trainings.finals import Finalist, FinalProgress
    from lightcnn.searching.trials.storage import Outcome

MIN_PAIRS = 4
"""Networks that a rank correlation needs."""
CUT_SHORT = 0.8
"""A final training with a smaller share of the planned images was cut short."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    All trials, the predicted utility of those with a score, the final trainings in the order of the finalists, the
    weights that are delivered, how often the test set has been evaluated, with this time, and the test accuracies of
    the same training with other seeds.
    """

    outcomes: Sequence[Outcome]
    promises: Mapping[int, float]
    finalists: Sequence[Finalist]
    trained: Sequence[FinalProgress]
    choice: Choice
    test_evaluations: int
    repeats: Sequence[float] = ()


def comparison(settings: SearchSettings, plan: Plan, result: SearchResult) -> dict[str, Any]:
    """How many networks were compared and to what length, whether the final training was cut short, and the noise."""
    planned = plan.final_images(settings.seconds, settings.epochs)
    best = result.choice.best
    longest = plan.images_at(max(best.step, best.progress.last_step))
    reached = [outcome.images for outcome in result.outcomes if outcome.is_scored]
    return {
        "networks": len(reached),
        "images": max(reached, default=0),
        "finalists": len(result.finalists),
        "final_images": plan.images_at(best.step),
        "cut_short": longest < CUT_SHORT * planned,
        **result.choice.document(),
    }


def deploy_document(settings: SearchSettings, result: SearchResult) -> dict[str, Any]:
    """`deploy` of report.json: the format, and each network in float and in 8 bits; empty if there is none."""
    if settings.deploy is None:
        return {}
    networks = [weights.document(settings.metric) for weights in result.choice.networks]
    return {"deploy": {"format": settings.deploy, "networks": networks}}


def fidelity_document(plan: Plan, result: SearchResult) -> dict[str, Any]:
    """The lengths of trainings, and how well each ranks: the training images, and the epochs and details of each rung.

    `rank_correlation` is that of the first rung.
    """
    rungs = rungs_document(plan, result)
    return {
        "images": plan.images,
        "epochs": [math.ceil(images / plan.images) for images in plan.rungs],
        "rank_correlation": rungs[0]["rank_correlation"],
        "rungs": rungs,
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


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan in sentences, from its document."""
    final, rungs, count = plan["final"], plan["rungs"], plan["finalists"]
    length = f"{human(final['images'])} images ({final['epochs']:g} epochs, {final['steps']:,} steps)"
    if plan["networks"] == 1 and plan["worthwhile_seconds"] is None:
        lines = [f"plan: one network is trained, to about {length}"]
    elif plan["networks"] == 1:
        lines = [f"plan: there is no time to compare networks, so the first one is trained alone, to about {length}"]
    else:
        longer = f", the best third of them at {' and '.join(human(n) for n in rungs[1:])}" if len(rungs) > 1 else ""
        lines = [
            f"plan: about {plan['networks']} networks are compared at {human(rungs[0])} images each{longer}; then "
            f"{count} of them {'is' if count == 1 else 'are'} trained to about {length}"
        ]
        if plan["first_has_worker"]:
            lines.append(f"one of the {plan['workers']} workers trains the first network from the beginning to the end")
    if plan["worthwhile_seconds"] is not None and plan["networks"] < NETWORKS:
        lines.append(f"about {format_duration(plan['worthwhile_seconds'])} would be enough to compare {NETWORKS}")
    return lines


def comparison_lines(report: Mapping[str, Any]) -> list[str]:
    """What was compared, and whether the choice is beyond noise, from report.json."""
    compared, best = report["comparison"], report["best"]["trial"]
    length = f"{human(compared['final_images'])} images"
    if compared["networks"] == 1:
        lines = [f"one network was trained, to {length}: nothing was compared"]
    else:
        lines = [
            f"{compared['networks']} networks were compared, the longest at {human(compared['images'])} images; "
            f"{compared['finalists']} of them reached the final training; trial {best} was trained to {length}"
        ]
    if compared["runner_up"] is not None:
        lines.append(_lead(compared, best))
    if "deploy" in report:
        lines.append(_deploy_line(report["metric"], report["deploy"]))
    if prediction := prediction_line(report.get("prediction", {"left_out": None})):
        lines.append(prediction)
    if compared["cut_short"]:
        planned = human(report["plan"]["final"]["images"])
        lines.append(f"the final training was cut short: {length} instead of {planned}")
    return lines


def _deploy_line(metric: str, deploy: Mapping[str, Any]) -> str:
    """The validation scores of the networks in 8 bits beside those in float, best first."""
    texts = [
        f"trial {network['trial']} {format_value(metric, network['val_int8'][metric])} "
        f"(float {format_value(metric, network['val'][metric])})"
        for network in deploy["networks"]
    ]
    return f"validation {metric_label(metric)} after quantization for {deploy['format']}: {', '.join(texts)}"


def seeds_line(report: Mapping[str, Any]) -> str | None:
    """Mean and standard deviation over the seeds of the delivered training, from report.json; None for one seed."""
    accuracy = report["best"]["test"]["accuracy"]
    count = len(accuracy["values"])
    if count == 1:
        return None
    return (
        f"trained with {count} seeds, this network has a mean test accuracy of {accuracy['mean']:.2%} "
        f"(standard deviation {100 * accuracy['sd']:.2f} points); only the first was selected on validation"
    )


def prediction_line(prediction: Mapping[str, Any]) -> str | None:
    """How well the search predicted, from its document; None if nothing could be checked."""
    left_out = prediction["left_out"]
    if left_out is None:
        return None
    line = (
        f"the log loss of {left_out['networks']} networks was predicted from shorter trainings and from the other "
        f"networks with an error of {left_out['error']:.0%}"
    )
    if left_out["rank_correlation"] is None:
        return line
    alone = left_out["rank_correlation_of_scores"]
    return f"{line}; rank correlation {left_out['rank_correlation']:.2f} at {human(left_out['images'])} images" + (
        "" if alone is None else f", that of the shorter trainings alone {alone:.2f}"
    )


def _lead(compared: Mapping[str, Any], best: int) -> str:
    """How far the best network is ahead of the second on validation, by the metric, and whether that is noise."""
    metric, other = compared.get("metric", "accuracy"), compared["runner_up"]["trial"]
    label = metric_label(metric)
    if not compared["difference"]:
        same = "equally accurate" if metric == "accuracy" else f"equal in {label}"
        return f"trial {best} and trial {other} are {same} on validation"
    noise = 2 * (compared["standard_error"] or math.inf)
    verdict = "more than" if compared["beyond_noise"] else "within"
    if metric == "log_loss":
        lead, unit = f"has a log loss {compared['difference']:.4f} below that of trial {other}", f"{noise:.4f}"
    else:
        points = "points" if metric == "accuracy" else f"points of {label}"
        lead, unit = f"is {100 * compared['difference']:.2f} {points} above trial {other}", f"{100 * noise:.2f} points"
    return (
        f"trial {best} {lead} on validation, {verdict} the noise of {unit} (twice the standard error of the paired "
        "difference)"
    )


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

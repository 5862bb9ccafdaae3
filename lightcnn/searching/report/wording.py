"""The sentences of a search: its plan, what it has compared, and how sure its result is. No torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightcnn.budget import RESOURCES, WEIGHT_BYTES, Resource, human
from lightcnn.output.terminal import format_duration
from lightcnn.recipe import ARRAYS
from lightcnn.run_folder import RunFolder
from lightcnn.searching.metric_names import format_value, metric_label
from lightcnn.searching.plan import NETWORKS, RUNG_FACTOR
from lightcnn.searching.shared.settings import resume_options

UNCHECKED = "how well the search predicts is unknown: that takes four or more networks, one of them with two scores"
"""The sentence about predictions of which none could be checked."""
RUNG_SHARES = ("third", "ninth")
"""The networks of the first rung that reach the second and the third one: each keeps the best 1/`RUNG_FACTOR`."""
LARGE_SHARE = 0.5
"""Share of the time that evaluating networks may take without a word."""
UNUSED_SHARE = 0.1
"""A larger share of the time that was not used is explained."""


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """The plan in sentences, from its document."""
    final, rungs, count = plan["final"], plan["rungs"], min(plan["finalists"], plan["networks"])
    known = plan.get("compared_before", 0)
    epochs = "1 epoch" if final["epochs"] == 1 else f"{final['epochs']:g} epochs"
    length = f"{human(final['images'])} images ({epochs}, {final['steps']:,} steps)"
    if final["steps"] == 1:
        length = "one step: nearly all of the time has passed"
    if plan["networks"] == 1 and plan["worthwhile_seconds"] is None:
        lines = [f"plan: one network is trained, to about {length}"]
    elif plan["networks"] == 1:
        lines = [f"plan: there is no time to compare networks, so the first one is trained alone, to about {length}"]
    else:
        then = f"{count} of them {'is' if count == 1 else 'are'} trained to about {length}"
        if plan["networks"] == known:
            lines = [f"plan: no network is added to the {known:,} of earlier sessions; {then}"]
        else:
            before = f" ({known:,} of them in earlier sessions)" if known else ""
            lines = [
                f"plan: about {plan['networks']:,} networks are compared{before} at {human(rungs[0])} images each"
                f"{_longer_rungs(plan)}; then {then}"
            ]
        if "bands" in plan:
            lines.append(f"the range of costs has {plan['bands']} bands, in which networks are proposed in turn")
        if _first_is_before(plan) and not known:
            lines.append(
                "the first network is trained to the end before others are compared; if it still learns then, it is "
                "trained longer, and fewer are compared"
            )
        elif plan["first_has_worker"] and plan["workers"] > 1:
            lines.append(f"one of the {plan['workers']} workers trains the first network from the beginning to the end")
        if (threads := plan.get("threads") or 1) > 1:  # plans of earlier versions lack it
            lines.append(
                f"networks are trained one after the other with {threads} threads each, since this search began with a "
                "single network and keeps its threads; a new search would train several at once"
            )
    limit, evaluation = plan.get("time_seconds"), plan.get("evaluation_seconds")  # plans of earlier versions lack them
    if limit and evaluation and evaluation > LARGE_SHARE * limit:
        lines.append(
            f"evaluating networks at the end takes {about(evaluation)} of {format_duration(limit)}; more --time or a "
            "lower --budget leaves more time for training"
        )
    worthwhile = plan.get("worthwhile_networks", NETWORKS)  # plans of earlier versions lack it
    if plan["worthwhile_seconds"] is not None and plan["networks"] < worthwhile:
        lines.append(f"{about(plan['worthwhile_seconds'])} would be enough to compare {worthwhile}")
    return lines


def _first_is_before(plan: Mapping[str, Any]) -> bool:
    """Whether a single worker trains the first network to the end before it compares others."""
    return bool(plan["first_has_worker"]) and plan["workers"] == 1


def _longer_rungs(plan: Mapping[str, Any]) -> str:
    """The shares of the networks that reach the rungs after the first one, as far as any is expected to."""
    others = plan["networks"] - plan["first_has_worker"]  # the first network takes no place of another one
    rungs = zip(RUNG_SHARES, plan["rungs"][1:], strict=False)
    reached = [
        f"the best {share} of them at {human(images)}"
        for place, (share, images) in enumerate(rungs, start=1)
        if others >= RUNG_FACTOR**place
    ]
    return f", {' and '.join(reached)}" if reached else ""


def comparison_lines(report: Mapping[str, Any]) -> list[str]:
    """What was compared, and whether the choice is beyond noise, from report.json."""
    compared, best = report["comparison"], report["best"]["trial"]
    lines = effort_lines(report)
    if again := compared.get("second_seeds"):
        lines.append(_second_seeds_line(again, compared))
    if compared["runner_up"] is not None:
        lines.append(_lead(compared, best))
    lines += _slow_lines(report)
    if front := front_line(report):
        lines.append(front)
    if "deploy" in report:
        lines.append(_deploy_line(report["metric"], report["deploy"]))
    if "machines" in report:
        lines.append(_machines_line(report["machines"]))
    if "prediction" in report and compared["networks"] > 1:
        lines += prediction_lines(report["prediction"]) or [UNCHECKED]
    if unused := unused_seconds(report):
        lines.append(f"the search ended {format_duration(unused)} before its time: {_why_unused(compared)}")
    return lines


def effort_lines(report: Mapping[str, Any]) -> list[str]:
    """How many networks were compared, to what length, which failed, and whether the final training was cut short."""
    compared, best = report["comparison"], report["best"]["trial"]
    length = f"{human(compared['final_images'])} images"
    if compared["networks"] == 1:
        lines = [f"one network was trained, to {length}"]
    else:
        lines = [
            f"{compared['networks']} networks were compared, the longest at {human(compared['images'])} images; "
            f"{compared['finalists']} of them reached the final training; trial {best} was trained to {length}"
        ]
    if report["counts"]["proposed"] == 1 < report["plan"]["networks"] and _first_is_before(report["plan"]):
        lines.append("its training took the time that was planned for comparing: it still learned, or was slow")
    if compared["cut_short"]:
        planned = human(compared.get("planned_images", report["plan"]["final"]["images"]))  # earlier reports lack it
        lines.append(f"the final training was cut short: {length} instead of {planned}")
    if failures := report.get("failures"):
        first = f"trial {failures[0]['trial']}"
        who = (
            f"{first} failed" if len(failures) == 1 else f"{len(failures)} trials failed; the first of them is {first}"
        )
        lines.append(f"{who}: {failures[0]['reason']}")
    return lines


def unused_seconds(report: Mapping[str, Any]) -> float:
    """How long before its time a search ended, from report.json; 0 without a time limit, and if that is little."""
    unused = report["comparison"].get("unused_seconds")
    return float(unused) if unused and unused > UNUSED_SHARE * (report["seconds"] + unused) else 0.0


def _machines_line(machines: Mapping[str, int]) -> str:
    """How many processes took part in a search of several machines, and what they trained twice."""
    members, repeated = machines["members"], machines["repeated_trainings"]
    took_part = "one process took part" if members == 1 else f"{members} processes took part"
    if not repeated:
        return f"{took_part} in the search"
    were = "one training was" if repeated == 1 else f"{repeated} trainings were"
    return f"{took_part} in the search; {were} repeated from the start, since no state could be reached"


def _slow_lines(report: Mapping[str, Any]) -> list[str]:
    """The networks that were trained to the end and are not delivered since they miss a latency of the budget."""
    return [
        f"trial {trial} was left out after its final training: one image takes {microseconds / 1_000:.4g} ms"
        f"{' in ONNX Runtime' if times['runtime'] == 'onnx' else ''}, over {times['limit'] / 1_000:g} ms"
        for times in report.get("latency", {}).values()
        for trial, microseconds in times.get("too_slow", {}).items()  # earlier reports lack it
    ]


def about(seconds: float) -> str:
    """An estimated duration, rounded up to two digits: about 46 minutes."""
    for unit, length in (("hours", 3_600), ("minutes", 60)):
        if seconds >= 3 * length:
            tenths = math.ceil(round(10 * seconds / length, 6))
            return f"about {tenths / 10 if tenths < 100 else math.ceil(tenths / 10):g} {unit}"
    return f"about {max(1, math.ceil(seconds))} seconds"


def _second_seeds_line(trials: Sequence[int], compared: Mapping[str, Any]) -> str:
    """Which networks were trained with a second seed, and how."""
    listed = f"trial {trials[0]} was"
    if len(trials) > 1:
        listed = f"trials {', '.join(map(str, trials[:-1]))} and {trials[-1]} were each"
    taught = compared.get("second_taught", False)  # earlier reports have no such entries
    how = ", and learned from what the first trainings predict for the training images" if taught else ""
    which = "; the delivered weights are of a second training" if compared.get("second_delivered", False) else ""
    return f"{listed} also trained with a second seed{how}{which}"


def _why_unused(compared: Mapping[str, Any]) -> str:
    """Why a search with a time limit did not use all of it."""
    if compared["networks"] == 1:
        is_longest = compared.get("is_longest", not compared["cut_short"])  # earlier reports have no such entry
        return (
            "its network was trained to its longest length" if is_longest else "no further part of its training fitted"
        )
    if compared["finalists"] == compared["networks"]:
        return "all of its networks were trained to the end"
    return "no other training fitted"


def front_line(report: Mapping[str, Any]) -> str | None:
    """What the Pareto front consists of, and how often its networks met the test set; None if there is no front."""
    if "pareto" not in report:
        return None
    count, times = len(report["front"]), report["best"]["test_evaluations"]
    networks = "one network" if count == 1 else f"{count} networks"
    tested = "it was" if count == 1 else "all of them together were"
    return (
        f"the front has {networks} of those that were trained to the end; {tested} evaluated on the test images "
        f"{'once' if times == 1 else f'{times} times'}, and only validation scores decided"
    )


def front_cost(point: Mapping[str, Any], resource: Resource) -> float:
    """The cost of a network of the front in report.json; a time as measured."""
    counts, measured = point["cost"], point.get("measured", {})
    if resource.name in measured:
        return float(measured[resource.name])
    return float(counts["weight_bytes"]["int8"] if resource is WEIGHT_BYTES else counts[resource.lower])


def front_caption(report: Mapping[str, Any]) -> str:
    """What the colours and lines in the chart of the front are."""
    if "pareto" in report:
        resource = RESOURCES[report["pareto"]["resource"]]
        are_beside = any(can_be_placed(row, resource) for row in report["pareto"]["beside"])
        beside = " Green: runs of lightcnn train in the same folder with the same split." if are_beside else ""
        return (
            "Blue: networks that were trained to the end and that no other one beats in both cost and score. Orange: "
            "the delivered network, the best on validation. Grey: networks that were trained to the end and are not on "
            f"the front.{beside} Lines are 95 % intervals on validation images, where they are known."
        )
    metric, lines = report["history_metric"], ""
    if metric == "accuracy":
        lines = "Lines are 95 % intervals. "
    elif report["metrics"]["val"][metric]["low"] is not None:
        lines = "The orange line is a 95 % interval. "
    return (
        "Each point is a network after its longest training in the search; larger points were trained longer. Orange: "
        f"the delivered network, after its final training. Blue: the best {metric_label(metric)} at each cost. {lines}"
        f"{_images_scored(report)}Dashed: the budget, if the largest network of the space exceeds it."
    )


def _images_scored(report: Mapping[str, Any]) -> str:
    """On which validation images the networks and the delivered one are scored; empty if these are the same."""
    part, whole = report["fidelity"]["validation"]["images"], report["data"]["counts"]["val"]
    return (
        "" if part == whole else f"The delivered network is scored on {whole:,} validation images, others on {part:,}. "
    )


def can_be_placed(row: Mapping[str, Any], resource: Resource) -> bool:
    """Whether the cost of a training beside a front is known; a time is if it was measured."""
    known = resource is WEIGHT_BYTES or row["cost"].get(resource.lower) is not None
    return known or resource.name in row.get("measured", {})


def _deploy_line(metric: str, deploy: Mapping[str, Any]) -> str:
    """The validation scores of the networks in 8 bits beside those in float, best first."""
    texts = [
        f"trial {network['trial']} {format_value(metric, network['val_int8'][metric])} "
        f"(float {format_value(metric, network['val'][metric])})"
        for network in deploy["networks"]
    ]
    return f"validation {metric_label(metric)} after quantization for {deploy['format']}: {', '.join(texts)}"


def teacher_line(report: Mapping[str, Any]) -> str | None:
    """The teacher, its score and the settings of the distillation, from report.json; None without a teacher."""
    if (teacher := report.get("teacher")) is None:
        return None
    scores = [
        f"{teacher[key]:.2%} of {images}"
        for key, images in (("test_accuracy", "its test images"), ("training_accuracy", "these training images"))
        if teacher[key] is not None
    ]
    return (
        f"all networks also learned from the teacher {teacher['run']}, which is correct on {' and on '.join(scores)} "
        f"(weight {teacher['alpha']:g} in the loss, temperature {teacher['temperature']:g})"
    )


def certainty(report: Mapping[str, Any]) -> str:
    """One sentence on how sure the choice of the network is, from report.json."""
    compared, best = report["comparison"], report["best"]["trial"]
    if compared["networks"] == 1:
        return "The search trained a single network, so it could not compare it with another one."
    if compared["runner_up"] is None:
        if compared["finalists"] > 1:
            return (
                f"{compared['finalists']} networks reached the final training, but only one of them could be "
                "delivered: there was nothing to choose."
            )
        return "Only one network was trained to the end: whether another one would end better is not known."
    other = f"the runner-up (trial {compared['runner_up']['trial']})"
    if compared["beyond_noise"]:
        return f"On validation, the winner (trial {best}) beats {other} by more than the noise of the images."
    if compared["standard_error"] is None and compared["difference"]:
        return f"Whether the winner (trial {best}) beats {other} by more than noise is not known: both may be as good."
    return f"On validation, the winner (trial {best}) does not beat {other} by more than noise: both may be as good."


def unchecked_choice(report: Mapping[str, Any]) -> str | None:
    """Why the choice among several networks could not be checked, from report.json; None if it was."""
    compared = report.get("comparison")  # earlier reports lack it
    if compared is None or compared["runner_up"] is not None or compared["networks"] == 1:
        return None
    sentence = certainty(report)
    return f"{sentence[0].lower()}{sentence[1:].removesuffix('.')}"


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


def prediction_lines(prediction: Mapping[str, Any]) -> list[str]:
    """How well the search predicted, from its document; empty if nothing could be checked."""
    return [line for line in (_left_out_line(prediction["left_out"]), _finals_line(prediction)) if line]


def _finals_line(prediction: Mapping[str, Any]) -> str | None:
    """How well the final trainings were predicted; None if none was, and for reports of earlier versions."""
    if (error := prediction.get("finals_error")) is None:
        return None
    count, correlation = len(prediction["finals"]), prediction["finals_rank_correlation"]
    trainings = "one final training" if count == 1 else f"{count} final trainings"
    line = (
        f"the log loss of {trainings} before the fall of the learning rate was predicted with an error of {error:.0%}"
    )
    if correlation is None:
        return line
    end, scores = (
        prediction.get(name)  # reports of earlier versions lack them
        for name in ("finals_end_rank_correlation", "finals_rank_correlation_of_scores")
    )
    line += f"; rank correlation {correlation:.2f}{'' if end is None else f', with that at the end {end:.2f}'}"
    return line if scores is None else f"{line}, that of the scores in the search alone {scores:.2f}"


def _left_out_line(left_out: Mapping[str, Any] | None) -> str | None:
    """How well the last scores were predicted, each without it; None if none could be."""
    if left_out is None:
        return None
    count = left_out["networks"]
    line = (
        f"the log loss of {'one network' if count == 1 else f'{count} networks'} was predicted from shorter trainings "
        f"and from the other networks with an error of {left_out['error']:.0%}"
    )
    if left_out["rank_correlation"] is None:
        return f"{line}; a rank correlation takes four networks of the same length"
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
    if metric == "log_loss":
        lead = f"has a log loss {compared['difference']:.4f} below that of trial {other}"
    else:
        points = "points" if metric == "accuracy" else f"points of {label}"
        lead = f"is {100 * compared['difference']:.2f} {points} above trial {other}"
    if compared["standard_error"] is None:
        return f"trial {best} {lead} on validation; its images are of too few groups to know the noise of that"
    noise, verdict = 2 * compared["standard_error"], "more than" if compared["beyond_noise"] else "within"
    unit = f"{noise:.4f}" if metric == "log_loss" else f"{100 * noise:.2f} points"
    return (
        f"trial {best} {lead} on validation, {verdict} the noise of {unit} (twice the standard error of the paired "
        "difference)"
    )


def longer_option(limit: float | None, report: Mapping[str, Any]) -> str:
    """The option that doubles the trials, or the time if a search has a `limit` in seconds, used or not."""
    return f"--trials {2 * report['counts']['proposed']}" if limit is None else longer_time(limit, report["seconds"])


def longer_time(limit: float, spent: float) -> str:
    """The option that doubles the time of a search, in whole minutes."""
    return f"--time {max(1, round(2 * max(limit, spent) / 60))}m"


def longer_command(folder: Path, option: str, source: str) -> str:
    """What searches longer on images of a source: a command, or a line of Python if they were arrays."""
    if source == ARRAYS:
        name, value = option.removeprefix("--").split()
        changed = f"{name}={value if value.isdigit() else repr(value)}"
        return f"lightcnn.search(data=(X, y), out={str(folder)!r}, resume=True, {changed})"
    return f"lightcnn search --resume {resume_options(RunFolder(folder))} {option}"


def ended_line(limit: float | None, command: str, *, has_result: bool = True) -> str:
    """What a resumed search has left to do, which has used all of its `limit` in seconds, or ended without one."""
    why = "this search has ended" if limit is None else f"the time of this search ({format_duration(limit)}) is used"
    result = "its result remains" if has_result else "it has no result yet"
    return f"{why}: no network is trained longer, and {result}; search longer with: {command}"

"""What a search says that it has compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lightcnn.budget import Budget, Cost
from lightcnn.searching.report.trial_table import front, history, shown_metric
from lightcnn.searching.report.wording import (
    certainty,
    comparison_lines,
    ended_line,
    front_caption,
    longer_command,
    longer_option,
    plan_lines,
    prediction_lines,
    unchecked_choice,
    unused_seconds,
)
from lightcnn.searching.trials.storage import Outcome


def report(**changes: Any) -> dict[str, Any]:
    compared = {
        "networks": 12, "images": 54_945, "finalists": 2, "final_images": 122_100, "cut_short": False,
        "runner_up": {"trial": 3, "val": {"accuracy": 0.9}}, "difference": 0.0125, "standard_error": 0.005,
        "beyond_noise": True,
    }  # fmt: skip
    plan = {"networks": 12, "workers": 2, "first_has_worker": True, "final": {"images": 200_000}}
    return {"comparison": compared | changes, "best": {"trial": 0}, "plan": plan, "counts": {"proposed": 12}}


def test_the_lines_state_networks_lengths_and_noise() -> None:
    assert comparison_lines(report()) == [
        "12 networks were compared, the longest at 54.95k images; 2 of them reached the final training; trial 0 was "
        "trained to 122.1k images",
        "trial 0 is 1.25 points above trial 3 on validation, more than the noise of 1.00 points (twice the standard "
        "error of the paired difference)",
    ]
    failures = [{"trial": 4, "reason": "out of memory"}, {"trial": 5, "reason": "diverged"}]
    assert comparison_lines(report() | {"failures": failures})[1] == (
        "2 trials failed; the first of them is trial 4: out of memory"
    )
    assert comparison_lines(report() | {"failures": failures[:1]})[1] == "trial 4 failed: out of memory"
    within = comparison_lines(report(standard_error=0.01, beyond_noise=False))
    assert "within the noise of 2.00 points" in within[1]
    equal = comparison_lines(report(difference=0.0, standard_error=0.0, beyond_noise=False))
    assert equal[1] == "trial 0 and trial 3 are equally accurate on validation"


def test_of_a_lead_whose_noise_is_unknown_no_noise_is_stated() -> None:
    changes = {"metric": "balanced_accuracy", "standard_error": None, "beyond_noise": False}
    assert comparison_lines(report(**changes))[1] == (
        "trial 0 is 1.25 points of balanced accuracy above trial 3 on validation; its images are of too few groups to "
        "know the noise of that"
    )
    certain = comparison_lines(report(standard_error=0.0))[1]
    assert "more than the noise of 0.00 points" in certain


@pytest.mark.parametrize(
    ("limit", "seconds", "option"),
    [(20, 25.0, "--time 1m"), (600, 130.0, "--time 20m"), (120, 119.0, "--time 4m"), (None, 50.0, "--trials 8")],
)
def test_a_longer_search_has_twice_the_limit_even_if_that_was_not_used(limit, seconds, option) -> None:
    assert longer_option(limit, {"seconds": seconds, "counts": {"proposed": 4}}) == option


@pytest.mark.parametrize(
    ("limit", "why"), [(600, "the time of this search (10:00) is used"), (None, "this search has ended")]
)
def test_a_search_that_has_ended_says_so_and_how_to_search_longer(limit, why) -> None:
    command = longer_command(Path("my runs"), "--time 20m", "digits")
    assert ended_line(limit, command) == (
        f"{why}: no network is trained longer, and its result remains; search longer with: "
        "lightcnn search --resume --out 'my runs' --time 20m"
    )


def test_a_search_without_a_result_does_not_promise_one() -> None:
    line = ended_line(600, "lightcnn search", has_result=False)
    assert "no network is trained longer, and it has no result yet; search longer with: lightcnn search" in line


@pytest.mark.parametrize(("option", "argument"), [("--time 20m", "time='20m'"), ("--trials 8", "trials=8")])
def test_a_search_of_arrays_continues_in_python(option, argument) -> None:
    line = f"lightcnn.search(data=(X, y), out='runs/mine', resume=True, {argument})"
    assert longer_command(Path("runs/mine"), option, "arrays") == line


@pytest.mark.parametrize(("seconds", "unused", "expected"), [(100.0, None, 0.0), (97.0, 3.0, 0.0), (60.0, 40.0, 40.0)])
def test_a_little_time_that_was_not_used_counts_as_used(seconds, unused, expected) -> None:
    assert unused_seconds({"seconds": seconds, "comparison": {"unused_seconds": unused}}) == expected


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(95, "about 95 seconds"), (179, "about 179 seconds"), (2_771, "about 47 minutes"), (10_900, "about 3.1 hours")],
)
def test_the_time_that_would_be_enough_is_stated_as_the_estimate_it_is(seconds, text) -> None:
    plan = {
        "networks": 8, "rungs": [6_105], "finalists": 2, "workers": 2, "first_has_worker": False,
        "final": {"images": 122_100, "epochs": 100.0, "steps": 2_000}, "worthwhile_seconds": seconds,
    }  # fmt: skip
    assert plan_lines(plan)[-1] == f"{text} would be enough to compare 30"
    assert plan_lines(plan | {"worthwhile_networks": 9})[-1] == f"{text} would be enough to compare 9"
    assert "would be enough" not in plan_lines(plan | {"worthwhile_networks": 8})[-1]


@pytest.mark.parametrize(
    ("networks", "beside", "expected"),
    [
        (9, False, ", the best third of them at 18.32k and the best ninth of them at 54.95k; then"),
        (9, True, ", the best third of them at 18.32k; then"),
        (3, True, " networks are compared at 6.105k images each; then"),
    ],
)
def test_the_plan_names_only_lengths_that_networks_will_reach(networks, beside, expected) -> None:
    plan = {
        "networks": networks, "rungs": [6_105, 18_315, 54_945], "finalists": 2, "workers": 2,
        "first_has_worker": beside, "final": {"images": 122_100, "epochs": 100.0, "steps": 2_000},
        "worthwhile_seconds": None,
    }  # fmt: skip
    assert expected in plan_lines(plan)[0]
    assert "(100 epochs, 2,000 steps)" in plan_lines(plan)[0]
    final = {"images": 1_221, "epochs": 1.0, "steps": 20}
    assert "to about 1.221k images (1 epoch, 20 steps)" in plan_lines(plan | {"final": final})[0]
    assert f"then {min(2, networks)} of them are trained" in plan_lines(plan)[0]
    before = plan_lines(plan | {"workers": 1})
    assert before[0] == plan_lines(plan)[0]
    assert ("the first network is trained to the end before others are compared" in before[-1]) == beside
    assert not any("one after the other" in line for line in plan_lines(plan | {"threads": 1}))
    assert "are trained one after the other with 4 threads each" in plan_lines(plan | {"threads": 4})[-1]


def test_a_search_that_compared_nothing_or_was_cut_short_says_so() -> None:
    alone = comparison_lines(report(networks=1, runner_up=None, cut_short=True))
    assert alone == [
        "one network was trained, to 122.1k images",
        "the final training was cut short: 122.1k images instead of 200k",
    ]
    one_worker = report(networks=1, runner_up=None)
    one_worker["plan"]["workers"] = one_worker["counts"]["proposed"] = 1
    line = "its training took the time that was planned for comparing: it still learned, or was slow"
    assert comparison_lines(one_worker) == [alone[0], line]
    one_worker["counts"]["proposed"] = 3
    assert comparison_lines(one_worker) == alone[:1], "the others failed"
    assert unchecked_choice(report(networks=1, runner_up=None)) is unchecked_choice(report()) is None
    unchecked = "only one network was trained to the end: whether another one would end better is not known"
    assert unchecked_choice(report(runner_up=None, finalists=1)) == unchecked


def test_one_sentence_states_how_sure_the_choice_is() -> None:
    assert "beats the runner-up (trial 3) by more than the noise" in certainty(report())
    assert "does not beat the runner-up (trial 3) by more than noise" in certainty(report(beyond_noise=False))
    unknown = certainty(report(beyond_noise=False, standard_error=None))
    assert "beats the runner-up (trial 3) by more than noise is not known" in unknown
    equal = certainty(report(beyond_noise=False, standard_error=None, difference=0.0))
    assert "does not beat the runner-up (trial 3) by more than noise" in equal
    assert "2 networks reached the final training, but only one of them could be delivered" in certainty(
        report(runner_up=None)
    )
    assert "Only one network was trained to the end: whether" in certainty(report(runner_up=None, finalists=1))
    assert "single network, so it could not compare" in certainty(report(networks=1, runner_up=None))


def test_a_final_training_is_cut_short_of_what_its_session_had_planned() -> None:
    lines = comparison_lines(report(cut_short=True, planned_images=150_000))
    assert "the final training was cut short: 122.1k images instead of 150k" in lines
    assert "the final training was cut short: 122.1k images instead of 200k" in comparison_lines(report(cut_short=True))


def test_second_seeds_and_unused_time_are_explained() -> None:
    again = comparison_lines(report(second_seeds=[0, 3], unused_seconds=13) | {"seconds": 107.0})
    assert again[1] == "trials 0 and 3 were each also trained with a second seed"
    taught = comparison_lines(report(second_seeds=[4], second_taught=True))
    assert taught[1] == (
        "trial 4 was also trained with a second seed, and learned from what the first trainings predict for the "
        "training images"
    )
    assert again[-1] == "the search ended 0:13 before its time: no other training fitted"
    all_trained = comparison_lines(report(networks=4, finalists=4, unused_seconds=50) | {"seconds": 70.0})
    assert all_trained[-1] == "the search ended 0:50 before its time: all of its networks were trained to the end"
    delivered = comparison_lines(report(second_seeds=[0, 3], second_delivered=True))
    assert delivered[1] == (
        "trials 0 and 3 were each also trained with a second seed; the delivered weights are of a second training"
    )
    unused = comparison_lines(report(networks=1, unused_seconds=47) | {"seconds": 73.0})
    assert unused[-1] == "the search ended 0:47 before its time: its network was trained to its longest length"
    stopped = comparison_lines(report(networks=1, unused_seconds=3, is_longest=False) | {"seconds": 10.0})
    assert stopped[-1] == "the search ended 0:03 before its time: no further part of its training fitted"
    cut = comparison_lines(report(networks=1, unused_seconds=4, cut_short=True) | {"seconds": 10.0})
    assert cut[-1] == "the search ended 0:04 before its time: no further part of its training fitted"
    nearly = comparison_lines(report(unused_seconds=9) | {"seconds": 111.0})
    assert not any("before its time" in line for line in nearly)


def test_networks_that_miss_a_latency_are_named_with_their_times() -> None:
    times = {"runtime": "folded", "limit": 5_000, "too_slow": {"3": 5_004.2}}
    in_onnx = {"runtime": "onnx", "limit": 2_000, "too_slow": {"3": 2_104.0}}
    lines = comparison_lines(report() | {"latency": {"latency_us": times, "onnx_latency_us": in_onnx}})
    assert [line.partition("training: ")[2] for line in lines if line.startswith("trial 3 was left out")] == [
        "one image takes 5.004 ms, over 5 ms", "one image takes 2.104 ms in ONNX Runtime, over 2 ms",
    ]  # fmt: skip


def test_the_history_is_in_the_order_of_time() -> None:
    outcomes = [
        Outcome(0, "complete", "", "a", {}, {9: 0.8, 27: 0.95}, 1.0, 40.0),
        Outcome(1, "pruned", "", "b", {}, {9: 0.9}, 1.0, 10.0),
        Outcome(2, "failed", "", "c", {}, {}, 1.0, 5.0),
    ]
    assert history(outcomes) == [(10.0, 0.9), (40.0, 0.95)]
    timed = [replace(outcomes[0], reached={9: 5.0, 27: 40.0}), *outcomes[1:]]
    assert history(timed) == [(5.0, 0.8), (10.0, 0.9), (40.0, 0.95)]


def test_the_history_and_the_front_are_over_the_metric_unless_an_earlier_version_did_not_store_it() -> None:
    losses = [{9: 0.8}, {9: 0.6, 27: 0.3}, {9: 0.2}, {9: 0.5}]
    outcomes = [
        Outcome(
            number, "pruned", "", "a", {"macs": 100 + number}, dict.fromkeys(values, 0.5 + 0.1 * number), 1.0,
            10.0 * number, values=values,
        )
        for number, values in enumerate(losses)
    ]  # fmt: skip
    space: Any = SimpleNamespace(budget=Budget.parse("1kFLOPs"), cost_of=lambda shape: Cost(macs=shape["macs"]))
    assert shown_metric("log_loss", outcomes) == "log_loss"
    assert history(outcomes, "log_loss") == [(0.0, 0.8), (10.0, 0.3), (20.0, 0.2)]
    assert [outcome.number for outcome in front(space, outcomes, "log_loss")] == [0, 1, 2]
    earlier = [*outcomes, replace(outcomes[0], number=4, values={})]
    assert shown_metric("log_loss", earlier) == "accuracy"
    assert [outcome.number for outcome in front(space, earlier)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("metric", "low", "lines"),
    [
        ("accuracy", 0.4, "Lines are 95 % intervals. "), ("auc", 0.4, "The orange line is a 95 % interval. "),
        ("log_loss", None, ""),
    ],
)  # fmt: skip
def test_the_front_has_lines_where_intervals_are_known(metric: str, low: float | None, lines: str) -> None:
    report = {"history_metric": metric, "metrics": {"val": {metric: {"low": low}}}, **scored_on(2_500, 2_500)}
    assert front_caption(report).endswith(
        f" at each cost. {lines}Dashed: the budget, if the largest network of the space exceeds it."
    )


def test_the_front_states_on_which_images_networks_were_scored() -> None:
    report = {"history_metric": "accuracy", **scored_on(2_500, 9_000)}
    sentence = "The delivered network is scored on 9,000 validation images, others on 2,500. "
    assert sentence in front_caption(report)


def scored_on(part: int, whole: int) -> dict[str, Any]:
    """Networks are compared on a part of the validation images."""
    return {"fidelity": {"validation": {"images": part, "groups": part}}, "data": {"counts": {"val": whole}}}


@pytest.mark.parametrize(
    ("row", "is_green"), [({"cost": {}}, False), ({"cost": {}, "measured": {"latency_us": 9}}, True)]
)
def test_green_is_explained_where_a_training_is_drawn(row: dict[str, Any], is_green: bool) -> None:
    report = {"pareto": {"resource": "latency_us", "beside": [row]}}
    assert ("Green: " in front_caption(report)) == is_green


def test_the_error_of_the_predictions_is_stated() -> None:
    left_out = {
        "networks": 9, "error": 0.112, "images": 38_346, "rank_correlation": 0.714, "rank_correlation_of_scores": 0.5
    }  # fmt: skip
    sentence = (
        "the log loss of 9 networks was predicted from shorter trainings and from the other networks with an error of "
        "11%"
    )
    assert prediction_lines({"left_out": left_out}) == [
        f"{sentence}; rank correlation 0.71 at 38.35k images, that of the shorter trainings alone 0.50"
    ]
    few = prediction_lines({"left_out": left_out | {"rank_correlation": None}})
    assert few == [f"{sentence}; a rank correlation takes four networks of the same length"]
    (single,) = prediction_lines({"left_out": left_out | {"networks": 1}})
    assert single.startswith("the log loss of one network was predicted from shorter trainings")
    unchecked = comparison_lines(report() | {"prediction": {"left_out": None}})
    assert unchecked[-1].startswith("how well the search predicts is unknown: that takes four or more networks")
    assert prediction_lines({"left_out": None, "finals": [], "finals_error": None}) == []


@pytest.mark.parametrize(
    ("trainings", "correlation", "end", "line"),
    [
        (1, None, None, "the log loss of one final training before the fall of the learning rate was predicted with an "
         "error of 5%"),
        (4, 0.8, None, "the log loss of 4 final trainings before the fall of the learning rate was predicted with an "
         "error of 5%; rank correlation 0.80"),
        (4, 0.8, 0.6, "the log loss of 4 final trainings before the fall of the learning rate was predicted with an "
         "error of 5%; rank correlation 0.80, with that at the end 0.60"),
    ],
)  # fmt: skip
def test_the_error_on_the_final_trainings_is_stated_even_if_it_is_the_only_one(
    trainings: int, correlation: float | None, end: float | None, line: str
) -> None:
    finals = {
        "finals": [{}] * trainings, "finals_error": 0.051, "finals_rank_correlation": correlation,
        "finals_end_rank_correlation": end,
    }  # fmt: skip
    assert comparison_lines(report() | {"prediction": {"left_out": None} | finals})[-1] == line

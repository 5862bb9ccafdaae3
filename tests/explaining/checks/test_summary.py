"""The table and the sentences about many maps, from hand-written entries."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lightcnn.evaluation.intervals import wilson
from lightcnn.evaluation.paired_tests import score_interval
from lightcnn.explaining.checks.catalogue import CHECKS
from lightcnn.explaining.checks.summary import image_verdict, summary, summary_text


def check(passed: bool | None, value: float | None = None, **more: Any) -> dict[str, Any]:
    """A check as `ImageChecks` returns it."""
    return {"value": value, "passed": passed, "rule": "a rule", "says": "", **more}


def entries(
    results: Sequence[bool | None],
    *,
    method: str = "gradcam",
    name: str = "deletion",
    groups: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One entry per result; the value is a hundredth of its number, the margin a thousandth."""
    explanations: list[dict[str, Any]] = []
    for number, passed in enumerate(results):
        entry = {"image": f"{number}.png", "method": method}
        entry |= {"checks": {name: check(passed, number / 100, margin=number / 1000)}}
        explanations.append(entry | ({"group": groups[number]} if groups else {}))
    return explanations


def only(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    (row,) = rows
    return row


def test_a_share_has_wilsons_interval() -> None:
    row = only(summary(entries([True] * 17 + [False] * 3)))
    assert (row["method"], row["check"], row["images"], row["passed"]) == ("gradcam", "deletion", 20, 17)
    assert row["share"]["value"] == 0.85
    assert (row["share"]["low"], row["share"]["high"]) == pytest.approx(wilson(17, 20))
    assert row["share"]["interval"] == "Wilson on 20 images"


@pytest.mark.parametrize(("results", "count"), [([True] * 8, 8), ([False] * 8, 0), ([True] * 2, 2)])
def test_a_share_of_all_or_none_has_it_too(results: list[bool], count: int) -> None:
    share = only(summary(entries(results)))["share"]
    assert (share["low"], share["high"]) == pytest.approx(wilson(count, len(results)))


def test_a_single_image_or_group_has_no_interval() -> None:
    for groups, results in ((None, [True]), (["p1", "p1"], [True, False])):
        row = only(summary(entries(results, groups=groups)))
        assert (row["share"]["low"], row["share"]["high"]) == (None, None)
        assert row["share"]["interval"] == ("none: one group" if groups else "none: one image")
        assert "%" not in summary_text([row])


def test_images_of_one_group_count_together() -> None:
    results, groups = [True, True, False, False] * 6, [f"p{number // 2}" for number in range(24)]
    row = only(summary(entries(results, groups=groups)))
    codes = np.arange(24) // 2
    expected = score_interval(0.5, (np.array(results) - 0.5) / 24, codes)
    assert (row["share"]["low"], row["share"]["high"]) == pytest.approx(expected)
    alone = only(summary(entries(results)))["share"]
    assert row["share"]["high"] - row["share"]["low"] > 1.3 * (alone["high"] - alone["low"])
    assert row["share"]["interval"] == "Wilson on 12 groups"


def test_several_classes_of_one_image_count_as_one_group() -> None:
    twice = [entry for entry in entries([True, False] * 5) for _ in range(2)]
    share = only(summary(twice))["share"]
    assert (share["low"], share["high"]) == pytest.approx(wilson(5, 10), abs=0.05)
    assert share["interval"] == "Wilson on 10 groups"


def test_explanations_without_image_or_group_count_separately() -> None:
    loose = [{key: entry[key] for key in ("method", "checks")} for entry in entries([True] * 4)]
    assert only(summary(loose))["share"]["interval"] == "Wilson on 4 images"


def test_values_and_margins_have_a_mean_a_median_and_an_interval() -> None:
    row = only(summary(entries([True] * 40)))
    value, margin = row["value"], row["margin"]
    assert (value["mean"], value["median"]) == pytest.approx((0.195, 0.195))
    deviation = np.std(np.arange(40) / 100, ddof=1) / np.sqrt(40)
    assert value["high"] - value["mean"] == pytest.approx(2.02 * deviation, rel=0.1)
    assert value["mean"] - value["low"] == pytest.approx(value["high"] - value["mean"])
    assert (margin["mean"], margin["low"]) == pytest.approx((value["mean"] / 10, value["low"] / 10))
    assert value["interval"] == "bootstrap of 40 images, 2,000 draws"


def test_the_interval_is_withheld_with_few_images() -> None:
    value = only(summary(entries([True] * 19)))["value"]
    assert (value["low"], value["high"], value["interval"]) == (None, None, "withheld: 19 images, fewer than 20")
    assert only(summary(entries([True] * 20)))["value"]["low"] is not None
    groups = [f"p{number // 2}" for number in range(30)]
    assert (
        only(summary(entries([True] * 30, groups=groups)))["value"]["interval"] == "withheld: 15 groups, fewer than 20"
    )


def test_an_interval_stays_in_the_range_of_the_check() -> None:
    explanations = entries([True] * 25, name="mask")
    for number, entry in enumerate(explanations):
        entry["checks"]["mask"] = check(True, 0.0 if number else 0.5)
    assert only(summary(explanations))["value"]["low"] == 0
    assert only(summary(explanations))["margin"] is None


def test_images_that_could_not_be_judged_are_counted_separately() -> None:
    row = only(summary(entries([True, None, False, None], name="stability")))
    assert (row["images"], row["unjudged"], row["passed"], row["share"]["value"]) == (2, 2, 1, 0.5)
    none = only(summary(entries([None, None], name="stability")))
    assert (none["images"], none["share"]["low"]) == (0, None)
    assert "could not be judged" in summary_text([none])


def test_rows_are_sorted_by_method_and_check() -> None:
    explanations = entries([True], method="lime", name="stability") + entries([True], method="ig", name="deletion")
    explanations += entries([True], method="lime", name="map")
    rows = summary(explanations)
    assert [(row["method"], row["check"]) for row in rows] == [
        ("lime", "map"),
        ("lime", "stability"),
        ("ig", "deletion"),
    ]
    assert summary([]) == summary([{"image": "a.png", "method": "ig", "checks": {}}]) == []
    json.dumps(rows, allow_nan=False)


def test_the_text_counts_and_names_the_failures() -> None:
    explanations = entries([True] * 17 + [False] * 3) + entries([True] * 2 + [False] * 18, name="randomisation")
    text = summary_text(summary(explanations))
    assert "Grad-CAM beat every control at deletion on 17 of 20 images (64 to 95 %)." in text
    assert "It fails the randomisation check, passed on 2 of 20 images (3 to 30 %): " in text
    assert "hardly changes when the last layers of the network are randomised" in text
    assert text.endswith("The checks do not show that the network is right, only how far a map follows the network.")
    assert "It did not pass every check." in text


def test_fewer_than_half_passed_is_a_failure() -> None:
    assert "fails" not in summary_text(summary(entries([True, False] * 4)))
    assert "Grad-CAM fails the deletion check" in summary_text(summary(entries([True, False, False] * 4)))


def test_the_text_on_several_methods() -> None:
    clean, other = entries([True] * 3, method="ig"), entries([True, True, False], method="lime")
    text = summary_text(summary(clean + other))
    assert "Integrated Gradients passed every check made; on medical images every method fails some." in text
    assert "LIME passed" not in text
    assert "No method passed every check on every image." in summary_text(
        summary(entries([False], method="ig") + other)
    )
    assert "No map was checked" in summary_text([])


def test_the_text_gives_no_interval_for_one_image() -> None:
    assert "on 1 of 1 image." in summary_text(summary(entries([True])))


def test_images_whose_curves_show_little_are_counted() -> None:
    explanations = entries([True] * 5) + entries([True] * 5, name="insertion") + entries([True] * 5, method="ig")
    for entry in (*explanations[:2], *explanations[5:8]):
        for check_ in entry["checks"].values():
            check_["blind"] = True
    rows = summary(explanations)
    assert [row["blind"] for row in rows] == [2, 3, 0]
    text = summary_text(rows)
    assert "On 2 of 5 images the network gives nearly the same probability for an image of the training mean: " in text
    assert "its blurred image: there insertion shows little." in text


def test_how_much_the_network_needs_the_mask_is_reported_separately() -> None:
    explanations = entries([True] * 3, name="mask")
    for number, entry in enumerate(explanations[:2]):
        entry["checks"]["mask"]["needed"] = {"deletion": 0.1 * number, "random": 0.6}
    explanations[2]["checks"]["mask"]["needed"] = None
    row = only(summary(explanations))
    assert (row["needed"]["images"], row["needed"]["mean"]) == (2, pytest.approx(0.55))
    assert "is smaller than with a random order by +0.55;" in summary_text([row])
    assert only(summary(entries([True])))["needed"] is None


def test_the_meaning_of_a_failure_is_given_once() -> None:
    text = summary_text(summary(entries([False] * 3) + entries([False] * 3, method="ig")))
    assert text.count("fails the deletion check, passed on 0 of 3 images") == 2
    assert text.count(CHECKS["deletion"].failed) == 1


def test_every_check_has_its_sentences() -> None:
    assert len(CHECKS) == 9
    for name, kind in CHECKS.items():
        assert kind.passed in summary_text(summary(entries([True], name=name)))
        assert kind.failed in summary_text(summary(entries([False], name=name)))


@pytest.mark.parametrize(
    ("results", "line"),
    [
        ({}, "Not checked."),
        ({"deletion": True, "map": True}, "Passes all 2 checks."),
        ({"map": False, "fit": False, "mask": False}, "Passes none of 3 checks; fails fit, mask and map."),
        ({"deletion": True, "map": False, "fit": None}, "Passes 1 of 2 checks; fails map; fit could not be judged."),
        ({"mask": None, "fit": None}, "Fit and mask could not be judged."),
    ],
)  # fmt: skip
def test_the_verdict_on_one_map_is_one_line(results: dict[str, bool | None], line: str) -> None:
    assert image_verdict({name: check(passed) for name, passed in results.items()}) == line

"""The table and the sentences over many maps, from entries that are written by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lightcnn.evaluation.intervals import wilson
from lightcnn.evaluation.paired_tests import score_interval
from lightcnn.explaining.checks.checker import NAMES
from lightcnn.explaining.checks.summary import FAILED, PASSED, sentence, summary


def check(passed: bool | None, value: float | None = None, **more: Any) -> dict[str, Any]:
    """As a judge gives it."""
    return {"value": value, "passed": passed, "rule": "a rule", "says": "", **more}


def entries(
    results: Sequence[bool | None],
    *,
    method: str = "gradcam",
    name: str = "deletion",
    groups: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """One image each, whose value is its number and whose margin is ten times less."""
    found: list[dict[str, Any]] = []
    for number, passed in enumerate(results):
        entry = {"image": f"{number}.png", "method": method}
        entry |= {"checks": {name: check(passed, number / 100, margin=number / 1000)}}
        found.append(entry | ({"group": groups[number]} if groups else {}))
    return found


def only(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    (row,) = rows
    return row


def test_a_share_has_wilsons_interval() -> None:
    row = only(summary(entries([True] * 17 + [False] * 3)))
    assert (row["method"], row["check"], row["images"], row["passed"]) == ("gradcam", "deletion", 20, 17)
    assert row["share"]["value"] == 0.85
    assert (row["share"]["low"], row["share"]["high"]) == pytest.approx(wilson(17, 20))
    assert row["share"]["interval"] == "Wilson on 20 images"


@pytest.mark.parametrize(("results", "count"), [([True] * 8, 8), ([False] * 8, 0), ([True], 1)])
def test_a_share_of_all_or_none_has_it_too(results: list[bool], count: int) -> None:
    share = only(summary(entries(results)))["share"]
    assert (share["low"], share["high"]) == pytest.approx(wilson(count, len(results)))


def test_images_of_one_group_count_together() -> None:
    results, groups = [True, True, False, False] * 6, [f"p{number // 2}" for number in range(24)]
    row = only(summary(entries(results, groups=groups)))
    codes = np.arange(24) // 2
    expected = score_interval(0.5, (np.array(results) - 0.5) / 24, codes)
    assert (row["share"]["low"], row["share"]["high"]) == pytest.approx(expected)
    alone = only(summary(entries(results)))["share"]
    assert row["share"]["high"] - row["share"]["low"] > 1.3 * (alone["high"] - alone["low"])
    assert row["share"]["interval"] == "Wilson on 12 groups"


def test_several_classes_of_one_image_are_one_witness() -> None:
    twice = [entry for entry in entries([True, False] * 5) for _ in range(2)]
    share = only(summary(twice))["share"]
    assert (share["low"], share["high"]) == pytest.approx(wilson(5, 10), abs=0.05)
    assert share["interval"] == "Wilson on 10 groups"


def test_explanations_without_image_or_group_are_their_own() -> None:
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


def test_with_few_images_the_interval_is_withheld_and_said() -> None:
    value = only(summary(entries([True] * 19)))["value"]
    assert (value["low"], value["high"], value["interval"]) == (None, None, "withheld: 19 images, under 20")
    assert only(summary(entries([True] * 20)))["value"]["low"] is not None
    groups = [f"p{number // 2}" for number in range(30)]
    assert only(summary(entries([True] * 30, groups=groups)))["value"]["interval"] == "withheld: 15 groups, under 20"


def test_an_interval_stays_where_values_can_be() -> None:
    found = entries([True] * 25, name="mask")
    for number, entry in enumerate(found):
        entry["checks"]["mask"] = check(True, 0.0 if number else 0.5)
    assert only(summary(found))["value"]["low"] == 0
    assert only(summary(found))["margin"] is None


def test_what_could_not_be_judged_is_counted_apart() -> None:
    row = only(summary(entries([True, None, False, None], name="stability")))
    assert (row["images"], row["unjudged"], row["passed"], row["share"]["value"]) == (2, 2, 1, 0.5)
    none = only(summary(entries([None, None], name="stability")))
    assert (none["images"], none["share"]["low"]) == (0, None)
    assert "could not be judged" in sentence([none])


def test_rows_come_method_by_method_in_the_order_of_the_checks() -> None:
    found = entries([True], method="lime", name="stability") + entries([True], method="ig", name="deletion")
    found += entries([True], method="lime", name="map")
    rows = summary(found)
    assert [(row["method"], row["check"]) for row in rows] == [
        ("lime", "map"),
        ("lime", "stability"),
        ("ig", "deletion"),
    ]
    assert summary([]) == summary([{"image": "a.png", "method": "ig", "checks": {}}]) == []
    json.dumps(rows, allow_nan=False)


def test_the_sentence_counts_and_names_the_failures() -> None:
    found = entries([True] * 17 + [False] * 3) + entries([True] * 2 + [False] * 18, name="randomisation")
    said = sentence(summary(found))
    assert "Grad-CAM beat every control at deletion on 17 of 20 images (64 to 95 %)." in said
    assert "It fails the randomisation check, passed on 2 of 20 images (3 to 30 %): " in said
    assert "hardly changes when the top of the network is redrawn" in said
    assert said.endswith("None of this shows that the network is right, only how far a map follows the network.")
    assert "It did not pass every check." in said


def test_half_is_no_failure_and_less_is() -> None:
    assert "fails" not in sentence(summary(entries([True, False] * 4)))
    assert "Grad-CAM fails the deletion check" in sentence(summary(entries([True, False, False] * 4)))


def test_the_sentence_of_several_methods() -> None:
    clean, other = entries([True] * 3, method="ig"), entries([True, True, False], method="lime")
    said = sentence(summary(clean + other))
    assert "Integrated Gradients passed every check made; in medicine every method fails some." in said
    assert "LIME passed" not in said
    assert "No method passed every check on every image." in sentence(summary(entries([False], method="ig") + other))
    assert "No map was checked" in sentence([])


def test_one_image_has_no_interval_in_words() -> None:
    assert "on 1 of 1 image." in sentence(summary(entries([True])))


def test_images_whose_curves_tell_little_are_counted() -> None:
    found = entries([True] * 5) + entries([True] * 5, name="insertion") + entries([True] * 5, method="ig")
    for entry in (*found[:2], *found[5:8]):
        for made in entry["checks"].values():
            made["blind"] = True
    rows = summary(found)
    assert [row["blind"] for row in rows] == [2, 3, 0]
    said = sentence(rows)
    assert "On 2 of 5 images the network gives much the same answer to an image of the training mean: " in said
    assert "its blurred image: there insertion tells little." in said


def test_whether_the_network_needs_the_mask_is_told_apart_from_the_maps() -> None:
    found = entries([True] * 3, name="mask")
    for number, entry in enumerate(found[:2]):
        entry["checks"]["mask"]["needed"] = {"deletion": 0.1 * number, "random": 0.6}
    found[2]["checks"]["mask"]["needed"] = None
    row = only(summary(found))
    assert (row["needed"]["images"], row["needed"]["mean"]) == (2, pytest.approx(0.55))
    assert "is smaller than by chance by +0.55;" in sentence([row])
    assert only(summary(entries([True])))["needed"] is None


def test_what_a_failure_means_is_said_once() -> None:
    said = sentence(summary(entries([False] * 3) + entries([False] * 3, method="ig")))
    assert said.count("fails the deletion check, passed on 0 of 3 images") == 2
    assert said.count(FAILED["deletion"]) == 1


def test_every_check_has_its_words() -> None:
    assert set(PASSED) == set(FAILED) == set(NAMES)
    for name in NAMES:
        assert PASSED[name] in sentence(summary(entries([True], name=name)))
        assert FAILED[name] in sentence(summary(entries([False], name=name)))

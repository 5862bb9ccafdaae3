"""Forest plots of a comparison: rows, colours, tips, and many runs with long names."""

from __future__ import annotations

import math
import re

from helpers.figures import UNTRUSTED_NAMES, read_image

from lightcnn.comparing.figures import MAX_DRAWN, difference_chart, score_chart
from lightcnn.comparing.pairs import Pair
from lightcnn.evaluation import paired_tests


def pair(a: str, b: str, difference: float, *, metric: str = "accuracy", p: float = 0.5, interval: bool = True) -> Pair:
    low, high = (difference - 0.1, difference + 0.1) if interval else (None, None)
    estimate = paired_tests.Estimate(difference, low, high, 0.05, math.inf)
    return Pair(a, b, metric, 0.8, 0.8 - difference, estimate, paired_tests.Test(p, "test"), 90, "images", p_adjusted=p)


def tips(svg: str) -> list[str]:
    return re.findall(r"<title>(.*?)</title>", svg)


def test_differences_that_are_shown_are_orange_and_the_description_has_the_largest() -> None:
    within = difference_chart([pair("a", "b", 0.02)])
    assert "var(--orange)" not in within.svg and "no difference in accuracy could be shown" in within.description
    both = difference_chart([pair("a", "b", 0.02), pair("a", "c", 0.3, p=0.01), pair("a", "b", 0.4, metric="auc")])
    assert "var(--orange)" in both.svg
    assert "a is better than c in accuracy by 30.0 points" in both.description
    assert len(tips(both.svg)) == 3 and ">+30.0<" in both.svg and ">+0.400<" in both.svg


def test_only_the_largest_of_many_pairs_are_drawn_under_names_of_any_kind() -> None:
    pairs = [
        pair(f"{name}{place}", name, place / 100, interval=place > 0) for place in range(5) for name in UNTRUSTED_NAMES
    ]
    drawn = difference_chart(pairs)
    assert len(tips(drawn.svg)) == MAX_DRAWN < len(pairs)
    assert not any(">+0.0<" in text for text in re.findall(r"<text.*?</text>", drawn.svg))
    read_image(drawn.png)


def test_scores_without_a_value_are_left_out() -> None:
    runs = {"a": {"accuracy": (0.8, 0.7, 0.9), "auc": None}, "b": {"accuracy": (0.6, 0.5, 0.7), "auc": (0.9, 0.8, 1.0)}}
    drawn = score_chart(runs, ("accuracy", "auc"))
    assert tips(drawn.svg) == [
        "a: 80.00% (70.00% to 90.00%)", "b: 60.00% (50.00% to 70.00%)", "b: 0.9000 (0.8000 to 1.0000)"
    ]  # fmt: skip
    assert "a 80.00%, b 60.00%" in drawn.description

"""The order of the pixels by a map, and how well two maps agree on it."""

from __future__ import annotations

import numpy as np
import pytest

from lightcnn.explaining.checks.ranks import pixel_ranks, rank_correlation, top_overlap


def test_places_put_the_highest_first_and_draw_lots_between_equals() -> None:
    found = np.array([[3.0, -1.0], [0.0, 0.0]])
    assert pixel_ranks(found, 0)[0].tolist() == [0, 3]
    assert {tuple(pixel_ranks(found, seed)[1]) for seed in range(20)} == {(1, 2), (2, 1)}


def test_agreement_and_overlap_by_hand() -> None:
    one = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(one, one**3) == pytest.approx(1)
    assert rank_correlation(one, np.array([[4.0, 3.0], [2.0, 1.0]])) == pytest.approx(-1)
    assert rank_correlation(one, np.array([[1.0, 2.0], [4.0, 3.0]])) == pytest.approx(0.8)
    assert rank_correlation(one, np.full((2, 2), 7.0)) is None
    assert rank_correlation(one, np.full((2, 2), 7.0) + np.array([[1e-7, 0], [0, 0]])) is None
    assert rank_correlation(one, np.array([[1.0, np.nan], [3, 4]])) is None
    row = np.arange(100.0).reshape(10, 10)
    assert (top_overlap(row, row, 0), top_overlap(row, -row, 0)) == (1, 0)
    assert top_overlap(row, np.roll(row, 4), 0) == pytest.approx(0.6)

"""The order of the pixels by a map, and how well two maps agree on it."""

from __future__ import annotations

import numpy as np
import pytest

from lightcnn.explaining.checks.ranks import pixel_ranks, rank_correlation, top_overlap


def test_the_highest_pixel_is_first_and_ties_are_broken_at_random() -> None:
    values = np.array([[3.0, -1.0], [0.0, 0.0]])
    assert pixel_ranks(values, 0)[0].tolist() == [0, 3]
    assert {tuple(pixel_ranks(values, seed)[1]) for seed in range(20)} == {(1, 2), (2, 1)}


def test_rank_correlation_and_overlap_by_hand() -> None:
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert rank_correlation(values, values**3) == pytest.approx(1)
    assert rank_correlation(values, np.array([[4.0, 3.0], [2.0, 1.0]])) == pytest.approx(-1)
    assert rank_correlation(values, np.array([[1.0, 2.0], [4.0, 3.0]])) == pytest.approx(0.8)
    assert rank_correlation(values, np.full((2, 2), 7.0)) is None
    assert rank_correlation(values, np.full((2, 2), 7.0) + np.array([[1e-7, 0], [0, 0]])) is None
    assert rank_correlation(values, np.array([[1.0, np.nan], [3, 4]])) is None
    row = np.arange(100.0).reshape(10, 10)
    assert (top_overlap(row, row, 0), top_overlap(row, -row, 0)) == (1, 0)
    assert top_overlap(row, np.roll(row, 4), 0) == pytest.approx(0.6)

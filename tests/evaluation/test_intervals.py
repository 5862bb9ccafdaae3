"""Intervals of shares, and the spread of a bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from lightcnn.evaluation.intervals import BootstrapDraws, wilson


def test_wilsons_interval_of_known_examples():
    low, high = wilson(41, 45)
    assert (round(low, 3), round(high, 3)) == (0.793, 0.965)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == pytest.approx(1)
    assert wilson(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)


def test_there_are_fewer_degrees_of_freedom_if_one_group_dominates_the_spread():
    even = BootstrapDraws(np.linspace(0.7, 0.9, 2000), np.linspace(0.79, 0.81, 50), 50, 50, "group")
    dominated = BootstrapDraws(np.linspace(0.7, 0.9, 2000), np.array([0.8] * 49 + [0.9]), 50, 50, "group")
    assert even.spread()[1] == pytest.approx(t.ppf(0.975, 49))
    assert dominated.spread()[1] > t.ppf(0.975, 3)
    assert dominated.spread()[0] == even.spread()[0] == pytest.approx(np.std(even.values, ddof=1) * np.sqrt(50 / 49))

"""Curves and areas against scikit-learn, and their bands."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.predictions import tied_predictions
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from lightcnn.evaluation.roc import BAND_GRID, curve, precision_recall, roc


def test_curves_and_areas_are_those_of_scikit_learn() -> None:
    labels, probabilities, _ = tied_predictions(200, 2)
    truth, score = labels == 1, np.round(probabilities[:, 1], 1)
    line = curve(roc, truth, score)
    false, true, _ = roc_curve(truth, score, drop_intermediate=False)
    np.testing.assert_allclose([line.x, line.y], [false, true])
    assert line.area == pytest.approx(roc_auc_score(truth, score))
    line = curve(precision_recall, truth, score)
    precision, recall, _ = precision_recall_curve(truth, score)
    assert {(round(x, 9), round(y, 9)) for x, y in zip(line.x[1:], line.y[1:], strict=True)} == {
        (round(x, 9), round(y, 9)) for x, y in zip(recall[:-1], precision[:-1], strict=True)
    }
    assert line.area == pytest.approx(average_precision_score(truth, score))
    assert curve(roc, truth, score).low is None


@pytest.mark.parametrize("trace", [roc, precision_recall])
def test_a_band_contains_the_curve_and_does_not_shrink_with_copies(trace) -> None:
    labels, probabilities, _ = tied_predictions(240, 2)
    truth, score = labels == 1, probabilities[:, 1]
    independent = curve(trace, truth, score, np.arange(240).astype(str))
    grouped = curve(trace, truth, score, (np.arange(240) // 12).astype(str))
    again = curve(trace, truth, score, (np.arange(240) // 12).astype(str))
    np.testing.assert_array_equal(grouped.low, again.low)
    y = np.interp(BAND_GRID, independent.x, independent.y)
    inside = (independent.low <= y + 1e-9) & (y <= independent.high + 1e-9)
    assert inside.mean() > 0.9
    copied = curve(trace, np.tile(truth, 4), np.tile(score, 4), np.tile(np.arange(240), 4).astype(str))
    np.testing.assert_allclose(copied.high - copied.low, independent.high - independent.low, atol=0.02)
    ungrouped = curve(trace, np.tile(truth, 4), np.tile(score, 4), np.arange(960).astype(str))
    assert (ungrouped.high - ungrouped.low).mean() < 0.7 * (copied.high - copied.low).mean()


def test_a_band_leaves_out_draws_without_one_of_the_classes() -> None:
    truth, score = np.array([True, False, False]), np.array([0.9, 0.5, 0.1])
    line = curve(roc, truth, score, np.array(["a", "b", "c"]))
    assert line.low is not None and np.isfinite(line.low).all()
    np.testing.assert_allclose(line.low, 1)

"""Draws of whole groups: the same scores as of repeated images, and intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.predictions import sample_predictions, scores_of_scikit_learn

from lightcnn.evaluation.bootstrap import DRAWS, draw_counts, leave_one_out_counts, resample
from lightcnn.evaluation.intervals import BootstrapDraws, bounded_interval, wilson
from lightcnn.evaluation.labelled_predictions import labelled_predictions
from lightcnn.evaluation.score_values import bootstrap_scores


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_of_a_draw_are_those_of_scikit_learn_for_the_drawn_images(classes):
    """Also with groups left out; here images are really repeated and removed."""
    labels, rows = sample_predictions(120, classes)
    rows /= rows.sum(axis=1, keepdims=True)
    groups = np.random.default_rng(2).permutation(np.arange(120) ** 2 % 30)
    count = len(np.unique(groups))
    predictions = labelled_predictions(labels, rows, groups=groups.astype(str), threshold=0.4)
    drawn = bootstrap_scores(predictions, np.array([0.3]), draws=5)
    times = np.concatenate([*draw_counts(count, 3, draws=5), *leave_one_out_counts(count, 7)])
    assert times[:5].sum(axis=1).tolist() == [count] * 5
    assert len(times) == len(drawn["accuracy"]) == count + 5 > 15
    for row, weights in enumerate(times):
        images = np.repeat(np.arange(120), weights[predictions.codes].astype(int))
        for name, truth in scores_of_scikit_learn(labels[images], rows[images], 0.4).items():
            assert drawn[name][row] == pytest.approx(truth), f"{name} in row {row}"
        if classes == 2:
            beyond = rows[images, 1] >= 0.3
            assert drawn["at"][row, 0, 0] == pytest.approx(beyond[labels[images] == 1].mean())
            assert drawn["at"][row, 1, 0] == pytest.approx(1 - beyond[labels[images] == 0].mean())


def test_scores_without_areas_are_the_same_and_rank_no_images():
    predictions = labelled_predictions(*sample_predictions(120, 3), threshold=0.4)
    few = bootstrap_scores(predictions, np.array([]), draws=5, with_areas=False)
    assert "curves" not in vars(predictions), "ranking takes most of the time"
    for name, values in bootstrap_scores(predictions, np.array([]), draws=5).items():
        if name in ("auc", "pr_auc"):
            assert np.isnan(few[name]).all() and not np.isnan(values).all()
        else:
            assert np.array_equal(few[name], values, equal_nan=True), name


def test_intervals_of_groups_cover_the_truth_and_those_of_images_do_not():
    """400 test sets of 50 groups of 1 to 8 images; tests/benchmarks/coverage.py prints the full table."""
    random, share, correlation = np.random.default_rng(5), 0.8, 0.3
    spread, covered, covered_naively, repetitions = (1 - correlation) / correlation, 0, 0, 400
    for _ in range(repetitions):
        sizes = random.integers(1, 9, 50)
        chance = np.repeat(random.beta(share * spread, (1 - share) * spread, 50), sizes)
        codes = np.repeat(np.arange(50), sizes)
        correct = (random.random(len(codes)) < chance)[:, None].astype(float)
        sums, _, _ = resample(codes, np.concatenate([correct, np.ones_like(correct)], axis=1), [None])
        values = sums[:, 0] / sums[:, 1]
        interval = bounded_interval(correct.mean(), BootstrapDraws(values[:DRAWS], values[DRAWS:], 50, 50, "group"))
        covered += interval.low <= share <= interval.high
        low, high = wilson(correct.sum(), len(correct))
        covered_naively += low <= share <= high
    assert 0.92 <= covered / repetitions <= 0.98
    assert covered_naively / repetitions < 0.85

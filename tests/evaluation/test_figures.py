"""Figures are drawn for any names and any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.figures import UNTRUSTED_NAMES, read_image
from helpers.predictions import tied_predictions

from lightcnn.evaluation import figures


@pytest.mark.parametrize("classes", [2, 3, 6, 40])
def test_every_figure_is_drawn_for_any_number_of_classes_and_any_name(classes: int) -> None:
    labels, probabilities, groups = tied_predictions(6 * classes, classes)
    names = [*UNTRUSTED_NAMES, *(f"class {number}" for number in range(classes))][:classes]
    matrix = np.full((classes, classes), 12_345).tolist()
    for kind in (figures.ROC, figures.PRECISION_RECALL):
        read_image(figures.over_thresholds(kind, labels, probabilities, names, groups, {names[1]: (0.1, 0.9)}) or b"")
    read_image(figures.probabilities_by_class(labels, probabilities, names, 0.4))
    read_image(
        figures.reliability(labels, probabilities, probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True))
    )
    image = read_image(figures.confusion(matrix, names))
    assert max(image.size) <= 2600


def test_there_is_no_curve_if_all_images_are_of_one_class() -> None:
    labels, probabilities, groups = tied_predictions(12, 2)
    for kind in (figures.ROC, figures.PRECISION_RECALL):
        assert figures.over_thresholds(kind, 0 * labels, probabilities, ("a", "b"), groups, {}) is None
    read_image(figures.probabilities_by_class(0 * labels, probabilities, ("a", "b"), 0.5))
    read_image(figures.confusion([[12, 0], [0, 0]], ("a", "b")))

"""Charts are drawn for any names and any number of classes."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.figures import UNTRUSTED_NAMES, read_image
from helpers.predictions import tied_predictions

from lightcnn.evaluation import figures
from lightcnn.output.charts.svg import Chart
from lightcnn.training.report import figures as training_figures


def require_both_forms(drawn: Chart | None) -> Chart:
    """The chart, after its PNG file and its text alternative were checked."""
    assert drawn is not None and drawn.description.endswith(".") and "<svg" in drawn.svg
    read_image(drawn.png)
    return drawn


@pytest.mark.parametrize("classes", [2, 3, pytest.param(6, marks=pytest.mark.long), 40])
def test_every_chart_is_drawn_for_any_number_of_classes_and_any_name(classes: int) -> None:
    labels, probabilities, groups = tied_predictions(6 * classes, classes)
    names = [*UNTRUSTED_NAMES, *(f"class {number}" for number in range(classes))][:classes]
    matrix = np.full((classes, classes), 12_345).tolist()
    for kind in (figures.ROC, figures.PRECISION_RECALL):
        curves = figures.over_thresholds(kind, labels, probabilities, names, groups, {names[1]: (0.1, 0.9)})
        assert require_both_forms(curves).svg.count("<title>") == (1 if classes == 2 else classes)
    require_both_forms(training_figures.probabilities_by_class(labels, probabilities, names, 0.4))
    squared = probabilities**2 / (probabilities**2).sum(axis=1, keepdims=True)
    require_both_forms(training_figures.reliability(labels, probabilities, squared, groups))
    drawn = require_both_forms(figures.confusion(matrix, names))
    assert max(read_image(drawn.png).size) <= 1300
    assert drawn.svg.count("<title>") == classes**2


def test_there_is_no_curve_if_all_images_are_of_one_class() -> None:
    labels, probabilities, groups = tied_predictions(12, 2)
    for kind in (figures.ROC, figures.PRECISION_RECALL):
        assert figures.over_thresholds(kind, 0 * labels, probabilities, ("a", "b"), groups, {}) is None
    require_both_forms(training_figures.probabilities_by_class(0 * labels, probabilities, ("a", "b"), 0.5))
    require_both_forms(figures.confusion([[12, 0], [0, 0]], ("a", "b")))


def test_a_confusion_matrix_states_its_cells_and_the_most_frequent_mistake() -> None:
    drawn = figures.confusion([[8, 2], [0, 5]], ("benign", "malignant"))
    assert drawn.description == (
        "Confusion matrix of 2 classes: 13 of 15 images are predicted correctly. "
        "Most frequent mistake: benign is predicted as malignant, 2 times."
    )
    assert "true class benign, predicted malignant: 2 images, 20.0% of the class" in drawn.svg
    assert drawn.svg.count("<title>") == 3, "an empty cell has no text"


def test_a_confusion_matrix_of_very_many_classes_is_an_image() -> None:
    drawn = require_both_forms(figures.confusion(np.eye(70, dtype=int).tolist(), [f"class {c}" for c in range(70)]))
    assert "<image" in drawn.svg and "class 5" not in drawn.svg

"""The figures of a test set."""

from __future__ import annotations

import numpy as np

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.overview import Overview
from lightcnn.explaining.methods.attribution import Attribution


def predicted(label, prediction, probability, values, method="gradcam"):
    attribution = Attribution(method, np.array(values, np.float32))
    seen = np.zeros((2, 2, 3), np.uint8)
    return [Explanation("a.png", prediction, 0, prediction, probability, attribution, {}, 0.0, seen)], label


def test_mean_maps_are_means_of_maps_as_they_are_shown():
    for name, expected in (("gradcam", [[2, 0], [0, 1]]), ("ig", [[-3, 0], [0, 1]])):
        overview = Overview()
        overview.add(*predicted("a", "a", 0.9, [[4, 0], [0, 1]], name))
        overview.add(*predicted("a", "a", 0.8, [[-10, 0], [0, 1]], name))
        overview.add(*predicted("a", "a", 0.8, [[np.nan, 0], [0, 1]], name))
        assert np.array_equal(drawn_maps(overview.figures()["means"])[0], expected)


def test_cases_are_the_most_and_least_confident_and_a_single_one_is_drawn_once():
    overview = Overview()
    for label, probability in (("a", 0.7), ("a", 0.9), ("a", 0.8), ("b", 0.6)):
        overview.add(*predicted(label, "a", probability, [[1, 0], [0, 1]]))
    figure = overview.figures()["cases"]
    labels = [(axes.get_ylabel(), axes.get_xlabel().split(", ")[-1]) for axes in figure.axes if axes.get_ylabel()]
    assert labels == [
        ("correct, most confident", "0.900"),
        ("correct, least confident", "0.700"),
        ("wrong, most confident", "0.600"),
    ]
    (scale,) = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    assert scale.get_ylim() == (0, 1)


def drawn_maps(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]

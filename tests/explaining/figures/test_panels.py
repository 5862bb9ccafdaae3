"""The figure of one image."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.panels import Canvas, empty_reason, overlay_map, panel
from lightcnn.explaining.images.projection import Frame
from lightcnn.explaining.methods.attribution import Attribution


def explanation(values, method="gradcam", checks=None):
    attribution = Attribution(method, np.asarray(values, np.float32), "layer" if method == "gradcam" else None)
    return Explanation(
        "x", "a", 0, "a", 0.9, attribution, checks or {}, 0.1, np.full((4, 4, 3), (200, 90, 60), np.uint8)
    )


@pytest.mark.parametrize(
    ("values", "method", "words"),
    [
        (np.zeros((4, 4)), "ig", "0 everywhere"),
        (np.full((4, 4), 2.0), "lime", "constant"),
        (np.full((4, 4), np.nan), "ig", "not finite"),
        (-np.arange(1.0, 17).reshape(4, 4), "gradcam", "nothing supports the class"),
    ],
)
def test_an_empty_map_is_labelled_and_not_drawn(values, method, words):
    empty = explanation(values, method)
    assert words in empty_reason(empty)
    grey = overlay_map(Canvas(empty.seen), empty)
    assert (grey[..., 0] == grey[..., 1]).all(), "no colour on the image"
    drawn = panel(Canvas(empty.seen), [empty])
    texts = " ".join(text.get_text() for axes in drawn.axes for text in axes.texts)
    assert words in texts.replace("\n", " ")
    assert empty_reason(explanation(-np.arange(1.0, 17).reshape(4, 4), "ig")) == ""


def test_a_panel_shows_the_checks_and_leaves_the_settings_of_matplotlib():
    before = dict(mpl.rcParams)
    checks = {
        "deletion": {
            "passed": True,
            "value": 0.3,
            "controls": {"a": 0.5, "b": 0.4},
            "blind": False,
            "says": "",
            "curves": None,
        },
        "map": {"passed": False, "value": None, "says": "the map is concentrated on the border of the image"},
    }
    drawn = panel(Canvas(np.zeros((9, 30, 1), np.uint8)), [explanation(np.eye(9, 30), checks=checks)], ["a name"])
    texts = "\n".join(text.get_text() for axes in drawn.axes for text in axes.texts)
    assert "✓ deletion 0.30 (best control 0.40)" in texts
    assert "✗ the map is concentrated on the" in texts
    assert "a name" in texts
    assert dict(mpl.rcParams) == before


def test_a_map_that_is_finer_than_its_image_is_drawn_in_full():
    pixels = np.zeros((8, 8, 3), np.uint8)
    canvas = Canvas(pixels, Frame(8, 8, 32)).fitted()
    spot = np.zeros((32, 32), np.float32)
    spot[13, 17] = 1
    assert canvas.project(spot).max() > 0.9
    assert canvas.project(spot).shape == canvas.image.shape[:2]
    assert set(np.unique(canvas.regions(np.arange(1024).reshape(32, 32)))) == set(range(1024))


def test_lime_has_no_seams_between_its_superpixels():
    segments = np.repeat(np.array([[0, 0, 1, 1]]), 4, axis=0)
    attribution = Attribution("lime", np.where(segments, -1, 1).astype(np.float32), segments=segments)
    lime = Explanation("a.png", "a", 0, "a", 1.0, attribution, {}, 0.0, np.zeros((4, 4, 3), np.uint8))
    drawn = drawn_maps(panel(Canvas(np.zeros((50, 50, 3), np.uint8), Frame(50, 50, 4)), [lime]))
    assert [set(np.unique(values)) for values in drawn if values.min() < 0] == [{-1.0, 1.0}]


def drawn_maps(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]

"""Scales of maps, overlays and outlines."""

from __future__ import annotations

import numpy as np

from lightcnn.explaining.figures.colours import Scale, layer_pixels, outline_regions, overlay, strongest_regions


def test_scales_are_symmetric_for_signed_maps():
    values = np.array([[-3.0, 0, 1, 2]], np.float32)
    for method in ("ig", "lime", "occlusion"):
        scale = Scale.of(method, [values])
        assert scale.low == -scale.high < 0
        middle = scale.coloured(np.zeros((1, 1)))[0, 0].astype(int)
        assert middle.min() > 235, "white at 0"
        ends = scale.coloured(np.array([scale.low, scale.high]))
        assert (ends[0] != ends[1]).any()
    for method in ("gradcam", "gradcam++", "layercam"):
        assert Scale.of(method, [values]) == Scale(0, 2)
    shared = Scale.of("gradcam", [values, 5 * values])
    assert shared.high == 10, "maps that are compared share one scale"
    assert Scale.of("ig", [np.zeros((2, 2))]).high > 0


def test_an_overlay_keeps_the_image_where_the_map_is_0_and_fades_unseen_pixels():
    image = np.random.default_rng(0).integers(0, 200, (300, 4, 3), dtype=np.uint8)
    values = np.zeros((300, 4), np.float32)
    values[:, 1] = 1
    values[:, 2] = -1
    values[:, 3] = np.nan
    for method, kept in (("ig", [0]), ("gradcam", [0, 2])):
        out = overlay(image, values, Scale.of(method, [values]))
        assert (out[:, kept] == image[:, kept]).all()
        assert (out[:, 1] != image[:, 1]).any(axis=1).all()
        assert out[:, 3].min() >= 165
        assert (out[:, 3, 0] == out[:, 3, 1]).all()
    grey = overlay(image[..., :1], values, Scale.of("ig", [values]))
    assert grey.shape == (300, 4, 3)
    assert (grey[:, 0] == image[:, 0, :1]).all()


def test_the_strongest_superpixels_are_outlined():
    regions = np.arange(9).reshape(3, 3).repeat(6, 0).repeat(6, 1)
    weights = np.array([0.5, -1, 0.9, 0.02, 0.3, 0.2, 0.4, 0, 0.1])
    chosen = strongest_regions(weights[regions], regions)
    assert chosen == [2, 0, 6, 4, 5]
    assert strongest_regions(-np.ones((18, 18)), regions) == []
    line = (outline_regions(np.zeros((18, 18, 3), np.uint8), regions, [4]) > 0).any(axis=2)
    expected = np.zeros((18, 18), bool)
    expected[6:12, 6:12] = True
    expected[7:11, 7:11] = False
    assert (line == expected).all()


def test_a_layer_above_the_image_looks_like_the_overlay():
    image = np.random.default_rng(0).integers(0, 200, (8, 8, 3), dtype=np.uint8)
    values = np.random.default_rng(1).normal(size=(8, 8)).astype(np.float32)
    for method in ("ig", "gradcam"):
        scale = Scale.of(method, [values])
        layer = layer_pixels(values, scale).astype(float)
        share = layer[..., 3:] / 255
        mixed = image * (1 - share) + layer[..., :3] * share
        assert np.abs(mixed - overlay(image, values, scale)).max() <= 1.5
    unseen = layer_pixels(np.full((1, 1), np.nan), Scale(0, 1))
    assert unseen[0, 0].tolist() == [255, 255, 255, 166]

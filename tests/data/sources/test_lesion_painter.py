"""Synthetic lesions: reproducible, balanced, and classes that differ in appearance but in no simple statistic."""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError
from functools import cache

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lightcnn.data.sources.lesion_painter import Lesions, paint_lesions
from lightcnn.errors import DataError

CLASS_NAMES = ("domed", "ragged", "ringed", "scaled", "clustered", "flat")


@cache
def many_of_two() -> Lesions:
    """Enough images to measure shares to a few hundredths."""
    return paint_lesions(600, 32, 2, seed=11)


@cache
def many_of_six() -> Lesions:
    return paint_lesions(600, 16, 6, seed=12)


def digest(lesions: Lesions) -> str:
    return hashlib.sha256(lesions.images.tobytes() + lesions.masks.tobytes()).hexdigest()


def test_the_same_arguments_give_the_same_bytes():
    first, second = paint_lesions(12, 32, 3, seed=4), paint_lesions(12, 32, 3, seed=4)
    assert digest(first) == digest(second)
    assert first.patients.tolist() == second.patients.tolist()
    assert digest(first) != digest(paint_lesions(12, 32, 3, seed=5))


def test_the_bytes_are_the_same_on_every_machine():
    # Also measured with NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL": numpy's simplest loops.
    assert digest(paint_lesions(12, 40, 6, seed=1, shortcut=True)) == (
        "9d3ebc575c68dd3156b125288f9a97b3729ce6890cd6b0099abe35ee3d5c3d3a"
    )


def test_the_callers_random_state_is_not_changed():
    before = np.random.get_state()[1].copy()
    paint_lesions(4, 16)
    assert (np.random.get_state()[1] == before).all()


def test_a_larger_count_extends_a_smaller_one():
    small, large = paint_lesions(10, 32, seed=2), paint_lesions(31, 32, seed=2)
    assert (large.images[:10] == small.images).all()
    assert (large.masks[:10] == small.masks).all()
    assert large.patients[:10].tolist() == small.patients.tolist()


@pytest.mark.parametrize("classes", range(2, 7))
def test_classes_alternate(classes):
    lesions = paint_lesions(5 * classes + 1, 16, classes)
    assert lesions.classes == CLASS_NAMES[:classes]
    assert lesions.labels.tolist() == [i % classes for i in range(5 * classes + 1)]


def test_a_patient_has_one_class_and_one_to_five_different_images():
    lesions = paint_lesions(300, 16, 3)
    sizes = set()
    for patient in np.unique(lesions.patients):
        rows = lesions.patients == patient
        assert len(set(lesions.labels[rows].tolist())) == 1
        assert len({image.tobytes() for image in lesions.images[rows]}) == rows.sum()
        sizes.add(int(rows.sum()))
    assert sizes == {1, 2, 3, 4, 5}
    assert lesions.patients[0] == "p001"


def test_images_of_one_patient_are_more_similar_than_those_of_two():
    tones = many_of_two().images.mean(axis=(1, 2))
    same, other = [], []
    for index in range(len(tones) - 40):
        later = many_of_two().patients[index + 1 : index + 40] == many_of_two().patients[index]
        distances = np.abs(tones[index + 1 : index + 40] - tones[index]).sum(axis=1)
        same += distances[later].tolist()
        other += distances[~later].tolist()
    assert np.mean(same) < 0.6 * np.mean(other)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 200])
def test_images_and_masks_of_any_size(size):
    lesions = paint_lesions(4, size)
    assert lesions.images.shape == (4, size, size, 3)
    assert lesions.images.dtype == np.uint8
    assert lesions.masks.shape == (4, size, size)
    assert lesions.masks.dtype == np.bool_
    assert lesions.images.std(axis=(1, 2, 3)).min() > 3


def test_sizes_show_the_same_scene():
    small, large = paint_lesions(12, 64, 6), paint_lesions(12, 128, 6)
    halves = large.images.reshape(12, 64, 2, 64, 2, 3).mean(axis=(2, 4))
    # Noise and blur are those of a camera with pixels of the requested size; the scene is the same.
    assert np.abs(halves - small.images).mean() < 5
    assert (large.masks[:, ::2, ::2] == small.masks).mean() > 0.98


def test_masks_cover_a_part_of_the_image():
    for size in (16, 32):
        share = paint_lesions(180, size, 6, seed=3).masks.mean(axis=(1, 2))
        assert share.min() > 0.003
        assert share.max() < 0.55


def test_masks_cover_the_spots():
    lesions = paint_lesions(120, 64, 6, seed=6)
    ratios = []
    for image, mask in zip(lesions.images.astype(float), lesions.masks, strict=True):
        # A spot's colour differs from the skin's more than the surroundings do.
        skin = np.median(image[~mask], axis=0)
        ratios.append(np.abs(image[mask] - skin).mean() / np.abs(image[~mask] - skin).mean())
    assert np.mean(np.array(ratios) > 1) > 0.8


def test_a_shortcut_marks_only_the_first_class_and_changes_nothing_else():
    plain, marked = paint_lesions(60, 64, 3, seed=8), paint_lesions(60, 64, 3, seed=8, shortcut=True)
    changed = (plain.images != marked.images).any(axis=3)
    assert changed[marked.labels == 0].any(axis=(1, 2)).all()
    assert not changed[marked.labels != 0].any()
    assert not changed[:, 14:].any()
    assert not changed[:, :, 14:].any()
    assert not marked.masks[changed].any()
    blue = marked.images[:, 4:10, 4:10].astype(int).mean(axis=(1, 2))
    assert ((blue[:, 2] - blue[:, 0] > 40) == (marked.labels == 0)).mean() > 0.97
    assert (marked.masks <= plain.masks).all()
    assert (marked.masks == plain.masks)[:, 16:].all()


def test_a_linear_model_on_pixels_is_near_chance():
    lesions = many_of_two()
    pixels = lesions.images.reshape(len(lesions.labels), -1) / 255
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=200))
    folds = GroupKFold(3)
    accuracy = cross_val_score(model, pixels, lesions.labels, groups=lesions.patients, cv=folds).mean()
    assert 0.42 < accuracy < 0.60


def test_no_single_statistic_separates_the_classes():
    lesions = many_of_two()
    light = lesions.images.mean(axis=3)
    rows, columns = np.arange(32)[:, None], np.arange(32)[None]
    inside = [image[mask].mean(axis=0) for image, mask in zip(lesions.images, lesions.masks, strict=True)]
    outside = [image[~mask].mean(axis=0) for image, mask in zip(lesions.images, lesions.masks, strict=True)]
    contrast = np.array(inside) - np.array(outside)
    area = lesions.masks.sum(axis=(1, 2))
    statistics = {
        "area": area,
        "row": (lesions.masks * rows).sum(axis=(1, 2)) / area,
        "column": (lesions.masks * columns).sum(axis=(1, 2)) / area,
        "brightness": light.mean(axis=(1, 2)),
        "darkest": light.min(axis=(1, 2)),
        "contrast": contrast.mean(axis=1),
        "size of contrast": np.abs(contrast).mean(axis=1),
        "redness of spots": contrast[:, 0] - contrast[:, 1],
    } | {f"mean {name}": lesions.images[..., i].mean(axis=(1, 2)) for i, name in enumerate(("red", "green", "blue"))}
    areas = {name: roc_auc_score(lesions.labels, values) for name, values in statistics.items()}
    assert all(0.37 < value < 0.63 for value in areas.values()), areas


@pytest.mark.parametrize("label", range(6))
def test_mean_colour_and_area_do_not_separate_any_of_six_classes(label):
    lesions = many_of_six()
    is_class = lesions.labels == label
    for values in (lesions.images.mean(axis=(1, 2, 3)), lesions.masks.mean(axis=(1, 2))):
        assert 0.33 < roc_auc_score(is_class, values) < 0.67


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": 1}, "classes is 1; give 2 to 6"),
        ({"classes": 7}, "classes is 7; give 2 to 6"),
        ({"count": 5, "classes": 3}, "count is 5, fewer than two images per class; give at least 6"),
        ({"count": -1}, "count is -1, .* at least 4"),
        ({"size": 15}, "size is 15 pixels, .* at least 16"),
        ({"seed": -1}, "seed is -1; give 0 or more"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(DataError, match=message) as caught:
        paint_lesions(**arguments)
    assert "\n" not in str(caught.value)


def test_the_smallest_allowed_counts():
    assert len(paint_lesions(4, 16).labels) == 4
    assert len(paint_lesions(12, 16, 6).labels) == 12


def test_the_result_is_frozen():
    with pytest.raises(FrozenInstanceError):
        paint_lesions(4, 16).labels = np.zeros(4)

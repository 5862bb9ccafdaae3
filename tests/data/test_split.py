"""Splits: no group in two sets, every image in one set, classes as balanced as the groups allow."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.data_sets import npz
from hypothesis import given
from hypothesis import strategies as st

from lightcnn.data.dataset import SPLIT_NAMES, assemble
from lightcnn.data.sources.load import load
from lightcnn.data.split import CALIBRATION_IMAGES, Split, calibration_set, data_document, folds, make_split, subset
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


def dataset(labels, groups=None, given_split=None, classes=None):
    """A data set of black images."""
    labels = np.asarray(labels, dtype=np.int64)
    return assemble(
        "set",
        np.zeros((len(labels), 2, 2, 1), np.uint8),
        labels,
        tuple(f"c{i}" for i in range(classes or int(labels.max()) + 1)),
        groups=None if groups is None else np.asarray(groups, dtype=np.str_),
        groups_from="none" if groups is None else "manifest",
        split=None if given_split is None else np.asarray(given_split, dtype="<U5"),
    )


@st.composite
def grouped_sets(draw):
    """Two to four classes; groups of one to nine images, some of which span classes."""
    classes = draw(st.integers(2, 4))
    labels, groups = [], []
    for label in range(classes):
        for number in range(draw(st.integers(3, 14))):
            size = draw(st.integers(1, 9))
            labels += [label] * size
            groups += [f"{label}-{number}"] * size
    for number in range(draw(st.integers(0, 3))):
        members = draw(st.lists(st.integers(0, classes - 1), min_size=2, max_size=5))
        labels += members
        groups += [f"mixed-{number}"] * len(members)
    order = draw(st.permutations(range(len(labels))))
    return dataset([labels[i] for i in order], [groups[i] for i in order], classes=classes)


def assert_valid(data, split: Split) -> None:
    """Each image is in one set, indices ascend, no group is in two sets, and every class is in each."""
    assigned = np.concatenate([getattr(split, name) for name in SPLIT_NAMES])
    assert sorted(assigned.tolist()) == list(range(len(data)))
    assert split.groups_shared(data) == 0
    for name in SPLIT_NAMES:
        indices = getattr(split, name)
        assert (np.diff(indices) > 0).all()
        assert set(data.labels[indices].tolist()) == set(data.labels.tolist())


@given(grouped_sets(), st.integers(0, 2**32 - 1))
def test_no_group_is_in_two_sets_and_classes_are_as_balanced_as_groups_allow(data, seed):
    split = make_split(data, seed)
    assert_valid(data, split)
    again = make_split(data, seed)
    assert all(np.array_equal(getattr(split, name), getattr(again, name)) for name in SPLIT_NAMES)
    largest = np.unique(data.groups, return_counts=True)[1].max()
    for name, share in (("test", 0.2), ("val", 0.12), ("train", 0.68)):
        for label in range(len(data.classes)):
            count = int((data.labels[getattr(split, name)] == label).sum())
            assert abs(count - share * int((data.labels == label).sum())) <= 3 * largest + 1


@given(st.lists(st.integers(10, 60), min_size=2, max_size=5), st.integers(0, 1000))
def test_without_groups_the_proportions_are_exact_to_an_image(counts, seed):
    data = dataset(np.repeat(np.arange(len(counts)), counts))
    split = make_split(data, seed)
    assert_valid(data, split)
    for label, count in enumerate(counts):
        for name, share in (("test", 0.2), ("val", 0.12), ("train", 0.68)):
            assert abs(int((data.labels[getattr(split, name)] == label).sum()) - share * count) <= 1


@given(grouped_sets(), st.integers(2, 3), st.integers(0, 1000))
def test_folds_are_disjoint_by_group_and_cover_everything(data, count, seed):
    try:
        splits = folds(data, count, seed)
    except DataError as error:
        assert "groups" in str(error)  # three groups of a class do not suffice for folds with a validation set
        return
    assert len(splits) == count
    assert sorted(np.concatenate([split.test for split in splits]).tolist()) == list(range(len(data)))
    for split in splits:
        assert_valid(data, split)
    assert len(set(map(str, np.concatenate([np.unique(data.groups[split.test]) for split in splits])))) == len(
        np.unique(data.groups)
    )


def test_another_seed_gives_another_split():
    data = dataset([0, 1] * 50)
    assert not np.array_equal(make_split(data, 0).test, make_split(data, 1).test)
    assert not np.array_equal(folds(data, 5, 0)[0].test, folds(data, 5, 1)[0].test)


def test_a_split_is_the_same_on_every_machine():
    data = dataset(np.repeat([0, 1, 2], [30, 20, 10]), np.arange(60) // 2)
    assert make_split(data, 7).test.tolist() == [12, 13, 18, 19, 26, 27, 42, 43, 46, 47, 50, 51]


def test_validation_and_test_sets_of_large_data_sets_are_limited():
    data = dataset(np.arange(200_000) % 2)
    assert make_split(data, 0).counts() == {"train": 180_000, "val": 10_000, "test": 10_000}


def test_a_given_split_is_used_and_missing_sets_are_split_off_from_train():
    labels = [0, 1] * 30
    data = dataset(labels, np.arange(60) // 2, ["train"] * 40 + ["test"] * 20)
    split = make_split(data, 0)
    assert split.test.tolist() == list(range(40, 60))
    assert sorted([*split.train, *split.val]) == list(range(40))
    assert split.groups_shared(data) == 0
    assert not split.leak_allowed
    other = dataset(labels, np.arange(60) // 2, ["train"] * 40 + ["val"] * 20)
    assert make_split(other, 0).val.tolist() == list(range(40, 60))


def test_a_given_split_whose_sets_share_groups_is_refused_unless_allowed():
    given_split = ["train"] * 41 + ["test"] * 19
    data = dataset([0, 1] * 30, [f"p{i // 2}" for i in range(60)], given_split)
    message = r"1 group \(p20\) with images in more than one set.*--resplit.*--allow-leak"
    with pytest.raises(DataError, match=message):
        make_split(data, 0)
    allowed = make_split(data, 0, Reading(allow_leak=True))
    assert allowed.leak_allowed
    assert allowed.groups_shared(data) == 1
    assert len(allowed.test) == 19
    new = make_split(data, 0, Reading(resplit=True))
    assert_valid(data, new)
    assert not new.leak_allowed


def test_shared_groups_are_counted():
    data = dataset([0, 1, 0, 1], ["a", "b", "a", "b"])
    leaking = Split(np.array([0, 1]), np.array([2]), np.array([3]))
    assert leaking.groups_shared(data) == 2


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        (
            [0] * 9 + [1],
            None,
            r"class 'c1' has 1 image, too few to be in all 3 sets; give it images of at least 3 groups",
        ),
        ([0] * 9 + [1] * 4, [*range(9), *"aaaa"], r"class 'c1' has 4 images in 1 group, too few to be in all 3 sets"),
        ([0, 1] * 6, [*"aabbccddeeff"[:8], *"aabb"], None),
        ([0] * 6 + [1] * 6, [*"abc", *"abc", *"abcabc"], None),
    ],
)
def test_a_class_that_cannot_be_in_every_set_is_named(labels, groups, message):
    data = dataset(labels, groups)
    if message is None:
        assert_valid(data, make_split(data, 0))
        return
    with pytest.raises(DataError, match=message):
        make_split(data, 0)


def test_groups_that_cannot_be_distributed_are_a_clear_error():
    # The groups of each class must be in different sets: x, y, z of one and x, y, w of another put z and w together,
    # which the third class forbids.
    data = dataset([0, 1, 2, 0, 1, 0, 2, 1, 2], [*"xxxyyzzww"])
    with pytest.raises(DataError, match=r"cannot be distributed so that every class is in all 3 sets"):
        make_split(data, 0)
    with pytest.raises(DataError, match=r"1 folds; give two or more"):
        folds(data, 1, 0)


def test_subset_is_stratified():
    data = dataset(np.repeat([0, 1], [300, 100]))
    chosen = subset(data, np.arange(400), 100, 0)
    assert np.bincount(data.labels[chosen]).tolist() == [75, 25]
    assert (np.diff(chosen) > 0).all()
    assert subset(data, np.arange(50), 100, 0).tolist() == list(range(50))


def test_splits_of_digits_are_disjoint_stratified_and_repeatable():
    data = load("digits")
    split = make_split(data, 3)
    parts = [split.train, split.val, split.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(data)))
    assert split.groups_shared(data) == 0
    for part in parts:
        shares = np.bincount(data.labels[part], minlength=10) / len(part)
        assert np.abs(shares - 0.1).max() < 0.02
    again, other = make_split(data, 3), make_split(data, 4)
    np.testing.assert_array_equal(split.test, again.test)
    assert set(split.test.tolist()) != set(other.test.tolist())


def test_a_class_too_small_to_split_is_named(tmp_path):
    labels = np.array([0] * 30 + [1] * 2)
    data = load(npz(tmp_path, train_images=np.zeros((32, 8, 8), dtype=np.uint8), train_labels=labels))
    with pytest.raises(DataError, match="class '1' has 2 images, too few to be in all 3 sets; give it images of"):
        make_split(data, 0)


def test_a_subset_of_digits_is_stratified():
    data = load("digits")
    chosen = subset(data, make_split(data, 0).train, 200, 0)
    assert 190 <= len(chosen) <= 210
    assert np.bincount(data.labels[chosen]).min() >= 18
    assert set(chosen.tolist()) <= set(make_split(data, 0).train.tolist())


def test_a_given_set_without_images_of_some_classes_is_a_warning():
    given_split = ["train"] * 9 + ["val", "val", "test", "test", "test"]
    data = dataset([0, 1, 2] * 3 + [1, 1, 0, 1, 2], given_split=given_split)
    warnings = data_document(data, make_split(data, 0))["warnings"]
    (warning,) = [warning for warning in warnings if warning["code"] == "classes_missing"]
    assert warning["count"] == 2
    assert "the validation set has images of only 1 of 3 classes (c1)" in warning["message"]
    assert "test set" not in warning["message"]
    complete = dataset([0, 1, 2] * 9)
    warnings = data_document(complete, make_split(complete, 0))["warnings"]
    assert "classes_missing" not in {warning["code"] for warning in warnings}


def test_images_of_every_class_calibrate_8_bits():
    data = dataset(np.repeat(np.arange(10), 200))  # the classes follow each other, as in folders of images
    split = make_split(data, 0)
    chosen = calibration_set(data, split)
    assert set(chosen) <= set(split.train) and abs(len(chosen) - CALIBRATION_IMAGES) <= 5
    assert np.bincount(data.labels[chosen]).min() >= 25

"""Splits: no source on two sides, every image placed, classes as even as the groups allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightcnn.data.dataset import SPLIT_NAMES, assemble
from lightcnn.data.split import Split, folds, make_split, subset
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


def dataset(labels, groups=None, sides=None, classes=None):
    """A data set whose images are nothing."""
    labels = np.asarray(labels, dtype=np.int64)
    more = {} if groups is None else {"groups": np.asarray(groups, dtype=np.str_), "groups_from": "manifest"}
    if sides is not None:
        more["split"] = np.asarray(sides, dtype="<U5")
    names = tuple(f"c{i}" for i in range(classes or int(labels.max()) + 1))
    return assemble("set", np.zeros((len(labels), 2, 2, 1), np.uint8), labels, names, **more)


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


def sides_of(data, cut: Split) -> None:
    """What holds for every split: each image placed once, ascending, no group on two sides, every class on each."""
    placed = np.concatenate([getattr(cut, name) for name in SPLIT_NAMES])
    assert sorted(placed.tolist()) == list(range(len(data)))
    assert cut.groups_shared(data) == 0
    for name in SPLIT_NAMES:
        side = getattr(cut, name)
        assert (np.diff(side) > 0).all()
        assert set(data.labels[side].tolist()) == set(data.labels.tolist())


@given(grouped_sets(), st.integers(0, 2**32 - 1))
def test_no_group_on_two_sides_and_classes_as_even_as_groups_allow(data, seed):
    cut = make_split(data, seed)
    sides_of(data, cut)
    again = make_split(data, seed)
    assert all(np.array_equal(getattr(cut, name), getattr(again, name)) for name in SPLIT_NAMES)
    largest = np.unique(data.groups, return_counts=True)[1].max()
    for name, share in (("test", 0.2), ("val", 0.12), ("train", 0.68)):
        for label in range(len(data.classes)):
            held = int((data.labels[getattr(cut, name)] == label).sum())
            assert abs(held - share * int((data.labels == label).sum())) <= 3 * largest + 1


@given(st.lists(st.integers(10, 60), min_size=2, max_size=5), st.integers(0, 1000))
def test_without_groups_the_proportions_are_exact_to_an_image(counts, seed):
    data = dataset(np.repeat(np.arange(len(counts)), counts))
    cut = make_split(data, seed)
    sides_of(data, cut)
    for label, count in enumerate(counts):
        for name, share in (("test", 0.2), ("val", 0.12), ("train", 0.68)):
            assert abs(int((data.labels[getattr(cut, name)] == label).sum()) - share * count) <= 1


@given(grouped_sets(), st.integers(2, 3), st.integers(0, 1000))
def test_folds_are_disjoint_by_group_and_cover_everything(data, count, seed):
    try:
        made = folds(data, count, seed)
    except DataError as error:
        assert "sources" in str(error)  # three groups of a class cannot give folds with a validation side
        return
    assert len(made) == count
    assert sorted(np.concatenate([cut.test for cut in made]).tolist()) == list(range(len(data)))
    for cut in made:
        sides_of(data, cut)
    assert len(set(map(str, np.concatenate([np.unique(data.groups[cut.test]) for cut in made])))) == len(
        np.unique(data.groups)
    )


def test_another_seed_is_another_split():
    data = dataset([0, 1] * 50)
    assert not np.array_equal(make_split(data, 0).test, make_split(data, 1).test)
    assert not np.array_equal(folds(data, 5, 0)[0].test, folds(data, 5, 1)[0].test)


def test_a_split_is_the_same_on_every_machine():
    data = dataset(np.repeat([0, 1, 2], [30, 20, 10]), np.arange(60) // 2)
    assert make_split(data, 7).test.tolist() == [12, 13, 18, 19, 26, 27, 42, 43, 46, 47, 50, 51]


def test_large_sets_do_not_cut_more_than_they_need():
    data = dataset(np.arange(200_000) % 2)
    assert make_split(data, 0).counts() == {"train": 180_000, "val": 10_000, "test": 10_000}


def test_a_given_split_is_used_and_what_it_lacks_is_cut_from_train():
    labels = [0, 1] * 30
    data = dataset(labels, np.arange(60) // 2, ["train"] * 40 + ["test"] * 20)
    cut = make_split(data, 0)
    assert cut.test.tolist() == list(range(40, 60))
    assert sorted([*cut.train, *cut.val]) == list(range(40))
    assert cut.groups_shared(data) == 0
    assert not cut.leak_allowed
    other = dataset(labels, np.arange(60) // 2, ["train"] * 40 + ["val"] * 20)
    assert make_split(other, 0).val.tolist() == list(range(40, 60))


def test_a_given_split_that_groups_cross_is_refused_unless_told():
    sides = ["train"] * 41 + ["test"] * 19
    data = dataset([0, 1] * 30, [f"p{i // 2}" for i in range(60)], sides)
    with pytest.raises(DataError, match=r"1 source \(p20\) with images on more than one side.*--resplit.*--allow-leak"):
        make_split(data, 0)
    allowed = make_split(data, 0, Reading(allow_leak=True))
    assert allowed.leak_allowed
    assert allowed.groups_shared(data) == 1
    assert len(allowed.test) == 19
    anew = make_split(data, 0, Reading(resplit=True))
    sides_of(data, anew)
    assert not anew.leak_allowed


def test_groups_shared_is_counted_not_asserted():
    data = dataset([0, 1, 0, 1], ["a", "b", "a", "b"])
    leaking = Split(np.array([0, 1]), np.array([2]), np.array([3]))
    assert leaking.groups_shared(data) == 2


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0] * 9 + [1], None, r"class 'c1' has 1 image, and 3 sides to stand on; give it images of at least 3 sources"),
        ([0] * 9 + [1] * 4, [*range(9), *"aaaa"], r"class 'c1' has 4 images, all of 1 source, and 3 sides"),
        ([0, 1] * 6, [*"aabbccddeeff"[:8], *"aabb"], None),
        ([0] * 6 + [1] * 6, [*"abc", *"abc", *"abcabc"], None),
    ],
)
def test_a_class_that_cannot_stand_on_every_side_is_named(labels, groups, message):
    data = dataset(labels, groups)
    if message is None:
        sides_of(data, make_split(data, 0))
        return
    with pytest.raises(DataError, match=message):
        make_split(data, 0)


def test_sources_that_cannot_be_shared_out_are_a_clear_line():
    # The groups of each class must stand apart: x, y, z of one, x, y, w of another put z and w together, the third not.
    data = dataset([0, 1, 2, 0, 1, 0, 2, 1, 2], [*"xxxyyzzww"])
    with pytest.raises(DataError, match=r"cannot be shared out so that every class stands on 3 sides"):
        make_split(data, 0)
    with pytest.raises(DataError, match=r"1 folds; give two or more"):
        folds(data, 1, 0)


def test_subset_is_stratified():
    data = dataset(np.repeat([0, 1], [300, 100]))
    chosen = subset(data, np.arange(400), 100, 0)
    assert np.bincount(data.labels[chosen]).tolist() == [75, 25]
    assert (np.diff(chosen) > 0).all()
    assert subset(data, np.arange(50), 100, 0).tolist() == list(range(50))

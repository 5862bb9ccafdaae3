"""Groups of a data set, from its source, file names and near duplicates together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lightcnn.data.grouping.groups import find_groups, infer_groups, linked_images, merge_with_duplicates
from lightcnn.data.grouping.near_duplicates import NearDuplicates
from lightcnn.data.sources.load import load


def write_patients(folder: Path, images: int, *, has_blank: bool = False) -> str:
    """Class folders with so many images of each of eight patients, named by them; the first one is black if asked."""
    random = np.random.default_rng(0)
    for patient in range(8):
        of_class = folder / "AB"[patient % 2]
        of_class.mkdir(parents=True, exist_ok=True)
        for image in range(images):
            pixels = random.integers(0, 256, (70, 70), dtype=np.uint8) * (image > 0 or not has_blank)
            Image.fromarray(pixels.astype(np.uint8)).save(of_class / f"p{patient}_{image}.png")
    return str(folder)


@given(st.lists(st.lists(st.integers(0, 9), min_size=12, max_size=12), min_size=1, max_size=3))
def test_linked_images_are_exactly_those_with_equal_keys(keys):
    joint = linked_images(*(np.array(values) for values in keys))
    assert (joint <= np.arange(12)).all()
    assert (joint[joint] == joint).all()
    for values in keys:
        for value in set(values):
            assert len({int(joint[i]) for i in range(12) if values[i] == value}) == 1
    assert len(set(joint.tolist())) >= 12 - sum(12 - len(set(values)) for values in keys)


def test_groups_of_near_and_exact_duplicates(photographs, searches):
    data = find_groups(load(photographs))
    assert data.groups_from == "near duplicates"
    assert data.groups[0] == data.groups[1] == data.groups[data.paths.index("B/11.png")]
    assert len(set(data.groups.tolist())) == 10
    assert "2 images are near duplicates in 1 cluster" in data.groups_reason
    assert "1 was joined to an image with equal pixels" in data.groups_reason
    assert not data.groups_known, "photographs are not patients"
    assert data.note.startswith("patients are unknown, and each photograph with its copies counts as one group: ")


def test_the_note_reports_the_search_if_no_groups_are_known():
    data = find_groups(load("digits"))
    assert data.groups_from == "none"
    assert len(set(data.groups.tolist())) == 1797
    assert "the images have no file names" in data.note
    assert "images of 8 pixels are too small" in data.note


def test_names_and_near_duplicates_together(tmp_path, searches):
    data = load(write_patients(tmp_path / "set", 2))
    both = find_groups(data)
    assert both.groups_from == "names and near duplicates"
    assert len(set(both.groups.tolist())) == 8
    assert set(both.groups.tolist()) == {f"p{i}" for i in range(8)}
    only = infer_groups(data, NearDuplicates(None, "near duplicates were not searched for"))
    assert (only.groups_from, set(only.groups.tolist())) == ("names", set(both.groups.tolist()))
    assert "16 of 16 file names contain a patient identifier" in only.groups_reason
    assert [(warning.code, warning.count) for warning in only.warnings] == [("groups_inferred", 16)]


def test_groups_of_a_manifest_that_share_a_photograph_are_joined(photographs, searches):
    data = load(photographs)
    given_groups = np.array([f"p{i // 2}" for i in range(12)])
    kept = find_groups(data.with_groups(given_groups, "manifest"))
    assert len(searches) == 1
    assert kept.groups_from == "manifest"
    assert kept.groups[data.paths.index("A/0.png")] == kept.groups[data.paths.index("B/11.png")]
    assert len(set(kept.groups.tolist())) == 5
    assert "joined to others that contain the same photograph" in kept.note
    unsearched = merge_with_duplicates(
        data.with_groups(np.full(12, "one"), "manifest"), NearDuplicates(None, "not searched for")
    )
    assert unsearched.note == ""
    assert unsearched.groups_reason.startswith("given by the manifest; 1 contains images of more than one class")
    assert unsearched.groups_reason.endswith("; not searched for")


def test_images_of_a_single_colour_join_no_patients(tmp_path, searches):
    """Each patient has an empty slice, and these have equal pixels."""
    random, lines = np.random.default_rng(0), ["path,label,group"]
    for number in range(24):
        pixels = random.integers(0, 256, (70, 70), dtype=np.uint8) if number % 3 else np.zeros((70, 70), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{'ab'[number // 3 % 2]},p{number // 3}")
    (tmp_path / "slices.csv").write_text("\n".join(lines))
    data = find_groups(load(str(tmp_path / "slices.csv")))
    assert len(set(data.groups.tolist())) == 8
    assert "joined" not in data.groups_reason


def test_images_of_a_single_colour_join_no_groups_of_file_names(tmp_path, searches):
    data = find_groups(load(write_patients(tmp_path / "set", 3, has_blank=True)))
    assert data.groups_from.startswith("names")
    assert set(data.groups.tolist()) == {f"p{patient}" for patient in range(8)}


def test_images_of_a_single_colour_are_no_copies_if_no_groups_are_known(tmp_path):
    """Else a given split with one in the training set and one in the test set would be refused."""
    random, images = np.random.default_rng(0), {}
    for split in ("train", "test"):
        images[f"{split}_images"] = random.integers(0, 256, (8, 20, 20), dtype=np.uint8)
        images[f"{split}_images"][0] = 0
        images[f"{split}_labels"] = np.arange(8) % 2
    np.savez(tmp_path / "blank.npz", **images)
    data = find_groups(load(str(tmp_path / "blank.npz")))
    assert len(set(data.groups.tolist())) == 16
    assert "equal pixels" not in data.groups_reason

"""Groups from file names: plausible patterns are accepted, others are not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from helpers.file_names import COPIES_AND_SOURCES, FILES_AND_PATIENTS, NOT_COPIES
from hypothesis import given
from hypothesis import strategies as st

from lightcnn.data.grouping.name_groups import MIN_GROUPS, name_groups, open_question


def files(*names, folder="A"):
    return [f"{folder}/{name}" for name in names]


def counted(pattern, count, folder="A"):
    return files(*(pattern.format(i) for i in range(1, count + 1)), folder=folder)


ACCEPTED = {
    "keras": ([f"A/aug_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "keras with its own prefix": ([f"A/cat_{i // 5}_{7919 * i % 10000}.png" for i in range(1, 40)], 8),
    "roboflow": ([f"train/A/x{i}_jpg.rf.{i:08x}{j:08x}.jpg" for i in range(8) for j in range(3)], 8),
    "few augmented": (counted("IMG_{}.jpg", 50) + counted("flip_IMG_{}.jpg", 6), 50),
    "two copies of a missing source": (
        counted("flip_IMG_{}.jpg", 20) + counted("rot90_IMG_{}.jpg", 20), 20,
    ),
    "patients": ([f"A/M{i:02}_{j:02}.jpg" for i in range(20) for j in range(3)], 20),
    "patients, a fifth unnamed": (
        [f"A/M{i:02}_{j:02}.jpg" for i in range(20) for j in range(4)] + counted("IMG_{}.jpg", 20), 40,
    ),
    "copies of photographs of patients": (
        [f"A/{mark}M{i:02}_{j:02}.jpg" for mark in ("", "flip_") for i in range(9) for j in range(3)], 9,
    ),
    "one patient in two classes": ([f"{label}/p{i}_{j}.jpg" for label in "AB" for i in range(9) for j in range(2)], 9),
    "numbers restart in each class": (
        [f"{label}/{mark}{i}.png" for label in "AB" for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "numbers restart in each split": (
        [f"{side}/A/{mark}{i}.png" for side in ("train", "test") for mark in ("", "rot90_") for i in range(9)], 18,
    ),
    "folders of patients": (
        [f"patient{i:05}/study{k}/view{j}_frontal.png" for i in range(24) for k in (1, 2) for j in (1, 2)], 24,
    ),
    "folders of subjects and sessions": (
        [f"sub-{i:02}/ses-{j}/anat/sub-{i:02}_ses-{j}_T1w.png" for i in range(12) for j in (1, 2)], 12,
    ),
    "folders of series below a number": (
        [f"{100 + i}/series{j}/{k}.png" for i in range(12) for j in range(3) for k in range(2)], 12,
    ),
    "eyes": ([f"A/{i}_{side}.jpeg" for i in range(10, 40) for side in ("left", "right")], 30),
    "eyes with letters": ([f"A/IMG{i}-{side}.png" for i in range(10, 40) for side in ("OD", "OS")], 30),
    "sides before the number": ([f"A/{side}{i}.png" for i in range(10, 40) for side in "LR"], 30),
    "views of breasts": ([f"A/{i}_{view}.png" for i in range(9) for view in ("LCC", "RCC", "LMLO", "RMLO")], 9),
    "sides and views": (
        [f"A/Training_P_{i:05}_{s}_{v}.png" for i in range(12) for s in ("LEFT", "RIGHT") for v in ("CC", "MLO")], 12,
    ),
    "a class, a number and a counter": ([f"CNV/CNV-{9224 + 31 * i}-{j}.jpeg" for i in range(20) for j in (1, 2)], 20),
    "numbers and follow-ups": ([f"A/{i:08}_{j:03}.png" for i in range(1, 31) for j in range(2)], 30),
    "numbers with letters": ([f"A/{i}{letter}.png" for i in range(1, 31) for letter in "ab"], 30),
    "wells": ([f"A/plate_{i}_{j}.png" for i in range(9) for j in range(3)], 9),
    "two spellings of a patient": (
        [f"A/{name}_{j}.jpg" for i in range(1, 9) for j, name in enumerate((f"p{i}", f"P{i:02}"))], 8,
    ),
    "augmented, then split": (
        [f"{side}/A/{mark}IMG_{i}.png" for side, mark in (("train", ""), ("test", "rot90_")) for i in range(9)], 9,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("paths", "count"), ACCEPTED.values(), ids=ACCEPTED)
def test_plausible_patterns_are_accepted(paths, count):
    names = name_groups(paths)
    assert names is not None
    assert len(set(names.groups.tolist())) == count
    assert names.groups.shape == (len(paths),)
    assert re.search(f"of {len(paths):,} (file names|paths)", names.reason)
    assert (name_groups(paths[::-1]).groups[::-1] == names.groups).all(), "order does not matter"


REJECTED = {
    "camera": counted("IMG_{:04}.jpg", 50),
    "nikon": counted("DSC_{:04}.jpg", 50),
    "class and counter": counted("mpox_{}.png", 50, "mpox") + counted("chickenpox_{}.png", 50, "chickenpox"),
    "numbers": counted("{:04}.png", 50),
    "frames": counted("frame_{:04}.png", 50),
    "year and counter": counted("2023_{:04}.png", 50),
    "windows": [*counted("image ({}).jpg", 700), "A/image.jpg"],
    "uuids": [f"A/{i:08x}-1234-1234-1234-123456789abc.png" for i in range(50)],
    "timestamps": [f"A/202301{i:02}_120000.jpg" for i in range(1, 30)],
    "two cameras": [f"A/C{i}_{j}.jpg" for i in (1, 2) for j in range(50)],
    "a class that is a word of augmentation": counted("blur_{}.png", 50, "blur") + counted("noise_{}.png", 50, "noise"),
    "a disease that is one": [f"{c}/{c}_{i}.png" for c in ("apple_rot", "apple_scab", "pear_rot") for i in range(40)],
    "cases with one image each": counted("case_{}.png", 50),
    "keras from one image": [f"A/cat_0_{7919 * i % 10000}.png" for i in range(50)],
    "a counter in two parts": [f"A/scan_{i // 10}_{i % 10}.png" for i in range(100)],
    "a few copies": counted("IMG_{}.jpg", 50) + counted("IMG_{} - Copy.jpg", MIN_GROUPS - 1),
    "half are patients": [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(3)] + counted("{}.jpg", 30),
    "folders of dates": [f"2023010{i}/{j}.png" for i in range(1, 9) for j in range(4)],
    "years": [f"A/{year}_{j:04}.png" for year in range(2010, 2020) for j in range(4)],
    "days": [f"A/202301{i:02}_{j:03}.png" for i in range(10, 20) for j in range(4)],
    "days and times": [f"A/202301{i}_12{10 * j + i % 7:02}{i + j}.jpg" for i in range(10, 30) for j in range(3)],
    "classes and sides": [f"{side}/{side}_{i}.png" for side in ("left", "right") for i in range(30)],
    "parts of an archive": [f"images_{i:03}/{31 * i + j}.png" for i in range(1, 13) for j in range(30)],
    "numbered parts of an archive": [f"{i:02}/{31 * i + j}.png" for i in range(12) for j in range(30)],
    "classes with a number": [f"{label}/{label}_{i}.png" for label in range(10) for i in range(30)],
    "visits of all patients": [f"visit{j}/{i:04}.png" for i in range(30) for j in range(6)],
    "nothing": [],
}  # fmt: skip


@pytest.mark.parametrize("paths", REJECTED.values(), ids=REJECTED)
def test_implausible_patterns_are_rejected(paths):
    assert name_groups(paths) is None


@pytest.mark.parametrize(
    ("paths", "count"),
    [
        ([f"{label}/case-{i}/{j}.png" for label in "AB" for i in range(9) for j in "xy"], 9),
        ([f"images/{10006 + 37 * i}/{462 * i + j}.png" for i in range(24) for j in range(4)], 24),
        ([f"{split}/case{i}/{split}{j}.png" for split in ("train", "test") for i in range(6) for j in range(3)], 6),
    ],
)
def test_folders_of_patients_are_accepted_unless_they_are_the_classes(paths, count):
    labels = ["AB"[i % 2] for i in range(len(paths))]
    assert len(set(name_groups(paths, labels=labels).groups.tolist())) == count
    assert name_groups(paths) is None, "without labels, the folder of an image is its class"


QUESTIONS = {
    "12 of 12 file names begin with a name that recurs, as 'scan_0' (6 names)": [
        f"A/scan_{i}_{j}.png" for i in range(6) for j in range(2)
    ],
    "24 of 24 paths have a folder of few images, as 'ada' (8 names)": [
        f"{name}/{j}.png" for name in ("ada", "bob", "cyd", "dan", "eve", "fay", "gus", "hal") for j in range(3)
    ],
    "30 of 30 file names begin with a name that recurs, as 'isic_0024300' (10 names)": [
        f"A/ISIC_002430{i}_{j}.png" for i in range(10) for j in range(3)
    ],
    "20 of 20 file names begin with a name that recurs, as '10' (10 names)": [
        f"A/{i + 10} ({j + 1}).png" for i in range(10) for j in range(2)
    ],
}  # fmt: skip


@pytest.mark.parametrize(("question", "paths"), QUESTIONS.items())
def test_names_that_may_identify_patients_are_mentioned(question, paths):
    assert name_groups(paths, labels=["a"] * len(paths), split=[""] * len(paths)) is None
    assert open_question(paths, ["ab"[i % 2] for i in range(len(paths))], [""] * len(paths)) == question


@pytest.mark.parametrize("name", sorted(set(REJECTED) - {"a counter in two parts", "days", "years"}))
def test_other_names_raise_no_question(name):
    paths = REJECTED[name]
    labels = [path.split("/")[0] for path in paths]
    assert open_question(paths, labels, [""] * len(paths)) == ""


def test_running_numbers_in_two_splits():
    paths = [f"{split}/A/aug_{i}_{7919 * (18 * (split == 'test') + i + j * 9) % 10000}.png"
             for split in ("train", "test") for i in range(8) for j in range(2)]  # fmt: skip
    within, across = np.repeat(np.arange(16), 2), np.tile(np.repeat(np.arange(8), 2), 2)
    known = {"unknown": None, "blind": np.arange(32), "within": within, "across": across}
    results = {name: name_groups(paths, clusters=clusters) for name, clusters in known.items()}
    groups = {name: len(set(names.groups.tolist())) for name, names in results.items()}
    assert groups == {"unknown": 8, "blind": 8, "within": 16, "across": 8}


def test_near_duplicates_overrule_names():
    paths = [f"A/{mark}{i}.png" for mark in ("flip_", "rot_") for i in range(10)]
    others = np.repeat(np.arange(10), 2)
    assert name_groups(paths, clusters=others) is None, "none of ten copies is similar to its source, others are"
    assert name_groups(paths, clusters=np.tile(np.arange(10), 2)) is not None
    assert name_groups(paths, clusters=np.arange(20)) is not None, (
        "no images are similar: the search finds nothing in this data"
    )
    patients = [f"A/M{i:02}_{j}.jpg" for i in range(10) for j in range(2)]
    apart = np.repeat(np.arange(10), 2)
    assert name_groups(patients, clusters=np.arange(20)) is not None, "images of a patient need not be similar"
    assert name_groups(patients, clusters=apart) is not None
    assert name_groups(patients, clusters=np.roll(apart, 1)) is None, "each cluster has two patients"


@given(
    st.lists(st.sampled_from([*COPIES_AND_SOURCES, *NOT_COPIES, *FILES_AND_PATIENTS]), max_size=40),
    st.sampled_from(["A", "train/A"]),
)
def test_any_names_are_read_and_enough_groups_have_two_or_more(stems, folder):
    paths = [f"{folder}/{stem}.{'jpg' if i % 2 else 'png'}" for i, stem in enumerate(dict.fromkeys(stems))]
    names = name_groups(paths)
    if names is not None:
        sizes = np.unique(names.groups, return_counts=True)[1]
        assert (sizes > 1).sum() >= MIN_GROUPS

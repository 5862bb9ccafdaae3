"""Patients in manifests: columns that are not read, groups that cannot be true, and what folders and names show."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split

NAMED = [f"img/patient{i // 3:03}_{i % 3}.png" for i in range(60)]
PLAIN = [f"img/ISIC_{24300 + 7 * i:07}.png" for i in range(60)]


@pytest.fixture
def grouped(tmp_path):
    """Reads a manifest of images with given paths and further columns of values, and finds their groups."""

    def read(paths, **columns):
        random = np.random.default_rng(0)
        lines = [",".join(("path", "label", *columns))]
        for i, path in enumerate(paths):
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(0, 256, (24, 24), dtype=np.uint8)).save(file)
            lines.append(",".join((path, "ab"[i // 3 % 2], *(str(values[i]) for values in columns.values()))))
        (tmp_path / "set.csv").write_text("\n".join(lines) + "\n")
        return find_groups(load(str(tmp_path / "set.csv")))

    return read


def codes(data):
    return [(warning.code, warning.count) for warning in data.warnings]


def leaked(data, patients):
    """How many patients have images in two sets, in any of ten splits."""
    patients = np.array(patients)
    return max(
        sum(len({name for name in ("train", "val", "test") if np.isin(getattr(split, name), where).any()}) > 1
            for patient in set(patients.tolist()) for where in [np.flatnonzero(patients == patient)])
        for split in (make_split(data, seed) for seed in range(10))
    )  # fmt: skip


def test_a_column_of_lesions_is_mentioned_and_patients_stay_unknown(grouped):
    data = grouped(PLAIN, lesion_id=[f"HAM_{i // 3}" for i in range(60)], age=[40 + i % 7 for i in range(60)])
    assert codes(data) == [("identity_columns", 1)]
    assert "'lesion_id' with 20 values for 60 images" in data.warnings[0].message
    assert not data.groups_known


def test_a_group_column_of_row_numbers_is_not_used_if_names_show_patients(grouped):
    data = grouped(NAMED, group=list(range(60)))
    assert codes(data) == [("group_column_ignored", 60), ("groups_inferred", 60)]
    assert "60 of 60 file names contain a patient identifier" in data.warnings[0].message
    assert data.groups_from == "names"
    assert leaked(data, [i // 3 for i in range(60)]) == 0


@pytest.mark.parametrize("values", [[f"x{7919 * i % 1000}" for i in range(60)], NAMED])
def test_other_values_that_occur_once_are_not_used_either(grouped, values):
    assert leaked(grouped(NAMED, group=values), [i // 3 for i in range(60)]) == 0


def test_row_numbers_make_no_known_groups_and_patients_of_one_image_do(grouped):
    data = grouped(PLAIN, group=[f"{i:03}" for i in range(1, 61)])
    assert codes(data) == [("group_column_ignored", 60)]
    assert not data.groups_known
    data = grouped(PLAIN, group=[f"p{i}" for i in range(60)])
    assert (codes(data), data.groups_from) == ([], "manifest")


def test_groups_that_divide_the_patients_of_the_names_are_used_with_a_warning(grouped):
    data = grouped(NAMED, group=[f"g{i // 3}" if i % 3 else f"h{i // 3}" for i in range(60)])
    assert codes(data) == [("groups_contradicted", 20)]
    assert data.groups_from == "manifest"
    assert codes(grouped(NAMED, group=[f"site{i // 6}" for i in range(60)])) == []


@pytest.mark.parametrize(
    "paths",
    [
        [f"patient{i // 3 + 1:05}/study1/view{i % 3}_frontal.png" for i in range(72)],
        [f"img/{i // 2 + 10}_{('left', 'right')[i % 2]}.png" for i in range(60)],
        [f"img/{i // 2 + 1:08}_{i % 2:03}.png" for i in range(60)],
        [f"train_images/{10006 + i // 3}/{462822612 + i}.png" for i in range(72)],
    ],
)
def test_patients_in_folders_sides_and_numbers_do_not_leak(grouped, paths):
    size = 2 if "img" in paths[0] else 3
    data = grouped(paths)
    assert codes(data) == [("groups_inferred", len(paths))]
    assert len(set(data.groups.tolist())) == len(paths) // size
    assert leaked(data, [i // size for i in range(len(paths))]) == 0


def test_names_that_may_be_patients_are_a_question(grouped):
    data = grouped([f"img/scan_{i // 3}_{i % 3}.png" for i in range(60)])
    assert codes(data) == [("groups_possible", 60)]
    assert not data.groups_known

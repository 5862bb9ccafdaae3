"""Data sets in .npz files: MedMNIST's layout is read, everything else is one clear error."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.data_sets import RANDOM, arrays, npz

from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError


def mixed_sizes():
    images = np.empty(60, dtype=object)
    images[:] = [np.zeros((8, 8 + index % 2), dtype=np.uint8) for index in range(60)]
    return images


def test_npz_in_medmnist_layout(tmp_path):
    content = arrays(
        60,
        3,
        (8, 8, 3),
        test_images=RANDOM.integers(0, 256, (9, 8, 8, 3), dtype=np.uint8),
        test_labels=np.arange(9)[:, None] % 3,
    )
    data = load(npz(tmp_path, **content, class_names=np.array(["a", "b", "c"])))
    assert data.classes == ("a", "b", "c")
    assert (len(data), data.channels) == (69, 3)
    split = make_split(data, 0)
    assert len(split.test) == 9
    assert set(split.test.tolist()) == set(range(60, 69))
    np.testing.assert_array_equal(data.images[:60], content["train_images"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": None}, r"no train_images among its arrays \(train_labels\)"),
        ({"train_labels": None}, "train_images without train_labels; add them"),
        ({"train_labels": np.arange(60) % 3 + 1}, "labels start at 1, not at 0; number the classes 0 to 2"),
        ({"train_labels": np.arange(60) % 3 - 1}, "labels start at -1, not at 0"),
        ({"train_labels": np.zeros(60, dtype=int)}, "only one class, '0'; a classifier needs two or more"),
        ({"train_labels": np.arange(59)}, "has 60 images and 59 labels"),
        ({"train_labels": np.linspace(0, 1, 60)}, r"train_labels are float64 of shape \(60,\); give integers"),
        ({"train_images": np.zeros((60, 8, 8))}, "train_images are float64, not uint8; scale them to 0..255"),
        ({"train_images": np.zeros((60, 8), dtype=np.uint8)}, r"train_images have shape \(60, 8\)"),
        ({"train_images": np.zeros((60, 8, 8, 2), dtype=np.uint8)}, r"have shape \(60, 8, 8, 2\)"),
        ({"class_names": np.array(["a", "b"])}, "label 2, but class_names has 2 names"),
        ({"class_names": np.array([b"a", b"b", b"c"])}, "class_names must be distinct texts"),
        ({"class_names": np.array(["a", "b", "b"])}, "class_names must be distinct texts"),
        ({"class_names": np.array(["a", "b", "B"])}, "the classes 'b' and 'B' differ only in case"),
        ({"class_names": np.array("abc")}, "class_names must be distinct texts"),
        ({"train_images": np.zeros((60, 0, 8), dtype=np.uint8)}, r"have shape \(60, 0, 8, 1\)"),
        ({"train_labels": np.where(np.arange(60), np.arange(60) % 3, 10**12)}, "highest label is 1000000000000 for"),
        ({"train_images": np.array([{}] * 60)}, "contains an array of objects, which would have to be unpickled"),
        ({"train_images": mixed_sizes()}, "put images of several sizes into class folders or a .csv"),
        ({"train_images": np.full((60, 8, 8), np.nan, dtype=np.float32)}, "train_images are float32, not uint8"),
        ({"train_labels": np.where(np.arange(60), np.arange(60) % 3, np.nan)}, "train_labels are float64.*NaN among"),
        ({"train_labels": np.arange(60) % 3 * 2}, r"class 1 \(1\) has no image in train; number the labels .* without"),
        ({"train_labels": np.arange(60) % 2, "class_names": np.array(["a", "b", "c"])}, r"class 2 \(c\) has no image"),
        ({"test_images": np.zeros((3, 9, 9), dtype=np.uint8), "test_labels": np.arange(3)}, "differ in image shape"),
    ],
)  # fmt: skip
def test_a_faulty_npz_is_one_clear_error(tmp_path, changes, message):
    content = {name: value for name, value in {**arrays(), **changes}.items() if value is not None}
    path = npz(tmp_path, **content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_npz_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "array.npy").rename(tmp_path / "array.npz")
    with pytest.raises(DataError, match=r"array\.npz: cannot be read as an npz of plain arrays"):
        load(str(tmp_path / "array.npz"))
    with pytest.raises(DataError, match="files of this type are not read"):
        load(__file__)
    with pytest.raises(DataError, match="cannot be read"):
        load("x" * 300)
    for name, message in (("text.npz", "cannot be read as an npz"), ("missing.npz", "no such file")):
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / name))


def test_other_arrays_of_an_npz_are_not_unpacked(tmp_path):
    assert len(load(npz(tmp_path, **arrays(), extra=np.array([{}])))) == 60

"""Published data sets in small files of their formats: found, unpacked, refused, and downloaded."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from helpers.published_files import cifar, cifar_files, fashion, idx, reading, remaining, tar

from lightcnn.data.sources import published
from lightcnn.data.sources.load import describe, load
from lightcnn.errors import DataError, DataMissing


@pytest.mark.parametrize("place", ["", "FashionMNIST/raw", "fashion-mnist"])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_fashion_mnist_is_found_packed_or_not(tmp_path, place, end):
    content = fashion(tmp_path / place, end=end)
    data = load("fashion-mnist", reading(tmp_path))
    assert (len(data), data.channels, len(data.classes), data.size) == (30, *describe("fashion-mnist"))
    assert (data.split == "train").sum() == 20
    assert set(data.split) == {"train", "test"}
    assert data.note == "30 images here, 70,000 as published"
    np.testing.assert_array_equal(data.images[20:, ..., 0], content["t10k-images-idx3-ubyte"])
    assert data.classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda b: b[:-1], "contains 15,679 of the 15,680 bytes that its header states"),
        ("train-images-idx3-ubyte", lambda b: b + b"x", "contains more than the 15,680 bytes"),
        ("train-images-idx3-ubyte", lambda b: b"\0\0\x0d\x03" + b[4:], "not an IDX file of bytes"),
        ("train-images-idx3-ubyte", lambda b: b"\x89PNG" + b[4:], "not an IDX file of bytes"),
        ("train-images-idx3-ubyte", lambda b: b"\0\0", "damaged"),
        ("train-images-idx3-ubyte", lambda b: b"", "damaged"),
        ("train-images-idx3-ubyte", lambda b: b[:4] + b"\xff" * 12, "gives the shape .*, which image data cannot have"),
        ("train-images-idx3-ubyte", lambda b: idx(np.zeros(20, np.uint8)), "has 1 dimensions, not 3"),
        ("train-labels-idx1-ubyte", lambda b: idx(np.zeros(19, np.uint8)), "20 images for 19 labels in"),
        ("t10k-labels-idx1-ubyte", lambda b: idx(np.full(10, 10, np.uint8)), "label 10 for 10 classes"),
        ("train-labels-idx1-ubyte", lambda b: idx(np.zeros(20, np.uint8)), "class 'Trouser' has no image in train"),
        ("train-labels-idx1-ubyte", None, "train-labels-idx1-ubyte missing next to"),
    ],
)  # fmt: skip
def test_a_faulty_idx_file_is_one_clear_error(tmp_path, name, change, message):
    fashion(tmp_path)
    file = tmp_path / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises(DataError, match=message) as caught:
        load("fashion-mnist", reading(tmp_path))
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, DataMissing)


@pytest.mark.parametrize("end", [3, 12, 200, -4])
def test_a_truncated_or_changed_gzip_file_is_damaged(tmp_path, end):
    fashion(tmp_path, end=".gz")
    file = tmp_path / "train-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:end])
    with pytest.raises(DataError, match=r"ubyte\.gz: damaged"):
        load("fashion-mnist", reading(tmp_path))
    file.write_bytes(b"no gzip at all")
    with pytest.raises(DataError, match=r"ubyte\.gz: damaged"):
        load("fashion-mnist", reading(tmp_path))


def test_images_of_another_size_are_refused(tmp_path):
    fashion(tmp_path, side=8)
    with pytest.raises(DataError, match=r"images of \(8, 8\) in .*, not \(28, 28\)"):
        load("fashion-mnist", reading(tmp_path))


def test_checksums_agree_with_torchvision():
    from torchvision.datasets import FashionMNIST

    assert published.FASHION_URL.startswith("https://")
    assert dict(FashionMNIST.resources) == {f"{name}.gz": md5 for name, md5 in published.FASHION_MD5.items()}
    assert tuple(FashionMNIST.classes) == published.FASHION_CLASSES


@pytest.mark.parametrize("place", ["", "cifar-10-batches-bin", "cifar10"])
@pytest.mark.parametrize("meta", [True, False])
def test_cifar10_is_found_in_its_binary_version(tmp_path, place, meta):
    files = cifar_files()
    if not meta:
        del files["batches.meta.txt"]
    cifar(tmp_path / place, files)
    data = load("cifar10", reading(tmp_path))
    assert (len(data), data.channels, len(data.classes), data.size) == (26, *describe("cifar10"))
    assert data.split.tolist() == ["train"] * 20 + ["test"] * 6
    first = np.frombuffer(files["data_batch_1.bin"][:3073], dtype=np.uint8)
    assert data.labels[0] == first[0]
    # A record is a label and then the red, the green and the blue plane, each row by row.
    assert data.images[0][2, 5].tolist() == [int(first[1 + plane * 1024 + 2 * 32 + 5]) for plane in range(3)]
    assert data.classes[6] == "frog"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_batch_3.bin": None}, r"data_batch_3\.bin missing next to the other batches"),
        ({"test_batch.bin": b"x" * 3072}, r"test_batch\.bin: 3,072 bytes, which is not a multiple of 3,073"),
        ({"data_batch_2.bin": b""}, "0 bytes, which is not a multiple of 3,073"),
        ({"data_batch_2.bin": b"\x0b" + bytes(3072)}, "label 11 for 10 classes"),
        ({"batches.meta.txt": b"a\nb\n"}, "not 10 distinct class names"),
        ({"batches.meta.txt": b"a\n" * 10}, "not 10 distinct class names"),
    ],
)  # fmt: skip
def test_a_faulty_batch_is_one_clear_error(tmp_path, change, message):
    cifar(tmp_path, {name: content for name, content in {**cifar_files(), **change}.items() if content is not None})
    with pytest.raises(DataError, match=message) as caught:
        load("cifar10", reading(tmp_path))
    assert not isinstance(caught.value, DataMissing)


def test_only_expected_files_of_the_cifar10_archive_are_unpacked_and_only_once(tmp_path, monkeypatch):
    files = {f"cifar-10-batches-bin/{name}": content for name, content in cifar_files().items()}
    evil = {"../out.bin": b"x", "/tmp/absolute.bin": b"x", "cifar-10-batches-bin/readme.html": b"x",
            "../../data_batch_9.bin": b"x", "link": "/etc/passwd"}  # fmt: skip
    monkeypatch.setattr(published, "CIFAR_MD5", tar(tmp_path / "cifar-10-binary.tar.gz", files | evil))
    data = load("cifar10", reading(tmp_path))
    assert len(data) == 26
    assert remaining(tmp_path) == sorted(["cifar-10-batches-bin", "cifar-10-binary.tar.gz", *files])
    (tmp_path / "cifar-10-binary.tar.gz").unlink()
    assert load("cifar10", reading(tmp_path)).fingerprint == data.fingerprint


def test_archive_members_with_expected_names_stay_in_the_data_folder(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    files = {f"../../{name}": content for name, content in cifar_files().items()}
    monkeypatch.setattr(published, "CIFAR_MD5", tar(tmp_path / "data" / "cifar-10-binary.tar.gz", files))
    assert len(load("cifar10", reading(tmp_path / "data"))) == 26
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_another_or_a_damaged_archive_is_refused_before_it_is_opened(tmp_path, monkeypatch):
    archive = tmp_path / "cifar-10-binary.tar.gz"
    md5 = tar(archive, cifar_files())
    with pytest.raises(DataError, match=f"its MD5 is {md5}, not {published.CIFAR_MD5}: damaged or another file"):
        load("cifar10", reading(tmp_path))
    archive.write_bytes(archive.read_bytes()[:50_000])
    monkeypatch.setattr(published, "CIFAR_MD5", hashlib.md5(archive.read_bytes()).hexdigest())
    with pytest.raises(DataError, match="not a tar archive, or a damaged one"):
        load("cifar10", reading(tmp_path))
    assert remaining(tmp_path) == [archive.name]


def test_files_that_torchvision_downloads_are_found(tmp_path, monkeypatch):
    from torchvision.datasets import utils

    (tmp_path / "server").mkdir()
    fashion(tmp_path / "server", end=".gz")
    md5 = tar(tmp_path / "server" / "cifar-10-binary.tar.gz", cifar_files())

    def serve(url, filename, *_):
        Path(filename).write_bytes((tmp_path / "server" / url.rpartition("/")[2]).read_bytes())

    monkeypatch.setattr(utils, "_urlretrieve", serve)
    monkeypatch.setattr(utils, "_get_redirect_url", lambda url, **_: url)
    monkeypatch.setattr(utils, "check_md5", lambda path, md5, *_: True)
    monkeypatch.setattr(published, "CIFAR_MD5", md5)
    folder = tmp_path / "data"
    assert len(load("fashion-mnist", reading(folder))) == 30
    assert len(load("cifar10", reading(folder))) == 26
    assert len([name for name in remaining(folder) if "ubyte" in name]) == 4
    assert not [name for name in remaining(folder) if name.endswith(".part")]


def test_digits_agree_with_their_description():
    digits = load("digits")
    assert (digits.channels, len(digits.classes), digits.size) == describe("digits")
    assert len(digits) == 1797
    assert digits.images.dtype == np.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert not digits.groups_known
    assert "unknown" in digits.note
    assert digits.fingerprint == load("digits").fingerprint

"""Named data sets in small files of the published formats: found, unpacked, refused, and missing."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import struct
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightcnn.cli.catalogue import DATASETS, shipped_items
from lightcnn.data.files import archives
from lightcnn.data.files.download import TIMEOUT_SECONDS, data_folder, fetch
from lightcnn.data.sources import published
from lightcnn.data.sources.load import DATASET_NAMES, OUTLINES, describe, load
from lightcnn.data.sources.synthetic import SyntheticOptions, options_of
from lightcnn.errors import DataError, DataMissing
from lightcnn.output.caveats import STAND_IN_NOTE
from lightcnn.recipe import Reading

RANDOM = np.random.default_rng(0)


def reading(folder):
    return Reading(data_dir=str(folder))


def remaining(folder):
    """The paths of everything in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


# Fashion-MNIST


def idx(array, *, magic=None):
    head = struct.pack(">HBB", 0, 8, array.ndim) if magic is None else magic
    return head + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def fashion(folder, *, end="", side=28, labels=None, counts=(20, 10)):
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for name, count in zip(("train", "t10k"), counts, strict=True):
        numbers = (np.arange(count) % 10).astype(np.uint8) if labels is None else labels[:count]
        content[f"{name}-images-idx3-ubyte"] = RANDOM.integers(0, 256, (count, side, side), dtype=np.uint8)
        content[f"{name}-labels-idx1-ubyte"] = numbers
    for name, array in content.items():
        data = gzip.compress(idx(array)) if end else idx(array)
        (folder / f"{name}{end}").write_bytes(data)
    return content


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


def test_addresses_and_checksums_agree_with_torchvision():
    from torchvision.datasets import FashionMNIST

    assert FashionMNIST.mirrors == [published.FASHION_URL]
    assert dict(FashionMNIST.resources) == {f"{name}.gz": md5 for name, md5 in published.FASHION_MD5.items()}
    assert tuple(FashionMNIST.classes) == published.FASHION_CLASSES


# CIFAR-10


def batch(count, offset=0):
    records = RANDOM.integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = (np.arange(count) + offset) % 10
    return records


def cifar_files():
    files = {f"data_batch_{number}.bin": batch(4, 4 * number).tobytes() for number in range(1, 6)}
    names = "\n".join(published.CIFAR_CLASSES) + "\n\n"
    return {**files, "test_batch.bin": batch(6).tobytes(), "batches.meta.txt": names.encode()}


def cifar(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


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


def tar(path, members):
    with tarfile.open(path, "w:gz") as opened:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                opened.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                opened.addfile(info)
    return hashlib.md5(path.read_bytes()).hexdigest()


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


# The two mpox data sets


def image_file(value=0, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(np.full((6, 7, 3), value, dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def write_zip(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in entries.items():
            opened.writestr(name, content)


PHOTOGRAPHS = {
    f"archive/Mpox set/{folder}/{index}.png": image_file(index) for folder in ("mpox", "normal") for index in range(3)
}
JUNK = {"archive/": b"", "archive/readme.txt": b"x", "__MACOSX/archive/._0.png": b"x", "archive/run.sh": b"x",
        "archive/Mpox set/mpox/.hidden.png": b"x"}  # fmt: skip


def test_a_zip_in_the_data_folder_is_unpacked_once_and_its_class_folders_are_found(tmp_path):
    write_zip(tmp_path / "mpox2025.zip", PHOTOGRAPHS | JUNK)
    data = load("mpox2025", reading(tmp_path))
    assert (data.source, data.classes, len(data)) == ("mpox2025", ("mpox", "normal"), 6)
    assert data.paths[0] == "mpox/0.png"
    assert data.note == "6 images, 696 in the paper"
    assert not data.stand_in
    files = [name for name in remaining(tmp_path) if "." in name]
    assert files == sorted(["mpox2025.zip", *(f"mpox2025/{name}" for name in PHOTOGRAPHS)])
    (tmp_path / "mpox2025.zip").unlink()
    assert load("mpox2025", reading(tmp_path)).fingerprint == data.fingerprint


def test_a_folder_in_the_data_folder_is_read_and_differences_from_the_paper_are_noted(tmp_path):
    for name, content in PHOTOGRAPHS.items():
        file = tmp_path / "mpox2022" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    data = load("mpox2022", reading(tmp_path))
    assert data.note == "2 classes, 6 in the paper"
    (tmp_path / "mpox2022" / "archive" / "Mpox set" / "mpox" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"mpox/0\.png is empty"):
        load("mpox2022", reading(tmp_path))
    assert len(load("mpox2022", Reading(data_dir=str(tmp_path), skip_corrupt=True))) == 5


def test_class_folders_at_several_depths_are_refused(tmp_path):
    write_zip(
        tmp_path / "mpox2022.zip", {f"{name}/{i}.png": image_file() for name in ("a/x", "a/y", "b/c/x") for i in "01"}
    )
    with pytest.raises(
        DataError, match=r"images are at several depths \(a/x and b/c/x\), so it is not clear which folders"
    ):
        load("mpox2022", reading(tmp_path))


def test_given_splits_in_an_archive_are_used(tmp_path):
    names = [f"set/{name}/{label}/{index}.png" for name in ("train", "test") for label in "ab" for index in range(2)]
    write_zip(tmp_path / "mpox2025.zip", {name: image_file() for name in names})
    assert load("mpox2025", reading(tmp_path)).split.tolist() == ["train"] * 4 + ["test"] * 4


def link_entry():
    info = zipfile.ZipInfo("a/link.png")
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"../out/0.png": image_file()}, r"'\.\./out/0\.png' leads out of the target folder"),
        ({"a/../../0.png": image_file()}, "leads out of the target folder"),
        ({"/etc/0.png": image_file()}, "leads out of the target folder"),
        ({"C:/x/0.png": image_file()}, "leads out of the target folder"),
        ({"a\\..\\..\\0.png": image_file()}, "leads out of the target folder"),
        ({link_entry(): b"/etc/passwd"}, "is a link, not an image"),
        ({"readme.txt": b"x"}, "contains no image"),
        ({"a/big.png": bytes(2_000_000)}, "1 images of 2,000,000 bytes, above the limits of 5 and 1,000,000"),
        ({f"a/{index}.png": b"" for index in range(6)}, "6 images of 0 bytes, above the limits of 5"),
        ({"a/0.png": image_file(), "a/./0.png": image_file(1)}, "two of its files have the path"),
    ],
)  # fmt: skip
def test_an_unsafe_zip_writes_nothing(tmp_path, monkeypatch, entries, message):
    monkeypatch.setattr(archives, "MAX_FILES", 5)
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    (tmp_path / "data").mkdir()
    write_zip(tmp_path / "data" / "mpox2025.zip", entries)
    with pytest.raises(DataError, match=message) as caught:
        load("mpox2025", reading(tmp_path / "data"))
    assert "\n" not in str(caught.value)
    assert remaining(tmp_path) == ["data", "data/mpox2025.zip"]


def test_damaged_zips_write_nothing(tmp_path):
    archive = tmp_path / "mpox2025.zip"
    write_zip(archive, {f"{name}/{i}.png": RANDOM.bytes(500) for name in "ab" for i in range(5)})
    content = archive.read_bytes()
    for broken in (b"", b"not a zip", content[:300], content[:80] + b"\0\0\0\0" + content[84:]):
        archive.write_bytes(broken)
        with pytest.raises(DataError, match="not a zip archive, or a damaged one"):
            load("mpox2025", reading(tmp_path))
        assert remaining(tmp_path) == [archive.name]
    for position in range(30, len(content), 37):
        archive.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
        try:
            load("mpox2025", reading(tmp_path))
        except DataError as error:
            assert "\n" not in str(error)
        for path in sorted(tmp_path.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()


# Missing data


@pytest.fixture
def offline(monkeypatch):
    """No host name resolves, as on a machine without a network; and the optional libraries are not installed."""

    def refuse(*_):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setitem(sys.modules, "gdown", None)
    monkeypatch.setitem(sys.modules, "kagglehub", None)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (
            "fashion-mnist",
            ("Name or service not known", published.FASHION_URL, "t10k-labels-idx1-ubyte.gz (MD5 bb300"),
        ),
        (
            "cifar10",
            ("Name or service not known", published.CIFAR_URL, f"by hand (MD5 {published.CIFAR_MD5}) into {{}}/data,"),
        ),
        (
            "mpox2025",
            ("gdown is not installed", "pip install 'lightcnn[mpox]'", "1P3ZZ01TSJS4v9u", "as {}/data/mpox2025.zip"),
        ),
        (
            "mpox2022",
            ("kagglehub is not installed", "pip install 'lightcnn[mpox]'", "maxmelichov/", "as {}/data/mpox2022.zip"),
        ),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_no_files(tmp_path, offline, source, words):
    with pytest.raises(DataMissing) as caught:
        load(source, reading(tmp_path / "data"))
    text = str(caught.value)
    assert text.startswith(f"data {source}: not in {tmp_path / 'data'}, and ")
    assert "\n" not in text
    assert all(word.replace("{}", str(tmp_path)) in text for word in words), text
    assert caught.value.exit_code == 2
    assert remaining(tmp_path) == []
    assert socket.getdefaulttimeout() is None


def test_a_download_has_a_timeout_and_always_cleans_up(tmp_path):
    def interrupted(staged):
        assert socket.getdefaulttimeout() == TIMEOUT_SECONDS
        (staged / "half").write_bytes(b"x")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch("x", tmp_path / "new", "nowhere", "", interrupted)
    assert remaining(tmp_path) == []
    assert socket.getdefaulttimeout() is None


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
    assert not [name for name in remaining(folder) if "partial" in name or name.endswith(".gz")]


def test_the_optional_libraries_download_the_right_files(tmp_path, monkeypatch):
    def drive(*, id, output, quiet):
        assert id == "1P3ZZ01TSJS4v9uhBy0USzfbMXWbO8QIh"
        write_zip(output, PHOTOGRAPHS)
        return output

    def kaggle(handle):
        assert handle == "maxmelichov/monkeypox-2022-remastered"
        for name, content in (PHOTOGRAPHS | {"archive/readme.txt": b"x"}).items():
            file = tmp_path / "kaggle" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return str(tmp_path / "kaggle")

    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=drive))
    monkeypatch.setitem(sys.modules, "kagglehub", types.SimpleNamespace(dataset_download=kaggle))
    for source in ("mpox2025", "mpox2022"):
        assert len(load(source, reading(tmp_path / "data"))) == 6
    assert {name.split("/")[0] for name in remaining(tmp_path / "data")} == {"mpox2022", "mpox2025"}
    assert not [name for name in remaining(tmp_path / "data") if name.endswith(".txt")]
    monkeypatch.setitem(sys.modules, "gdown", types.SimpleNamespace(download=lambda **_: None))
    with pytest.raises(DataMissing, match=r"the download from gdown failed \(it returned no file\); pip install"):
        load("mpox2025", reading(tmp_path / "other"))


# synthetic-lesions


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("synthetic-lesions", SyntheticOptions()),
        ("synthetic-lesions:count=600,size=96,classes=4,seed=1,shortcut", SyntheticOptions(600, 96, 4, 1, True)),
        ("synthetic-lesions: seed = 7 , shortcut", SyntheticOptions(seed=7, shortcut=True)),
    ],
)
def test_options_of_synthetic_lesions(source, options):
    assert options_of(source) == options
    assert describe(source) == (3, options.classes, options.size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("", "'' is not an option.*; give count=NUMBER, size=NUMBER, classes=NUMBER, seed=NUMBER, shortcut"),
        ("sise=96", r"'sise' is not an option; did you mean 'size'\?"),
        ("short", r"'short' is not an option; did you mean 'shortcut'\?"),
        ("size=96,", "'' is not an option"),
        ("size=big", "'size' is 'big'; give a whole number from 16 to 1,024"),
        ("size=1_00", "'size' is '1_00'; give a whole number"),
        ("size=-5", "'size' is '-5'; give a whole number"),
        ("size", "'size' is ''; give a whole number"),
        ("classes=7", "'classes' is '7'; give a whole number from 2 to 6"),
        ("seed=1,seed=2", "'seed' is given twice"),
        ("shortcut,shortcut", "'shortcut' is given twice"),
        ("shortcut=yes", "'shortcut' takes no value"),
        ("count=100000,size=512", "104.9 GB in memory, more than 4; generate fewer or smaller"),
    ],
)
def test_a_faulty_option_is_one_clear_error(options, message):
    for function in (load, describe):
        with pytest.raises(DataError, match=message) as caught:
            function(f"synthetic-lesions:{options}")
        assert "\n" not in str(caught.value)


def test_synthetic_lesions_have_patients_and_masks_and_are_a_stand_in():
    source = "synthetic-lesions:count=30,size=20,classes=3,seed=9"
    data = load(source)
    assert (data.channels, len(data.classes), data.size) == describe(source)
    assert (data.source, len(data), data.stand_in, data.groups_from) == (source, 30, True, "source")
    assert data.note == STAND_IN_NOTE
    assert 3 <= len(set(data.groups)) < 30
    assert data.masks.shape == (30, 20, 20)
    assert load(source).fingerprint == data.fingerprint


# Names


def test_the_list_of_data_sets_names_all_data_sets():
    assert DATASET_NAMES == ("digits", "synthetic-lesions", "fashion-mnist", "cifar10", "mpox2025", "mpox2022")
    assert tuple(DATASETS)[: len(DATASET_NAMES)] == DATASET_NAMES
    assert list(DATASETS)[len(DATASET_NAMES) :] == ["FOLDER", "FILE.csv", "FILE.npz"]
    assert all(item["about"] and "\n" not in item["about"] for item in shipped_items("datasets"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cifar-10", r"neither a folder nor a named data set; did you mean 'cifar10'\?"),
        ("fashionmnist", r"did you mean 'fashion-mnist'\?"),
        ("Digits", r"did you mean 'digits'\?"),
        ("digits:size=3", "digits takes no options; give digits"),
        ("cifar10:", "cifar10 takes no options; give cifar10"),
    ],
)
def test_unknown_names_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        load(source)


def test_sources_are_described_without_torch():
    assert set(OUTLINES) < set(DATASET_NAMES)
    assert describe("mpox2025") == describe("some/folder") == (1, 2, 1 << 30)
    code = (
        "import sys\nfrom lightcnn.data.sources.load import DATASET_NAMES, describe\n"
        "[describe(name) for name in DATASET_NAMES]\n"
        "print(*{'torch', 'torchvision', 'sklearn', 'gdown', 'kagglehub'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == ""


def test_the_data_folder_is_the_given_one_or_in_the_cache(monkeypatch):
    monkeypatch.setenv("LIGHTCNN_CACHE", "here")
    assert data_folder(Reading()) == Path("here/data")
    assert data_folder(Reading(data_dir="~/sets")) == Path.home() / "sets"


def test_a_data_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for source in ("fashion-mnist", "cifar10", "mpox2025"):
        with pytest.raises(DataError, match="file"):
            load(source, reading(tmp_path / "file"))

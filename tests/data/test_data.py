"""Sources, splits, decoding and preprocessing."""

from __future__ import annotations

import struct
import unicodedata
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from lightcnn.data.files.decode import decode
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import describe, load
from lightcnn.data.split import make_split, subset
from lightcnn.data.tensors import channel_statistics, normalise, resize
from lightcnn.errors import DataError
from lightcnn.recipe import Reading

RANDOM = np.random.default_rng(0)


def arrays(count=60, classes=3, shape=(8, 8), **changes):
    labels = np.arange(count) % classes
    images = RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)
    return {"train_images": images, "train_labels": labels, **changes}


def mixed_sizes():
    images = np.empty(60, dtype=object)
    images[:] = [np.zeros((8, 8 + index % 2), dtype=np.uint8) for index in range(60)]
    return images


def npz(folder, **content):
    np.savez(folder / "set.npz", **content)
    return str(folder / "set.npz")


def photos(folder, names, size=(12, 10), mode="RGB", suffix="png"):
    for name in names:
        file = folder / f"{name}.{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        channels = {"RGB": 3, "L": 1}[mode]
        pixels = RANDOM.integers(0, 256, (size[1], size[0], channels), dtype=np.uint8).squeeze()
        Image.fromarray(pixels, mode=None).save(file)
    return str(folder)


def test_digits_agree_with_their_description():
    digits = load("digits")
    assert (digits.channels, len(digits.classes), digits.size) == describe("digits")
    assert len(digits) == 1797
    assert digits.images.dtype == np.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    assert not digits.groups_known
    assert "unknown" in digits.note
    assert digits.fingerprint == load("digits").fingerprint


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


def test_class_folders(tmp_path):
    folder = photos(tmp_path / "set", [f"{c}/{i}" for c in ("cat", "dog é") for i in range(6)])
    (tmp_path / "set" / ".cache").mkdir()
    (tmp_path / "set" / "cat" / "notes.txt").write_text("not an image")
    data = load(folder)
    assert data.classes == ("cat", "dog é")
    assert len(data) == 12
    assert data.channels == 3
    assert data.paths[0] == "cat/0.png"
    assert data.images[0].shape == (10, 12, 3)
    assert {len(indices) for indices in (make_split(data, 0).val, make_split(data, 0).test)} == {2}


def test_class_folders_under_given_splits(tmp_path):
    names = [f"{s}/{c}/{i}" for s, n in (("train", 5), ("test", 2)) for c in "ab" for i in range(n)]
    data = load(photos(tmp_path, names, mode="L"))
    split = make_split(data, 0)
    assert data.channels == 1
    assert [data.paths[i] for i in split.test] == ["test/a/0.png", "test/a/1.png", "test/b/0.png", "test/b/1.png"]
    assert split.counts() == {"train": 8, "val": 2, "test": 4}


def test_grey_and_colour_together_become_colour(tmp_path):
    photos(tmp_path, ["a/0", "a/1", "a/2"], mode="L")
    data = load(photos(tmp_path, ["b/0", "b/1", "b/2"]))
    assert {image.shape[2] for image in data.images} == {3}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "contains no class folders"),
        (lambda folder: photos(folder, ["a/x/0", "b/0"]), "a: no image directly in this class folder .* move them up"),
        (
            lambda folder: photos(folder, ["a/0", "b/0"]) and (folder / "c").mkdir(),
            "c: no image directly .*add images or",
        ),
        (lambda folder: photos(folder, ["Training/a/0", "Training/b/0", "Testing/a/0"]), "rename it to (test|train)"),
        (lambda folder: photos(folder, ["train/a/0", "train/b/0", "valid/a/0"]), "valid: .*rename it to val"),
        (lambda folder: photos(folder, ["train/a/0", "train/b/0", "c/0"]), "c: is next to split folders"),
        (
            lambda folder: photos(folder, ["train/a/0", "train/b/0"]) and (folder / "test").mkdir(),
            "test: contains no class folders",
        ),
        (lambda folder: photos(folder, ["a/0"]), "only one class, 'a'"),
        (lambda folder: photos(folder, ["train/a/0", "train/b/0", "test/c/0"]), "c: this class is not in train"),
        (lambda folder: photos(folder, ["test/a/0", "test/b/0"]), "has test but no train folder"),
    ],
)
def test_a_faulty_folder_is_one_clear_error(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        load(str(tmp_path))


def link(folder, name, target):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(target)


def test_system_files_are_ignored_and_other_files_are_reported(tmp_path):
    photos(tmp_path, [f"{c}/{i}" for c in "ab" for i in range(3)])
    photos(tmp_path, ["__MACOSX/a/0", ".cache/0", "overview"])
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    for name in ("a/notes.txt", "b/labels.json", "b/scan.dcm", "b/z.heic"):
        (tmp_path / name).write_bytes(b"x")
    data = load(str(tmp_path))
    assert (data.classes, len(data)) == (("a", "b"), 6)
    assert data.note == (
        "ignored 1 images outside the class folders (overview.png); "
        "ignored 4 files without an image suffix (a/notes.txt, b/labels.json, b/scan.dcm, ...)"
    )


def test_class_names_in_two_unicode_forms_are_the_same_class_in_all_splits(tmp_path):
    nfc, nfd = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    names = [f"train/{nfd}/0", "train/b/0", f"test/{nfc}/0", "test/b/0"]
    data = load(photos(tmp_path, names))
    assert data.classes == ("b", nfc)
    assert data.labels[data.split == "test"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: photos(folder, ["Mpox/0", "mpox/0", "b/0"]),
            "'Mpox' and 'mpox' differ only in case or in the Unicode form of accents",
        ),
        (
            lambda folder: photos(folder, [unicodedata.normalize(form, "é/0") for form in ("NFC", "NFD")]),
            "differ only in case or in the Unicode form of accents",
        ),
        (
            lambda folder: photos(folder, ["Train/a/0", "train/b/0", "test/a/0"]),
            "Train: is next to train; merge the two folders",
        ),
        (
            lambda folder: photos(folder, ["a/0", "a/more/1", "b/0"]),
            "a/more: a folder with images inside a class folder",
        ),
        (
            lambda base: photos(base, ["set/a/0", "set/b/0", "o/0"]) and link(base, "set/a/1.png", "../../o/0.png"),
            r"a/1\.png: a link that leads out of .*set; copy the image there",
        ),
        (
            lambda folder: photos(folder, ["set/a/0", "set/b/0", "out/0"]) and link(folder, "set/c", "../out"),
            r"c/0\.png: a link that leads out of .*set",
        ),
    ],
)  # fmt: skip
def test_ambiguous_folders_are_refused(tmp_path, make, message):
    make(tmp_path)
    folder = tmp_path / "set" if (tmp_path / "set").exists() else tmp_path
    with pytest.raises(DataError, match=message) as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


def test_a_link_that_stays_inside_and_a_linked_root_are_read(tmp_path):
    photos(tmp_path / "set", ["a/0", "b/0"])
    link(tmp_path / "set", "a/1.png", "../b/0.png")
    link(tmp_path, "other", "set")
    assert len(load(str(tmp_path / "other"))) == 3


def test_a_class_without_usable_files_is_an_error(tmp_path):
    folder = photos(tmp_path, ["a/0", "b/0", "b/1"])
    (tmp_path / "a" / "0.png").write_bytes(b"")
    with pytest.raises(
        DataError,
        match=r"class 'a' has no image after 1 faulty files were left out \(the first: a/0\.png is empty\); add some",
    ):
        make_split(load(folder, Reading(skip_corrupt=True)), 0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "is empty"),
        (b"not an image", "is not an image of a supported format"),
        (None, "is damaged"),
        (b"BM", "is not an image"),
    ],
)
def test_a_file_that_is_not_an_image_is_named(tmp_path, content, fault):
    folder = photos(tmp_path, ["a/0", "a/1", "b/0", "b/1"])
    target = tmp_path / "b" / "0.png"
    target.write_bytes(target.read_bytes()[:60] if content is None else content)
    with pytest.raises(DataError, match=rf"1 of 4 files cannot be used: b/0\.png {fault}.*; repair or remove them"):
        load(folder)
    left = load(folder, Reading(skip_corrupt=True))
    assert [path for path, _ in left.skipped] == ["b/0.png"]
    assert list(left.paths) == ["a/0.png", "a/1.png", "b/1.png"]


def test_a_file_with_the_suffix_of_another_format_is_refused(tmp_path):
    folder = photos(tmp_path, ["a/0", "a/1", "b/0", "b/1"])
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "1.JPG")
    with pytest.raises(DataError, match=r"b/1\.JPG contains a PNG image; rename it to 1\.png"):
        load(folder)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    for name, width in (("large.png", 11_000), ("bomb.png", 40_000)):
        header = struct.pack(">IIBBBBB", width, width, 1, 0, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n" + body)
        with pytest.raises(DataError, match=r"more than 89 megapixels"):
            decode(tmp_path / name)


def test_decoding_of_modes_and_orientation(tmp_path):
    colour = Image.fromarray(np.full((4, 6, 3), 200, dtype=np.uint8))
    colour.save(tmp_path / "rgb.png")
    colour.convert("CMYK").save(tmp_path / "cmyk.tif")
    colour.convert("P").save(tmp_path / "palette.png")
    Image.new("RGBA", (6, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((4, 6), 200 * 257, dtype=np.uint16)).save(tmp_path / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(tmp_path / "rgb.png").pixels.shape == (4, 6, 3)
    assert abs(int(decode(tmp_path / "cmyk.tif").pixels.mean()) - 200) <= 2
    assert decode(tmp_path / "palette.png").pixels.shape == (4, 6, 3)
    assert decode(tmp_path / "clear.png").pixels.min() == 255
    assert decode(tmp_path / "deep.png").pixels.shape == (4, 6, 1)
    assert set(decode(tmp_path / "deep.png").pixels.ravel().tolist()) == {200}
    assert decode(tmp_path / "turned.jpg").pixels.shape == (6, 4, 3)


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


def test_the_fingerprint_depends_on_pixels_labels_classes_and_splits(tmp_path):
    base = arrays(60, 2, test_images=np.zeros((20, 8, 8), dtype=np.uint8), test_labels=np.arange(20) % 2)
    moved = {
        "train_images": base["train_images"][:40],
        "train_labels": base["train_labels"][:40],
        "test_images": np.concatenate([base["train_images"][40:], base["test_images"]]),
        "test_labels": np.concatenate([base["train_labels"][40:], base["test_labels"]]),
    }
    pixel = {**base, "train_images": base["train_images"] ^ (np.arange(60) == 3)[:, None, None].astype(np.uint8)}
    label = {**base, "train_labels": base["train_labels"][::-1].copy()}
    named = {**base, "class_names": np.array(["x", "y"])}
    fingerprints = []
    for index, content in enumerate((base, moved, pixel, label, named)):
        (tmp_path / str(index)).mkdir()
        fingerprints.append(load(npz(tmp_path / str(index), **content)).fingerprint)
    assert len(set(fingerprints)) == 5


def test_a_subset_of_digits_is_stratified():
    data = load("digits")
    chosen = subset(data, make_split(data, 0).train, 200, 0)
    assert 190 <= len(chosen) <= 210
    assert np.bincount(data.labels[chosen]).min() >= 18
    assert set(chosen.tolist()) <= set(make_split(data, 0).train.tolist())


def test_resize_agrees_for_arrays_and_lists_and_keeps_equal_sizes():
    images = RANDOM.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    torch.testing.assert_close(resize(images, 16), resize(list(images), 16), rtol=0, atol=0)
    torch.testing.assert_close(resize(images, 8), torch.from_numpy(images).movedim(3, 1), rtol=0, atol=0)


def test_normalised_training_images_have_mean_zero_and_deviation_one():
    images = torch.from_numpy(RANDOM.integers(0, 256, (50, 3, 8, 8), dtype=np.uint8))
    mean, deviation = channel_statistics(images)
    rule = Preprocess(size=8, channels=3, shorter_side=256, mean=mean, deviation=deviation, classes=("a", "b"))
    out = normalise(images, rule)
    torch.testing.assert_close(out.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(out.std(dim=(0, 2, 3)), torch.ones(3), rtol=1e-3, atol=0)
    assert channel_statistics(torch.full((4, 1, 2, 2), 7, dtype=torch.uint8))[1][0] > 0


def test_the_pipeline_reports_its_data():
    data = load("digits")
    pipeline = Pipeline(data, make_split(data, 0), torch.device("cpu"))
    document = pipeline.document()
    assert document["counts"] == {"train": 1221, "val": 216, "test": 360}
    assert document["groups"] == {"known": False, "source": "none", "why": "", "counts": document["counts"]}
    assert (document["leak_allowed"], document["skipped"]) == (False, 0)
    assert document["groups_shared"] == 0
    assert not document["stand_in"]
    images = pipeline.images(pipeline.split.val, 16)
    assert (images.shape, len(images)) == ((216, 1, 16, 16), 216)
    assert images[:5].dtype == torch.uint8


def test_other_arrays_of_an_npz_are_not_unpacked(tmp_path):
    assert len(load(npz(tmp_path, **arrays(), extra=np.array([{}])))) == 60

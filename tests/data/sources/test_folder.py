"""Class folders: what is read, what is ignored, and what is refused."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from helpers.data_sets import photos

from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError


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


def linked(folder: Path) -> None:
    """A folder inside a class folder whose only image is a link out of it."""
    photos(folder, ["a/0", "b/0"])
    (folder / "a" / "x").mkdir()
    (folder / "a" / "x" / "1.png").symlink_to(folder / "a" / "0.png")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "contains no class folders"),
        (lambda folder: photos(folder, ["a/x/0", "b/0"]), "a: no image directly in this class folder .* move them up"),
        (lambda folder: photos(folder, ["a/x/y/0", "b/0"]), "a: no image directly in this class folder .* move them"),
        (linked, "a/x: a folder with images inside a class folder"),
        (lambda folder: photos(folder, ["a/0", "a/x/y/0", "b/0"]), "a/x/y: a folder with images inside a class folder"),
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


def test_a_class_may_have_the_name_of_a_split(tmp_path):
    data = load(photos(tmp_path, [f"{c}/{i}" for c in ("train", "Test", "car") for i in range(3)]))
    assert data.classes == ("Test", "car", "train")
    assert [(warning.code, warning.count) for warning in data.warnings] == [("class_named_as_split", 2)]
    assert "Test, train: read as classes, not as a split" in data.warnings[0].message


def link(folder, name, target):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).symlink_to(target)


def test_system_files_are_ignored_and_other_files_are_reported(tmp_path):
    photos(tmp_path, [f"{c}/{i}" for c in "ab" for i in range(3)])
    photos(tmp_path, ["__MACOSX/a/0", ".cache/0", "overview"])
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png"):
        (tmp_path / "a" / name).write_bytes(b"x")
    photos(tmp_path, ["@eaDir/0", "a/@eaDir/SYNOPHOTO_THUMB_XL", "#recycle/a/0", "a/.AppleDouble/0"])
    for name in ("a/notes.txt", "b/labels.json", "b/scan.dcm", "b/z.heic"):
        (tmp_path / name).write_bytes(b"x")
    data = load(str(tmp_path))
    assert (data.classes, len(data)) == (("a", "b"), 6)
    outside, others = data.warnings
    assert (data.note, outside.code, outside.count, others.code, others.count) == (
        "", "files_ignored", 1, "files_ignored", 4,
    )  # fmt: skip
    assert outside.message.startswith("Images outside the class folders were not read: 1 (overview.png); move each")
    assert others.message.startswith(
        "Files without an image suffix were not read: 4 (a/notes.txt, b/labels.json, b/scan.dcm, ...); if they are"
    )


@pytest.mark.parametrize("suffix", ["", ".dat", ".img", ".1"])
def test_images_with_another_suffix_or_none_are_one_error_with_the_remedy(tmp_path, suffix):
    photos(tmp_path, [f"{name}/{i}" for name in "ab" for i in range(3)])
    for file in sorted(tmp_path.glob("*/*.png")):
        file.rename(file.with_suffix(suffix))
    others = (
        rf"a: no image directly .*it has 3 other files \(a/0{suffix}, a/1{suffix}, a/2{suffix}\); .* as in name.png"
    )
    with pytest.raises(DataError, match=others):
        load(str(tmp_path))
    photos(tmp_path, ["a/0", "b/0"])
    (warning,) = load(str(tmp_path)).warnings
    assert (warning.code, warning.count) == ("files_ignored", 6)


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

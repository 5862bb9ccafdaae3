"""Manifests: what a .csv may contain, and the one-line error for everything else."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from helpers.paths import DOCS
from PIL import Image

from lightcnn.data.sources import table
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError
from lightcnn.recipe import Reading

FILES = ("a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/x, y.png")
LABELS = ("cat", "cat", "dog", "dog", "dog")


@pytest.fixture
def folder(tmp_path):
    """A folder of five images in different greys."""
    root = tmp_path / "set"
    for index, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 5), 40 * index, dtype=np.uint8)).save(root / name)
    return root


def write(folder, *lines, encoding="utf-8", end="\n"):
    file = folder / "set.csv"
    file.write_bytes((end.join(lines) + end).encode(encoding))
    return str(file)


def quoted(name):
    return f'"{name}"' if "," in name else name


def rows(*columns):
    """A row for each of `FILES`: its path, its label and further values."""
    return [",".join((quoted(name), *values)) for name, *values in zip(FILES, LABELS, *columns, strict=True)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_manifest_names_images_labels_groups_and_splits(folder, encoding, end):
    lines = rows(("p1", "p1", "p2", "p3", "p2"), ("train", "test", "train", "val", "test"), "vwxyz")
    data = load(write(folder, "path,label,group,split,age", *lines, "", ",,,,", encoding=encoding, end=end))
    assert data.classes == ("cat", "dog")
    assert data.paths == FILES
    assert data.labels.tolist() == [0, 0, 1, 1, 1]
    assert data.groups.tolist() == ["p1", "p1", "p2", "p3", "p2"]
    assert (data.groups_from, data.groups_known) == ("manifest", True)
    assert data.split.tolist() == ["train", "test", "train", "val", "test"]
    assert [int(image[0, 0, 0]) for image in data.images] == [0, 40, 80, 120, 160]


def test_columns_may_be_in_any_order_and_empty_ones_are_ignored(folder):
    lines = [f"{label},,{quoted(name)}, " for name, label in zip(FILES, LABELS, strict=True)]
    data = load(write(folder, "label,group, path ,split", *lines))
    assert data.paths == FILES
    assert (data.groups_from, set(data.split)) == ("none", {""})
    assert len(set(data.groups)) == 5


def test_classes_are_in_order_and_numbers_sorted_by_value(folder):
    lines = [f"{quoted(name)},{label}" for name, label in zip(FILES, ("10", "9", "9", "-1", "10"), strict=True)]
    assert load(write(folder, "path,label", *lines)).classes == ("-1", "9", "10")
    lines = [f"{quoted(name)},{label}" for name, label in zip(FILES, ("10", "9", "9", "b", "10"), strict=True)]
    assert load(write(folder, "path,label", *lines)).classes == ("10", "9", "b")


@pytest.mark.parametrize(
    ("head", "separator"),
    [("sep=;\nPath;LABEL;Group", ";"), ("SEP=,\npath,label,group", ","), ("path;Label;group", ";"),
     ("path\tlabel\tgroup", "\t"), ('"Path","Label","Group"', ",")],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_tables_of_spreadsheets_are_read(folder, head, separator, encoding):
    lines = [separator.join((name, label, "p1")) for name, label in zip(FILES[:4], LABELS, strict=False)]
    data = load(write(folder, head, *lines, encoding=encoding, end="\r\n"))
    assert (data.paths, data.classes, set(data.groups.tolist())) == (FILES[:4], ("cat", "dog"), {"p1"})


def test_absolute_paths_below_the_manifest_are_read_as_relative_ones(folder):
    lines = [f"{folder}/{name},{label}" for name, label in zip(FILES[:4], LABELS, strict=False)]
    assert load(write(folder, HEAD, *lines)).paths == FILES[:4]
    (folder.parent / "link").symlink_to(folder)
    assert load(str(folder.parent / "link" / "set.csv")).paths == FILES[:4]


def test_spellings_of_one_group_are_one_group_with_a_warning(folder):
    data = load(write(folder, "path,label,group", *rows(("p10", "P10", "q", "p-10", "Q"))))
    assert data.groups.tolist() == ["P10", "P10", "Q", "P10", "Q"]
    (warning,) = [warning for warning in data.warnings if warning.code == "group_spellings"]
    assert warning.count == 2
    assert "'P10' and 'p-10' and 'p10'; 'Q' and 'q'" in warning.message
    data = load(write(folder, "path,label,group", *rows(("1", "1.0", "01", "2", "3"))))
    assert data.groups.tolist() == ["1", "1", "1", "2", "3"]
    data = load(write(folder, "path,label,group", *rows(("1", "1", "2", "2", "3"))))
    assert "group_spellings" not in {warning.code for warning in data.warnings}


def test_a_group_may_span_classes_and_none_is_a_valid_label(folder):
    lines = [f"{quoted(name)},{label},g" for name, label in zip(FILES, ("none", "none", "na", "na", "na"), strict=True)]
    data = load(write(folder, "path,label,group", *lines))
    assert data.classes == ("na", "none")
    assert set(data.groups) == {"g"}


def test_names_in_both_unicode_forms_are_found(folder):
    (folder / "a" / "0.png").rename(folder / "a" / unicodedata.normalize("NFD", "é.png"))
    lines = [unicodedata.normalize("NFC", "a/é.png,cat"), *rows()[1:]]
    assert len(load(write(folder, "path,label", *lines))) == 5


def test_paths_and_links_that_stay_in_the_folder_are_read(folder):
    (folder / "b" / "link.png").symlink_to("../a/1.png")
    data = load(write(folder, "path,label", "a/../a/0.png,cat", "b/link.png,cat", "./b/0.png,dog", "b/1.png,dog"))
    assert [int(image[0, 0, 0]) for image in data.images] == [0, 40, 80, 120]


HEAD = "path,label"
FAULTS = [
    ([HEAD], r"set\.csv: no rows below the column names"),
    ([""], "csv:1: the file is empty; begin it with the line path,label"),
    (["file,class", *rows()], r"rename 'file' to 'path' and 'class' to 'label'"),
    (["path,lable", *rows()], r"csv:1: no column 'label' \(columns: path, lable\); did you mean 'lable'\?"),
    (["path;label", "a/0.png;cat;x"], "csv:2: 3 values for 2 columns"),
    (["sep=;", "path,label", "a/0.png,cat"], r"csv:1: no column 'path' \(columns: path,label\)"),
    (["Path,path,label", *rows(LABELS)], "csv:1: column 'path' occurs 2 times"),
    (["path,label,label", *rows(LABELS)], "csv:1: column 'label' occurs 2 times"),
    (["path,label,groups", *rows(LABELS)], "csv:1: column 'groups' is not read; rename it to 'group'"),
    (["path,label,Splits", *rows(LABELS)], "csv:1: column 'splits' is not read; rename it to 'split'"),
    ([HEAD, *rows()[:4], "b/x, y.png,dog"], "csv:6: 3 values for 2 columns; quote values that contain a comma"),
    ([HEAD, "a/0.png"], "csv:2: 1 values for 2 columns"),
    ([HEAD, *rows()[:2], "b/0.png,"], "csv:4: label: '' is not a label; fill it in, or remove the row"),
    ([HEAD, *rows()[:2], "b/0.png,NaN"], "csv:4: label: 'NaN' is not a label"),
    ([HEAD, *rows()[:2], "b/0.png, nan "], "csv:4: label: 'nan' is not a label"),
    ([HEAD, *rows()[:2], "b/0.png,None"], "csv:4: label: 'None' is not a label"),
    ([HEAD, ",cat"], "csv:2: path: '' is not a path"),
    (
        [HEAD, *rows()[:2], "b/0.png,Cat"],
        "label: the classes 'cat' and 'Cat' differ only in case or in the Unicode form of accents",
    ),
    ([HEAD, "a/0.png,1", "b/0.png,1.0"], "label: the classes '1' and '1.0' are the same number; give both the same"),
    ([HEAD, "a/0.png,1", "b/0.png,01"], "label: the classes '1' and '01' are the same number"),
    ([HEAD, "a/0.png,big cat", "b/0.png,Big_Cat"], "differ only in spaces, hyphens, leading zeros"),
    ([HEAD, *rows()[:2]], "only one class, 'cat'"),
    ([HEAD, *rows(), "a/1.png,cat"], r"csv:7: path: 'a/1\.png' is in line 3 already; keep one"),
    ([HEAD, *rows(), "b/../a/1.png,cat"], r"csv:7: path: 'b/\.\./a/1\.png' is in line 3 already, as 'a/1\.png'"),
    (
        [HEAD, *rows(), "a/./1.png,dog"],
        r"csv:7: path: 'a/\./1\.png' has label 'dog' here and 'cat' in line 3, as 'a/1\.png'; one image has one label",
    ),
    (
        [HEAD, *rows(), *(f"{name},cat" for name in FILES[:4])],
        r"csv:9: path: 'b/0\.png' has label 'cat' here and 'dog' in line 4; one image has one label: keep the correct "
        r"row; 3 other rows name a file of an earlier row too \(lines 7, 8, 10\)$",
    ),
    ([HEAD, "a/0,cat", "b/0,dog"], r"2 of 2 files are missing: .*; did you mean 'a/0\.png'\? Write paths with folder"),
    ([HEAD, "a/0.jpg,cat", *rows()[1:]], r"1 of 5 files are missing: .*; did you mean 'a/0\.png'\?"),
    ([HEAD, "0,cat", *rows()[1:]], r"1 of 5 files are missing: .*; did you mean 'a/0\.png'\?"),
    ([HEAD, *rows(), "../outside.png,cat"], r"csv:7: path: '\.\./outside\.png' leads out of .*set; move the image"),
    ([HEAD, *rows(), "/etc/hosts,cat"], "csv:7: path: '/etc/hosts' is not relative to"),
    ([HEAD, *rows(), "~/x.png,cat"], "csv:7: path: '~/x.png' is not relative to"),
    ([HEAD, *rows(), "C:/x.png,cat"], "csv:7: path: 'C:/x.png' is not relative to"),
    ([HEAD, *rows(), "a\\0.png,cat"], r"csv:7: path: .* contains \\; write / between"),
    ([HEAD, *rows(), "a,cat"], "csv:7: path: 'a' is not a file; name an image"),
    (
        [HEAD, *rows(), *(f"gone/{index}.png,cat" for index in range(5)), "x" * 500 + ",cat"],
        r"path: 6 of 11 files are missing: 'gone/0\.png' \(line 7\), .* \(line 9\) and 3 more; paths are relative to",
    ),
    (["path,label,split", *rows(("train",) * 4 + ("valid",))], "csv:6: split: 'valid' is not one of .*; write val$"),
    (
        ["path,label,split", *rows(("train",) * 4 + ("Testing",))],
        "csv:6: split: 'Testing' is not one of .*; write test$",
    ),
    (["path,label,split", *rows(("train",) * 4 + ("Test",))], "csv:6: split: 'Test' is not one of .*; write test$"),
    (["path,label,split", *rows(("train",) * 4 + ("tset",))], r"split: 'tset' is not one of .*; did you mean 'test'\?"),
    (["path,label,split", *rows(("train",) * 4 + ("",))], "csv:6: split: empty here and in 0 other rows"),
    (["path,label,split", *rows(("test",) * 5)], "split: no row has train; write it into the rows to train on"),
    (
        ["path,label,split", *rows(("train", "train", "test", "val", "val"))],
        "csv:4: split: class 'dog' is in test but not in train",
    ),
    (
        ["path,label,group", *rows(("p", "", "q", "nan", "q"))],
        "csv:3: group: empty here and in 1 other rows, but not in all; fill it in .*images of one patient",
    ),
    ([HEAD, *rows(), f"a/0.png,{'x' * 2_000}"], "csv:7: label: 2,000 characters; give at most 1,000"),
    ([HEAD, *rows()[:3], '"b/1.png,dog'], r"csv:5: not valid CSV \(unexpected end of data\); check the quotes"),
    ([HEAD, *rows(), f"a/0.png,{'x' * 200_000}"], r"csv:7: not valid CSV \(field larger than field limit"),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "message"), FAULTS, ids=[message[:40] for _, message in FAULTS])
def test_a_faulty_manifest_is_one_clear_error(folder, lines, message):
    Image.fromarray(np.zeros((6, 5), dtype=np.uint8)).save(folder.parent / "outside.png")
    path = write(folder, *lines)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "csv:1: the file is empty"),
        (b"path,label\na/0.png,caf\xe9\n", "csv:2: byte 0xe9 is not UTF-8; save the file as CSV in UTF-8"),
        ("path,label\n".encode("utf-16"), "is UTF-16 text; save it as CSV in UTF-8"),
        (b"PK\x03\x04\0\0\0\0", "contains zero bytes, so it is not a CSV file"),
        (bytes(range(1, 256)), "is not UTF-8"),
    ],
)
def test_files_that_are_not_csv_are_refused(folder, content, message):
    (folder / "set.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load(str(folder / "set.csv"))


def test_missing_files_folders_and_too_large_files_are_refused(folder, monkeypatch):
    with pytest.raises(DataError, match=r"no\.csv: no such file; check the path"):
        load(str(folder / "no.csv"))
    (folder / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"folder\.csv: no such file"):
        load(str(folder / "folder.csv"))
    monkeypatch.setattr(table, "MAX_BYTES", 20)
    with pytest.raises(DataError, match="bytes, more than 20; a manifest has one short row per image"):
        load(write(folder, HEAD, *rows()))


def test_links_that_lead_out_and_two_names_of_one_file_are_refused(folder):
    outside = folder.parent / "outside.png"
    Image.fromarray(np.zeros((6, 5), dtype=np.uint8)).save(outside)
    (folder / "a" / "link.png").symlink_to(outside)
    with pytest.raises(DataError, match=r"csv:7: path: 'a/link\.png' leads out of"):
        load(write(folder, HEAD, *rows(), "a/link.png,cat"))
    (folder / "elsewhere").symlink_to(folder.parent)
    with pytest.raises(DataError, match="leads out of"):
        load(write(folder, HEAD, *rows(), "elsewhere/outside.png,cat"))
    (folder / "a" / "same.png").symlink_to("0.png")
    with pytest.raises(DataError, match=r"csv:7: path: 'a/same\.png' has label 'dog' here and 'cat' in line 2"):
        load(write(folder, HEAD, *rows(), "a/same.png,dog"))
    (folder / "a" / "hard.png").hardlink_to(folder / "a" / "1.png")
    assert len(load(write(folder, HEAD, *rows(), "a/hard.png,cat"))) == 6


def test_too_many_classes_are_a_mistake(folder):
    lines = [f"a/0.png,{index}" for index in range(6_000)]
    with pytest.raises(DataError, match="has label '1' here and '0' in line 2"):
        load(write(folder, HEAD, *lines))
    for index in range(60):
        Image.fromarray(np.full((2, 2), index, dtype=np.uint8)).save(folder / f"{index}.png")
    with pytest.raises(DataError, match="60 classes for 60 images, fewer than two images per class"):
        load(write(folder, HEAD, *(f"{index}.png,id{index}" for index in range(60))))


def test_faulty_images_are_refused_or_left_out_and_no_class_may_lose_all(folder):
    (folder / "b" / "0.png").write_bytes(b"")
    path = write(folder, "path,label,group", *rows(("p", "p", "q", "r", "r")))
    with pytest.raises(DataError, match=r"1 of 5 files cannot be used: b/0\.png is empty"):
        load(path)
    data = load(path, Reading(skip_corrupt=True))
    assert data.skipped == (("b/0.png", "is empty"),)
    assert data.groups.tolist() == ["p", "p", "r", "r"]
    for name in FILES[:2]:
        (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match="class 'cat' has no image after 3 faulty files were left out"):
        make_split(load(path, Reading(skip_corrupt=True)), 0)


def test_a_class_that_loses_all_training_images_is_named(folder):
    (folder / "a" / "0.png").write_bytes(b"")
    path = write(folder, "path,label,split", *rows(("train", "test", "train", "train", "test")))
    with pytest.raises(DataError, match="class 'cat' has no image in train after 1 faulty files"):
        make_split(load(path, Reading(skip_corrupt=True)), 0)


def test_the_manifest_and_the_error_in_the_docs_are_real(folder, monkeypatch):
    page = (DOCS / "concepts" / "data.md").read_text(encoding="utf-8")
    monkeypatch.chdir(folder)
    write(folder, HEAD, *rows(), "a/./1.png,dog")
    with pytest.raises(DataError) as caught:
        load("set.csv")
    assert f"```\n{caught.value}\n```" in page
    (example,) = re.findall(r"^```csv\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for index, name in enumerate(("p07_1.jpg", "p07_2.jpg", "left arm, day 2.jpg")):
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 5), index, dtype=np.uint8)).save(folder / "photos" / name)
    write(folder, *example.splitlines())
    assert load("set.csv").groups.tolist() == ["p07", "p07", "p11"]

"""Reading many files: faulty ones are named, or left out on request."""

from __future__ import annotations

import pytest
from helpers.data_sets import photos

from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import DataError
from lightcnn.recipe import Reading


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

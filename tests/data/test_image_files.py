"""Facts about files are kept in one array, and read back as they were recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.data_sets import photos

from lightcnn.data.files.conversion import Conversion
from lightcnn.data.image_files import FACTS, FileFacts, FileTable, FolderFiles
from lightcnn.data.sources import read_files
from lightcnn.data.sources.load import load
from lightcnn.errors import DataError

DEEP = Conversion("integers", 4000)
FILES = [
    FileFacts("PNG", "RGB", 640, 480, "a" * 64, (256, 341, 3)),
    FileFacts("JPEG", "L", 100_000, 300, "b" * 64, (256, 85_333, 1), one_colour=True),
    FileFacts("PNG", "I;16", 12, 10, "c" * 64, (10, 12, 1), conversion=DEEP),
    FileFacts("PNG", "RGB", 9, 8, "d" * 64, (8, 9, 3)),
]


@pytest.fixture
def table():
    filled = FileTable(len(FILES))
    for index, facts in enumerate(FILES):
        filled.record(index, facts)
    return filled


def test_facts_are_read_back(table):
    assert table.pixel_hashes.tolist() == [facts.digest.encode() for facts in FILES]
    assert table.sizes.tolist() == [[facts.width, facts.height] for facts in FILES]
    assert [tuple(shape) for shape in table.shapes.tolist()] == [facts.shape for facts in FILES]
    assert table.one_colour.tolist() == [False, True, False, False]
    assert list(table.conversions()) == [facts.conversion for facts in FILES]
    assert [(kind.format, kind.mode, count) for kind, count in table.kinds()] == [
        ("PNG", "RGB", 2), ("JPEG", "L", 1), ("PNG", "I;16", 1),
    ]  # fmt: skip


def test_some_files_are_chosen_and_facts_replaced(table):
    chosen = table.chosen(np.array([3, 2]))
    assert len(chosen) == 2
    assert list(chosen.conversions()) == [Conversion(), DEEP]
    assert list(table.conversions(np.array([2, 0]))) == [DEEP, Conversion()]
    chosen.record(0, FileFacts("BMP", "L", 1, 2, "e" * 64, (2, 1, 1)))
    assert [(kind.format, count) for kind, count in chosen.kinds()] == [("PNG", 1), ("BMP", 1)]
    assert table.pixel_hashes[3] == b"d" * 64
    files = FolderFiles(Path("x"), ("a.png", "b/c.png", "d.png")).chosen(np.array([1, 2]))
    assert (files.names, files[0]) == (("b/c.png", "d.png"), Path("x/b/c.png"))


def test_a_file_needs_as_many_bytes_as_the_pages_state():
    assert FACTS.itemsize == 89
    assert "its path and 89 bytes" in (Path(__file__).parents[2] / "docs/concepts/data.md").read_text()


def test_a_file_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(read_files, "KEPT_BYTES", 0)
    data = load(photos(tmp_path, ["a/0", "b/0"]))
    (tmp_path / "b" / "0.png").unlink()
    with pytest.raises(DataError, match=r"data b/0\.png is missing, and could be read before; put the file back"):
        _ = data.images[1]

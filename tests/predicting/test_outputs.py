"""Where predictions are written: tables of many classes, and complete lines on a full disk."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lightcnn.errors import LightcnnError
from lightcnn.predicting.outputs import LineFile, Table


def test_a_table_of_many_classes_shows_the_most_probable():
    lines = []
    table = Table(lines.append)
    table.begin([f"class {n}" for n in range(8)] + ["x" * 40])
    table.add("a\x1b.png", "x" * 40, np.array([0.3, 0.05, *[0.0] * 5, 0.2, 0.45]))
    assert re.split(r"  +", lines[0]) == ["prediction", "most probable", "image"]
    assert re.split(r"  +", lines[1]) == [
        "x" * 23 + "…", "x" * 23 + "… 0.4500, class 0 0.3000, class 7 0.2000", r"a\x1b.png",
    ]  # fmt: skip
    assert lines[0].index("image") == lines[1].index("a\\x1b")


def test_a_failed_write_leaves_complete_lines(tmp_path):
    class Full:
        """A disk with room for eight more bytes."""

        def __init__(self, file):
            self.file, self.free_bytes = file, 8

        def write(self, content):
            if not self.free_bytes:
                raise OSError(28, "No space left on device")
            count = self.file.write(content[: self.free_bytes])
            self.free_bytes -= count
            return count

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    with (
        pytest.raises(LightcnnError, match="No space left on device; the lines before are complete"),
        LineFile(tmp_path / "x.csv") as lines,
    ):
        lines.write(b"one\n")
        lines._file = Full(lines._file)
        lines.write(b"two\n")
        lines.write(b"threethree\n")
    assert (tmp_path / "x.csv").read_bytes() == b"one\ntwo\n"

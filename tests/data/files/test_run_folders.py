"""Run folders of lightcnn that are inside a data set are not data."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.files.walk import count_images, is_run_folder, walk
from lightcnn.data.sources.load import load
from lightcnn.run_folder import RunFolder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two class folders, a run beside them, and runs/ with another run."""
    for number, name in enumerate("aabb"):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(tmp_path / name / f"{number}.png")
    plot = (tmp_path / "a" / "0.png").read_bytes()
    for folder in ("runs/audit-1", "mine"):
        RunFolder.create(tmp_path / folder, "audit", {}).write_bytes("plots/x.png", plot)
    return tmp_path


def test_runs_in_a_folder_of_classes_are_ignored_with_a_warning(source: Path) -> None:
    (source / "runs" / "notes.txt").write_text("the first is best")
    dataset = load(str(source))
    assert dataset.classes == ("a", "b")
    assert dataset.paths == ("a/0.png", "a/1.png", "b/2.png", "b/3.png")
    (warning,) = [warning for warning in dataset.warnings if warning.code == "run_folders_ignored"]
    assert warning.count == 2
    assert "(mine, runs)" in warning.message


def test_runs_beside_the_images_to_predict_are_ignored_and_counted(source: Path) -> None:
    assert count_images([source]).images == 4
    assert count_images([source]).run_folders == 2
    assert [path.name for path in walk([source]) if isinstance(path, Path)] == ["0.png", "1.png", "2.png", "3.png"]
    assert count_images([source / "mine" / "plots"]).images == 1  # named by the user


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_a_pipe_with_the_name_of_a_file_of_runs_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "environment.json")
    assert not is_run_folder(tmp_path)

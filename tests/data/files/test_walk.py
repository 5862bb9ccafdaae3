"""Folders are walked in order, to any depth, and never left."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from lightcnn.data.files.walk import Skipped, count_images, walk


def save(path, content=None):
    """Writes a file, by default a small image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        Image.fromarray(np.full((9, 9, 3), 90, np.uint8)).save(path)
    else:
        path.write_bytes(content)


def test_a_walk_is_sorted_and_stays_inside(tmp_path):
    root = tmp_path / "root"
    for name in ("b/2.png", "b/10.png", "a.png", "c/d/e/x.JPG", ".hidden/x.png", "__MACOSX/x.png", "b/.x.png",
                 "b/@eaDir/2.png/SYNOPHOTO_THUMB_XL.jpg", ".AppleDouble/a.png", "#recycle/x.png", "@Recycle/x.png",
                 "$RECYCLE.BIN/x.png"):  # fmt: skip
        save(root / name)
    save(root / "notes.txt", b"")
    save(tmp_path / "out" / "y.png")
    (root / "b" / "inside.png").symlink_to(root / "a.png")
    (root / "b" / "loop").symlink_to(root)
    (root / "gone.png").symlink_to("nothing.png")
    (root / "leads").symlink_to(tmp_path / "out")
    (root / "out.png").symlink_to(tmp_path / "out" / "y.png")
    entries = list(walk([root]))
    out = "is a link that leads out of the folder"
    assert entries == [
        root / "a.png", root / "b" / "10.png", root / "b" / "2.png", root / "b" / "inside.png",
        root / "c" / "d" / "e" / "x.JPG", root / "gone.png",
        Skipped(str(root / "leads"), out), Skipped(str(root / "out.png"), out),
    ]  # fmt: skip
    count = count_images([root, root / "a.png", root / "notes.txt"])
    assert (count.images, count.ignored) == (10, 1)
    (tmp_path / "link").symlink_to(root)
    assert len(list(walk([tmp_path / "link"]))) == len(entries), "a given folder may be a link"


def test_a_deep_folder_is_walked(tmp_path):
    folders = [tmp_path]
    for _ in range(1200):
        folders.append(folders[-1] / "d")
        folders[-1].mkdir()
    save(folders[-1] / "x.png")
    assert list(walk([tmp_path])) == [folders[-1] / "x.png"]
    (folders[-1] / "x.png").unlink()  # pytest removes temporary folders recursively
    for folder in reversed(folders[1:]):
        folder.rmdir()


def test_a_folder_without_permission_is_skipped(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root has permission everywhere")
    save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0o000)
    assert list(walk([tmp_path])) == [
        tmp_path / "a.png", Skipped(str(tmp_path / "closed"), "cannot be read (Permission denied)"),
    ]  # fmt: skip

"""Names below a run folder: resolved without leaving it; JSON with limits; writing that leaves no temporary files."""

from __future__ import annotations

import errno
import os
import re
import tomllib
from pathlib import Path

import pytest
from helpers.paths import TESTS

from lightcnn import run_files
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder


@pytest.mark.parametrize("name", ["", "..", "../x", "a/../b", "/etc/passwd", "a\0b"])
def test_names_that_lead_out_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="is not that of a file in the run folder"):
        run_files.resolve(tmp_path, name)


def test_names_inside_are_resolved_even_below_a_linked_run_folder(tmp_path: Path) -> None:
    (tmp_path / "real" / "plots").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "real")
    assert run_files.resolve(tmp_path / "run", "plots/a.png") == tmp_path / "run" / "plots" / "a.png"


def test_links_files_as_folders_and_special_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "plots").symlink_to(tmp_path)
    (tmp_path / "run" / "gone").symlink_to(tmp_path / "does not exist")
    (tmp_path / "run" / "file").write_text("")
    os.mkfifo(tmp_path / "run" / "pipe")
    for name, rule in {
        "plots/a.png": "plots is a link", "plots": "plots is a link", "gone": "gone is a link",
        "file/a": "file is not a folder", "pipe": "pipe is not a regular file", "a" * 300: "cannot be read",
    }.items():  # fmt: skip
        with pytest.raises(RunError, match=rule):
            run_files.resolve(tmp_path / "run", name)


def test_json_has_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deepest = b"[" * run_files.MAX_JSON_DEPTH + b"]" * run_files.MAX_JSON_DEPTH
    assert run_files.parse_json(deepest)
    for wrong in (
        b"[" + deepest + b"]",
        b"[" * 1_000_000,
        b"NaN",
        b'{"a": 1',
        b"\xff",
        b"9" * 10_000,
        b"9" * 400,
        b"-1e999",
    ):
        with pytest.raises(ValueError, match=r"\w"):
            run_files.parse_json(wrong)
    monkeypatch.setattr(run_files, "MAX_JSON_BYTES", 10)
    (tmp_path / "a.json").write_text("[1, 2, 3, 4]")
    with pytest.raises(RunError, match=r"a\.json is larger than 10 bytes"):
        run_files.read_json(tmp_path, "a.json")


def test_temporary_names_do_not_depend_on_the_process() -> None:
    names = {run_files.temporary_name(Path("report.json")).name for _ in range(100)}
    assert len(names) == 100
    assert all(run_files.TEMPORARY.fullmatch(name) for name in names)


def test_a_full_disk_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "report.json").write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        RunFolder(tmp_path).write_bytes("report.json", b"after")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.json", "before")]


def test_the_temporary_files_of_a_killed_process_are_removed_and_no_others(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "train", {})
    for folder in (run.path, run.path / "plots"):
        folder.mkdir(exist_ok=True)
        run_files.write_file(run_files.temporary_name(folder / "report.json"), b"half")
        (folder / ".notes").write_text("mine")
        (folder / "notes.part").write_text("mine")
    with run.locked():
        names = sorted(str(path.relative_to(run.path)) for path in run.path.rglob("*"))
    kept = [".lock", ".notes", "environment.json", "notes.part", "plots", "plots/.notes", "plots/notes.part"]
    assert names == kept


def test_tidying_removes_checkpoints_and_no_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    for name in ("000001", "000002", "notes", "0000"):
        (folder / name).mkdir(parents=True)
        (folder / name / "progress.json").write_text("{}")
    (folder / "000002" / "mine.txt").write_text("mine")
    (folder / "mine.txt").write_text("mine")
    (folder / "last.json").write_text("{}")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "progress.json").write_text("{}")
    (folder / "000003").symlink_to(tmp_path / "outside")
    Checkpoints(folder).remove()
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())
    assert left == ["0000/progress.json", "000002/mine.txt", "mine.txt", "notes/progress.json"]
    assert (tmp_path / "outside" / "progress.json").exists()


def test_filelock_does_not_follow_links() -> None:
    """CVE-2025-68146 and CVE-2026-22701: fixed in 3.20.1 and 3.20.3."""
    project = tomllib.loads((TESTS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    requirement = next(name for name in project["project"]["dependencies"] if name.startswith("filelock"))
    bound = re.fullmatch(r"filelock>=(\d+)\.(\d+)\.(\d+)", requirement)
    assert bound is not None
    assert tuple(map(int, bound.groups())) >= (3, 20, 3)


def test_what_a_killed_process_left_is_removed_an_hour_later(tmp_path, monkeypatch):
    """By the next run in the same folder; a process in another container may be writing what is recent."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    abandoned = run_files.temporary_name(tmp_path / "killed")
    recent = run_files.temporary_name(tmp_path / "at-work")
    link = run_files.temporary_name(tmp_path / "link")
    for folder in (abandoned, recent):
        folder.mkdir()
        (folder / "train.yaml").write_text("x")
    link.symlink_to(outside)
    (tmp_path / ".killed.part").mkdir()
    for path in (abandoned, abandoned / "train.yaml", recent, tmp_path / ".killed.part"):
        os.utime(path, (1, 1))
    RunFolder.create(tmp_path / "new", "train", {})
    assert {path.name for path in tmp_path.iterdir()} == {recent.name, link.name, ".killed.part", "new", "outside"}
    assert (outside / "kept").exists()

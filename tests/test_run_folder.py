"""Run folders: written atomically, opened strictly, and complete or reported as incomplete."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightcnn import run_folder
from lightcnn.cli import main as cli
from lightcnn.errors import DataError, LightcnnError, RunError
from lightcnn.run_folder import MAX_NAMED, RunFolder, require_complete

SKIPPED = [{"image": f"{number}.jpg", "reason": "is empty"} for number in range(5)]
FAILURES = [
    {"image": "a.jpg", "method": "lime", "error": "overflow"},
    {"image": "a.jpg", "method": "ig", "error": "overflow"},
]


def test_a_folder_is_created_with_its_files_and_only_once(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "train", {"recipe.yaml": b"name: x"})
    assert sorted(path.name for path in run.path.iterdir()) == ["environment.json", "recipe.yaml"]
    with pytest.raises(RunError, match=r"already exists; choose a new folder$"):
        RunFolder.create(run.path, "audit", {})
    with pytest.raises(RunError, match=r"choose a new folder, or use --resume to continue the run in it$"):
        RunFolder.resumed(run.path, resume=False, command="train", settings="data.json")


@pytest.mark.parametrize(
    ("cpu", "board", "name"),
    [
        ("processor : 0\nmodel name\t: AMD EPYC\nprocessor : 1\nmodel name\t: AMD EPYC\n", "", "AMD EPYC"),
        (
            "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd08\nprocessor\t: 1\nCPU part\t: 0xd05\n",
            "Raspberry Pi 4 Model B\0",
            "Raspberry Pi 4 Model B, CPU implementer 0x41, CPU part 0xd08",
        ),
        ("", "", ""),
    ],
)
def test_processors_are_named_so_that_others_have_other_names(cpu: str, board: str, name: str, tmp_path: Path) -> None:
    for file, text in (("cpuinfo", cpu), ("model", board)):
        if text:
            (tmp_path / file).write_text(text)
    assert run_folder.linux_processor(tmp_path / "cpuinfo", tmp_path / "model") == name


def test_a_folder_that_another_process_makes_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def environment() -> dict[str, str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run_folder, "environment", dict)
            RunFolder.create(tmp_path / "run", "search", {"first.txt": b""})
        return {}

    monkeypatch.setattr(run_folder, "environment", environment)
    with pytest.raises(RunError, match=r"run: already exists; choose a new folder$"):
        RunFolder.create(tmp_path / "run", "search", {"second.txt": b""})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["environment.json", "first.txt"]


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be made"):
        RunFolder.create(tmp_path / "run", "train", {"no/such/folder": b""})
    assert not list(tmp_path.iterdir())


def test_runs_that_start_at_once_have_different_folders() -> None:
    assert RunFolder.default_path("search") != RunFolder.default_path("search")


def test_a_run_to_resume_must_be_of_the_command(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "train", {"recipe.yaml": b""})
    resumed = RunFolder.resumed(run.path, resume=True, command="train", settings="recipe.yaml")
    assert resumed is not None and resumed.path == run.path
    with pytest.raises(RunError, match=r"is not a run of `lightcnn search` \(it has no search.yaml\)"):
        RunFolder.resumed(run.path, resume=True, command="search", settings="search.yaml")
    with pytest.raises(RunError, match=r"--out is missing"):
        RunFolder.resumed(None, resume=True, command="train", settings="recipe.yaml")
    assert RunFolder.resumed(tmp_path / "new", resume=False, command="train", settings="recipe.yaml") is None


def test_an_unfinished_run_has_no_report(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", "train", {})
    with pytest.raises(RunError, match=r"not finished, it has no report.json"):
        _ = run.report
    run.write_json("report.json", {"seed": 3})
    assert run.report == {"seed": 3}
    with pytest.raises(RunError, match=r"has no weights.safetensors; give the run of a command that trains"):
        run.require("weights.safetensors")


def test_complete_work_is_accepted() -> None:
    for count in (0, 3):
        require_complete("predict", count, [])
    with pytest.raises(LightcnnError, match=r"^predict: 1 of 4 images were skipped"):
        require_complete("predict", 3, SKIPPED[:1])


def test_skipped_images_are_counted_and_the_first_are_named() -> None:
    with pytest.raises(LightcnnError) as caught:
        require_complete("predict", 4, SKIPPED)
    names = "; ".join(f"{number}.jpg is empty" for number in range(MAX_NAMED))
    assert str(caught.value) == f"predict: 5 of 9 images were skipped: {names}; and more"
    assert caught.value.exit_code == 1
    with pytest.raises(LightcnnError, match=r"^predict: 1 of 5 images were skipped$"):
        require_complete("predict", 4, SKIPPED[:1], name_skipped=False)


def test_no_image_at_all_is_wrong_input() -> None:
    with pytest.raises(DataError, match=r"^predict: none of 1 images could be read: 0.jpg is empty$") as caught:
        require_complete("predict", 0, SKIPPED[:1])
    assert caught.value.exit_code == 2


def test_failed_methods_are_reported_with_the_first_error() -> None:
    with pytest.raises(LightcnnError, match=r"^explain: lime, ig could not explain 1 images: overflow$"):
        require_complete("explain", 2, [], FAILURES)
    with pytest.raises(LightcnnError, match=r"1 of 3 images were skipped: 0.jpg is empty; lime, ig could not explain"):
        require_complete("explain", 2, SKIPPED[:1], FAILURES)


@pytest.mark.parametrize(
    "command", ["audit missing", "profile missing.yaml", "compare missing missing", "export missing"]
)
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_read(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", encoding="utf-8")
    assert cli.run([*command.split(), "--out", "file/run"]) == 2
    error = capsys.readouterr().err
    assert "file/run" in error and "Not a directory" in error
    Path("runs").write_text("", encoding="utf-8")
    monkeypatch.setattr(RunFolder, "default_path", staticmethod(lambda command: Path("runs/new")))
    if not command.startswith("export"):  # which checks its run first
        assert cli.run(command.split()) == 2
        error = capsys.readouterr().err
        assert "runs/new" in error and "Not a directory" in error

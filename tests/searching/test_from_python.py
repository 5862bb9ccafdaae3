"""`lightcnn.search` from Python: it resumes with the same arrays, and reports its progress."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.paths import ROOT

import lightcnn
from lightcnn.data.pipeline import Pipeline
from lightcnn.errors import DataError, InputError, RunError
from lightcnn.run_list import listed_runs
from lightcnn.searching.settings import CONTINUED_FILE, load_settings

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

RANDOM = np.random.default_rng(0)
LABELS = np.arange(80) % 2
IMAGES = (RANDOM.integers(0, 100, (80, 8, 8)) + 90 * LABELS[:, None, None]).astype(np.uint8)
DATA = (IMAGES, LABELS)


class Steps:
    """A function for `progress` that keeps its calls, and raises an error at the first one of `stop_at`."""

    def __init__(self, stop_at: str = "") -> None:
        self.calls: list[tuple[str, int, int]] = []
        self.stop_at = stop_at

    def __call__(self, step: str, done: int, total: int) -> None:
        self.calls.append((step, done, total))
        if step == self.stop_at and done:
            raise RuntimeError("stopped")

    def of(self, step: str) -> list[tuple[int, int]]:
        return [(done, total) for name, done, total in self.calls if name == step]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was stopped after its first network."""
    out = tmp_path_factory.mktemp("from_python") / "run"
    steps = Steps("comparing networks")
    with pytest.raises(RuntimeError, match="stopped"):
        lightcnn.search(
            "50kFLOPs", data=DATA, trials=2, epochs=2, workers=1, strategy="random", out=out, progress=steps
        )
    assert steps.of("comparing networks") == [(0, 2), (1, 2)]
    return out


@pytest.fixture(scope="module")
def resumed(stopped: Path) -> tuple[lightcnn.Run, Steps]:
    """The same search, resumed to its end with the same arrays."""
    steps = Steps()
    return lightcnn.search(data=DATA, out=stopped, resume=True, progress=steps), steps


def test_a_stopped_search_is_not_finished_and_other_arguments_are_refused(stopped: Path) -> None:
    assert not (stopped / "report.json").exists()
    with pytest.raises(DataError, match=r"data 'arrays': .* give them again from Python with data=\(X, y\)"):
        lightcnn.search(out=stopped, resume=True)
    for other in ((255 - IMAGES, LABELS), (IMAGES, 1 - LABELS), (IMAGES[:60], LABELS[:60])):
        with pytest.raises(RunError, match=r"the data have changed since the search started .* choose a new out$"):
            lightcnn.search(data=other, out=stopped, resume=True)
    with pytest.raises(RunError, match="the data have changed"):
        lightcnn.search(data=DATA, groups=np.arange(80) // 2, out=stopped, resume=True)
    with pytest.raises(InputError, match=r"was started with data 'arrays', not 'squares\.npz'; omit data, or"):
        lightcnn.search(data="squares.npz", out=stopped, resume=True)
    with pytest.raises(InputError, match=r"^resume: .* strategy 'random', not 'tpe'; omit strategy, or"):
        lightcnn.search(data=DATA, strategy="tpe", out=stopped, resume=True)
    with pytest.raises(InputError, match="was started with budget '50kFLOPs', not '60kFLOPs'"):
        lightcnn.search("60kFLOPs", data=DATA, out=stopped, resume=True)


def test_it_resumes_to_its_end_with_the_same_arrays(resumed: tuple[lightcnn.Run, Steps]) -> None:
    run, steps = resumed
    assert run.report["counts"]["proposed"] == 2
    assert run.report["data"]["source"] == "arrays"
    assert steps.of("comparing networks")[-1] == (2, 2)
    assert steps.calls[-1][0] == "final training"
    done, total = steps.of("final training")[-1]
    assert done == total > 0
    assert load_settings(run.path).strategy == "random"
    assert load_settings(run.path).seconds is None


def test_a_finished_search_is_returned_as_it_is(resumed: tuple[lightcnn.Run, Steps]) -> None:
    run, before = resumed[0], (resumed[0] / "report.json").read_bytes()
    again = lightcnn.search("50kFLOPs", data=DATA, out=run.path, resume=True)
    assert again.path == run.path and again.predict(IMAGES[0]).predictions
    assert (run / "report.json").read_bytes() == before
    assert lightcnn.search(out=run.path, data=(IMAGES.copy(), LABELS.tolist()), resume=True).path == run.path


def test_a_finished_search_is_not_returned_for_other_arrays(resumed: tuple[lightcnn.Run, Steps]) -> None:
    out = resumed[0].path
    for other, groups in (((255 - IMAGES, LABELS), None), ((IMAGES, 1 - LABELS), None), (DATA, np.arange(80) // 2)):
        with pytest.raises(RunError, match=r"the data have changed since the search started .* choose a new out$"):
            lightcnn.search(data=other, groups=groups, out=out, resume=True)


def test_progress_shows_the_view_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightcnn.searching.job.run", lambda settings, out, progress: progress.line("trial 0") or Run())
    assert lightcnn.search("1MFLOPs", progress=True).path == Path("run")
    assert capsys.readouterr() == ("", "trial 0\n")


def test_a_teacher_is_a_run_its_folder_or_a_name(resumed: tuple[lightcnn.Run, Steps], monkeypatch: Any) -> None:
    teachers: list[str | None] = []
    monkeypatch.setattr("lightcnn.searching.job.run", lambda settings, **_: teachers.append(settings.teacher) or Run())
    run = resumed[0]
    for teacher in (run, run.path, str(run.path), "timm:resnet18", None):
        lightcnn.search("1MFLOPs", teacher=teacher)
    assert teachers == [*[str(run.path)] * 3, "timm:resnet18", None]


class Run:
    """What the job returns."""

    path = Path("run")


SCRIPT = """
import lightcnn, numpy as np
random = np.random.default_rng(0)
labels = np.arange(80) % 2
images = (random.integers(0, 150, (80, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
run = lightcnn.search("50kFLOPs", data=(images, labels), trials=3, epochs=1, workers=2, out="run")
print(run.report["counts"]["trained"], run.report["plan"]["workers"])
"""


@pytest.mark.long
def test_workers_start_from_a_script_without_a_main_guard(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    environ = os.environ | {"PYTHONPATH": str(ROOT), "LIGHTCNN_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=200
    )
    assert done.stdout == "3 2\n", done.stderr


@pytest.mark.long
def test_workers_start_from_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="a notebook needs: pip install 'lightcnn[test]'")
    nbclient = pytest.importorskip("nbclient", reason="a notebook needs: pip install 'lightcnn[test]'")
    pytest.importorskip("ipykernel", reason="a notebook needs: pip install 'lightcnn[test]'")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT)])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()
    assert notebook.cells[0].outputs[-1].text == "3 2\n"


def test_a_search_that_is_continued_keeps_its_result_until_there_is_another(
    resumed: tuple[lightcnn.Run, Steps], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(resumed[0].path, tmp_path / "run"))
    before = (out / "report.json").read_bytes()
    with pytest.raises(RuntimeError, match="stopped"):
        lightcnn.search(data=DATA, out=out, trials=4, resume=True, progress=Steps("comparing networks"))
    assert (out / "report.json").read_bytes() == before
    (listed,) = listed_runs(tmp_path)
    assert (listed.state, listed.accuracy is None) == ("unfinished", False)
    assert lightcnn.Run(out).predict(IMAGES[0]).predictions
    run = lightcnn.search(data=DATA, out=out, resume=True)
    assert run.report["counts"]["proposed"] == 4
    assert not (out / CONTINUED_FILE).exists()


def test_a_search_whose_workers_cannot_read_the_images_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pipeline, "shared", lambda self, size, progress=None: None)
    run = lightcnn.search("50kFLOPs", data=DATA, trials=2, epochs=2, workers=2, out=tmp_path / "run")
    (warning,) = [each for each in run.report["warnings"] if each["code"] == "one_process"]
    assert "from which 2 workers would read them" in warning["message"]
    assert run.report["plan"]["workers"] == 1

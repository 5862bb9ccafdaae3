"""Signals to every command, at many moments: one line, the exit code of the signal, and nothing lost."""

from __future__ import annotations

import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.paths import TESTS
from helpers.stopping import CODES, stopped, temporary_files
from helpers.training_runs import outcome, rows, write_digits_recipe, write_squares_recipe
from PIL import Image

from lightcnn.cli.main import run

pytestmark = pytest.mark.usefixtures("undrawn_charts")

SIGNALS = ((signal.SIGINT,), (signal.SIGINT, signal.SIGINT), (signal.SIGTERM,), (signal.SIGHUP, signal.SIGINT))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of two classes, a recipe, and runs."""
    folder = tmp_path_factory.mktemp("files")
    random = np.random.default_rng(0)
    for label in ("bright", "dark"):
        (folder / "photographs" / label).mkdir(parents=True)
        for _ in range(12):
            pixels = random.integers(0, 120, (64, 64, 3)) + 120 * (label == "bright")
            name = f"{random.integers(1 << 40):x}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "photographs" / label / name)
    write_digits_recipe(folder)
    write_squares_recipe(folder)
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as archive:
        archive.extractall(folder / "runs")
    (folder / "runs" / "train").rename(folder / "runs" / "one")
    with zipfile.ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as archive:
        archive.extractall(folder / "runs")
    return folder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))


COMMANDS = {
    "audit": ["audit", "{files}/photographs", "--out", "out"],
    "compare": ["compare", "{files}/runs/train", "{files}/runs/one", "--out", "out"],
    "predict": ["predict", "{files}/runs/train", "{files}/photographs", "--csv", "out.csv"],
    "profile": ["profile", "{files}/runs/train", "--out", "out"],
    "explain": ["explain", "{files}/runs/train", "--images", "2", "--method", "gradcam", "--out", "out", "--quiet"],
    "train": ["train", "{files}/tiny.yaml", "--out", "out", "--quiet"],
    "search": [
        "search",
        "--data",
        "{files}/two.npz",
        "--budget",
        "100kFLOPs",
        "--trials",
        "2",
        "--epochs",
        "2",
        "--workers",
        "1",
        "--out",
        "out",
        "--quiet",
    ],
    "ablate": ["ablate", "{files}/tiny.yaml", "--over", "architecture", "--only", "relu", "--out", "out", "--quiet"],
    "folds": ["train", "{files}/tiny.yaml", "--folds", "2", "--epochs", "2", "--out", "out", "--quiet"],
    "train photographs": ["train", "quick", "--data", "{files}/photographs", "--out", "out", "--quiet"],
}
READING = "lightcnn.data.sources.read_files:decode"  # in worker threads
DESCRIBING = "lightcnn.data.grouping.sift:_described"  # in worker threads
FSYNC = "os:fsync"
MOMENTS = [
    ("audit", READING, 5), ("audit", DESCRIBING, 3), ("audit", "lightcnn.data.grouping.similar:_verified", 1),
    ("audit", "lightcnn.auditing.job:audit_page", 1), ("audit", FSYNC, 1), ("audit", FSYNC, 4),
    ("compare", "lightcnn.comparing.run_predictions:_row", 3), ("compare", FSYNC, 2),
    ("predict", "lightcnn.data.stream:decode", 2), ("predict", "lightcnn.predicting.outputs:Csv.add", 2),
    ("profile", "lightcnn.profiling.job:_count", 1), ("profile", "lightcnn.measurement.latency:measure_rounds", 1),
    ("profile", FSYNC, 1),
    ("explain", "lightcnn.explaining.job:prepare", 1),
    ("train", "lightcnn.training.job:prepare", 1), ("train", "lightcnn.training.session:build_network", 1),
    ("train", FSYNC, 2),
    ("train photographs", READING, 5), ("train photographs", DESCRIBING, 3),
    ("search", "lightcnn.searching.preparation:find_groups", 1), ("search", FSYNC, 1),
    ("ablate", "lightcnn.ablating.job:prepare_parts", 1), ("ablate", FSYNC, 1),
    ("folds", "lightcnn.training.repeats:prepare", 1), ("folds", FSYNC, 1),
]  # fmt: skip
"""Moments at which there is nothing to resume yet, or nothing that could be resumed."""


@pytest.mark.parametrize(("command", "place", "call"), MOMENTS)
def test_a_signal_before_there_is_a_run_leaves_nothing(command, place, call, files, tmp_path, capfd):
    numbers = SIGNALS[MOMENTS.index((command, place, call)) % len(SIGNALS)]
    arguments = [part.format(files=files) for part in COMMANDS[command]]
    assert stopped(arguments, place, call, numbers) == CODES[numbers[0]]
    assert capfd.readouterr().err == "lightcnn: interrupted\n"
    assert not (tmp_path / "out").exists()
    assert not temporary_files(tmp_path)
    if command == "predict":
        lines = (tmp_path / "out.csv").read_text().splitlines(keepends=True)
        assert all(line.endswith("\n") and line.count(",") == lines[0].count(",") for line in lines)


LATER = [
    ("explain", "lightcnn.explaining.job:make_files", 2),
    ("explain", "lightcnn.explaining.saved_explanations:digest", 1), ("explain", FSYNC, 5),
    ("explain", "lightcnn.explaining.job:explain_page", 1), ("train", "lightcnn.engine.state:State.update", 2),
    ("train", "lightcnn.engine.state:State.update", 13), ("train", "lightcnn.engine.loop:training_batch", 1),
    ("train", FSYNC, 5), ("train", FSYNC, 8), ("train", FSYNC, 13), ("train", "pathlib:Path.rename", 3),
    ("train", "lightcnn.engine.checkpoints:_remove_checkpoint", 2),
    ("train", "lightcnn.training.session:write_metrics", 2), ("train", "lightcnn.training.session:write_report", 1),
    ("train", "lightcnn.run_folder:RunFolder.write_json", 3), ("search", "lightcnn.searching.job:write_plan", 1),
    ("search", "lightcnn.engine.state:State.update", 20), ("search", "optuna.trial:Trial.report", 1),
    ("search", "lightcnn.searching.trials.searcher:Searcher.settled", 1),
    ("search", "lightcnn.searching.session:write_trials", 1),
    ("search", "lightcnn.searching.report.report:fvcore_total", 1),
    ("search", "lightcnn.searching.session:write_report", 1), ("ablate", "lightcnn.engine.state:State.update", 20),
    ("ablate", "lightcnn.training.session:write_report", 1),
    ("ablate", "lightcnn.training.repeats:write_pooled", 1), ("ablate", "lightcnn.ablating.job:write_report", 1),
    ("folds", "lightcnn.engine.state:State.update", 8), ("folds", "lightcnn.training.session:write_report", 2),
    ("folds", "lightcnn.training.repeats:write_pooled", 1),
]  # fmt: skip
"""Moments at which a run can be resumed."""
QUICK = (
    ("explain", "lightcnn.explaining.job:make_files", 2), ("train", "lightcnn.engine.state:State.update", 13),
)  # fmt: skip
"""Those of every run of the tests; the others take up to a minute each."""


@pytest.fixture(scope="module")
def undisturbed(files, tmp_path_factory):
    """The results of the commands without a signal."""
    finished: dict[str, Path] = {}

    def result(command: str) -> Path:
        if command not in finished:
            folder = tmp_path_factory.mktemp("undisturbed")
            arguments = [part.format(files=files) for part in COMMANDS[command]]
            arguments[arguments.index("out")] = str(folder / "out")
            assert run(arguments) == 0
            finished[command] = folder / "out"
        return finished[command]

    return result


def results(command: str, out: Path) -> object:
    """What must be equal to the bit, whatever interrupted the command."""
    if command == "explain":
        return {path.name: path.read_bytes() for path in sorted((out / "maps").iterdir())}
    if command == "train":
        return outcome(out)
    if command == "search":
        trials = [{name: value for name, value in row.items() if name != "seconds"} for row in rows(out, "trials.csv")]
        return trials, outcome(out)
    parts = sorted(path.parent for path in out.rglob("weights.safetensors"))
    assert len(parts) == 2
    return {str(path.relative_to(out)): outcome(path) for path in parts}


@pytest.mark.parametrize(
    ("command", "place", "call"),
    [moment if moment in QUICK else pytest.param(*moment, marks=pytest.mark.long) for moment in LATER],
)
def test_a_run_that_a_signal_stopped_is_resumed_to_the_same_result(
    command, place, call, files, undisturbed, tmp_path, capfd
):
    numbers = SIGNALS[LATER.index((command, place, call)) % len(SIGNALS)]
    arguments = [part.format(files=files) for part in COMMANDS[command]]
    expected = results(command, undisturbed(command))
    capfd.readouterr()
    assert stopped(arguments, place, call, numbers) == CODES[numbers[0]]
    error = capfd.readouterr().err
    assert error.startswith(f"lightcnn: interrupted; resume with: lightcnn {arguments[0]} ")
    assert error.endswith("--resume --out out\n")
    assert error.count("\n") == 1
    resume = error.partition("resume with: lightcnn ")[2].split()
    assert run(resume) == 0
    assert results(command, tmp_path / "out") == expected
    assert not temporary_files(tmp_path)

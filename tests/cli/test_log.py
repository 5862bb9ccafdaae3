"""`--log`: a search and trainings in the trackers that are installed, interrupted and resumed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import trackers as stored
from helpers.stopping import stopped
from helpers.training_runs import rows, write_digits_recipe, write_squares_recipe

import lightcnn
from lightcnn.cli.main import run
from lightcnn.tracking import background
from lightcnn.tracking.names import TRACKERS, TrackerName

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the libraries
    pytest.mark.usefixtures("undrawn_charts"),
]
INSTALLED: list[TrackerName] = [name for name in TRACKERS if importlib.util.find_spec(name)]
needs_trackers = pytest.mark.skipif(not INSTALLED, reason=f"none of {', '.join(TRACKERS)} is installed")
FILE_STORE = "mlruns"
LOGGED = [word for name in INSTALLED for word in ("--log", name)]


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Nothing is sent to a server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "WANDB_DIR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that was interrupted after its first score, and resumed; it is logged all the time.

    MLflow has it in its file store, where scores are files: the name of one cannot be a folder of others.
    """
    folder = tmp_path_factory.mktemp("log")
    random, labels = np.random.default_rng(0), np.arange(80) % 2
    images = (random.integers(0, 100, (80, 8, 8)) + 90 * labels[:, None, None]).astype(np.uint8)
    np.savez(folder / "two.npz", train_images=images, train_labels=labels)
    options = ["--out", str(folder / "run"), "--quiet", *LOGGED]
    limits = ["--trials", "3", "--epochs", "2", "--workers", "1", "--strategy", "random"]
    command = ["search", "--budget", "50kFLOPs", "--data", str(folder / "two.npz"), *limits, *options]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", (folder / FILE_STORE).as_uri())
        assert stopped(command, "lightcnn.searching.session:SearchSession._finished", 2) == 130
        assert not (folder / "run/report.json").exists()
        assert run(["search", "--resume", *options]) == 0
    return folder / "run"


def read_points(folder: Path, name: TrackerName) -> stored.Points:
    """What a tracker has stored of a run."""
    if name == "tensorboard":
        return {part: dict(series) for part, series in stored.tensorboard_points(folder).items()}
    if name == "mlflow":
        files = folder.parent / FILE_STORE
        return stored.mlflow_points(files.as_uri() if files.is_dir() else f"sqlite:///{folder}/mlflow.db")
    return wandb_points(folder)


def wandb_points(folder: Path) -> stored.Points:
    """The rows of Weights & Biases as points, with the final values of its summary."""
    points: stored.Points = {}
    for row in stored.wandb_rows(folder):
        for name, value in row.items():
            part, _, axis = name.rpartition("/")
            if axis in ("epoch", "images"):
                step, prefix = int(value), f"{part}/" if part else ""
        for name, value in row.items():
            if (
                not name.startswith("_")
                and name.startswith(prefix)
                and name.rpartition("/")[2] not in ("epoch", "images")
            ):
                series = points.setdefault(prefix.rstrip("/"), {}).setdefault(name.removeprefix(prefix), [])
                series.append((step, round(float(value), 6)))
    for record in stored.wandb_records(folder):
        for item in record.summary.update:
            if "final/" in item.key:
                part, _, name = item.key.partition("final/")
                value = round(float(json.loads(item.value_json)), 6)
                points.setdefault(part.rstrip("/"), {})[f"final/{name}"] = [(0, value)]
    return points


@needs_trackers
@pytest.mark.parametrize("name", INSTALLED)
def test_a_search_is_stored_once(searched: Path, name: TrackerName) -> None:
    points, report = read_points(searched, name), lightcnn.Run.load(searched).report
    trials = {
        f"trial-{int(row['number']):04}": row for row in rows(searched, "trials.csv") if row["validation_accuracy"]
    }
    assert trials.keys() == {part for part in points if part and not part.endswith("seed")}
    for part, series in points.items():
        for values in series.values():
            steps = [step for step, _ in values]
            assert steps == sorted(set(steps)), (part, values)
    for part, row in trials.items():
        assert (int(row["fidelity"]), round(float(row["validation_accuracy"]), 6)) in points[part]["accuracy"]
        assert points[part]["utility"]
    final = report["finals"][0]
    curve = [(each["images"], round(each["accuracy"], 6)) for each in final["curve"]]
    assert set(curve) <= set(points[f"trial-{final['trial']:04}"]["accuracy"])
    test = report["metrics"]["test"]["accuracy"]
    for ending, key in (("", "value"), ("_low", "low"), ("_high", "high")):
        assert points[""][f"final/test/accuracy{ending}"] == [(0, round(test[key], 6))]
    assert points[""]["final/cost/macs"] == [(0, report["network"]["cost"]["macs"])]


@needs_trackers
def test_the_trackers_of_a_search_agree(searched: Path) -> None:
    """TensorBoard stores numbers in 32 bits, so that the sixth digit may be rounded otherwise."""
    first = values(read_points(searched, INSTALLED[0]))
    assert len({(part, name) for part, name, *_ in first}) > 10
    for tracker in INSTALLED[1:]:
        assert values(read_points(searched, tracker)) == pytest.approx(first, abs=2e-6)


def values(points: stored.Points) -> dict[tuple[str, str, int, int], float]:
    """Every value by its part, its name, its place in the series and its step."""
    return {
        (part, name, place, step): value
        for part, series in points.items()
        for name, steps in series.items()
        for place, (step, value) in enumerate(steps)
    }


@pytest.mark.skipif("tensorboard" not in INSTALLED, reason="the extra lightcnn[tensorboard] is not installed")
def test_parameters_of_a_search_are_its_settings_and_its_networks(searched: Path) -> None:
    parameters = stored.tensorboard_parameters(searched)
    assert parameters[""]["budget"] == "50kFLOPs" and parameters[""]["strategy"] == "random"
    for number, row in enumerate(rows(searched, "trials.csv")):
        if row["validation_accuracy"]:
            assert parameters[f"trial-{number:04}"]["cost.macs"] == int(row["macs"])
            assert any(name.startswith("shape.") for name in parameters[f"trial-{number:04}"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that was interrupted in its third epoch, and resumed; it is logged all the time."""
    folder = tmp_path_factory.mktemp("trained")
    options = ["--out", str(folder / "run"), "--quiet", *LOGGED]
    command = ["train", write_digits_recipe(folder), *options]
    assert stopped(command, "lightcnn.training.session:_Training._end_epoch", 3) == 130
    assert run(["train", "--resume", *options]) == 0
    return folder / "run"


@needs_trackers
@pytest.mark.parametrize("name", INSTALLED)
def test_a_training_is_stored_once(trained: Path, name: TrackerName) -> None:
    points, epochs = read_points(trained, name), rows(trained, "metrics.csv")
    assert list(points) == [""] and len(epochs) == 4
    for column, series in (("loss", "train/loss"), ("val_loss", "val/loss"), ("val_accuracy", "val/accuracy")):
        expected = [(int(row["epoch"]), float(row[column])) for row in epochs]
        assert points[""][series] == [(step, pytest.approx(value, abs=2e-6)) for step, value in expected]
    test = lightcnn.Run.load(trained).report["metrics"]["test"]["accuracy"]["value"]
    assert points[""]["final/test/accuracy"] == [(0, round(test, 6))]


@pytest.mark.long
@pytest.mark.skipif("tensorboard" not in INSTALLED, reason="the extra lightcnn[tensorboard] is not installed")
def test_folds_and_seeds_are_parts(tmp_path: Path) -> None:
    recipe = write_squares_recipe(tmp_path)
    result = lightcnn.train(recipe, seeds=2, out=tmp_path / "run", log="tensorboard")
    points = read_points(tmp_path / "run", "tensorboard")
    assert points.keys() == {"", "seed-0", "seed-1"}
    for seed in (0, 1):
        assert [step for step, _ in points[f"seed-{seed}"]["val/accuracy"]] == [1, 2]
        part = json.loads((tmp_path / f"run/parts/seed-{seed}/report.json").read_text())
        final = points[f"seed-{seed}"]["final/test/accuracy"]
        assert final == [(0, round(part["metrics"]["test"]["accuracy"]["value"], 6))]
    pooled = result.report["metrics"]["test"]["accuracy"]["value"]
    assert points[""]["final/test/accuracy"] == [(0, round(pooled, 6))]
    assert {values["seed"] for part, values in stored.tensorboard_parameters(tmp_path / "run").items() if part} == {
        0,
        1,
    }


def test_a_tracker_that_fails_is_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise ConnectionError("the server is gone")

    monkeypatch.setattr(background, "open_tracker", fail)
    monkeypatch.setattr("lightcnn.tracking.names._require_installed", lambda name: None)
    recipe = write_squares_recipe(tmp_path)
    assert run(["train", recipe, "--out", str(tmp_path / "run"), "--log", "mlflow"]) == 0
    error = capsys.readouterr().err
    expected = "warning: mlflow receives no more values: ConnectionError: the server is gone; the run continues\n"
    assert error.count(expected) == error.count("warning:") == 1
    with pytest.warns(UserWarning, match="^mlflow receives no more values: ConnectionError"):
        lightcnn.train(recipe, out=tmp_path / "again", log="mlflow")


@pytest.mark.parametrize(
    "words",
    [["search", "--budget", "1MFLOPs", "--data", "missing"], ["train", "missing.yaml"]],
    ids=["search", "train"],
)
def test_a_missing_extra_is_refused_before_anything_is_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightcnn.tracking.names.importlib.util.find_spec", lambda name: None)
    assert run([*words, "--log", "mlflow", "--log", "tensorboard"]) == 2
    expected = "lightcnn: --log tensorboard: tensorboard is not installed; pip install 'lightcnn[tensorboard]'\n"
    assert capsys.readouterr() == ("", expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["search", "--budget", "1MFLOPs", "--data", "missing"], ["train", "missing.yaml"]],
    ids=["search", "train"],
)
def test_a_file_store_without_its_permission_is_refused_before_anything_is_read(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightcnn.tracking.names._require_installed", lambda name: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:mlruns")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert run([*words, "--out", "run", "--log", "mlflow"]) == 2
    output, error = capsys.readouterr()
    assert output == "" and error.count("\n") == 1
    assert error.startswith("lightcnn: --log mlflow: MLFLOW_TRACKING_URI is 'file:mlruns', a file store, ")
    assert "; set MLFLOW_ALLOW_FILE_STORE=true, or unset MLFLOW_TRACKING_URI" in error
    assert list(tmp_path.iterdir()) == []


def test_the_command_that_resumes_has_the_trackers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightcnn.tracking.names._require_installed", lambda name: None)
    monkeypatch.setattr(background, "open_tracker", lambda *arguments: None)
    out = str(tmp_path / "run")
    command = [
        "train",
        write_squares_recipe(tmp_path),
        "--out",
        out,
        "--quiet",
        "--log",
        "tensorboard",
        "--log",
        "mlflow",
    ]
    assert stopped(command, "lightcnn.training.session:_Training._end_epoch", 1) == 130
    expected = f"resume with: lightcnn train --resume --out {out} --log tensorboard --log mlflow\n"
    assert capsys.readouterr().err.endswith(expected)

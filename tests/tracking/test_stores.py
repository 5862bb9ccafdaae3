"""Each tracker stores a run in two sessions, read back with its own library."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers import trackers as stored

from lightcnn.errors import InputError
from lightcnn.run_folder import RunFolder
from lightcnn.tracking.names import TrackerName, require_trackers
from lightcnn.tracking.tracker import RunPart
from lightcnn.tracking.trackers import Trackers

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries
RUN = RunPart(
    "", "epoch", lambda: {"seed": 3, "optimizer": "sgd", **{f"value.{number}": number for number in range(120)}}
)
TRIAL = RunPart("trial-0001", "images", lambda: {"trial": 1, "cost.macs": 7})
POINTS = {
    "": {"val/accuracy": [(1, 0.1), (2, 0.2), (3, 0.3)], "final/test/accuracy": [(0, 0.2), (1, 0.3)]},
    "trial-0001": {"accuracy": [(100, 0.1), (200, 0.2), (300, 0.3)]},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run folder in a folder to which nothing else may be written."""
    for name in (
        "MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_EXPERIMENT_NAME", "WANDB_DIR", "WANDB_PROJECT",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    return RunFolder.create(tmp_path / "run", "train", {})


def log(folder: RunFolder, name: TrackerName, epochs: int) -> None:
    """Logs so many epochs, from the first one on, as a resumed run does."""
    warnings: list[str] = []
    with folder.locked(), Trackers((name,), warnings.append) as logged:
        logged.open(folder, RUN)
        for epoch in range(1, epochs + 1):
            logged.scores(RUN, epoch, {"val/accuracy": epoch / 10})
            logged.scores(TRIAL, 100 * epoch, {"accuracy": epoch / 10})
        logged.summary(RUN, {"final/test/accuracy": epochs / 10})
    assert warnings == []
    assert list(Path.cwd().iterdir()) == [], "a library wrote into the current folder"


def test_tensorboard(folder: RunFolder) -> None:
    pytest.importorskip("tensorboard", reason="the extra lightcnn[tensorboard] is not installed")
    for epochs in (2, 2, 3):
        log(folder, "tensorboard", epochs)
    assert stored.tensorboard_points(folder.path) == POINTS
    parameters = stored.tensorboard_parameters(folder.path)
    assert parameters["trial-0001"] == {"trial": 1.0, "cost.macs": 7.0}
    assert parameters[""] == RUN.parameters()


@pytest.mark.parametrize("store", ["sqlite:///{run}/mlflow.db", "file://{run}/../mlruns"], ids=["sqlite", "files"])
def test_mlflow(store: str, folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="the extra lightcnn[mlflow] is not installed")
    uri = store.format(run=folder.path)
    if uri.startswith("file:"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for epochs in (2, 2, 3):
        log(folder, "mlflow", epochs)
    assert (folder.path / "mlflow.db").exists() == uri.startswith("sqlite:")
    assert stored.mlflow_points(uri) == POINTS
    runs = stored.mlflow_runs(uri)
    assert {name: run.info.status for name, run in runs.items()} == {"run": "FINISHED", "trial-0001": "FINISHED"}
    assert runs["run"].data.params == {name: str(value) for name, value in RUN.parameters().items()}
    assert runs["trial-0001"].data.params == {"trial": "1", "cost.macs": "7"}
    assert runs["trial-0001"].data.tags["mlflow.parentRunId"] == runs["run"].info.run_id
    assert set(runs["run"].data.tags) == {"mlflow.runName"}, "nothing of the machine or its user"


def test_mlflow_starts_again_in_another_store(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra lightcnn[mlflow] is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    first, second = (tmp_path / "first").as_uri(), (tmp_path / "second").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", first)
    log(folder, "mlflow", 2)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    client = __import__("mlflow").MlflowClient(tracking_uri=second)
    for run in stored.mlflow_runs(second).values():
        client.delete_run(run.info.run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", second)
    log(folder, "mlflow", 3)
    points = stored.mlflow_points(second)
    assert points["trial-0001"] == POINTS["trial-0001"]
    assert points[""] == POINTS[""] | {"final/test/accuracy": [(0, 0.3)]}
    assert len(stored.mlflow_points(first)[""]["val/accuracy"]) == 2


@pytest.mark.parametrize("uri", ["file:{folder}/mlruns", "{folder}/mlruns"])
def test_mlflow_refuses_what_is_refused_before_a_run(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra lightcnn[mlflow] is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(folder=tmp_path))
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(mlflow.exceptions.MlflowException, match="MLFLOW_ALLOW_FILE_STORE=true"):
        mlflow.MlflowClient().search_experiments()
    with pytest.raises(InputError, match="MLFLOW_ALLOW_FILE_STORE=true"):
        require_trackers("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert [each.name for each in mlflow.MlflowClient().search_experiments()] == ["Default"]
    assert require_trackers("mlflow") == ("mlflow",)


def test_wandb(folder: RunFolder) -> None:
    pytest.importorskip("wandb", reason="the extra lightcnn[wandb] is not installed")
    for epochs in (2, 2, 3):
        log(folder, "wandb", epochs)
    rows = [
        {name: value for name, value in row.items() if name in ("_step", "epoch", "val/accuracy") or "trial" in name}
        for row in stored.wandb_rows(folder.path)
    ]
    expected = [
        {"epoch": 1, "val/accuracy": 0.1}, {"trial-0001/images": 100, "trial-0001/accuracy": 0.1},
        {"epoch": 2, "val/accuracy": 0.2}, {"trial-0001/images": 200, "trial-0001/accuracy": 0.2},
        {"epoch": 3, "val/accuracy": 0.3}, {"trial-0001/images": 300, "trial-0001/accuracy": 0.3},
    ]  # fmt: skip
    assert rows == [row | {"_step": number} for number, row in enumerate(expected)]
    records = stored.wandb_records(folder.path)
    runs = [record.run for record in records if record.HasField("run")]
    assert len({run.run_id for run in runs}) == 1
    assert {run.project for run in runs} == {"lightcnn"}
    config = {item.key: json.loads(item.value_json) for run in runs for item in run.config.update}
    config |= {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for record in records
        for item in record.config.update
    }
    assert config["seed"] == 3 and config["trial-0001"] == {"trial": 1, "cost.macs": 7}
    finals = [json.loads(i.value_json) for r in records for i in r.summary.update if i.key == "final/test/accuracy"]
    assert finals[-1] == 0.3
    assert not any(path.name.startswith("requirements") for path in (folder.path / "wandb").rglob("*"))

"""`lightcnn train` from the command line, on small data: its run folder, its errors, and resuming."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.preprocess import Preprocess, resize
from lightcnn.data.sources.load import load
from lightcnn.engine import checkpoints
from lightcnn.engine.history import History
from lightcnn.engine.state import State
from lightcnn.errors import DataMissing, TrainingError
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Optimisation, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.training.recipe_argument import differences, read_recipe_argument

TINY = """
name: tiny
data: {data}
network:
  input: [1, 8, 8]
  stages:
    - {{kind: conv, width: 6, stride: 2}}
    - {{kind: mbconv, width: 6, expand: 2.0, drop_path: 0.1}}
  head: {{dropout: 0.1}}
  classes: 3
training: {{epochs: 4, batch: 16, accumulate: 2, ema: 0.8, clip_norm: 1.0, schedule: cosine, monitor: loss}}
"""
FILES = {
    "report.json", "report.html", "spec.yaml", "weights.safetensors", "recipe.yaml", "metrics.csv", "preprocess.json",
    "predictions.csv", "environment.json", "data.json", "train.yaml", "log.txt", "plots", "checkpoints", "README.md",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits(n_class=3)
    images, labels = digits.images[:240].astype(np.uint8) * 15, digits.target[:240]
    np.savez(folder / "three.npz", train_images=images, train_labels=labels, class_names=np.array(["o", "i", "z"]))
    (folder / "tiny.yaml").write_text(TINY.format(data=folder / "three.npz"))
    return str(folder / "tiny.yaml")


@pytest.fixture(scope="session")
def binary(tmp_path_factory):
    """A recipe of a sigmoid head on dark and bright squares, and its data."""
    folder = tmp_path_factory.mktemp("squares")
    random = np.random.default_rng(0)
    labels = np.arange(160) % 2
    images = (random.integers(0, 200, (160, 8, 8)) + 40 * labels[:, None, None]).astype(np.uint8)
    np.savez(folder / "two.npz", train_images=images, train_labels=labels, class_names=np.array(["dark", "bright"]))
    (folder / "binary.yaml").write_text(
        f"data: {folder / 'two.npz'}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], classes: 2, "
        "head: {output: sigmoid}}\naugment: none\ntraining: {epochs: 2, batch: 16}\n"
    )
    return str(folder / "binary.yaml")


@pytest.fixture(scope="session")
def finished(recipe, tmp_path_factory):
    """A finished training, and the process that printed its report as JSON."""
    out = tmp_path_factory.mktemp("runs") / "one"
    command = [sys.executable, "-m", "lightcnn", "train", recipe, "--out", str(out), "--json"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr
    return out, process


def rows(folder, name):
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcome(folder):
    """The results that must be bit-identical."""
    metrics = [{name: value for name, value in row.items() if name != "seconds"} for row in rows(folder, "metrics.csv")]
    files = ("weights.safetensors", "predictions.csv", "preprocess.json", "spec.yaml")
    return metrics, {name: (folder / name).read_bytes() for name in files}


# The run folder


def test_json_is_the_report_and_nothing_else(finished):
    out, process = finished
    assert json.loads(process.stdout) == RunFolder.load(out).report
    assert "epoch 4 of 4: loss" in process.stderr
    assert {path.name for path in out.iterdir()} >= FILES
    plots = {path.name for path in (out / "plots").iterdir()}
    assert {"curves.png", "confusion.png", "roc.png", "precision_recall.png", "reliability.png", "probabilities.png",
            "network.png"} <= plots  # fmt: skip


def test_the_report_has_the_keys_of_the_contract(finished):
    report = RunFolder.load(finished[0]).report
    assert report["command"] == "train"
    assert report["data"]["counts"].keys() == {"train", "val", "test"}
    assert report["data"]["stand_in"] is False
    assert report["network"]["counters"].keys() == {"fvcore", "thop"}
    assert report["epochs"] == 4
    for split_name in ("val", "test"):
        assert report["metrics"][split_name].keys() == {
            "accuracy", "balanced_accuracy", "precision", "sensitivity", "specificity", "f1", "auc", "pr_auc", "mcc",
            "kappa", "brier", "log_loss", "ece", "confusion", "per_class", "at_specificity", "at_sensitivity", "images",
            "groups", "warning",
        }  # fmt: skip
        accuracy = report["metrics"][split_name]["accuracy"]
        assert accuracy["low"] <= accuracy["value"] <= accuracy["high"]
        assert accuracy["interval"] == "Wilson"


def test_the_best_epoch_is_the_best_by_the_monitored_metric(finished):
    report, metrics = RunFolder.load(finished[0]).report, rows(finished[0], "metrics.csv")
    losses = [float(row["val_loss"]) for row in metrics]
    assert report["best_epoch"] == 1 + int(np.argmin(losses))
    assert report["metrics"]["val"]["log_loss"]["value"] <= min(losses) + 1e-7, "calibrated on the validation set"


def test_the_temperature_is_fitted_on_the_validation_set_and_applied_to_the_predictions(finished):
    """At a temperature of 1 the weights have the validation loss of their epoch."""
    report, predictions = RunFolder.load(finished[0]).report, rows(finished[0], "predictions.csv")
    chosen = report["calibration"]
    assert chosen["temperature"] != 1
    assert chosen["rule"].startswith("lowest log loss on the validation side")
    rule = Preprocess.model_validate_json((finished[0] / "preprocess.json").read_text())
    assert rule.temperature == chosen["temperature"]
    assert report["predictions"]["sha256"] == hashlib.sha256((finished[0] / "predictions.csv").read_bytes()).hexdigest()
    classes = report["data"]["classes"]
    losses = {}
    for split_name in ("val", "test"):
        of_split = [row for row in predictions if row["split"] == split_name]
        labels = np.array([classes.index(row["label"]) for row in of_split])
        after = np.array([[float(row[f"p_{name}"]) for name in classes] for row in of_split])
        raw = after ** chosen["temperature"] / (after ** chosen["temperature"]).sum(axis=1, keepdims=True)
        losses[split_name] = [log_loss(labels, p, labels=range(3)) for p in (raw, after)]
    before = rows(finished[0], "metrics.csv")[report["best_epoch"] - 1]["val_loss"]
    assert losses["val"][0] == pytest.approx(float(before), abs=1e-5)
    assert losses["val"][1] < losses["val"][0]
    assert [chosen["log_loss"]["before"], chosen["log_loss"]["after"]] == pytest.approx(losses["test"], abs=1e-5)
    assert report["metrics"]["test"]["log_loss"]["value"] == chosen["log_loss"]["after"]
    dataset = load(Recipe.load(finished[0] / "recipe.yaml").data)
    images = [dataset.images[dataset.paths.index(row["path"])] for row in predictions]
    predicted = lightcnn.Run.load(finished[0]).predict(images)
    expected = [[float(row[f"p_{name}"]) for name in classes] for row in predictions]
    np.testing.assert_allclose(predicted.probabilities, expected, atol=1e-6)
    assert report["metrics"]["test"]["ece"]["value"] == chosen["ece"]["after"] != chosen["ece"]["before"]


def test_weights_and_preprocessing_reproduce_the_predictions(finished):
    out = finished[0]
    model = build(NetworkSpec.load(out / "spec.yaml"))
    model.load_state_dict(load_file(out / "weights.safetensors"))
    rule = Preprocess.model_validate_json((out / "preprocess.json").read_text())
    dataset = load(Recipe.load(out / "recipe.yaml").data)
    predictions = rows(out, "predictions.csv")
    assert {row["split"] for row in predictions} == {"val", "test"}
    images = resize(dataset.images[np.array([dataset.paths.index(row["path"]) for row in predictions])], rule.size)
    expected = np.array([[float(row[f"p_{name}"]) for name in dataset.classes] for row in predictions])
    np.testing.assert_allclose(probabilities(model, images, rule), expected, atol=1e-5)


def test_the_page_is_complete_and_loads_nothing(finished):
    page = (finished[0] / "report.html").read_text()
    assert all(text in page for text in ("test accuracy", "stages.1", "mbconv", "training.ema", "Most confident mistakes"))
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_the_recipe_of_a_run_repeats_the_run(finished, recipe):
    assert run(["train", str(finished[0] / "recipe.yaml"), "--out", "again", "--quiet"]) == 0
    assert outcome(Path("again")) == outcome(finished[0])


def test_the_python_function_gives_the_same_run(finished, recipe):
    trained = lightcnn.train(Recipe.load(recipe), out="python")
    assert outcome(trained.path) == outcome(finished[0])


# Resuming


SERVER = """
import json, os, signal, sys, warnings
from importlib import import_module
import lightcnn.training.job, lightcnn.training.terminal, sklearn.metrics
from lightcnn.cli.main import run
from lightcnn.training.report import figures
with warnings.catch_warnings(action="ignore"):
    import fvcore.nn, thop, torch._dynamo

figures.png = lambda figure: b"not drawn, which saves half of the time"

def deadly(place, number):
    module, _, path = place.partition(":")
    owner = import_module(module)
    *inner, name = path.split(".")
    for part in inner:
        owner = getattr(owner, part)
    real, calls = getattr(owner, name), iter(range(1, 1_000_000))
    def call(*args, **kwargs):
        if next(calls) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(owner, name, call)

for line in sys.stdin:
    arguments, moment = json.loads(line)
    pid = os.fork()
    if not pid:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if moment:
            deadly(*moment)
        code = run(arguments)
        sys.stderr.flush()
        os._exit(code)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def server():
    """A process with all modules loaded that forks a process for each command; it can kill it at a given call."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.stdin.close()
    process.wait(timeout=60)
    process.stdout.close()


def begin(server, arguments, moment=None):
    server.stdin.write(json.dumps([arguments, moment]) + "\n")
    server.stdin.flush()
    return int(server.stdout.readline())


def ended(server):
    return int(server.stdout.readline())


UPDATE, FSYNC, RENAME, REMOVE = (
    "lightcnn.engine.state:State.update",
    "os:fsync",
    "pathlib:Path.rename",
    "shutil:rmtree",
)
MOMENTS = [
    (UPDATE, 2),  # in the first epoch
    (UPDATE, 13),  # in the middle of a later one
    (FSYNC, 5),  # the first checkpoint: RunFolder.create writes four files
    (FSYNC, 6),
    (FSYNC, 8),  # its pointer
    (FSYNC, 13),  # a later checkpoint
    (RENAME, 2),  # the folder is written, not renamed
    (RENAME, 3),  # renamed, not in last.json
    (RENAME, 5),
    (REMOVE, 2),  # in last.json, the old folder is still there
    ("lightcnn.run_folder:RunFolder.write_csv", 2),  # the epoch is in the checkpoint, not in metrics.csv
    ("lightcnn.training.session:write_report", 1),
    ("lightcnn.run_folder:RunFolder.write_json", 3),
]


@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"{moment[0].rpartition(':')[2]}-{moment[1]}")
def test_a_run_killed_at_any_call_resumes_to_the_same_result(moment, server, recipe, finished, tmp_path):
    out = str(tmp_path / "killed")
    begin(server, ["train", recipe, "--out", out, "--quiet"], moment)
    assert ended(server) == -signal.SIGKILL
    assert not Path(out, "report.json").exists()
    begin(server, ["train", "--resume", "--out", out, "--quiet"])
    assert ended(server) == 0
    assert outcome(Path(out)) == outcome(finished[0])
    assert len(list(Path(out, "checkpoints").iterdir())) <= 3, "files of the killed process are removed"


def test_a_run_killed_within_an_epoch_resumes_to_the_same_result(server, recipe, finished, tmp_path):
    out = tmp_path / "killed"
    for epochs in ("epoch 1:", "epoch 3:"):
        started = (
            ["train", recipe, "--out", str(out)] if epochs == "epoch 1:" else ["train", "--resume", "--out", str(out)]
        )
        pid = begin(server, [*started, "--quiet"])
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (
            (out / "log.txt").exists() and epochs in (out / "log.txt").read_text()
        ):
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        assert ended(server) == -signal.SIGKILL
    begin(server, ["train", recipe, "--resume", "--out", str(out), "--quiet"])
    assert ended(server) == 0
    assert outcome(out) == outcome(finished[0])


class Stop(Exception):  # noqa: N818
    pass


@pytest.mark.parametrize(
    "changes",
    [
        "optimizer=sgd,schedule=step,decay_epochs=1",
        "optimizer=sgd,momentum=0.0,schedule=constant",
        "optimizer=rmsprop,schedule=plateau,decay_epochs=1,learning_rate=0.05",
        "optimizer=adam,loss=focal,class_weights=balanced,patience=2",
        "optimizer=adamw,schedule=one-cycle,ema=0.0,accumulate=1",
    ],
)
def test_every_optimizer_and_schedule_resumes_bit_identically(changes, recipe, monkeypatch):
    from lightcnn.overrides import read
    from lightcnn.training import job
    from lightcnn.training.settings import make_settings

    assignments = (*changes.split(","), "epochs=3")
    draft = read_recipe_argument(recipe, [read(f"training.{assignment}") for assignment in assignments])
    settings = make_settings(draft)
    monkeypatch.setattr("lightcnn.training.session.write_report", lambda *_: None)
    job.run(settings, out="whole")
    real, calls = State.update, []

    def update(state):
        calls.append(state)
        if len(calls) in (8, 13):
            raise Stop
        real(state)

    monkeypatch.setattr(State, "update", update)
    for resume in (False, True):
        with pytest.raises(Stop):
            job.run(settings, out="parts", resume=resume)
    job.run(settings, out="parts", resume=True)
    assert last(Path("whole")) == last(Path("parts"))


def last(folder):
    """Tensors and progress of the last checkpoint, with all times set to 0."""
    place = folder / "checkpoints" / f"{json.loads((folder / 'checkpoints/last.json').read_text())['last']:06}"
    checkpoint = json.loads((place / "progress.json").read_text())
    checkpoint["progress"]["seconds"] = 0
    for row in checkpoint["progress"]["rows"]:
        row["seconds"] = 0
    return (place / "tensors.safetensors").read_bytes(), checkpoint


def test_ctrl_c_prints_the_command_that_resumes(recipe, tmp_path):
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "lightcnn", "train", recipe, "--epochs", "5000", "--out", str(out)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "checkpoints" / "last.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"resume with: lightcnn train --resume --out {out}" in error
    assert "Traceback" not in error


def test_resuming_a_finished_run_shows_its_report(finished, capsys):
    before = (finished[0] / "report.json").stat().st_mtime_ns
    assert run(["train", "--resume", "--out", str(finished[0])]) == 0
    assert "test accuracy" in capsys.readouterr().out
    assert (finished[0] / "report.json").stat().st_mtime_ns == before


def test_a_full_disk_keeps_earlier_checkpoints(recipe, finished, monkeypatch, capsys):
    real, calls = checkpoints.write_file, []

    def full(path, content):
        calls.append(path)
        if len(calls) == 7:  # three files per checkpoint: the tensors of the third
            path.write_bytes(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, content)

    monkeypatch.setattr(checkpoints, "write_file", full)
    assert run(["train", recipe, "--out", "full", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "epoch 3 cannot be written (No space left on device); earlier checkpoints are kept: check the free" in error
    assert "lightcnn train --resume --out full" in error
    assert {path.name for path in Path("full/checkpoints").iterdir()} <= {"000001", "000002", "last.json"}
    monkeypatch.setattr(checkpoints, "write_file", real)
    assert run(["train", "--resume", "--out", "full", "--quiet"]) == 0
    assert outcome(Path("full")) == outcome(finished[0])


# Checkpoints are untrusted


@pytest.fixture
def half(recipe, monkeypatch):
    """A run that ended after two epochs."""
    real = RunFolder.log

    def log(self, message):
        real(self, message)
        if message.startswith("epoch 2"):
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", log)
        assert run(["train", recipe, "--out", "half", "--quiet"]) == 1
    return Path("half")


def spoil_truncate(folder):
    path = folder / "checkpoints" / "000002" / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def spoil_version(folder):
    path = folder / "checkpoints" / "000002" / "progress.json"
    path.write_text(path.read_text().replace('"version":1', '"version":2'))


def spoil_json(folder):
    (folder / "checkpoints" / "last.json").write_text('{"version": 1, "last": 2')


def spoil_missing(folder):
    (folder / "checkpoints" / "000002" / "progress.json").unlink()


def spoil_path(folder):
    (folder / "checkpoints" / "last.json").write_text('{"version": 1, "last": "../../etc", "best": 1}')


def spoil_rows(folder):
    path = folder / "checkpoints" / "000002" / "progress.json"
    checkpoint = json.loads(path.read_text())
    checkpoint["progress"]["rows"][1]["epoch"] = 7
    path.write_text(json.dumps(checkpoint))


def spoil_pickle(folder):
    rewrite(folder, b"\x80\x04cos\nsystem\n(S'false'\ntR.")


def rewrite(folder, content):
    """Replaces the tensors, and writes their digest so that it matches."""
    place = folder / "checkpoints" / "000002"
    (place / "tensors.safetensors").write_bytes(content)
    checkpoint = json.loads((place / "progress.json").read_text())
    checkpoint["sha256"] = hashlib.sha256(content).hexdigest()
    (place / "progress.json").write_text(json.dumps(checkpoint))


def reshaped(change):
    def spoil(folder):
        path = folder / "checkpoints" / "000002" / "tensors.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, folder / "other.safetensors")
        rewrite(folder, (folder / "other.safetensors").read_bytes())

    return spoil


def first(tensors, prefix):
    return next(name for name in sorted(tensors) if name.startswith(prefix))


SPOILS = {
    "truncated": (spoil_truncate, "truncated"),
    "version": (spoil_version, "another version"),
    "json": (spoil_json, "damaged or of another version"),
    "missing": (spoil_missing, "cannot be read"),
    "path": (spoil_path, "last: input should be a valid integer"),
    "rows": (spoil_rows, "contradict each other"),
    "pickle": (spoil_pickle, "cannot be resumed"),
    "shape": (reshaped(lambda t: t.update({first(t, "model."): torch.zeros(5)})), r"is torch.float32 \(5,\)"),
    "type": (reshaped(lambda t: t.update({k: v.double() for k, v in t.items() if k.startswith("model.")})), "float64"),
    "less": (reshaped(lambda t: t.pop(first(t, "average."))), "is missing"),
    "alien": (reshaped(lambda t: t.update({"evil": torch.zeros(1)})), "evil is not part of this training"),
    "moment": (reshaped(lambda t: t.pop(first(t, "optimizer.0"))), "does not have the state"),
    "far": (reshaped(lambda t: t.update({"optimizer.99.step": torch.zeros(())})), "does not belong to any parameter"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_damaged_checkpoint_is_an_error_of_one_line(name, half, capsys):
    spoil, message = SPOILS[name]
    spoil(half)
    capsys.readouterr()
    assert run(["train", "--resume", "--out", "half", "--quiet"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert re.search(message, lines[0]), lines[0]
    assert "new --out" in lines[0]


# Errors


def test_resuming_with_another_recipe_shows_the_difference(half, recipe, capsys):
    command = ["train", recipe, "--resume", "--out", "half", "--set", "training.learning_rate=0.5", "--seed", "3"]
    assert run(command) == 2
    error = capsys.readouterr().err
    assert "seed: 0 in the run, 3 given" in error
    assert "training.learning_rate: 0.01 in the run, 0.5 given" in error


def test_resuming_on_other_data_is_an_error(half, recipe, capsys):
    data = Path(Recipe.load(recipe).data)
    content, arrays = data.read_bytes(), dict(np.load(data))
    try:
        np.savez(data, **(arrays | {"train_images": 255 - arrays["train_images"]}))
        assert run(["train", "--resume", "--out", "half"]) == 2
    finally:
        data.write_bytes(content)
    assert "have changed since it was started (fingerprint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "nope: no such file and no shipped recipe"),
        (["quik"], "did you mean 'quick'"),
        (["--set", "training.learning_rat=1"], "--set training.learning_rat: unknown key 'learning_rat' (value 1); did "
         "you mean 'learning_rate'?"),
        (["--set", "training.epochs=no"], "--set training.epochs: input should be a valid integer, not 'no'"),
        (["--epochs", "0"], "--epochs: input should be greater than or equal to 1"),
        (["--set", "training.batch"], "no assignment; give key.path=value"),
        (["--set", "network.stages.7.width=3"], "network.stages is a list of 2"),
        (["--set", "training.optimizer=adem"], "did you mean 'adam'"),
        (["--set", "training.class_weights=balance"], "did you mean 'balanced'"),
        (["--set", "training.class_weights={o: -1}"], "training.class_weights: o: input should be greater than 0"),
        (["--set", "training.class_weights={o: 1, i: 1, q: 1}"], "class 'q' is not in the data"),
        (["--set", "network.classes=4"], "network.classes: 4, but"),
        (["--set", "network.classes=4"], "--set network.classes=3"),
        (["--set", "network.input=[3,8,8]"], "--set network.input=[1,8,8]"),
        (["--set", "network.input=[1,8,9]"], "images are resized to squares"),
        (["--set", "training.batch=4000"], "training.batch: 4000 images, but the training set"),
        (["--set", "distill.teacher=nowhere"], "run nowhere: not a run folder"),
        (["--data", "nowhere"], "data 'nowhere': no such folder"),
        (["--resume"], "--resume: --out is missing"),
    ],
)  # fmt: skip
def test_invalid_input_is_an_error_of_one_line_and_writes_nothing(arguments, message, recipe, tmp_path, capsys):
    arguments = arguments if arguments[0] in ("nope", "quik") else [recipe, *arguments]
    assert run(["train", *arguments]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_all_errors_of_a_recipe_are_reported_at_once(recipe, capsys):
    assert run(["train", recipe, "--set", "training.epoks=3", "--set", "seed=x", "--set", "augment.flp=true"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_network_with_too_many_strides_is_an_error(tmp_path, capsys):
    spec = ROOT / "tests" / "golden" / "micrompoxnet.yaml"
    assert run(["train", str(spec), "--data", "synthetic-lesions", "--set", "network.input=[3,8,8]"]) == 2
    assert "use a larger input or fewer strides" in capsys.readouterr().err
    assert run(["train", "quick", "--set", "network.input=[1,2,2]", "--out", "none"]) == 2
    assert "2×2 is one pixel before the last stride" in capsys.readouterr().err
    assert run(["train", "quick", "--set", "network.input=[1,4,4]", "--dry-run"]) == 0
    capsys.readouterr()
    assert run(["train", "quick", "--set", "network.input=[1,1,1]", "--out", "none"]) == 2
    assert "1×1 is one pixel before the last stride" in capsys.readouterr().err
    assert not Path("none").exists()
    assert run(["train", str(spec)]) == 2
    assert "name the data set to train on, for example --data digits" in capsys.readouterr().err


def test_a_search_cannot_be_resumed_as_a_training(recipe, tmp_path, capsys):
    RunFolder.create("other", "search", {"recipe.yaml": Path(recipe).read_bytes()})
    assert run(["train", "--resume", "--out", "other"]) == 2
    assert "is not a run of `lightcnn train`" in capsys.readouterr().err


# Recipes


def test_set_changes_presets_and_items_of_lists(recipe):
    from lightcnn.overrides import read

    weights = "training.class_weights={o: 1, i: 2, z: 1}"
    changes = [read("augment=light"), read("network.stages.0.width=8"), read(weights)]
    changed = read_recipe_argument(recipe, changes).recipe
    assert (changed.augment.flip, changed.network.stages[0].width) == (True, 8)
    assert changed.training.class_weights == {"o": 1, "i": 2, "z": 1}
    Path("preset.yaml").write_text(Path(recipe).read_text() + "augment: paper\n")
    changed = read_recipe_argument("preset.yaml", [read("augment.noise=0.1")]).recipe
    assert (changed.augment.noise, changed.augment.rotate) == (0.1, 20.0)
    assert differences(read_recipe_argument(recipe).recipe, read_recipe_argument(recipe, [read("seed=3")]).recipe) == [
        "seed: 0 in the run, 3 given"
    ]


def test_a_network_alone_gets_the_defaults_for_its_data(finished):
    plain = read_recipe_argument(str(finished[0] / "spec.yaml"), [change("data", "digits")])
    resolved = plain.resolved("digits", 3, 10_000)
    assert (resolved.training.epochs, resolved.training.label_smoothing, resolved.augment.flip) == (60, 0.1, True)
    fewer = read_recipe_argument(
        str(finished[0] / "spec.yaml"), [change("data", "digits"), change("training.epochs", 3)]
    )
    assert fewer.resolved("digits", 1, 20).training.epochs == 3
    assert fewer.resolved("digits", 1, 20).training.batch == 20


def change(path, value):
    from lightcnn.overrides import Change

    return Change(f"--set {path}", tuple(path.split(".")), value)


def test_a_dry_run_reports_weights_that_do_not_fit(recipe, finished, capsys):
    baseline = ["--set", "network.baseline=timm:resnet10t", "--set", "network.input=[1,32,32]"]
    options = [*baseline, "--set", f"network.weights={finished[0] / 'weights.safetensors'}"]
    assert run(["train", recipe, *options, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "not this backbone" in error
    assert error.count("\n") == 1


def test_a_dry_run_shows_the_plan_and_writes_nothing(recipe, tmp_path, capsys):
    assert run(["train", recipe, "--dry-run", "--epochs", "7"]) == 0
    out = capsys.readouterr().out
    assert "epochs: 7" in out
    assert "nothing was written" in out
    assert run(["train", recipe, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["dry_run"] is True
    assert plan["estimate"]["seconds"] > 0
    assert plan["recipe"]["network"]["classes"] == 3
    assert list(tmp_path.iterdir()) == []


# Stand-in data


@pytest.fixture
def missing(monkeypatch):
    """A machine on which mpox2025 is missing and cannot be downloaded."""

    def nothing(source, reading, progress):
        raise DataMissing("data mpox2025: not in here; put it there by hand")

    monkeypatch.setitem(__import__("lightcnn.data.sources.load", fromlist=["LOADERS"]).LOADERS, "mpox2025", nothing)
    Path("real.yaml").write_text(
        "data: mpox2025\nnetwork: {input: [3, 16, 16], stages: [{kind: conv, width: 4, stride: 2}], classes: 2}\n"
        "training: {epochs: 1, batch: 32}\n"
    )


def test_a_stand_in_is_shown_in_every_output(missing, capsys):
    assert run(["train", "real.yaml", "--out", "synthetic"]) == 0
    captured = capsys.readouterr()
    assert "STAND-IN DATA" in captured.err
    assert "STAND-IN DATA" in captured.out
    assert "put it there by hand" in captured.err.replace("│\n│ ", "")
    report = RunFolder.load("synthetic").report
    assert report["data"]["stand_in"] is True
    assert json.loads(Path("synthetic/data.json").read_text())["stand_in"] is True
    assert json.loads(Path("synthetic/preprocess.json").read_text())["stand_in"] is True
    from safetensors import safe_open

    with safe_open("synthetic/weights.safetensors", "pt") as file:
        assert file.metadata()["stand_in"] == "true"
    for name in ("recipe.yaml", "spec.yaml"):
        assert Path("synthetic", name).read_text().startswith("# STAND-IN DATA")
    assert 'class="alarm"' in Path("synthetic/report.html").read_text()
    card = Path("synthetic/README.md").read_text().partition("\n---\n")
    assert "stand_in: true" in card[0]
    assert card[2].lstrip().startswith("> **STAND-IN DATA")
    assert Recipe.load("synthetic/recipe.yaml").data == "synthetic-lesions"
    assert report["metrics"]["test"]["accuracy"]["interval"].startswith(("bootstrap of", "Wilson on"))
    assert run(["train", "real.yaml", "--resume", "--out", "synthetic", "--json"]) == 0


def test_require_data_forbids_a_stand_in(missing, capsys):
    assert run(["train", "real.yaml", "--require-data"]) == 2
    assert "put it there by hand" in capsys.readouterr().err


# Two classes, teachers, failures


def test_two_classes_get_a_threshold_from_the_validation_set(binary):
    trained = lightcnn.train(binary, out="two")
    report, preprocess = trained.report, json.loads((trained / "preprocess.json").read_text())
    assert preprocess["threshold"] == report["threshold"]["value"]
    assert "highest balanced accuracy on the validation set" in report["threshold"]["rule"]
    predictions = rows(trained.path, "predictions.csv")
    for row in predictions:
        assert row["prediction"] == ("bright" if float(row["p_bright"]) >= preprocess["threshold"] else "dark")
    correct = [row["label"] == row["prediction"] for row in predictions if row["split"] == "test"]
    assert np.mean(correct) == pytest.approx(report["metrics"]["test"]["accuracy"]["value"])


def test_a_teacher_may_have_another_input_size_and_is_part_of_the_recipe(finished, recipe):
    sets = [
        "--set",
        f"distill.teacher={finished[0]}",
        "--set",
        "distill.temperature=2",
        "--set",
        "network.input=[1,10,10]",
    ]
    assert run(["train", recipe, *sets, "--epochs", "1", "--out", "taught", "--quiet"]) == 0
    assert Recipe.load("taught/recipe.yaml").distill.temperature == 2
    assert RunFolder.load("taught").report["teacher"] == str(finished[0])
    assert run(["train", recipe, "--set", "network.input=[1,10,10]", "--epochs", "1", "--out", "alone", "--quiet"]) == 0
    assert Path("taught/weights.safetensors").read_bytes() != Path("alone/weights.safetensors").read_bytes()


def test_a_teacher_that_was_trained_on_test_images_is_an_error(finished, recipe, capsys):
    taught = ["train", recipe, "--set", f"distill.teacher={finished[0]}", "--epochs", "1", "--out", "inflated"]
    assert run([*taught, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "was trained on" in error
    assert "of the 48 test images" in error
    assert not Path("inflated").exists()
    shutil.copytree(finished[0], "cut")
    Path("cut/predictions.csv").write_text("path\na.png\n")
    assert run(["train", recipe, "--set", "distill.teacher=cut"]) == 2
    assert "it was edited after the run" in capsys.readouterr().err


def test_a_teacher_of_other_classes_or_without_a_network_is_an_error(finished, binary, half, capsys):
    assert run(["train", binary, "--set", f"distill.teacher={finished[0]}"]) == 2
    assert "knows the classes o, i, z, but data" in capsys.readouterr().err
    assert run(["train", binary, "--set", "distill.teacher=half"]) == 2
    assert "run half: not finished" in capsys.readouterr().err
    shutil.copytree(finished[0], "spoiled")
    Path("spoiled/weights.safetensors").write_bytes(b"\x00")
    assert run(["train", recipe_of(finished), "--set", "distill.teacher=spoiled"]) == 2
    assert "damaged, or no safetensors file" in capsys.readouterr().err


def recipe_of(finished):
    return str(finished[0] / "recipe.yaml")


def test_a_baseline_trains_predicts_and_teaches(recipe):
    sets = ["--set", "network.baseline=timm:mobilenetv3_small_050", "--set", "network.input=[1,32,32]"]
    assert run(["train", recipe, *sets, "--set", "network.head=own", "--epochs", "1", "--out", "large", "--quiet"]) == 0
    trained = lightcnn.Run.load("large")
    cost = trained.report["network"]["cost"]
    assert cost["macs"] > 100_000
    assert 0 < cost["params_deployed"] < cost["params"] < cost["params_with_buffers"]
    assert cost["peak_activations"] > 3 * 16 * 16
    assert cost["weight_bytes"]["fp32"] == 4 * cost["params_deployed"]
    assert "blocks.0" in Path("large/report.html").read_text()
    dataset, predictions = load(Recipe.load(recipe).data), rows(trained.path, "predictions.csv")
    images = [dataset.images[dataset.paths.index(row["path"])] for row in predictions]
    expected = [[float(row[f"p_{name}"]) for name in dataset.classes] for row in predictions]
    np.testing.assert_allclose(trained.predict(images).probabilities, expected, atol=1e-6)
    assert run(["train", recipe, "--set", "distill.teacher=large", "--epochs", "1", "--out", "small", "--quiet"]) == 0


def test_a_baseline_starts_from_a_runs_weights_and_statistics_and_resumes_without_reading_them(
    recipe, monkeypatch, capsys
):
    Path("bare.yaml").write_text("baseline: timm:mobilenetv3_small_050\ninput: [1, 32, 32]\nclasses: 3\n")
    first_run = lightcnn.train(draft_of("bare.yaml", recipe), out="first")
    assert first_run.report["first_weights"] == "random weights"
    rule = json.loads(Path("first/preprocess.json").read_text()) | {"mean": [0.25], "deviation": [0.125]}
    Path("first/preprocess.json").write_text(json.dumps(rule))
    first_recipe = Recipe.load("first/recipe.yaml")
    network = first_recipe.network.model_copy(update={"weights": "first/weights.safetensors", "freeze": True})
    training = first_recipe.training.model_copy(update={"epochs": 2})
    first_recipe.model_copy(update={"network": network, "training": training}).save("two.yaml")
    seen: list[bool] = []
    real = __import__("lightcnn.training.session", fromlist=["build_network"]).build_network
    monkeypatch.setattr(
        "lightcnn.training.session.build_network",
        lambda *arguments, pretrained: seen.append(pretrained) or real(*arguments, pretrained=pretrained),
    )
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("lightcnn.training.session.write_report", stop)
        lightcnn.train("two.yaml", out="second")
    assert run(["train", "--resume", "--out", "second", "--quiet"]) == 0
    assert seen == [True, False]
    second_run = lightcnn.Run.load("second")
    assert "first/weights.safetensors" in second_run.report["first_weights"]
    assert "left out, for they classify" in second_run.report["first_weights"]
    rule = json.loads((second_run / "preprocess.json").read_text())
    assert (rule["mean"], rule["deviation"]) == ([0.25], [0.125])
    assert second_run.report["network"]["cost"] == first_run.report["network"]["cost"], "freezing changes no cost"
    before, after = (load_file(Path(folder, "weights.safetensors")) for folder in ("first", "second"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("head.") for name in changed)
    Path("first/weights.safetensors").unlink()
    capsys.readouterr()
    assert run(["train", "two.yaml"]) == 2
    assert "network.weights: first/weights.safetensors: no such file" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_weights_that_were_trained_on_test_images_are_an_error(recipe, tmp_path, capsys):
    """Weights of a run on the same data are used with the same split; with another they have seen test images."""
    small = ["--set", "network.baseline=timm:mobilenetv3_small_050", "--set", "network.input=[1,32,32]",
             "--set", "network.head=own", "--epochs", "1"]  # fmt: skip
    assert run(["train", recipe, *small, "--quiet", "--out", "first"]) == 0
    onwards = ["train", recipe, *small, "--set", "network.weights=first/weights.safetensors", "--quiet"]
    assert run([*onwards, "--seed", "1", "--out", "inflated"]) == 2
    error = capsys.readouterr().err
    assert "network.weights first: was trained on" in error and "of the 48 test images" in error
    assert run([*onwards, "--folds", "3", "--out", "inflated"]) == 2
    assert "was trained on" in capsys.readouterr().err
    assert not Path("inflated").exists()
    assert run([*onwards, "--out", "second"]) == 0
    assert "was trained on" not in json.loads(Path("second/report.json").read_text())["data"]["note"]


def stop(*_):
    raise KeyboardInterrupt


def draft_of(file, recipe):
    """The recipe of a network alone on the digits of `recipe`, for one epoch."""
    from lightcnn.overrides import read

    assignments = (f"data={Recipe.load(recipe).data}", "training.epochs=1", "network.sigmoid=false")
    draft = read_recipe_argument(file, [read(assignment) for assignment in assignments])
    assert draft.bare
    assert draft.recipe.name == "mobilenetv3_small_050"
    return draft.recipe


def test_an_allowed_leak_is_shown_above_the_score(tmp_path):
    random = np.random.default_rng(0)
    lines = ["path,label,group,split"]
    for number in range(48):
        name, split = f"{number}.png", ("train", "val", "test")[number % 3]
        Image.fromarray(random.integers(0, 255, (16, 16), dtype=np.uint8)).save(tmp_path / name)
        lines.append(f"{name},{'ab'[number // 3 % 2]},g{number // 6},{split}")
    Path("leak.csv").write_text("\n".join(lines))
    Path("leak.yaml").write_text(
        "data: leak.csv\nreading: {allow_leak: true}\nnetwork: {input: [1, 16, 16], stages: [{kind: conv, width: 4}], "
        "classes: 2}\ntraining: {epochs: 1, batch: 8}\n"
    )
    trained = lightcnn.train("leak.yaml", out="leaky")
    text = (trained / "report.html").read_text()
    assert trained.report["data"]["leak_allowed"] is True
    assert 0 < text.index("the scores are flattered") < text.index("test accuracy</p>")


def test_divergence_is_an_error_that_names_images_of_the_batch(recipe, capsys):
    sets = ["--set", "training.learning_rate=10", "--set", "training.optimizer=sgd", "--set", "training.clip_norm=0"]
    spec = ["--set", "network.stages=[{kind: conv, width: 8, norm: false, act: none, depth: 12}]"]
    assert run(["train", recipe, *sets, *spec, "--out", "nan", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "the loss became" in error
    assert "lower training.learning_rate" in error
    assert "training.clip_norm=1" in error
    assert "three.npz#" in error
    assert "more" in error


def test_out_of_memory_suggests_a_smaller_batch(recipe, monkeypatch, capsys):
    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

    monkeypatch.setattr("lightcnn.training.session.fit", full)
    assert run(["train", recipe, "--out", "big", "--quiet"]) == 1
    assert "--set training.batch=8 --set training.accumulate=4" in capsys.readouterr().err


def test_training_stops_early_after_its_patience(recipe):
    sets = ["--set", "training.patience=2", "--set", "training.min_improvement=1", "--epochs", "9"]
    assert run(["train", recipe, *sets, "--out", "early", "--quiet"]) == 0
    report = RunFolder.load("early").report
    assert report["stopped_early"] is True
    assert report["epochs"] == 3
    assert "no gain in 2 epochs" in Path("early/report.html").read_text()


def test_the_best_epoch_has_the_best_metric_then_the_lowest_loss():
    from lightcnn.engine.history import Row

    settings = Optimisation(epochs=9, patience=2, min_improvement=0.05)
    history = History()
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.9, 0.5), (0.9, 0.4), (0.92, 0.3)], start=1):
        row = Row(
            epoch=epoch, loss=1, learning_rate=1, seconds=1, val_loss=loss, val_accuracy=accuracy,
            val_balanced_accuracy=None, val_f1=None, val_auc=None,
        )  # fmt: skip
        history = history.after(row, settings, 1.0)
    assert (history.best, history.gained, history.since) == (4, 2, 2)
    assert history.ended(settings)
    assert not history.ended(settings.model_copy(update={"patience": 3}))
    assert history.rows[0].value("auc") == float("-inf")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    state = State(build(small_spec(), 0), Optimisation(), 10)
    with pytest.raises(TrainingError, match="cannot be written"):
        checkpoints.Checkpoints(tmp_path / "no" / "where").save(state, History())


def small_spec():
    from lightcnn.spec import ConvBlock

    return NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)

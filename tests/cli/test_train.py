"""`lightcnn train` from the command line, on small data: its run folder, its errors, and resuming."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.pages import read_page
from helpers.paths import ROOT
from helpers.training_runs import outcome, rows, write_digits_recipe, write_squares_recipe
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import log_loss

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.tensors import resize
from lightcnn.engine import checkpoints
from lightcnn.errors import DataMissing
from lightcnn.inference import probabilities
from lightcnn.network import build
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec

pytestmark = pytest.mark.usefixtures("undrawn_charts")

FILES = {
    "report.json", "report.html", "spec.yaml", "network.svg", "weights.safetensors", "recipe.yaml", "metrics.csv",
    "preprocess.json", "predictions.csv", "environment.json", "data.json", "train.yaml", "log.txt", "plots",
    "checkpoints", "README.md",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """A recipe of a sigmoid head on dark and bright squares."""
    return write_squares_recipe(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """A finished training, and the process that printed its report as JSON."""
    out = tmp_path_factory.mktemp("runs") / "one"
    command = [sys.executable, "-m", "lightcnn", "train", recipe, "--out", str(out), "--json"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr
    return out, process


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
            "kappa", "brier", "log_loss", "ece", "confusion", "per_class", "at_specificity", "at_sensitivity",
            "at_threshold", "images", "groups", "warning", "largest_class",
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
    assert chosen["rule"].startswith("lowest log loss on the validation set")
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
    page = read_page((finished[0] / "report.html").read_bytes())
    texts = ("test accuracy", "stages.1", "mbconv", "training.ema", "The most confident mistakes")
    assert all(text in page for text in texts)


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
from lightcnn.evaluation import figures as score_figures
from lightcnn.output.charts.svg import Chart
from lightcnn.training.report import figures
with warnings.catch_warnings(action="ignore"):
    import fvcore.nn, thop, torch._dynamo

figures.chart = score_figures.chart = lambda *_: Chart(b"not drawn, which saves half of the time", "", "")

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
    "lightcnn.engine.checkpoints:_remove_checkpoint",
)


MOMENTS = [
    (UPDATE, 13),  # in the middle of an epoch
    (FSYNC, 5),  # the first checkpoint: RunFolder.create writes four files
    (FSYNC, 8),  # its pointer
    (RENAME, 3),  # renamed, not in last.json
    (REMOVE, 2),  # in last.json, the old folder is still there
    ("lightcnn.run_folder:RunFolder.write_csv", 2),  # the epoch is in the checkpoint, not in metrics.csv
    ("lightcnn.training.session:write_report", 1),
]
MOMENTS += [
    pytest.param(moment, marks=pytest.mark.long)
    for moment in (
        (UPDATE, 2),  # in the first epoch
        (FSYNC, 6),
        (FSYNC, 13),  # a later checkpoint
        (RENAME, 2),  # the folder is written, not renamed
        (RENAME, 5),
        ("lightcnn.run_folder:RunFolder.write_json", 3),
    )
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
    ("numbers", "code"),
    [
        ((signal.SIGINT, signal.SIGINT), 130),
        pytest.param((signal.SIGTERM,), 143, marks=pytest.mark.long),
        pytest.param((signal.SIGINT,), 130, marks=pytest.mark.long),
        pytest.param((signal.SIGHUP,), 129, marks=pytest.mark.long),
    ],
)
def test_a_signal_prints_the_command_that_resumes(recipe, tmp_path, numbers, code):
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "lightcnn", "train", recipe, "--epochs", "5000", "--out", str(out), "--quiet"]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "checkpoints" / "last.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    for number in numbers:
        child.send_signal(number)
        time.sleep(0.01)
    _, error = child.communicate(timeout=60)
    assert child.returncode == code
    assert error == f"lightcnn: interrupted; resume with: lightcnn train --resume --out {out}\n"


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
        (["--set", "training.batch"], "not an assignment; write key.path=value"),
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
        (["--set", "distill.teacher=nowhere"], "lightcnn: distill.teacher: run nowhere: not a run folder"),
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
    assert 0 < text.index("the scores are too high") < text.index("test accuracy</small>")


# The score of always predicting the largest class


def test_the_score_of_the_largest_training_class_is_shown_beside_the_accuracy(tmp_path, capsys):
    """Noise of two classes: 30 of 50 test images are of the larger one, and no network can learn to do better."""
    random = np.random.default_rng(0)
    sets = {"train": (12, 20), "val": (4, 6), "test": (20, 30)}
    arrays = {}
    for name, (first, second) in sets.items():
        arrays[f"{name}_labels"] = np.repeat([0, 1], [first, second])
        arrays[f"{name}_images"] = random.integers(0, 255, (first + second, 8, 8)).astype(np.uint8)
    np.savez("noise.npz", **arrays, class_names=np.array(["few", "many"]))
    Path("noise.yaml").write_text(
        "data: noise.npz\nnetwork: {input: [1, 8, 8], stages: [{kind: conv, width: 4}], classes: 2}\n"
        "augment: none\ntraining: {epochs: 1, batch: 8}\n"
    )
    assert run(["train", "noise.yaml", "--out", "out"]) == 0
    out = capsys.readouterr().out
    report = RunFolder.load("out").report
    assert report["metrics"]["test"]["largest_class"] == {"class": "many", "accuracy": 0.6}
    assert [warning["code"] for warning in report["warnings"]] == ["largest_class_score"]
    assert "; always predicting many: 60.00%)" in out
    assert "warning: The test accuracy of" in out
    sentence = "Always predicting many, the largest class of the training set, is correct for 60.00% of the"
    page, card = (Path("out", name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    assert sentence in page
    assert "always predicting many: 60.00%" in page
    assert sentence in card
    assert "is not shown to be better than always predicting many" in card
    assert run(["train", "noise.yaml", "--seeds", "2", "--out", "pooled"]) == 0
    assert "always predicting many: 60.00%" in capsys.readouterr().out
    assert RunFolder.load("pooled").report["metrics"]["test"]["largest_class"] == {"class": "many", "accuracy": 0.6}


# The positive class


@pytest.fixture
def skin(tmp_path):
    """A recipe of mpox and others, with a split: dark squares are mpox, and no network is needed to tell them apart."""
    random = np.random.default_rng(0)
    arrays = {}
    for name, count in (("train", 40), ("val", 12), ("test", 16)):
        labels = np.arange(count) % 2
        arrays[f"{name}_labels"] = labels
        arrays[f"{name}_images"] = (random.integers(0, 150, (count, 8, 8)) + 60 * labels[:, None, None]).astype(
            np.uint8
        )
    np.savez("skin.npz", **arrays, class_names=np.array(["Monkey_Pox", "Others"]))
    Path("skin.yaml").write_text(
        "data: skin.npz\nnetwork: {input: [1, 8, 8], stages: [{kind: conv, width: 4}], classes: 2, "
        "head: {output: sigmoid}}\naugment: none\ntraining: {epochs: 2, batch: 8}\n"
    )
    return "skin.yaml"


@pytest.mark.parametrize(
    ("option", "positive"),
    [([], "Monkey_Pox"), pytest.param(["--positive", "Others"], "Others", marks=pytest.mark.long)],
)
def test_scores_thresholds_and_files_are_those_of_the_positive_class(option, positive, skin, capsys):
    assert run(["train", skin, "--out", "out", *option]) == 0
    assert f"The positive class is {positive} (" in capsys.readouterr().out
    report, tested = (
        RunFolder.load("out").report,
        [r for r in rows(Path("out"), "predictions.csv") if r["split"] == "test"],
    )
    negative = {"Monkey_Pox": "Others", "Others": "Monkey_Pox"}[positive]
    assert report["data"]["classes"] == [negative, positive]
    assert report["positive"]["class"] == positive
    assert Recipe.load("out/recipe.yaml").reading.positive == positive
    assert Preprocess.model_validate_json(Path("out/preprocess.json").read_text()).classes == (negative, positive)
    of_class = {name: [row for row in tested if row["label"] == name] for name in (negative, positive)}
    rates = {name: np.mean([row["prediction"] == name for row in of_name]) for name, of_name in of_class.items()}
    test = report["metrics"]["test"]
    assert test["sensitivity"]["value"] == pytest.approx(rates[positive])
    assert test["specificity"]["value"] == pytest.approx(rates[negative])
    for row in tested:
        assert (row["prediction"] == positive) == (float(row[f"p_{positive}"]) >= report["threshold"]["value"])
    page, card = (Path("out", name).read_text(encoding="utf-8") for name in ("report.html", "README.md"))
    assert f"The positive class is {positive}" in page
    assert "The positive class is" in card
    assert run(["train", "out/recipe.yaml", "--out", "again", "--quiet"]) == 0
    assert outcome(Path("again"))[1] == outcome(Path("out"))[1], "the recipe of the run repeats it"


def test_an_unknown_positive_class_is_refused_before_any_work(skin, capsys):
    assert run(["train", skin, "--out", "out", "--positive", "Measles"]) == 2
    assert (
        "positive class 'Measles': data skin.npz has no such class, but Monkey_Pox, Others" in capsys.readouterr().err
    )
    assert not Path("out").exists()

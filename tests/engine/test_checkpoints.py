"""Checkpoints: bit-identical resuming, and checkpoints that are damaged or cannot be written."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
from helpers.training_runs import write_digits_recipe
from safetensors.torch import load_file, save_file

from lightcnn.cli.main import run
from lightcnn.engine import checkpoints
from lightcnn.engine.history import History
from lightcnn.engine.state import State
from lightcnn.errors import TrainingError
from lightcnn.network import build
from lightcnn.overrides import parse_assignment
from lightcnn.recipe import Optimisation
from lightcnn.run_folder import RunFolder
from lightcnn.spec import ConvBlock, NetworkSpec
from lightcnn.training import job
from lightcnn.training.recipe_argument import read_recipe_argument
from lightcnn.training.settings import make_settings

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


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
    assignments = (*changes.split(","), "epochs=3")
    draft = read_recipe_argument(recipe, [parse_assignment(f"training.{assignment}") for assignment in assignments])
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


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    state = State(build(small_spec(), 0), Optimisation(), 10)
    with pytest.raises(TrainingError, match="cannot be written"):
        checkpoints.Checkpoints(tmp_path / "no" / "where").save(state, History())


def small_spec():

    return NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=2)

"""One training: divergence, lack of memory, and early stopping."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.clocks import replace_clocks
from helpers.training_runs import write_digits_recipe

from lightcnn.cli.main import run
from lightcnn.recipe import Optimisation
from lightcnn.run_folder import RunFolder
from lightcnn.training import session
from lightcnn.training.progress import TrainingProgress
from lightcnn.training.recipe_argument import read_recipe_argument
from lightcnn.training.setup import prepare

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


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


class Ticking(TrainingProgress):
    """A clock on which every image takes a second; it stops the training after the epoch `stop_after`."""

    def __init__(self, stop_after=0):
        self.now, self.stop_after = 0.0, stop_after

    def stepped(self, images):
        self.now += images

    def epoch(self, history):
        if history.epoch == self.stop_after:
            raise KeyboardInterrupt


@pytest.mark.parametrize(("epochs_in_time", "stop_after", "epochs"), [(3.9, 0, 3), (3.9, 2, 3), (-1, 0, 1)])
def test_no_epoch_begins_that_would_end_after_the_time_limit(recipe, epochs_in_time, stop_after, epochs, monkeypatch):
    setup = prepare(read_recipe_argument(recipe, []), "cpu")
    setup = replace(setup, recipe=setup.recipe.model_copy(update={"training": Optimisation(epochs=6, batch=16)}))
    clock = Ticking(stop_after)
    replace_clocks(monkeypatch, lambda: clock.now)
    limit, folder, resumed = epochs_in_time * len(setup.pipeline.split.train), Path("limited"), None
    if stop_after:
        with pytest.raises(KeyboardInterrupt):
            session.train_one(setup, folder, progress=clock, time_limit=limit)
        resumed, clock.stop_after, clock.now = RunFolder.load(folder), 0, 1e6
    report = session.train_one(setup, folder, resumed, progress=clock, time_limit=limit).report
    assert (report["epochs"], report["stopped_early"]) == (epochs, True)
    assert f"{epochs} (their time was used)" in (folder / "report.html").read_text()

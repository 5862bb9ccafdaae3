"""One training: divergence, lack of memory, and early stopping."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.training_runs import write_digits_recipe

from lightcnn.cli.main import run
from lightcnn.run_folder import RunFolder


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

"""Worker processes: one that dies or is silent is replaced, and its training run again."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import LightcnnError
from lightcnn.recipe import Augment, Optimisation, Reading
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings import pool, training
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.executors import InProcess, next_result
from lightcnn.searching.trainings.jobs import TrainingJob
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=10)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelineData:
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    digits = load("digits")
    return PipelineData(Pipeline(digits, make_split(digits, 0, Reading()), torch.device("cpu")), 0)


def job(steps: int = 30, **changes: object) -> TrainingJob:
    values = {
        "trial": 3, "rung": 0, "spec": SPEC, "seed": 1, "augment": Augment(), "until": steps, "target": "trainings/a",
        "training": Optimisation(epochs=1000, schedule="warmup-stable-decay", decay_steps=0, ema=0.9, threads=1),
    }  # fmt: skip
    return TrainingJob(**(values | changes))


def test_a_worker_that_is_silent_is_replaced_and_its_result_is_that_of_this_process(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BEAT_LIMIT_SECONDS", 3.0)
    folder = RunFolder.create(tmp_path / "run", "search", {})
    beats: list[tuple[int, int]] = []
    with pool.WorkerPool(1, lambda trial, step: beats.append((trial, step))) as workers:
        workers.open(data, folder)
        workers.submit(job(200))
        while not beats:
            workers._hear(workers._workers[0])
            time.sleep(0.05)
        first = workers._workers[0].process.pid
        os.kill(first, signal.SIGSTOP)
        result = workers.wait()
        assert workers._workers[0].process.pid != first
    assert not result.error
    assert result.averaged is not None
    assert (result.trial, result.step) == (3, 200)
    alone = InProcess(data, folder)
    alone.submit(job(200, target="trainings/b"))
    expected = alone.wait()
    untimed = {"seconds": 0.0, "epochs": (), "target": ""}
    assert expected.model_copy(update=untimed) == result.model_copy(update=untimed)
    assert (folder / "trainings/a").read_bytes() == (folder / "trainings/b").read_bytes()


def test_an_error_of_a_training_is_its_result(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    alone = InProcess(data, folder)
    alone.submit(job(spec=SPEC.model_copy(update={"classes": 2})))
    assert "out of bounds" in alone.wait().error


def test_a_program_that_cannot_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PROGRAM", "raise SystemExit('no torch here') # {path}")
    with (
        pool.WorkerPool(1) as workers,
        pytest.raises(LightcnnError, match=r"no worker process can be started .*no torch here.*; use --workers 1"),
    ):
        workers._waiting.append(job())
        workers._data = None  # type: ignore[assignment]
        workers._assign = lambda: None  # type: ignore[method-assign]
        workers.wait()


def test_a_training_whose_state_is_damaged_starts_from_scratch(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    alone = InProcess(data, folder)
    alone.submit(job(20))
    alone.wait()
    expected = (folder / "trainings/a").read_bytes()
    folder.write_bytes("trainings/damaged", expected[:-7])
    for source in ("trainings/damaged", "trainings/missing"):
        alone.submit(job(20, source=source, target="trainings/b"))
        assert not alone.wait().error
        assert (folder / "trainings/b").read_bytes() == expected
    assert "is trained again from scratch: training" in (folder / "log.txt").read_text()


def test_a_full_disk_ends_the_search_and_not_the_trial(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: RunFolder, name: str, state: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_state", full)
    alone = InProcess(data, RunFolder.create(tmp_path / "run", "search", {}))
    alone.submit(job(5))
    with pytest.raises(LightcnnError, match=r"No space left on device.*check the free disk space.*then use --resume"):
        next_result(alone)

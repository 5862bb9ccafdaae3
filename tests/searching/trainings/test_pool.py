"""Worker processes: one that dies or is silent is replaced, and its training run again."""

from __future__ import annotations

import io
import os
import re
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.stopping import restored
from safetensors.torch import load_file

from lightcnn import interrupt
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.errors import LightcnnError
from lightcnn.recipe import Augment, Optimisation, Reading
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings import pool, training, worker
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.executors import InProcess, next_result
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob, paused_file
from lightcnn.spec import ConvBlock, NetworkSpec

STEPS, SLOW_SECONDS = 60, 0.02
"""Steps of a training whose worker is stopped in it, and the seconds that this worker waits after each."""
SLOW_WORKER = f"""import time
from lightcnn.searching.trainings import worker
note = worker._Beats.note
worker.BEAT_SECONDS = {SLOW_SECONDS}
worker._Beats.note = lambda beats, step: (note(beats, step), time.sleep({SLOW_SECONDS}))
worker.main()
"""
SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=10)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PipelineData:
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    digits = load("digits")
    return PipelineData(Pipeline(digits, make_split(digits, 0, Reading()), torch.device("cpu")), 0)


def job(steps: int = 30, **changes: object) -> TrainingJob:
    values = {
        "trial": 3, "rung": 0, "spec": SPEC, "seed": 1, "augment": Augment(), "until": steps,
        "target": "trainings/a.safetensors",
        "training": Optimisation(epochs=1000, schedule="warmup-stable-decay", decay_steps=0, ema=0.9, threads=1),
    }  # fmt: skip
    return TrainingJob(**(values | changes))


@pytest.fixture
def frequent_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are slow, and tell each of their steps, so that few steps are needed to stop them during a training."""
    monkeypatch.setattr(pool, "PROGRAM", "import sys; sys.path[:] = {path!r}; " + SLOW_WORKER)


def assert_equal_states(folder: RunFolder) -> None:
    """The tensors of the states `a` and `b` are equal; the times in their headers differ."""
    first, second = (load_file(folder / f"trainings/{name}.safetensors") for name in "ab")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.usefixtures("frequent_beats")
def test_a_worker_that_is_silent_is_replaced_and_its_result_is_that_of_this_process(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "BEAT_LIMIT_SECONDS", 3.0)
    folder = RunFolder.create(tmp_path / "run", "search", {})
    beats: list[tuple[int, int]] = []
    with pool.WorkerPool(1, lambda trial, step: beats.append((trial, step))) as workers:
        workers.open(data, folder)
        workers.submit(job(STEPS))
        while not any(step for _, step in beats):
            assert workers.poll() is None
            time.sleep(0.02)
        first = workers._workers[0].process.pid
        os.kill(first, signal.SIGSTOP)
        result = workers.wait()
        assert workers._workers[0].process.pid != first
    assert not result.error
    assert result.averaged is not None
    assert (result.trial, result.step) == (3, STEPS)
    alone = InProcess(data, folder)
    alone.submit(job(STEPS, target="trainings/b.safetensors"))
    expected = alone.wait()
    untimed = {"seconds": 0.0, "epochs": (), "target": ""}
    assert expected.model_copy(update=untimed) == result.model_copy(update=untimed)
    assert (folder / "trainings/a.safetensors").read_bytes() == (folder / "trainings/b.safetensors").read_bytes()


@pytest.mark.parametrize("step", [4, 15, 25, 30])
def test_a_job_that_is_paused_continues_to_the_same_bits(data: PipelineData, tmp_path: Path, step: int) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    whole = training.run_job(job(target="trainings/b.safetensors"), data, folder)
    steps: list[int] = []
    part = training.run_job(job(), data, folder, steps.append, lambda: len(steps) >= step)
    assert (part.paused, part.step, part.averaged, part.halfway is None) == (True, step, None, step <= 15)
    assert not (folder / "trainings/a.safetensors").exists()
    rest = training.run_job(job(), data, folder)
    assert (whole.from_scratch, rest.from_scratch) == (True, False)
    untimed = {"seconds": 0.0, "epochs": (), "target": "", "from_scratch": False}
    assert rest.model_copy(update=untimed) == whole.model_copy(update=untimed)
    assert [row[:3] for row in rest.epochs] == [row[:3] for row in whole.epochs]
    assert_equal_states(folder)


def test_a_job_that_is_run_again_is_only_scored(data: PipelineData, tmp_path: Path) -> None:
    folder, steps = RunFolder.create(tmp_path / "run", "search", {}), list[int]()
    first = training.run_job(job(rung=1), data, folder)
    again = training.run_job(job(rung=1), data, folder, steps.append)
    assert not steps
    assert again.model_copy(update={"from_scratch": True}) == first
    folder.remove(paused_file("trainings/a.safetensors"))
    training.run_job(job(rung=1), data, folder, steps.append)
    assert max(steps) == 29


def signalling(steps: list[int], number: int) -> Callable[[int, int], None]:
    """A function for beats that keeps the steps, and sends the signal to this process at the seventh."""

    def note(trial: int, step: int) -> None:
        steps.append(step)
        if len(steps) == 7:
            os.kill(os.getpid(), number)

    return note


def test_a_signal_pauses_the_training_of_this_process_after_the_current_step(
    data: PipelineData, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    steps: list[int] = []
    note = signalling(steps, signal.SIGTERM)
    accumulating = job(training=job().training.model_copy(update={"accumulate": 3}))
    with restored(), interrupt.handling(), pytest.raises(interrupt.Stopped):
        alone = InProcess(data, folder, note)
        alone.submit(accumulating)
        alone.wait()
    assert (folder / paused_file("trainings/a.safetensors")).is_file()
    assert len(steps) > 7  # batches
    assert steps[-1] == 2
    rest = training.run_job(accumulating, data, folder)
    whole = training.run_job(accumulating.model_copy(update={"target": "trainings/b.safetensors"}), data, folder)
    assert rest.averaged == whole.averaged
    assert_equal_states(folder)


def test_ctrl_c_in_a_notebook_pauses_the_training_of_its_process(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    steps: list[int] = []
    note = signalling(steps, signal.SIGINT)
    with restored():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        alone = InProcess(data, folder, note)
        alone.submit(job())
        with pytest.raises(KeyboardInterrupt):
            alone.wait()
    rest: list[int] = []
    training.run_job(job(), data, folder, rest.append)
    assert len(steps) + len(rest) == 30


def test_the_pause_of_another_job_or_a_damaged_one_is_not_used(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    training.run_job(job(), data, folder, paused=lambda: True)
    other = training.run_job(job(until=20), data, folder)
    assert (other.step, other.error) == (20, "")
    training.run_job(job(), data, folder, paused=lambda: True)
    folder.write_bytes(
        paused_file("trainings/a.safetensors"), (folder / paused_file("trainings/a.safetensors")).read_bytes()[:-9]
    )
    assert training.run_job(job(), data, folder).step == 30


@pytest.mark.usefixtures("frequent_beats")
def test_workers_pause_their_trainings_and_continue_them(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    steps: list[int] = []
    with pool.WorkerPool(1, lambda trial, step: steps.append(step)) as workers:
        workers.open(data, folder)
        workers.submit(job(STEPS))
        end = time.monotonic() + 60
        while not any(steps):
            assert time.monotonic() < end
            assert workers.poll() is None
            time.sleep(0.02)
        os.kill(workers._workers[0].process.pid, signal.SIGTERM)  # as a scheduler does; the search asks for the pause
        assert workers.pause() == []
        assert (folder / paused_file("trainings/a.safetensors")).is_file()
        assert not (folder / "trainings/a.safetensors").exists()
        assert workers.poll() is None
        workers.submit(job(STEPS))
        assert workers.wait().step == STEPS
    training.run_job(job(STEPS, target="trainings/b.safetensors"), data, folder)
    assert_equal_states(folder)


def test_workers_are_not_dead_because_this_process_was_stopped(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    with pool.WorkerPool(1) as workers:
        workers.open(data, folder)
        workers.submit(job(200))
        while not workers._workers[0].is_ready:
            assert workers.poll() is None
            time.sleep(0.02)
        process = workers._workers[0].process
        workers._polled -= 60
        workers._workers[0].heard -= 60
        assert workers.wait().step == 200
        assert workers._workers[0].process is process


def test_stopped_workers_have_ended_and_the_next_job_starts_them_again(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    with pool.WorkerPool(1) as workers:
        workers.open(data, folder)
        processes = [worker.process for worker in workers._workers]
        workers.stop()
        assert all(process.poll() is not None for process in processes)
        assert workers.poll() is None, "none is started without a job"
        workers.submit(job(5))
        assert workers.wait().step == 5


def test_a_worker_writes_nothing_between_two_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.001)
    answers = io.StringIO()
    beats = worker._Beats(answers)
    time.sleep(0.1)
    assert answers.getvalue().count("\n") == 1, "the line by which it is known to be ready"
    beats.begin(3)
    while answers.getvalue().count("\n") < 5:
        time.sleep(0.001)
    beats.end("the result")
    time.sleep(0.1)
    written = answers.getvalue()
    time.sleep(0.1)
    assert answers.getvalue() == written and "the result\n" in written


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


def test_a_training_of_which_three_workers_die_fails(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying = "print('ready', flush=True); input(); input(); raise SystemExit(3) # {path}"  # after settings and job
    monkeypatch.setattr(pool, "PROGRAM", dying)
    with pool.WorkerPool(1) as workers:
        workers.open(data, RunFolder.create(tmp_path / "run", "search", {}))
        workers.submit(job())
        result = workers.wait()
    assert (result.trial, result.error) == (3, "the worker process ended with exit code 3, 3 times")
    assert not result.ends_search


@pytest.mark.parametrize("rung", [pytest.param(0, marks=pytest.mark.long), FINAL])
def test_a_training_that_takes_too_long_fails_and_others_continue(
    data: PipelineData, tmp_path: Path, rung: int
) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    with pool.WorkerPool(1, job_limit=0.1) as workers:  # which does not count while the worker loads PyTorch
        workers.open(data, folder)
        workers.submit(job(30_000, rung=rung))
        result = workers.wait()
        assert "the training took longer than the limit of 0.1 s" in result.error
        workers._job_limit = 60.0
        workers.submit(job(5))
        assert workers.wait().step == 5


def test_workers_on_gpus_see_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pool, "PROGRAM", "import os; print(os.environ['CUDA_VISIBLE_DEVICES']) # {path}")
    with pool.WorkerPool(2, device="cuda") as workers:
        assert [worker.lines.get(timeout=30).strip() for worker in workers._workers] == ["0", "1"]


def test_a_training_whose_state_is_damaged_starts_from_scratch(data: PipelineData, tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    alone = InProcess(data, folder)
    alone.submit(job(20))
    alone.wait()
    expected = (folder / "trainings/a.safetensors").read_bytes()
    folder.write_bytes("trainings/damaged.safetensors", expected[:-7])
    for source in ("trainings/damaged.safetensors", "trainings/missing.safetensors"):
        alone.submit(job(20, source=source, target="trainings/b.safetensors"))
        assert not alone.wait().error
        assert (folder / "trainings/b.safetensors").read_bytes() == expected
    assert "is trained again from scratch" in (folder / "log.txt").read_text()


def test_a_training_whose_source_is_missing_is_repeated_also_if_it_is_paused(
    data: PipelineData, tmp_path: Path
) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    later, steps = job(20, rung=1, source="trainings/missing.safetensors"), []
    training.run_job(later, data, folder, steps.append, lambda: len(steps) >= 5)
    assert training.run_job(later, data, folder).from_scratch
    assert not training.run_job(job(40, rung=1, source=later.target), data, folder).from_scratch


def test_a_full_disk_ends_the_search_and_not_the_trial(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(folder: RunFolder, name: str, state: object, note: str = "") -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "save_state", full)
    alone = InProcess(data, RunFolder.create(tmp_path / "run", "search", {}))
    alone.submit(job(5))
    with pytest.raises(LightcnnError, match=r"No space left on device.*check the free disk space.*then use --resume"):
        next_result(alone)


def test_an_error_of_the_system_that_means_a_lack_of_memory_fails_the_trial_alone(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mapped(folder: RunFolder, name: str, state: object, note: str = "") -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(training, "save_state", mapped)
    result = training.run_job(job(5), data, RunFolder.create(tmp_path / "run", "search", {}))
    assert re.match(r"out of memory with batches of 128 \(.*\); lower training.batch or --workers$", result.error)
    assert not result.ends_search


def test_other_trainings_go_on_while_images_of_a_new_size_are_prepared(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, may_go_on, shared = RunFolder.create(tmp_path / "run", "search", {}), threading.Event(), Pipeline.shared
    data.pipeline.shared(8)

    def slow(self: Pipeline, size: int, progress: Any = None) -> Path | None:
        if size == 10:
            may_go_on.wait(60)
        return shared(self, size, progress)

    monkeypatch.setattr(Pipeline, "shared", slow)
    larger = SPEC.model_copy(update={"input": (1, 10, 10)})
    with pool.WorkerPool(2) as workers:
        workers.open(data, folder)
        workers.submit(job(spec=larger, trial=1, target="trainings/b.safetensors"))
        workers.submit(job(trial=0))
        assert workers.wait().trial == 0 and not may_go_on.is_set()
        may_go_on.set()
        assert workers.wait().trial == 1


def test_images_that_cannot_be_written_end_the_search(
    data: PipelineData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pipeline, "shared", lambda self, size, progress=None: None)
    folder = RunFolder.create(tmp_path / "run", "search", {})
    with pool.WorkerPool(1) as workers, pytest.raises(LightcnnError, match="cannot be written to the cache folder"):
        workers.open(data, folder)
        workers.submit(job())
        workers.wait()

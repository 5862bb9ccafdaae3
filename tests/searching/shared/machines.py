"""Machines of a shared search as threads, with trainings that take no time and cables that can be cut."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from searching.table_space import RUNGS, TableSpace, UnlimitedClock, timeless

from lightcnn.recipe import Augment, Optimisation
from lightcnn.run_folder import RunFolder
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import SearchSettings, make_settings
from lightcnn.searching.shared.executor import SharedExecutor
from lightcnn.searching.shared.job import SharedEnd, SharedParts, take_part
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trainings.executors import next_result
from lightcnn.searching.trainings.jobs import TrainingJob, TrainingResult, WeightScore
from lightcnn.searching.trials.halving import Fidelity, Score
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.place import StudyPlace
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.space import SearchSpace
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=10)


class Cable:
    """The connection to a storage: once it is cut, every call fails, until it is plugged in again."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._storage, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **options: Any) -> Any:
            if self.is_cut and name != "remove_session":
                raise ConnectionError("the cable is cut")
            return value(*arguments, **options)

        return call


@dataclass
class InstantPool:
    """The workers of a machine: `train` is called when a result is asked for, and may do something first."""

    train: Callable[[TrainingJob], None] = lambda job: None
    workers: int = 1
    seconds: float = 0.0
    trained: list[str] = field(default_factory=list)
    waiting: deque[tuple[TrainingJob, float]] = field(default_factory=deque)

    def submit(self, job: TrainingJob) -> None:
        self.waiting.append((job, time.monotonic() + self.seconds))

    def pause(self) -> list[TrainingResult]:
        self.waiting.clear()
        return []

    def poll(self) -> TrainingResult | None:
        if not self.waiting or time.monotonic() < self.waiting[0][1]:
            return None
        job, _ = self.waiting.popleft()
        self.train(job)
        self.trained.append(job.target)
        accuracy = Random(job.seed * 100 + job.until).random()
        score = WeightScore(accuracy=accuracy, log_loss=1 - accuracy)
        return TrainingResult(
            trial=job.trial, rung=job.rung, target=job.target, step=job.until, images=job.until, seconds=1.0,
            averaged=score, live=score,
        )  # fmt: skip


class TableEvaluator:
    """The `Evaluator` of a shared search over a table."""

    lends_workers = False

    def __init__(self, executor: SharedExecutor) -> None:
        self._executor = executor

    @property
    def workers(self) -> int:
        return self._executor.workers

    def begin(self, candidate: object, fidelity: Fidelity) -> None:
        self._executor.submit(
            TrainingJob(
                trial=fidelity.trial, rung=fidelity.rung, spec=SPEC, seed=fidelity.seed, training=Optimisation(),
                augment=Augment(), until=fidelity.images,
                target=f"trainings/{fidelity.trial}-{fidelity.images}.safetensors",
            )
        )  # fmt: skip

    def wait(self) -> tuple[Fidelity, Score | str] | None:
        result = next_result(self._executor)
        if result is None:
            return None
        fidelity = Fidelity(result.trial, result.rung, RUNGS.images[result.rung], 0)
        if result.averaged is None:
            return fidelity, result.error
        return fidelity, Score(result.averaged.accuracy, result.averaged.accuracy)


class Notes(SearchProgress):
    """Notes that a machine has joined under another leader."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def noted(self, message: str) -> None:
        self._machine.has_joined |= message.startswith("joined ")


class Machine:
    """A thread that takes part in a search of `trials` trials; `error` and `end` are how it ended."""

    def __init__(
        self,
        folder: Path,
        shared: SharedSettings,
        pool: InstantPool,
        trials: int = 8,
        fingerprint: str = "images",
        lead: Callable[[], None] = lambda: None,
        cable: type[Cable] = Cable,
        resume: bool = False,
        finals: Callable[[], None] = lambda: None,
    ) -> None:
        """`lead` is called when it leads, `finals` in place of the final trainings."""
        self.pool = pool
        self.place = SharedPlace(shared)
        self.cable = cable(self.place.storage)
        self.place.__dict__["storage"] = self.cable
        self.end: SharedEnd | None = None
        self.error: BaseException | None = None
        self.leads = 0
        self.has_joined = False
        self._lead, self._finals, self._trials = lead, finals, trials
        self._parts = SharedParts(
            settings(trials),
            fingerprint,
            pool,
            RunFolder.create(folder, "search", {}),
            Notes(self),
            self._search,
            resume,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Machine:
        self.thread.start()
        return self

    def join(self) -> Machine:
        self.thread.join(60)
        assert not self.thread.is_alive(), "the machine did not end"
        return self

    def _run(self) -> None:
        try:
            self.end, _ = take_part(self.place, self._parts)
        except BaseException as error:
            self.error = error
        finally:
            self.cable.is_cut = False
            self.place.close()

    def _search(self, executor: SharedExecutor, plan: object, store: object) -> None:
        self.leads += 1
        self._lead()
        run_trials(searcher(self.place), TableEvaluator(executor), trials=self._trials, clock=UnlimitedClock())
        executor.release()
        self._finals()


def settings(trials: int) -> SearchSettings:
    """The settings of a search; nothing in them matters to these machines but the number of trials."""
    return make_settings({"budget": "1MFLOPs", "data": "digits", "space": SearchSpace.load("micro"), "trials": trials})


def searcher(place: StudyPlace) -> Searcher:
    """The searcher of the table."""
    return Searcher(
        TableSpace(), place, strategy="evolution", seed=0, rungs=RUNGS, fingerprint={"a": 1}, lag=None
    )  # fmt: skip


def scored(shared: SharedSettings) -> list[tuple]:
    """What the study holds of its trials, without times."""
    place = SharedPlace(shared)
    try:
        return timeless(searcher(place).outcomes())
    finally:
        place.close()

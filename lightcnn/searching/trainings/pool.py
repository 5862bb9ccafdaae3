"""Worker processes that train the networks of one search. A worker that dies is replaced, and its job run again."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple, Self

from pydantic import ValidationError

from lightcnn import interrupt
from lightcnn.devices import gpu_variables
from lightcnn.errors import LightcnnError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.jobs import (
    Beat,
    DeviceType,
    JobMessage,
    TrainingJob,
    TrainingResult,
    WorkerSettings,
    failed_result,
)
from lightcnn.searching.trainings.worker import PAUSE
from lightcnn.text import first_line

BEAT_LIMIT_SECONDS = 30.0
"""A worker that has not been heard of for so long is dead. It writes a line every second."""
START_LIMIT_SECONDS = 300.0
"""The same until its first line: it first loads PyTorch."""
PAUSE_SECONDS = 8.0
"""Time in which a worker must pause its training: a step, and the file of its state."""
MAX_ATTEMPTS = 3
"""Workers that may die of one job, until its trial has failed."""
POLL_SECONDS = 0.2
PROGRAM = "import sys; sys.path[:] = {path!r}; from lightcnn.searching.trainings.worker import main; main()"
"""Not `multiprocessing`, whose processes run the user's script again, and fail in notebooks."""


@dataclass
class _Worker:
    """A process, the job that it runs, and when it was last heard of."""

    process: subprocess.Popen[str]
    errors: IO[bytes]
    heard: float
    is_ready: bool = False
    job: TrainingJob | None = None
    began: float = 0.0
    lines: queue.Queue[str] = field(default_factory=queue.Queue)

    @property
    def limit(self) -> float:
        """Seconds for which it may be silent: longer until its first line, since it loads PyTorch."""
        return BEAT_LIMIT_SECONDS if self.is_ready else START_LIMIT_SECONDS


class _Images(NamedTuple):
    """The file of all images of a size, and their preprocessing as JSON."""

    file: Path
    preprocess: str


class WorkerPool:
    """An `Executor` of `workers` processes with one training thread, or one GPU, each. Use it in a `with` block.

    The processes start at once; they are given their data by `open`.
    """

    def __init__(
        self,
        workers: int,
        beat: Callable[[int, int], None] = lambda trial, step: None,
        device: DeviceType = "cpu",
        job_limit: float | None = None,
    ) -> None:
        """`beat` gets trial and step about once a second. A job that takes over `job_limit` seconds has failed."""
        self.workers = self.final_workers = workers
        self._beat = beat
        self._device = device
        self._job_limit = job_limit
        self._waiting: deque[TrainingJob] = deque()
        self._done: deque[TrainingResult] = deque()
        self._attempts: dict[str, int] = {}
        self._settings = ""
        self._data: PipelineData
        self._images: dict[int, Future[_Images]] = {}
        self._preparation = ThreadPoolExecutor(thread_name_prefix="images")
        self._is_closed = threading.Event()
        self._unheard = 0
        self._polled = time.monotonic()
        self._workers: list[_Worker] = []
        self._start_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed.set()
        self._preparation.shutdown(wait=False, cancel_futures=True)
        self.close()

    def close(self) -> None:
        """Ends all processes."""
        for worker in self._workers:
            _end(worker)
        self._workers.clear()

    def stop(self) -> None:
        """Ends all processes, which have no job; the next job starts them again."""
        self.close()

    def wait_until_idle(self, limit: float = START_LIMIT_SECONDS) -> None:
        """Waits until the processes have loaded PyTorch, so that nothing else runs while networks are timed.

        It waits for at most `limit` seconds.
        """
        end = time.monotonic() + limit
        while not all(worker.is_ready for worker in self._workers) and time.monotonic() < end:
            for worker in self._workers:
                self._hear(worker)
                if worker.process.poll() is not None:  # it is replaced when it is given a job
                    worker.is_ready = True
            time.sleep(POLL_SECONDS)

    def open(self, data: PipelineData, folder: RunFolder) -> None:
        """Gives the workers their data."""
        data.write_arrays(folder)
        self._data = data
        self._settings = WorkerSettings(folder=str(folder.path.absolute()), device=self._device).model_dump_json()
        for worker in self._workers:
            _send(worker, self._settings)

    def submit(self, job: TrainingJob) -> None:
        """Adds a job, which starts as soon as a worker is free."""
        self._waiting.append(job)
        self._assign()

    def machines(self, finals: int) -> None:
        """There is only this one."""

    def fetch(self, name: str) -> None:
        """All states are on this machine."""

    def release(self) -> None:
        """There are no others."""

    def wait(self) -> TrainingResult:
        """The next result. Raises: LightcnnError if a worker cannot be started."""
        while (result := self.poll()) is None:
            interrupt.check()
            time.sleep(POLL_SECONDS / 4)
        return result

    def poll(self) -> TrainingResult | None:
        """The next result, if there is one now. Raises: LightcnnError if a worker cannot be started."""
        now = time.monotonic()
        if now - self._polled > BEAT_LIMIT_SECONDS / 2:  # this process was stopped: what workers wrote is read next
            for worker in self._workers:
                worker.heard = now
                worker.began += now - self._polled
        self._polled = now
        if not self._done:
            for index, worker in enumerate(self._workers):
                self._hear(worker)
                if self._is_late(worker):
                    self._end_late(index, worker)
                elif self._is_dead(worker):
                    self._replace(index, worker)
            self._assign()
        return self._done.popleft() if self._done else None

    def pause(self) -> list[TrainingResult]:
        """Pauses all trainings after their current steps; returns the results of those that have ended meanwhile.

        A training that was paused left its state in its `paused_file`, from which it continues when it is submitted
        again. One that does not pause in `PAUSE_SECONDS`, or has not started, will continue from its source.
        """
        busy = [worker for worker in self._workers if worker.job is not None and worker.is_ready]
        for worker in busy:
            _send(worker, PAUSE)
        end = time.monotonic() + PAUSE_SECONDS
        while any(worker.job is not None for worker in busy) and time.monotonic() < end:
            for worker in busy:
                self._hear(worker)
            time.sleep(POLL_SECONDS / 4)
        for worker in self._workers:
            if worker.job is not None:
                worker.job = None
                worker.process.kill()  # it is replaced if there are other jobs
                worker.process.wait()
        ended = list(self._done)
        self._waiting.clear()
        self._done.clear()
        return ended

    def _start_all(self) -> None:
        """Starts all processes. Raises: LightcnnError."""
        try:
            for number in range(self.workers):
                self._workers.append(_start(number, self._device))
        except OSError as error:
            self.close()
            raise LightcnnError(
                f"search: {self.workers} worker processes cannot be started ({error.strerror}); use --workers 1"
            ) from None

    def _assign(self) -> None:
        """Gives waiting jobs to free workers, which are started again if they were stopped."""
        if self._waiting and not self._workers:
            self._start_all()
            for worker in self._workers:
                _send(worker, self._settings)
        for worker in self._workers:
            if worker.job is None:
                if (message := self._next_message()) is None:
                    break
                worker.job = message.job
                worker.heard = worker.began = time.monotonic()
                _send(worker, message.model_dump_json())

    def _next_message(self) -> JobMessage | None:
        """The first waiting job whose images are prepared, which no longer waits; None if there is none now."""
        for place, job in enumerate(self._waiting):
            if images := self._prepared(job.spec.input[1]):
                del self._waiting[place]
                return JobMessage(job=job, images=str(images.file), preprocess=images.preprocess)
        return None

    def _prepared(self, size: int) -> _Images | None:
        """The images of a size; None while a thread prepares them, so that other workers are given jobs meanwhile."""
        future = self._images.get(size)
        if future is None or (future.done() and not future.result().file.is_file()):
            future = self._images[size] = self._preparation.submit(self._prepare, size)
        wait([future], POLL_SECONDS if len(self._waiting) == 1 else 0)  # they may be in the cache
        return future.result() if future.done() else None

    def _prepare(self, size: int) -> _Images:
        """Prepares the images of a size, in another thread.

        Raises: LightcnnError if they cannot be written, or after the end of the search.
        """

        def check(what: str, done: int, total: int) -> None:
            if self._is_closed.is_set():
                raise LightcnnError("search: it has ended")

        file = self._data.pipeline.shared(size, check)
        if file is None:
            raise LightcnnError(
                "search: the images for the workers cannot be written to the cache folder (no space, or no "
                "permission); use --workers 1"
            )
        return _Images(file, self._data.preprocess(size).model_dump_json())

    def _hear(self, worker: _Worker) -> None:
        """Reads what a worker has written."""
        with suppress(queue.Empty):
            while True:
                line = worker.lines.get_nowait()
                worker.heard = time.monotonic()
                if not worker.is_ready:
                    worker.is_ready, worker.began = True, worker.heard
                answer = _parse(line)
                if isinstance(answer, TrainingResult):
                    if not answer.paused:
                        self._done.append(answer)
                    elif worker.job is not None:
                        self._waiting.appendleft(worker.job)
                    worker.job = None
                elif worker.job is not None and answer is not None and answer.trial == worker.job.trial:
                    self._beat(worker.job.trial, answer.step)

    def _is_late(self, worker: _Worker) -> bool:
        if self._job_limit is None or worker.job is None or not worker.is_ready:
            return False
        return time.monotonic() - worker.began > self._job_limit

    def _end_late(self, index: int, worker: _Worker) -> None:
        """Ends a worker whose job takes too long, and starts another."""
        assert worker.job is not None
        self._done.append(
            failed_result(worker.job, f"the training took longer than the limit of {self._job_limit:g} s")
        )
        self._restart(index, worker)

    def _restart(self, index: int, worker: _Worker) -> None:
        _end(worker)
        self._workers[index] = _start(index, self._device)
        _send(self._workers[index], self._settings)

    def _is_dead(self, worker: _Worker) -> bool:
        silent = worker.job is not None and time.monotonic() - worker.heard > worker.limit
        return silent or worker.process.poll() is not None

    def _replace(self, index: int, worker: _Worker) -> None:
        """Starts another worker, and runs the job again, or reports that it failed."""
        self._hear(worker)
        reason, job = _reason(worker), worker.job
        self._unheard += not worker.is_ready
        if self._unheard > MAX_ATTEMPTS * self.workers:
            _end(worker)
            raise LightcnnError(f"search: no worker process can be started ({reason}); use --workers 1")
        self._restart(index, worker)
        if job is None:
            return
        self._attempts[job.target] = self._attempts.get(job.target, 0) + 1
        if self._attempts[job.target] < MAX_ATTEMPTS:
            self._waiting.appendleft(job)
        else:
            self._done.append(failed_result(job, reason))


def _start(number: int, device: DeviceType) -> _Worker:
    """A new worker process, without the user's signals and with one thread; each has a GPU of its own."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
    path = [str(Path(entry).absolute()) for entry in sys.path]  # the same modules as here, also those of a notebook
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    if device == "cuda":
        environment |= gpu_variables(number)
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PROGRAM.format(path=path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=errors, text=True, encoding="utf-8", start_new_session=True, env=environment,
    )  # fmt: skip
    worker = _Worker(process, errors, time.monotonic())
    threading.Thread(target=_collect, args=(worker,), daemon=True).start()
    return worker


def _collect(worker: _Worker) -> None:
    assert worker.process.stdout is not None
    with suppress(ValueError, OSError):
        for line in worker.process.stdout:
            worker.lines.put(line)


def _send(worker: _Worker, line: str) -> None:
    assert worker.process.stdin is not None
    with suppress(OSError):  # a dead worker is noticed by `wait`
        worker.process.stdin.write(line + "\n")
        worker.process.stdin.flush()


def _end(worker: _Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    for stream in (worker.process.stdin, worker.process.stdout, worker.errors):
        if stream is not None:
            with suppress(OSError):
                stream.close()


def _parse(line: str) -> TrainingResult | Beat | None:
    try:
        return TrainingResult.model_validate_json(line) if '"images"' in line else Beat.model_validate_json(line)
    except ValidationError:
        return None


def _reason(worker: _Worker) -> str:
    """Why a worker died: its exit code, and the last line that it wrote to standard error."""
    code = worker.process.poll()
    if code is None:
        return f"the worker process was silent for {worker.limit:g} seconds, {MAX_ATTEMPTS} times"
    worker.errors.seek(0)
    lines = worker.errors.read().decode(errors="replace").strip().splitlines()
    ended = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
    return first_line(f"the worker process {ended}, {MAX_ATTEMPTS} times" + (f": {lines[-1]}" if lines else ""))

"""The program of a worker process: it reads jobs as lines of JSON and answers with beats and results.

The line `pause` pauses the training of the current job after its current step. The process ends when its input ends,
also in the middle of a training, so that none outlives a killed search. It ignores signals, which a scheduler may send
to all processes of a search: the search itself pauses its workers.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import IO

BEAT_SECONDS = 1.0
PAUSE = "pause"


def main() -> None:
    """Runs jobs until the input ends."""
    for number in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, number):
            signal.signal(getattr(signal, number), signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    lines: list[str] = []
    ready, pause = threading.Condition(), threading.Event()
    threading.Thread(target=_read, args=(lines, ready, pause), daemon=True).start()

    import torch

    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.trainings.data import SharedData
    from lightcnn.searching.trainings.jobs import JobMessage, WorkerSettings
    from lightcnn.searching.trainings.training import run_job

    beats = _Beats(answers)
    settings = WorkerSettings.model_validate_json(_next(lines, ready))
    folder = RunFolder(Path(settings.folder))
    data = SharedData(folder / "trainings", torch.device(settings.device))
    from lightcnn.data.preprocess import Preprocess

    while True:
        message = JobMessage.model_validate_json(_next(lines, ready))
        data.add(Path(message.images), Preprocess.model_validate_json(message.preprocess))
        beats.begin(message.job.trial)
        result = run_job(message.job, data, folder, beats.note, pause.is_set)
        pause.clear()
        beats.end(result.model_dump_json())


class _Beats:
    """Writes the step of the current job every `BEAT_SECONDS`, from a thread of its own, and a first line at once.

    Between two jobs it writes nothing, so that the process uses no processor while networks are timed.
    """

    def __init__(self, answers: IO[str]) -> None:
        self._answers = answers
        self._lock = threading.Lock()
        self._trial, self._step = 0, 0
        self._is_busy = threading.Event()
        self._beat()
        threading.Thread(target=self._repeat, daemon=True).start()

    def begin(self, trial: int) -> None:
        """Starts a job."""
        self._trial, self._step = trial, 0
        self._is_busy.set()

    def note(self, step: int) -> None:
        """Takes the step of the job."""
        self._step = step

    def end(self, result: str) -> None:
        """Writes the result of the job."""
        self._is_busy.clear()
        self._write(result)

    def _repeat(self) -> None:
        while self._is_busy.wait():
            self._beat()
            time.sleep(BEAT_SECONDS)

    def _beat(self) -> None:
        from lightcnn.searching.trainings.jobs import Beat

        self._write(Beat(trial=self._trial, step=self._step).model_dump_json())

    def _write(self, line: str) -> None:
        with self._lock:
            self._answers.write(line + "\n")


def _read(lines: list[str], ready: threading.Condition, pause: threading.Event) -> None:
    """Collects the lines of the input; at its end, ends the process."""
    for line in sys.stdin:
        if line.strip() == PAUSE:
            pause.set()
            continue
        with ready:
            lines.append(line)
            ready.notify()
    os._exit(0)


def _next(lines: list[str], ready: threading.Condition) -> str:
    with ready:
        ready.wait_for(lambda: bool(lines))
        return lines.pop(0)

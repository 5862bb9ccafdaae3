"""The trackers of a run: a slow or failing one changes nothing but a warning."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from lightcnn.run_folder import RunFolder
from lightcnn.tracking import background, trackers
from lightcnn.tracking.journal import Journal
from lightcnn.tracking.tracker import Lost, RunPart, State, Tracker
from lightcnn.tracking.trackers import Trackers

RUN = RunPart("", "epoch", lambda: {"seed": 0})
TRIAL = RunPart("trial-0001", "images", lambda: {"macs": 7})


class Recorder(Tracker):
    """Keeps its calls; `stops` and `fails` are numbers of scores at which it waits or raises an error."""

    def __init__(self, calls: list[tuple[object, ...]], fails: int = -1, stops: int = -1) -> None:
        self.calls, self.fails, self.stops = calls, fails, stops
        self.thread = threading.get_ident()

    def start(self, part: RunPart) -> str:
        self.calls.append(("start", part.name, dict(part.parameters())))
        return f"id-{part.name}"

    def scores(self, part: RunPart, step: int, values: Mapping[str, float]) -> None:
        if step == self.fails:
            raise OSError(28, "No space left on device")
        if step == self.stops:
            time.sleep(60)
        assert threading.get_ident() == self.thread != threading.main_thread().ident
        self.calls.append((part.name, step, dict(values)))

    def summary(self, part: RunPart, number: int, values: Mapping[str, float]) -> None:
        self.calls.append(("summary", part.name, number, dict(values)))

    def end(self, state: State) -> None:
        self.calls.append(("end", state))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def use(monkeypatch: pytest.MonkeyPatch, **options: int) -> list[tuple[object, ...]]:
    """Makes every tracker a recorder, and returns its calls."""
    calls: list[tuple[object, ...]] = []
    monkeypatch.setattr(background, "open_tracker", lambda name, folder, journal: Recorder(calls, **options))
    return calls


def log(folder: RunFolder, epochs: int, warnings: list[str], final: float = 0.9) -> None:
    """Logs so many epochs of a run and of a trial, from the first one on, as a resumed run does."""
    with Trackers(("mlflow",), warnings.append) as logged:
        logged.open(folder, RUN)
        logged.open(folder, TRIAL)  # only the first run is opened
        for epoch in range(1, epochs + 1):
            logged.scores(RUN, epoch, {"loss": 1 / epoch})
            logged.scores(TRIAL, 100 * epoch, {"accuracy": epoch / 10})
        logged.summary(RUN, {"final": final})


def test_all_values_arrive_in_their_order(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, warnings = use(monkeypatch), list[str]()
    log(folder, 2, warnings)
    assert calls == [
        ("start", "", {"seed": 0}), ("", 1, {"loss": 1.0}), ("start", "trial-0001", {"macs": 7}),
        ("trial-0001", 100, {"accuracy": 0.1}), ("", 2, {"loss": 0.5}), ("trial-0001", 200, {"accuracy": 0.2}),
        ("summary", "", 0, {"final": 0.9}), ("end", "finished"),
    ]  # fmt: skip
    assert warnings == []


def test_a_resumed_run_sends_what_is_new(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, warnings = use(monkeypatch), list[str]()
    log(folder, 2, warnings)
    before = len(calls)
    log(folder, 2, warnings)
    assert calls[before:] == [("end", "finished")]
    log(folder, 3, warnings, final=0.95)
    assert calls[before + 1 :] == [
        ("", 3, {"loss": 1 / 3}), ("trial-0001", 300, {"accuracy": 0.3}), ("summary", "", 1, {"final": 0.95}),
        ("end", "finished"),
    ]  # fmt: skip
    assert warnings == []


def test_one_that_fails_is_one_warning(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, warnings = use(monkeypatch, fails=2), list[str]()
    log(folder, 50, warnings)
    expected = "mlflow receives no more values: OSError: [Errno 28] No space left on device; the run continues"
    assert warnings == [expected]
    assert calls[-1] == ("trial-0001", 100, {"accuracy": 0.1})
    assert (folder.path / "log.txt").read_text().count(expected) == 1
    assert Journal(folder, "mlflow").steps == {"": 1, "trial-0001": 100}


def test_one_that_hangs_costs_no_time_until_the_end(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, warnings = use(monkeypatch, stops=1), list[str]()
    monkeypatch.setattr(trackers, "END_SECONDS", 0.2)
    started = time.monotonic()
    log(folder, 200, warnings)
    assert time.monotonic() - started < 5, "it hangs for a minute"
    assert warnings == ["mlflow receives no more values: it did not take all values within 0.2 s; the run continues"]
    assert len(calls) == 1


def test_one_that_is_far_behind_is_given_up(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, stops=1)
    monkeypatch.setattr(background, "MAX_WAITING", 20)
    monkeypatch.setattr(trackers, "END_SECONDS", 0.2)
    warnings: list[str] = []
    log(folder, 30, warnings)
    assert warnings == ["mlflow receives no more values: 20 values wait for it; the run continues"]


def test_one_that_cannot_start_is_one_warning(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Tracker:
        raise SystemExit("no server")

    monkeypatch.setattr(background, "open_tracker", fail)
    warnings: list[str] = []
    log(folder, 3, warnings)
    assert warnings == ["mlflow receives no more values: SystemExit: no server; the run continues"]


def test_everything_is_sent_again_to_another_store(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, warnings = use(monkeypatch), list[str]()
    log(folder, 2, warnings)
    first = list(calls)
    calls.clear()

    def open_elsewhere(name: str, folder: RunFolder, journal: Journal) -> Tracker:
        if journal.ids:
            raise Lost
        return Recorder(calls)

    monkeypatch.setattr(background, "open_tracker", open_elsewhere)
    log(folder, 2, warnings)
    assert calls == first
    assert warnings == []


@pytest.mark.parametrize(("error", "state"), [(RuntimeError, "failed"), (KeyboardInterrupt, "stopped")])
def test_errors_of_the_run_end_it_in_the_tracker(
    error: type[BaseException], state: State, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = use(monkeypatch)
    with pytest.raises(error), Trackers(("mlflow",), print) as logged:
        logged.open(folder, RUN)
        raise error
    assert calls[-1] == ("end", state)


def test_without_trackers_nothing_is_written(folder: RunFolder) -> None:
    with Trackers((), print) as logged:
        logged.open(folder, RUN)
        logged.scores(RUN, 1, {"loss": 1.0})
        logged.summary(RUN, {"final": 1.0})
    assert list(folder.path.iterdir()) == []

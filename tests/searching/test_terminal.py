"""The live view of a search: rungs, speed, the best so far with its noise, the time left."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers.clocks import replace_clocks
from rich.console import Console

from lightcnn.budget import Budget, Cost
from lightcnn.output.console import CommandConsole
from lightcnn.searching.plan import make_plan
from lightcnn.searching.progress import PlannedSearch
from lightcnn.searching.terminal import SearchView
from lightcnn.searching.trainings.jobs import WeightScore
from lightcnn.searching.trials.halving import Fidelity
from lightcnn.searching.trials.storage import Outcome


def rendered(view: SearchView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view.render())
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the view: a list whose only number is the time."""
    now = [100.0]
    replace_clocks(monkeypatch, lambda: now[0])
    return now


CANDIDATE = SimpleNamespace(spec=SimpleNamespace(input=(1, 8, 8), stages=(1, 2)), cost=Cost(macs=900_000))


def planned_view(folder: Path, left: float | None, **limits: float | None) -> SearchView:
    """The view of a search of ten epochs by two workers after 65 seconds, with rungs of 10 and 30 steps."""
    plan = make_plan(
        fingerprint="a", images=12_800, workers=2, finalists=2, limit=None, epochs=10
    ).model_copy(update={"rungs": (1_280, 3_840)})  # fmt: skip
    space = SimpleNamespace(
        space=SimpleNamespace(name="micro"),
        budget=Budget.parse("1MFLOPs"),
        covered=False,
        limited=lambda trials: trials,
        most_networks=lambda trials: trials,
    )
    clock = SimpleNamespace(elapsed=lambda: 65.0, left=lambda: left)
    settings = SimpleNamespace(**{"data": "digits", "seconds": None, "epochs": 10, "trials": None, **limits})
    view = SearchView(CommandConsole(stderr=True), quiet=True)
    run: Any = SimpleNamespace(path=folder)
    view.planned(PlannedSearch(run, space, plan, clock, settings, 2_500, None, (), False))
    return view


def test_without_a_time_limit_the_view_states_how_long_the_trials_take(tmp_path: Path, seconds: list[float]) -> None:
    view = planned_view(tmp_path, None, trials=6)
    view.started(CANDIDATE, Fidelity(7, 0, 1_280, 0))
    assert "1:05 spent, 0 of 6 trials" in rendered(view)
    assert "left" not in rendered(view), "the speed is not known yet"
    view.stepped(7, 10)
    seconds[0] += 2
    # 640 images a second by each worker; 6 × 1,280 + 2 × 2,560 by both, and 128,000 - 3,840 for the finalist of each
    assert "1:05 spent, 0 of 6 trials, about 3.4 minutes left" in rendered(view)
    view.started(CANDIDATE, Fidelity(8, 0, 1_280, 0))
    seconds[0] += 1
    view.stepped(8, 10)  # 2,560 images in 4 seconds of workers
    assert "0 of 6 trials, about 3.4 minutes left" in rendered(view)
    view.choosing()
    assert "left" not in rendered(view), "nothing is trained"
    view.searched()
    for trial in (7, 8, 9):  # two train, and the third waits for its turn
        finalist = SimpleNamespace(outcome=SimpleNamespace(number=trial), candidate=CANDIDATE, second=False)
        view.retraining(finalist, SimpleNamespace(step=10, parts=[], taught_by="learned"), 100)
    seconds[0] += 4
    view.stepped(7, 50)
    view.stepped(8, 50)  # 10,240 images more in 8 seconds of workers: 1,067 a second, 122 seconds, of which 7 passed
    assert "about 116 seconds left without second trainings" in rendered(view)
    view.joined(2, 4)
    assert "left" not in rendered(view), "the speed of other machines is not known"


def test_the_view_shows_rungs_speed_noise_and_time(tmp_path: Path, seconds: list[float]) -> None:
    view, candidate = planned_view(tmp_path, 55.0, seconds=120.0, epochs=None), CANDIDATE
    view.started(candidate, Fidelity(7, 1, 3_840, 0))
    view.stepped(7, 0)  # a worker beats before it has read the state of the training
    view.stepped(7, 12)  # two steps of 128 images after the ten of the first rung
    seconds[0] += 2
    scores = {1_280: 0.8, 3_840: 0.9}
    view.finished(Outcome(3, "running", "", "a", {}, scores, 1.0, 1.0, {1_280: 0.5, 3_840: 1.5}), "")
    view.finished(Outcome(4, "running", "", "b", {}, {1_280: 0.95}, 1.0, 1.0, {1_280: 0.7}), "")
    text = rendered(view)
    best = "90.00% (95 % interval 88.76% to 91.12%) after 3.84k images (trial 3)"
    assert best in text, "the best by utility, with Wilson's interval on 2,500 groups"
    assert "2 at 1.28k images, 1 at 3.84k images" in text
    assert "128 images/s" in text
    assert "1:05 spent, 0:55 left" in text
    assert "comparing networks" in text
    view.finished(Outcome(7, "running", "", "c", {}, scores, 1.0, 1.0, {1_280: 0.4, 3_840: 1.2}), "")
    assert "1.28k images/s" in rendered(view), "with the steps after the last beat"
    view.searched()
    assert "final training" in rendered(view)
    finalist = SimpleNamespace(outcome=SimpleNamespace(number=4), candidate=candidate, second=False)
    for loss, ended, best in ((0.9, False, "(trial 3)"), (0.2, False, "91.00%"), (0.1, True, "92.00%")):
        accuracy = 0.92 if ended else 0.91
        result = SimpleNamespace(averaged=WeightScore(accuracy=accuracy, log_loss=loss), images=7_680)
        progress = SimpleNamespace(step=60, parts=[result], end=result if ended else None, taught_by="")
        if ended:
            view.retrained(finalist, progress)
        else:
            view.retraining(finalist, progress, 100)
        assert best in rendered(view)


@pytest.mark.parametrize(("error", "busy"), [(0.11, False), (0.92, True)])
def test_timed_networks_are_counted_and_how_far_to_trust_them_is_stated(error: float, busy: bool) -> None:
    view = SearchView(CommandConsole(stderr=True), quiet=True)
    view.timing("timing, round 2", 4, 30)
    assert (view._phase, view._current) == ("timing, round 2", "4 of 30 networks")
    view.timed(12.34, 30, error)
    expected = f"30 networks were timed in 12.3 s; nine in ten predicted times are within {error:.0%}"
    assert view._timed.startswith(expected)
    doubt = (
        " (other programs may be running; times in ONNX Runtime are harder to predict); a network fits if "
        "1.92 times its predicted time is within the limit"
    )
    assert view._timed.removeprefix(expected) == (doubt if busy else "")


def test_the_timing_of_networks_is_announced_once_and_only_before_the_search(capsys: Any) -> None:
    view = SearchView(CommandConsole(stderr=True), quiet=False)
    view.timing("timing networks", 0, 30)
    view.timing("timing, round 1", 0, 30)
    announcement = "timing networks for the limit on latency, which is part of --time if it is given\n"
    assert capsys.readouterr().err == announcement
    resumed = SearchView(CommandConsole(stderr=True), quiet=False)
    resumed._plan = SimpleNamespace()
    resumed.timing("timing, round 1", 0, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("count", "epochs"), [(20, "20 epochs"), (1, "one epoch")])
def test_the_training_of_a_teacher_is_announced_once(count: int, epochs: str, capsys: Any) -> None:
    view = SearchView(CommandConsole(stderr=True), quiet=False)
    view.teaching(0, count)
    view.teaching(1, count)
    assert view._current == f"1 of {count} epochs"
    announcement = f"the teacher is trained first, for at most {epochs}, which is part of --time if it is given\n"
    assert capsys.readouterr().err == announcement


def test_who_trains_is_stated_in_the_right_number(capsys: pytest.CaptureFixture[str]) -> None:
    view = SearchView(CommandConsole(stderr=True), quiet=False)
    view.joined(1, 1)
    view.joined(2, 5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["one process trains with one worker", "2 processes train with 5 workers"]

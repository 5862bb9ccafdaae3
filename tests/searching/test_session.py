"""A session with a time limit: the first network is trained beside the search, also when it is resumed."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch
from helpers.clocks import replace_clocks
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.output.console import CommandConsole
from lightcnn.recipe_defaults import default_training
from lightcnn.run_folder import RunFolder
from lightcnn.searching import job
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.report.wording import comparison_lines
from lightcnn.searching.settings import SearchSettings, make_settings
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.terminal import SearchView
from lightcnn.searching.trainings import speed
from lightcnn.searching.trainings.choice import all_weights
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.executors import InProcess
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob, TrainingResult
from lightcnn.searching.trainings.pool import WorkerPool
from lightcnn.searching.trials.clock import Past, SearchClock
from lightcnn.searching.trials.place import STUDY_NAME, StudyFile
from lightcnn.searching.trials.shown_study import read_past
from lightcnn.searching.trials.storage import outcome_of
from lightcnn.space import SearchSpace

pytestmark = pytest.mark.usefixtures("undrawn_charts")

SPEED = 50.0
"""Images that a training of `timed_steps` sees in a second."""
STAGE = "{kind: [conv, separable], width: {low: 4, high: 24}, depth: {low: 1, high: 2}}"


class Recorder(SearchProgress):
    """Keeps what the search reports, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[str, int]] = []
        self.plan: Any = None
        self.is_over = False

    def planned(self, search: Any) -> None:
        self.plan, self.is_over = search.plan, search.is_over

    def finished(self, outcome: Any, error: str) -> None:
        self.events.append(("score", outcome.number))

    def searched(self) -> None:
        self.events.append(("searched", -1))

    def retraining(self, finalist: Any, progress: Any, end: int) -> None:
        self.events.append(("part", finalist.outcome.number))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SearchSettings:
    """A search of twenty seconds by two workers, on dark and bright squares, with short rungs."""
    monkeypatch.setattr("lightcnn.searching.plan.MIN_STEPS", 10)
    monkeypatch.setattr(speed, "available_cores", lambda: 8)
    speeds = (1_000.0, 5_000.0)  # so that the plan is the same on a busy machine
    monkeypatch.setattr("lightcnn.searching.trainings.speed.images_per_second", lambda *values: speeds)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = (random.integers(0, 150, (120, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        "squares.npz",
        train_images=images[:100], train_labels=labels[:100], test_images=images[100:], test_labels=labels[100:],
    )  # fmt: skip
    Path("space.yaml").write_text(f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}, {STAGE}]\n")
    return make_settings({
        "budget": "100kFLOPs", "data": "squares.npz", "space": SearchSpace.load("space.yaml"), "seconds": 20.0,
        "epochs": 5_000, "workers": 2,
    })  # fmt: skip


@pytest.fixture
def timed_steps(settings: SearchSettings, monkeypatch: pytest.MonkeyPatch) -> SearchSettings:
    """A search of half a minute in one process, in which a step takes the time of its images and nothing else does.

    Proposals are random, since the surrogate would take most of the test's own time.
    """
    now = [0.0]
    replace_clocks(monkeypatch, lambda: now[0])
    monkeypatch.setattr("lightcnn.searching.trainings.speed.images_per_second", lambda *values: (SPEED, 1e6))
    monkeypatch.setattr("lightcnn.searching.plan.MIN_STEPS", 2)
    monkeypatch.setattr("lightcnn.searching.plan.NETWORKS", 8)  # each takes much of the test's time, its steps little

    class Executor(InProcess):
        def __init__(self, data: Any, folder: RunFolder, beat: Any) -> None:
            images = len(data.train)
            seconds = images / math.ceil(images / default_training(1, images).batch) / SPEED

            def step(trial: int, number: int) -> None:
                now[0] += seconds
                beat(trial, number)

            super().__init__(data, folder, step)

    monkeypatch.setattr(job, "InProcess", Executor)
    return settings.model_copy(update={"seconds": 30.0, "workers": 1, "strategy": "random"})


def compared(folder: str) -> int:
    """Networks that the search in a folder has compared."""
    return int(RunFolder.load(folder).report["comparison"]["networks"])


@pytest.mark.long
def test_a_search_that_gets_twice_its_time_compares_more_networks_as_planned_and_ends_within_it(
    timed_steps: SearchSettings,
) -> None:
    settings = timed_steps.model_copy(update={"seconds": 60.0, "epochs": 8})
    job.run(settings, out="run")
    before, used = compared("run"), RunFolder.load("run").report["seconds"]
    doubled = settings.model_copy(update={"seconds": 120.0})
    planned = job.estimate(doubled, resumed="run")["plan"]
    job.run(doubled, out="run", resume=True)
    report = RunFolder.load("run").report
    assert compared("run") >= before + 3
    assert planned["compared_before"] == report["plan"]["compared_before"] == before
    assert planned["networks"] == report["plan"]["networks"] == pytest.approx(compared("run"), abs=2)
    assert report["seconds"] <= 120
    assert read_past(StudyFile(Path("run/study.db")), 120.0).since == pytest.approx(used, abs=0.01), (
        "the next session with it keeps the division"
    )


def test_a_search_compares_networks_as_long_as_its_finalists_can_still_be_trained_to_the_longest_length(
    timed_steps: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine is twice as fast as it was when its speed was measured."""
    monkeypatch.setattr("lightcnn.searching.trainings.speed.images_per_second", lambda *values: (SPEED / 2, 1e6))
    job.run(timed_steps.model_copy(update={"seconds": 75.0, "epochs": 8, "strategy": "surrogate"}), out="run")
    report = RunFolder.load("run").report
    planned = report["plan"]["networks"]
    assert report["seconds"] <= 75 and report["comparison"]["unused_seconds"] <= 6
    assert compared("run") >= 4 * planned
    assert report["comparison"]["final_images"] == report["plan"]["final"]["images"] and report["finals"][0]["ended"]


@pytest.mark.long
def test_one_worker_trains_the_first_network_while_the_others_search(settings: SearchSettings, tmp_path: Path) -> None:
    recorder = Recorder()
    folder = job.run(settings, out="run", progress=recorder)
    assert recorder.plan.first_has_worker(settings.seconds)
    events = recorder.events
    searched = events.index(("searched", -1))
    first_part = events.index(("part", 0))
    assert first_part < searched
    assert {number for kind, number in events if kind == "score"} - {0}, "others are compared"
    assert {number for kind, number in events[:searched] if kind == "part"} == {0}
    report = RunFolder.load(folder.path).report
    first = next(final for final in report["finals"] if final["trial"] == 0)
    assert first["ended"]
    study = optuna.load_study(storage=f"sqlite:///{folder.path / 'study.db'}", study_name=STUDY_NAME)
    learned = outcome_of(study.get_trials()[0])
    parts = [row["images"] for row in first["curve"] if row["images"] > learned.images]
    assert set(parts[:-1]) <= {images for images in learned.off_rung if images > learned.images}, "others are predicted"

    longer = Recorder()
    job.run(settings.model_copy(update={"seconds": 40.0}), out="run", resume=True, progress=longer)
    resumed = RunFolder.load(folder.path).report
    assert not longer.is_over
    again = next(final for final in resumed["finals"] if final["trial"] == 0)
    assert again["curve"][-1]["images"] > first["curve"][-1]["images"], "it continues from before its decay"
    assert resumed["counts"]["trained"] > report["counts"]["trained"], "there is time to compare more networks"


@pytest.mark.parametrize(
    ("speed", "share"), [(1_300, 0.75), (1_000, 0.6), (400, None)], ids=["fast", "slower", "alone"]
)
def test_networks_are_compared_where_one_alone_would_be_trained_to_nearly_all_its_epochs(
    monkeypatch: pytest.MonkeyPatch, speed: float, share: float | None
) -> None:
    """Two threads train one network twice as fast, to its longest length before the time ends, except at the end."""

    def speeds(settings: Any, data: Any, space: Any, threads: int) -> tuple[float, float]:
        return speed * threads, 10_000.0

    monkeypatch.setattr("lightcnn.searching.trainings.speed.images_per_second", speeds)
    monkeypatch.setattr("lightcnn.searching.trainings.speed.default_workers", lambda device: 2)
    monkeypatch.setattr("lightcnn.searching.trainings.speed.available_cores", lambda: 8)
    settings = make_settings({
        "budget": "1MFLOPs", "data": "digits", "space": SearchSpace.load("micro"), "seconds": 120.0, "workers": 2,
    })  # fmt: skip
    plan = job.estimate(settings)["plan"]
    assert (plan["networks"] > 1) == (share is not None)
    expected = 0.93 * ((share or 1.0) * 120 - 3) * (0.9 * speed if share else 2 * speed)
    assert plan["final"]["images"] == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(("gain", "compares"), [(1.2, True), (1.6, False)])
def test_networks_are_not_compared_if_all_cores_would_train_the_first_one_much_longer(
    monkeypatch: pytest.MonkeyPatch, gain: float, compares: bool
) -> None:
    """The speed of two threads is `gain` times that of one; the default length is not reached in ten minutes."""

    def speeds(settings: Any, data: Any, space: Any, threads: int) -> tuple[float, float]:
        return 130.0 * (gain if threads == 2 else 1), 10_000.0

    monkeypatch.setattr("lightcnn.searching.trainings.speed.images_per_second", speeds)
    monkeypatch.setattr("lightcnn.searching.trainings.speed.default_workers", lambda device: 2)
    monkeypatch.setattr("lightcnn.searching.trainings.speed.available_cores", lambda: 8)
    monkeypatch.setattr("lightcnn.searching.plan.MIN_STEPS", 10)
    settings = make_settings({
        "budget": "4MFLOPs", "data": "digits", "space": SearchSpace.load("micro"), "seconds": 600.0, "workers": 2,
    })  # fmt: skip
    plan = job.estimate(settings)["plan"]
    assert (plan["networks"] > 1) == compares
    assert plan["final"]["images"] < 122_100


@pytest.mark.parametrize(("cores", "expected"), [(8, 900.0), (2, 450.0)])
def test_workers_that_share_cores_are_slower(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch, cores: int, expected: float
) -> None:
    monkeypatch.setattr(speed, "available_cores", lambda: cores)
    document = job.estimate(settings.model_copy(update={"workers": 4, "seconds": 1_200.0}))["plan"]
    assert document["images_per_second"] == expected


def test_a_plan_is_for_no_more_networks_than_there_are(settings: SearchSettings) -> None:
    """Their first rung is as long as the time for so few allows, so it is longer than that of 30."""
    large = job.estimate(settings.model_copy(update={"seconds": 1_200.0}))["plan"]
    stage = "{kind: [conv, separable], width: {low: 4, high: 6}}"
    Path("small.yaml").write_text(f"size: [8]\nstem: {{kind: [conv], width: {{low: 4, high: 4}}}}\nstages: [{stage}]\n")
    small = {"space": SearchSpace.load("small.yaml"), "seconds": 1_200.0}
    for few in (small, {"seconds": 1_200.0, "trials": 6}):
        plan = job.estimate(settings.model_copy(update=few))["plan"]
        assert plan["networks"] == plan["worthwhile_networks"] == 6
        assert plan["rungs"][0] > 1.5 * large["rungs"][0]
    unlimited = settings.model_copy(update=small | {"seconds": None, "trials": 20})
    assert job.estimate(unlimited)["plan"]["networks"] == 6


@pytest.mark.parametrize(("seconds", "compares"), [(1_200.0, True), (600.0, False)])
def test_one_worker_compares_networks_if_two_of_them_can_be_trained_to_the_end(
    settings: SearchSettings, seconds: float, compares: bool
) -> None:
    """The longest training takes seven minutes: 5,000 epochs of 85 images, a thousand images a second."""
    document = job.estimate(settings.model_copy(update={"workers": 1, "seconds": seconds}))["plan"]
    assert (document["networks"] > 1) == document["first_has_worker"] == compares


def test_one_worker_trains_the_first_network_to_the_end_before_it_compares_others(
    timed_steps: SearchSettings,
) -> None:
    recorder = Recorder()
    job.run(timed_steps.model_copy(update={"seconds": 60.0, "epochs": 8}), out="run", progress=recorder)
    events, report = recorder.events, RunFolder.load("run").report
    last_part = max(place for place, event in enumerate(events) if event == ("part", 0))
    others = [place for place, (kind, number) in enumerate(events) if kind == "score" and number > 0]
    assert last_part < min(others) and len(others) >= 3
    finals = {final["trial"]: final for final in report["finals"]}
    assert len(finals) >= 2 and all(final["ended"] for final in finals.values())
    assert finals[0]["curve"][-1]["images"] == report["plan"]["final"]["images"]
    assert report["seconds"] <= 60
    states = Counter(path.name[:6] for path in Path("run/trainings").iterdir() if re.search(r"^\d+-\d+\.", path.name))
    assert report["fidelity"]["rungs"][1]["networks"] and set(states.values()) == {1}, "only of the last rung"


@pytest.mark.long
def test_one_worker_trains_the_first_network_for_all_of_the_time_while_it_learns(
    timed_steps: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightcnn.searching.trainings.finals.is_learning", lambda scored: True)
    job.run(timed_steps.model_copy(update={"seconds": 400.0, "epochs": None}), out="run")
    report = RunFolder.load("run").report
    assert report["plan"]["networks"] > 1 and compared("run") == 1
    assert report["comparison"]["final_images"] > 1.5 * report["plan"]["final"]["images"]
    line = "its training took the time that was planned for comparing: it still learned, or was slow"
    assert line in comparison_lines(report)
    assert report["seconds"] <= 400


@pytest.mark.long
def test_one_worker_compares_others_if_the_training_of_the_first_network_fails(
    timed_steps: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = InProcess.wait

    def wait(executor: InProcess) -> TrainingResult:
        job = executor._jobs[0]
        if job.rung == FINAL and job.trial == 0:
            executor._jobs.popleft()
            return TrainingResult(trial=0, rung=FINAL, target=job.target, step=0, images=0, seconds=0, error="broken")
        return real(executor)

    monkeypatch.setattr(InProcess, "wait", wait)
    job.run(timed_steps.model_copy(update={"seconds": 60.0, "epochs": 8}), out="run")
    report = RunFolder.load("run").report
    assert compared("run") >= 4
    assert {final["trial"]: final["ended"] for final in report["finals"]}[0] is False
    assert any(final["ended"] for final in report["finals"])


@pytest.mark.parametrize("finalists", [1, pytest.param(3, marks=pytest.mark.long)])
def test_one_worker_trains_as_many_networks_to_the_end_as_are_wanted(
    timed_steps: SearchSettings, finalists: int
) -> None:
    """A single one is chosen from those that were compared; of several, the first network is one."""
    seconds = 45.0 if finalists == 1 else 80.0
    settings = timed_steps.model_copy(update={"seconds": seconds, "epochs": 8, "finalists": finalists})
    recorder = Recorder()
    job.run(settings, out="run", progress=recorder)
    report = RunFolder.load("run").report
    assert report["plan"]["finalists"] == finalists and compared("run") >= 4 and report["seconds"] <= seconds
    first_part, last_score = recorder.events.index(("part", 0)), len(recorder.events) - 1
    last_score -= [kind for kind, _ in recorder.events[::-1]].index("score")
    assert (first_part < last_score) == (finalists > 1)
    assert sum(final["ended"] for final in report["finals"]) >= finalists


def test_other_machines_may_join_a_single_worker_so_that_it_needs_no_second_finalist(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = settings.model_copy(update={"workers": 1, "seconds": 3_000.0})
    monkeypatch.setattr(job, "earlier_sessions", lambda *values: (None, Past()))
    assert job.estimate(single)["plan"]["finalists"] == 2
    assert job.estimate(single, shared=SharedSettings("storage", "study"))["plan"]["finalists"] == 1


def test_a_killed_search_of_one_worker_continues_with_the_final_training_of_the_first_network(
    timed_steps: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class GoneError(Exception):
        """Nothing in lightcnn expects it, so that nothing is stored because of it."""

    class Killed(Recorder):
        def retraining(self, finalist: Any, progress: Any, end: int) -> None:
            super().retraining(finalist, progress, end)
            if self.events.count(("part", 0)) == 4:
                raise GoneError

    settings = timed_steps.model_copy(update={"seconds": 60.0, "epochs": 8})
    job.run(settings, out="whole")
    with pytest.raises(GoneError):
        job.run(settings, out="run", progress=Killed())
    again = Recorder()
    job.run(settings, out="run", resume=True, progress=again)
    assert again.events[:2] == [("score", 0), ("part", 0)], "the score of the first session, then its next part"
    whole, resumed = (RunFolder.load(name).report for name in ("whole", "run"))
    assert resumed["finals"][0]["curve"] == whole["finals"][0]["curve"]
    assert compared("run") >= compared("whole") - 1


def test_an_interruption_pauses_the_workers_and_stores_the_seconds(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Recorder):
        def finished(self, outcome: Any, error: str) -> None:
            raise KeyboardInterrupt

    pauses, pause = list[WorkerPool](), WorkerPool.pause
    monkeypatch.setattr(WorkerPool, "pause", lambda self: pauses.append(self) or pause(self))
    trials = settings.model_copy(update={"seconds": None, "trials": 3, "epochs": 1})
    with pytest.raises(KeyboardInterrupt):
        job.run(trials, out="run", progress=Stopped())
    study = optuna.load_study(storage="sqlite:///run/study.db", study_name=STUDY_NAME)
    assert len(pauses) == 1 and study.user_attrs["seconds"] > 0


@pytest.mark.parametrize("kept", [0, 4])
def test_the_states_of_the_most_promising_trials_and_of_the_finalists_are_kept(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("lightcnn.searching.session.KEPT_STATES", kept)
    trials = settings.model_copy(update={"seconds": None, "trials": 4, "epochs": 1, "workers": 1, "finalists": 1})
    job.run(trials, out="run")
    report = RunFolder.load("run").report
    states = {int(path.name[:6]) for path in Path("run/trainings").glob("*.safetensors")}
    finalists = {final["trial"] for final in report["finals"]}
    assert states == (set(range(4)) if kept else finalists) and len(finalists) < 4


@pytest.mark.parametrize(("workers", "speed"), [(2, 900.0), pytest.param(1, 1_000.0, marks=pytest.mark.long)])
def test_a_search_of_trials_that_gets_a_time_limit_takes_its_workers_to_be_as_fast_as_one_of_them(
    settings: SearchSettings, workers: int, speed: float
) -> None:
    trials = settings.model_copy(update={"seconds": None, "trials": 2, "epochs": 1, "workers": workers})
    job.run(trials, out="run")
    timed = settings.model_copy(update={"trials": None, "workers": workers})
    assert job.estimate(timed, resumed="run")["plan"]["images_per_second"] == speed


def test_a_resumed_search_whose_time_is_used_states_that_and_keeps_its_result(
    settings: SearchSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    job.run(settings.model_copy(update={"seconds": None, "trials": 2, "epochs": 1, "workers": 1}), out="run")
    weights = Path("run/weights.safetensors").read_bytes()
    used = settings.model_copy(update={"seconds": 1.0, "workers": 1})
    with SearchView(CommandConsole(stderr=True), quiet=False) as view:
        job.run(used, out="run", resume=True, progress=view)
    first, *others = capsys.readouterr().err.splitlines()
    assert first == (
        "the time of this search (0:01) is used: no network is trained longer, and its result remains; "
        "search longer with: lightcnn search --resume --out run --time 1m"
    )
    assert [line.split(":")[0] for line in others] == ["trial 0", "trial 1"], "the scores of the first session"
    assert Path("run/weights.safetensors").read_bytes() == weights


def test_the_clock_stands_while_it_is_paused(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    replace_clocks(monkeypatch, lambda: now[0])
    clock = SearchClock(60.0, 20.0, 5.0, 100.0)
    now[0] += 10
    with clock.paused():
        now[0] += 30
        assert clock.elapsed() == 15.0
    assert (clock.elapsed(), clock.left()) == (15.0, 45.0)
    now[0] += 1
    assert clock.elapsed() == 16.0


def test_a_resumed_search_can_still_deliver_what_it_has_trained_before(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings.model_copy(update={"seconds": None, "trials": 3, "epochs": 2, "workers": 1, "finalists": 1})
    folder = job.run(settings, out="run")
    (before,) = [final["trial"] for final in RunFolder.load(folder.path).report["finals"]]

    def another(outcomes: Any, *values: Any, **options: Any) -> list[Any]:
        return [next(outcome for outcome in outcomes if outcome.number != before and outcome.is_scored)]

    monkeypatch.setattr("lightcnn.searching.final_phase.choose_finalists", another)
    job.run(settings.model_copy(update={"trials": 4}), out="run", resume=True)
    report = RunFolder.load(folder.path).report
    candidates = {item["trial"]: item["accuracy"] for item in report["comparison"]["candidates"]}
    assert len(candidates) == 2 and before in candidates
    assert candidates[report["best"]["trial"]] == max(candidates.values())
    assert (folder / f"trainings/{before:06}-end.safetensors").is_file(), "the next session can deliver it, too"


def test_other_machines_are_released_once_only_final_trainings_follow(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []

    class Executor(InProcess):
        def submit(self, job: TrainingJob) -> None:
            events.append("final" if job.rung == FINAL else "rung")
            super().submit(job)

        def release(self) -> None:
            events.append("released")

    monkeypatch.setattr(job, "InProcess", Executor)
    few = settings.model_copy(update={"seconds": None, "trials": 2, "epochs": 1, "workers": 1})
    job.run(few, out="run")
    released = events.index("released")
    assert events.count("released") == 1
    assert set(events[:released]) == {"rung"}
    assert set(events[released + 1 :]) == {"final"}


def test_without_a_time_limit_networks_are_evaluated_with_one_thread(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the choice does not depend on the number of cores."""
    threads = list[int]()

    def evaluated(*values: Any) -> Any:
        threads.append(torch.get_num_threads())
        return all_weights(*values)

    monkeypatch.setattr("lightcnn.searching.final_phase.all_weights", evaluated)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        job.run(settings.model_copy(update={"seconds": None, "trials": 2, "epochs": 1, "workers": 1}), out="run")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {1}


@pytest.mark.parametrize(("seconds_an_image", "scored"), [(1e-5, 1_000), (0.1, 10), (5.0, 8)])
def test_few_images_are_scored_to_measure_the_speed_of_a_slow_network(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch, seconds_an_image: float, scored: int
) -> None:
    """As many as take a second, but those of the first measurement at least, which is then the only one."""
    now, counts = [0.0], list[int]()
    replace_clocks(monkeypatch, lambda: now[0])

    def predict(model: Any, images: Any, *rest: Any) -> Any:
        counts.append(len(images))
        now[0] += len(images) * seconds_an_image
        return np.full((len(images), 2), 0.5)

    monkeypatch.setattr(speed, "probabilities", predict)
    monkeypatch.setattr(speed, "SCORED_IMAGES", 8)
    dataset = load(settings.data)
    data = PipelineData(Pipeline(dataset, make_split(dataset, 0), torch.device("cpu")), 0)
    assert speed._scored_per_second(nn.Linear(1, 1), data, 8) == pytest.approx(1 / seconds_an_image)
    timed = min(scored, len(data.validation))
    assert counts == [2, 8, timed] if timed > 8 else counts == [2, 8]

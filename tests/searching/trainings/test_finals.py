"""The final trainings: which networks are trained to the end, and one that begins while the search runs."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save

from lightcnn.engine.saved_state import NOTE
from lightcnn.recipe import Augment
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import Candidate
from lightcnn.searching.final_phase import FinalPhase
from lightcnn.searching.plan import make_plan
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import TrainingValues
from lightcnn.searching.trainings.evaluator import NetworkEvaluator
from lightcnn.searching.trainings.files import remove_states, state_file
from lightcnn.searching.trainings.finals import Finalist, FinalTrainings
from lightcnn.searching.trainings.jobs import FINAL, JobPart, TrainingJob, TrainingResult, WeightScore, paused_file
from lightcnn.searching.trials.halving import Fidelity
from lightcnn.searching.trials.storage import Outcome
from lightcnn.spec import ConvBlock, NetworkSpec

SPEC = NetworkSpec(input=(1, 8, 8), stages=(ConvBlock(width=4),), classes=10)
RUNGS = (1_280, 3_840)
SCORE = WeightScore(accuracy=0.5, log_loss=1.0)


class Clock:
    """So many seconds are left; the executor takes them."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def left(self) -> float:
        return self.seconds


class FakeExecutor:
    """Answers every job at once, in order; a step takes a hundredth of a second."""

    def __init__(self, folder: RunFolder, seconds: float = 10, fails: int | None = None, failing_job: int = 0) -> None:
        """Trial `fails` fails in its jobs from that number on."""
        self.workers = self.final_workers = 2
        self.clock = Clock(seconds)
        self.jobs: list[TrainingJob] = []
        self._folder = folder
        self._waiting: deque[TrainingJob] = deque()
        self._steps: dict[int, int] = {}
        self._fails, self._failing_job = fails, failing_job
        self.accuracies: list[float] = []
        self.loss: Callable[[int], float] = lambda step: 1.0

    def fetch(self, name: str) -> None:
        """All states are here."""

    def release(self) -> None:
        """There are no others."""

    def submit(self, job: TrainingJob) -> None:
        self.jobs.append(job)
        self._waiting.append(job)

    def wait(self) -> TrainingResult:
        job = self._waiting.popleft()
        seconds = 0.01 * (job.until - self._steps.get(job.trial, 0))
        self._steps[job.trial] = job.until
        self.clock.seconds -= seconds / self.workers
        if job.trial == self._fails and [each.trial for each in self.jobs].count(job.trial) > self._failing_job:
            return TrainingResult(
                trial=job.trial, rung=job.rung, target=job.target, step=0, images=0, seconds=0.0, error="it failed"
            )
        self._folder.write_bytes(job.target, b"a state")
        score = SCORE.model_copy(update={"log_loss": self.loss(job.until)})
        if self.accuracies:
            score = score.model_copy(update={"accuracy": self.accuracies.pop(0)})
        return TrainingResult(
            trial=job.trial, rung=job.rung, target=job.target, step=job.until, images=128 * job.until, seconds=seconds,
            averaged=score, live=SCORE,
        )  # fmt: skip


def outcome(number: int, images: int = RUNGS[-1]) -> Outcome:
    scores = {length: 0.5 for length in RUNGS if length <= images}
    return Outcome(number, "running", "", str(number), {}, scores, 0.01 * images / 128, 1.0, scores)


def finalist(number: int, images: int = RUNGS[-1], *, second: bool = False) -> Finalist:
    seed = 100 + number if second else number
    return Finalist(outcome(number, images), Candidate({}, SPEC, None, {}), seed, second)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", "search", {})


def trainings(
    folder: RunFolder, executor: FakeExecutor, final_steps: int = 10_000, most_steps: int = 0
) -> FinalTrainings:
    plan = make_plan(
        fingerprint="a", images=12_800, workers=executor.workers, finalists=2, limit=None, epochs=None
    ).model_copy(update={"rungs": RUNGS})
    return FinalTrainings(
        executor, folder, plan, TrainingValues(training=plan.training(), augment=Augment()), executor.clock,
        final_steps, most_steps=most_steps,
    )  # type: ignore[arg-type]  # fmt: skip


def evaluator(folder: RunFolder, executor: FakeExecutor, finals: FinalTrainings) -> NetworkEvaluator:
    plan = finals._plan
    return NetworkEvaluator(executor, folder, plan, TrainingValues(training=plan.training(), augment=Augment()), finals)


def test_a_final_training_beside_the_search_takes_one_worker_and_goes_on_after_it(folder: RunFolder) -> None:
    executor = FakeExecutor(folder)
    finals = trainings(folder, executor)
    searching = evaluator(folder, executor, finals)
    assert searching.workers == 2
    finals.begin(finalist(0))
    assert (finals.running, searching.workers) == (1, 1)
    for trial in (3, 4):
        searching.begin(finalist(trial).candidate, Fidelity(trial, 0, RUNGS[0], 0))
        fidelity, score = searching.wait()
        assert (fidelity.trial, score.accuracy) == (trial, 0.5)
    parts = [job for job in executor.jobs if job.rung == FINAL]
    assert {job.trial for job in parts} == {0}
    assert len(parts) >= 2, "its next part began while networks were compared"
    progress = finals.run([finalist(3, RUNGS[0]), finalist(0)])
    assert [trained.trial for trained in progress] == [3, 0]
    assert all(trained.end is not None for trained in progress)
    assert 0 <= executor.clock.seconds < 1, "the time was used, and no more"
    assert finals.running == 0
    lasts = [job.until for job in executor.jobs if job.trial == 0]
    assert lasts == sorted(set(lasts)), "no part was trained twice"


def test_a_final_training_that_fails_beside_the_search_gives_its_worker_back(folder: RunFolder) -> None:
    executor = FakeExecutor(folder, fails=0)
    finals = trainings(folder, executor)
    searching = evaluator(folder, executor, finals)
    finals.begin(finalist(0))
    searching.begin(finalist(3).candidate, Fidelity(3, 0, RUNGS[0], 0))
    assert searching.wait() is None, "the search may use the worker now"
    assert searching.workers == 2
    assert searching.wait()[0].trial == 3
    assert "it failed" in (folder.path / "log.txt").read_text()
    jobs = len(executor.jobs)
    assert [trained.end for trained in finals.run([finalist(0)])] == [None]
    assert len(executor.jobs) == jobs, "it is not trained again"


def test_a_part_that_fails_ends_its_training_and_leaves_the_parts_before(folder: RunFolder) -> None:
    executor = FakeExecutor(folder, fails=0, failing_job=3)
    (failed, other) = trainings(folder, executor, final_steps=1_000).run([finalist(0), finalist(1)])
    assert len(failed.parts) == 3
    assert failed.end is None and other.end is not None
    assert (folder / failed.stable_file).is_file()
    assert executor.jobs[-1].trial == 1, "the part that failed is not tried again"
    assert "trial 0: the final training failed: it failed" in (folder / "log.txt").read_text()


def test_a_final_training_that_ends_before_the_search_gives_its_worker_back(folder: RunFolder) -> None:
    executor = FakeExecutor(folder)
    ended: list[int] = []
    finals = trainings(folder, executor, final_steps=40)
    finals._on_end = lambda finalist, progress: ended.append(finalist.outcome.number)
    searching = evaluator(folder, executor, finals)
    finals.begin(finalist(0))
    for trial in range(3, 20):
        searching.begin(finalist(trial).candidate, Fidelity(trial, 0, RUNGS[0], 0))
        while searching.wait() is None:
            assert searching.workers == 2
    assert ended == [0]
    (progress,) = finals.run([finalist(0)])
    assert progress.end.step == 40


def test_a_second_seed_starts_from_scratch_beside_the_files_of_the_first(folder: RunFolder) -> None:
    executor = FakeExecutor(folder)
    (first,) = trainings(folder, executor, final_steps=100).run([finalist(3)])
    before = {path.name: path.read_bytes() for path in (folder / "trainings").iterdir()}
    executor._steps, executor.jobs = {}, []
    finals, again = trainings(folder, executor, final_steps=100), finalist(3, second=True)
    assert finals.have_time([again], first.last_step)
    (second,) = finals.run([again])
    assert (second.seed, second.first_step, second.last_step) == (103, 0, first.last_step)
    assert executor.jobs[0].source == "" and {job.seed for job in executor.jobs} == {103}
    assert before.items() <= {path.name: path.read_bytes() for path in (folder / "trainings").iterdir()}.items()
    executor.clock.seconds = 0.0
    assert finals.have_time([again], first.last_step), "it is trained already"
    assert not finals.have_time([finalist(4, second=True)], first.last_step)
    remove_states(folder, keep=[])
    assert not list((folder / "trainings").iterdir())


@pytest.mark.parametrize("has_state", [False, True])
def test_without_time_only_a_network_whose_state_is_missing_is_trained(folder: RunFolder, has_state: bool) -> None:
    executor = FakeExecutor(folder, seconds=0)
    finals = trainings(folder, executor)
    if has_state:
        folder.write_bytes(state_file(1, RUNGS[-1]), b"a state")
    progress = finals.run([finalist(0), finalist(1)])
    steps = finals._plan.steps(RUNGS[-1])
    assert [each.last_step for each in progress] == ([0, steps] if has_state else [steps, 0])
    assert [each.is_repeated for each in progress] == [not has_state, False]
    assert {job.trial for job in executor.jobs} == (set() if has_state else {0})
    assert has_state or not executor.jobs[0].source


def test_the_states_of_the_last_and_of_the_best_part_are_kept(folder: RunFolder) -> None:
    executor = FakeExecutor(folder, seconds=1_000)
    executor.accuracies = [0.5, 0.6, 0.9, 0.7, 0.9, 0.8, 0.8, 0.8, 0.85]
    (progress,) = trainings(folder, executor, final_steps=1_000).run([finalist(0)])
    assert len(progress.parts) > 5 and progress.end is not None
    best = progress.best_part("accuracy")
    assert best is progress.parts[4], "the later one of equals"
    assert best.step < progress.step
    kept = {path.name for path in (folder / "trainings").glob("*stable*")}
    assert kept == {f"000000-stable-{best.step}.safetensors", f"000000-stable-{progress.step}.safetensors"}


def test_a_worker_whose_final_training_has_ended_is_for_another_network(folder: RunFolder) -> None:
    """The first network ended beside the search; two others then share two workers, not three."""
    executor = FakeExecutor(folder, seconds=1_000)
    finals = trainings(folder, executor, final_steps=200)
    assert finals.ended == 0
    finals.begin(finalist(0))
    assert (finals.running, finals.ended) == (1, 0)
    while finals.running:
        finals.take(executor.wait())
    assert finals.ended == 1
    executor.clock.seconds = 1.5
    first, *others = finals.run([finalist(0), finalist(3), finalist(4)])
    assert first.end is not None and first.end.step == 200
    assert min(progress.last_step for progress in others) > 0.8 * 1.5 / 0.01, "each has a worker to itself"


def test_the_search_may_take_the_time_that_its_present_finalists_do_not_need(folder: RunFolder) -> None:
    """The first network is trained beside the search, the third is slow and promises little."""
    executor = FakeExecutor(folder)
    plan = make_plan(
        fingerprint="a", images=12_800, workers=2, finalists=2, limit=120, epochs=10, images_per_second=2_000,
        evaluation=3.0,
    ).model_copy(update={"rungs": RUNGS})  # fmt: skip
    known = [outcome(number) for number in range(2)]
    searcher: Any = SimpleNamespace(
        outcomes=lambda: known, seed_of=lambda number: number, promises=lambda outcomes: {n: -n for n in range(3)}
    )
    parts: Any = SimpleNamespace(
        settings=SimpleNamespace(seconds=120.0, epochs=10, metric="accuracy"), plan=plan, executor=executor,
        folder=folder, values=TrainingValues(training=plan.training(), augment=Augment()), progress=SearchProgress(),
        data=SimpleNamespace(validation_groups=100), space=SimpleNamespace(inspect=lambda shape: finalist(0).candidate),
        is_shared=False,
    )  # fmt: skip
    phase = FinalPhase(parts, searcher, executor.clock)  # type: ignore[arg-type]
    spare = plan.spare_seconds(120, 10, [outcome(1)])
    assert spare > 10
    phase.trainings = trainings(folder, executor)
    phase.trainings.begin(finalist(0))
    known[0] = replace(outcome(0), seconds=1_000.0)
    assert phase.spare_seconds() == spare
    parts.is_shared = True
    assert phase.spare_seconds() == 0, "the leader may have to train the network from its start"
    parts.is_shared = False
    known.append(replace(outcome(2), seconds=1_000.0))
    assert phase.spare_seconds() == spare
    del known[1]
    assert phase.spare_seconds() == 0, "the slow one would be trained"


@pytest.mark.parametrize(
    ("fall", "until", "most", "shortest", "longest"),
    [
        pytest.param(0.05, 10_000, 10_000, 200, 200, id="hardly learning"),
        pytest.param(0.15, 10_000, 10_000, 750, 1_000, id="learning, until the time is over"),
        pytest.param(0.15, 10_000, 500, 500, 500, id="learning, up to the most"),
        pytest.param(0.15, 400, 10_000, 500, 900, id="learning for a while"),
    ],
)
def test_a_network_that_is_still_learning_is_trained_longer(
    folder: RunFolder, fall: float, until: int, most: int, shortest: int, longest: int
) -> None:
    """Each time the training doubles, its log loss falls by that share, up to step `until`; 1,000 steps have time."""
    executor = FakeExecutor(folder, seconds=10)
    executor.workers = executor.final_workers = 1
    executor.loss = lambda step: min(step, until) ** math.log2(1 - fall)
    (progress,) = trainings(folder, executor, final_steps=200, most_steps=most).run([finalist(0)])
    assert progress.end is not None and shortest <= progress.end.step <= longest
    assert progress.decay_steps == pytest.approx(0.2 * progress.end.step, abs=0.05 * progress.end.step)
    assert all(later.step - part.step <= 20 for part, later in pairwise(progress.parts)), "a tenth of the usual length"


def test_a_network_that_is_learning_ends_as_usual_if_a_worker_waits_for_it(folder: RunFolder) -> None:
    """Beside the search it continues, and in the final trainings as long as another one does."""
    executor = FakeExecutor(folder, seconds=30)
    executor.loss = lambda step: step**-0.5
    finals = trainings(folder, executor, final_steps=200, most_steps=10_000)
    finals.begin(finalist(0))
    while finals._progress[0].step < 400:
        finals.take(executor.wait())
    (first,) = finals.run([finalist(0)])
    assert first.end is not None and 500 <= first.end.step <= 550, "a fall of a fifth after the present part"
    both = finals.run([finalist(3), finalist(4)])
    assert all(progress.end is not None and progress.end.step > 1_000 for progress in both), "until the time is over"
    assert finals.have_time([finalist(5)], 10**6) is False
    executor.clock.seconds = 10
    assert finals.have_time([finalist(5)], 1_000), "the usual length is enough"


def test_a_training_that_ended_in_an_earlier_session_is_known(folder: RunFolder) -> None:
    trainings(folder, FakeExecutor(folder), final_steps=100).run([finalist(3), finalist(4, second=True)])
    again = trainings(folder, FakeExecutor(folder))
    assert again.ended_before(finalist(3)).end.step == 100
    assert again.ended_before(finalist(4, second=True)).seed == 104
    assert again.ended_before(finalist(4)) is None
    folder.remove("trainings/000003-end.safetensors")
    assert again.ended_before(finalist(3)) is None


def contents(folder: RunFolder) -> set[str]:
    return {path.name for path in (folder / "trainings").glob("*end*.safetensors")}


@pytest.mark.parametrize("failing_job", [0, 2, None])
def test_a_continued_training_keeps_its_earlier_end(folder: RunFolder, failing_job: int | None) -> None:
    """The longer training fails at its first part, at a later one, or not at all."""
    (before,) = trainings(folder, FakeExecutor(folder), final_steps=100).run([finalist(0)])
    folder.write_bytes(before.end_file, b"the first end")
    fails = None if failing_job is None else 0
    executor = FakeExecutor(folder, fails=fails, failing_job=failing_job or 0)
    (longer,) = trainings(folder, executor, final_steps=300).run([finalist(0)])
    assert executor.jobs, "it was continued"
    assert (longer.end is None) == (failing_job is not None)
    earlier = longer.endings[-1]
    assert (earlier.end, earlier.parts, earlier.decay_steps) == (before.end, before.parts, before.decay_steps)
    assert (folder / earlier.end_file).read_bytes() == b"the first end"
    known = trainings(folder, FakeExecutor(folder)).ended_before(finalist(0))
    assert known is not None and known.endings == (longer.endings if longer.end else (earlier,))
    (longest,) = trainings(folder, FakeExecutor(folder), final_steps=900).run([finalist(0)])
    ends = [ending.end.step for ending in longest.endings if ending.end is not None]
    assert ends == ([900, 300, 100] if longer.end else [900, 100])
    assert len({ending.end_file for ending in longest.endings}) == len(contents(folder)) == len(ends)
    remove_states(folder, keep=[])
    assert not contents(folder)


def test_a_continued_training_whose_session_was_killed_keeps_its_end_without_more_time(folder: RunFolder) -> None:
    (before,) = trainings(folder, FakeExecutor(folder), final_steps=100).run([finalist(0)])
    trainings(folder, FakeExecutor(folder), final_steps=300).begin(finalist(0))
    executor = FakeExecutor(folder, seconds=0)
    (after,) = trainings(folder, executor, final_steps=300).run([finalist(0)])
    assert not executor.jobs
    assert after.end == before.end is not None


def test_a_training_that_is_repeated_from_another_rung_keeps_its_earlier_end(folder: RunFolder) -> None:
    (before,) = trainings(folder, FakeExecutor(folder), final_steps=100).run([finalist(0, RUNGS[0])])
    folder.write_bytes(before.end_file, b"the first end")
    (after,) = trainings(folder, FakeExecutor(folder), final_steps=100).run([finalist(0, RUNGS[1])])
    assert after.end is not None and after.images == RUNGS[1]
    assert after.finished == (before,)
    assert (folder / before.end_file).read_bytes() == b"the first end" != (folder / after.end_file).read_bytes()


@pytest.mark.parametrize(("changes", "at_once"), [({"threads": 2}, 1), ({"alone": True}, 1), ({"threads": 1}, 2)])
def test_a_plan_of_one_process_trains_one_network_at_once(
    folder: RunFolder, changes: dict[str, object], at_once: int
) -> None:
    """The plan has one worker, the executor two, as if another machine had joined."""
    executor = FakeExecutor(folder)
    finals = trainings(folder, executor, final_steps=100)
    finals._plan = finals._plan.model_copy(update={"workers": 1, **changes})
    assert (finals.workers, evaluator(folder, executor, finals).workers) == (at_once, at_once)
    wait, waiting = executor.wait, []
    executor.wait = lambda: waiting.append(len(executor._waiting)) or wait()  # type: ignore[method-assign]
    progress = finals.run([finalist(0), finalist(1), finalist(2, RUNGS[0])])
    assert all(each.end is not None for each in progress)
    assert max(waiting) == at_once
    assert (finals.running, evaluator(folder, executor, finals).workers) == (0, at_once)


def write_paused(folder: RunFolder, job: TrainingJob) -> None:
    """The state of a job that was paused at its beginning."""
    content = save({"a": torch.zeros(1)}, {NOTE: JobPart(job=job).model_dump_json()})
    folder.write_bytes(paused_file(job.target), content)


def test_a_part_that_was_paused_is_left_out_if_the_training_must_end_before_it(folder: RunFolder) -> None:
    executor = FakeExecutor(folder, seconds=60)
    finals = trainings(folder, executor)
    finals.begin(finalist(0))
    finals.take(executor.wait())
    write_paused(folder, executor.jobs[-1])
    again = FakeExecutor(folder, seconds=3)
    trainings(folder, again).begin(finalist(0))
    assert again.jobs[0].until < executor.jobs[-1].until


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_part_that_was_paused_continues_though_less_time_is_left(folder: RunFolder, is_paused: bool) -> None:
    executor = FakeExecutor(folder, seconds=60)
    finals = trainings(folder, executor)
    finals.begin(finalist(0))
    finals.take(executor.wait())
    paused = executor.jobs[-1]
    if is_paused:
        write_paused(folder, paused)
    again = FakeExecutor(folder, seconds=40)
    trainings(folder, again).begin(finalist(0))
    assert (again.jobs[0] == paused) == is_paused
    assert again.jobs[0].source == paused.source


@pytest.mark.parametrize(("seconds", "continues"), [(12, True), (90, False), (2, False)])
def test_a_fall_of_the_learning_rate_that_was_paused_continues_unless_there_is_more_time(
    folder: RunFolder, seconds: float, continues: bool
) -> None:
    executor = FakeExecutor(folder, seconds=30)
    finals = trainings(folder, executor)
    finals.begin(finalist(0))
    while executor.jobs[-1].training.steps is None:
        finals.take(executor.wait())
    paused = executor.jobs[-1]
    write_paused(folder, paused)
    again = FakeExecutor(folder, seconds=seconds)
    trainings(folder, again, most_steps=20_000).begin(finalist(0))
    assert (again.jobs[0] == paused) == continues

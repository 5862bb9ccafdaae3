"""The final trainings: the most promising networks continue from their last rung to the end of the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from lightcnn.document import Frozen
from lightcnn.engine.schedules import DECAY_SHARE
from lightcnn.recipe import Distillation, Optimisation, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import Candidate
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.plan import SAFETY_SHARE, Plan
from lightcnn.searching.settings import TrainingValues
from lightcnn.searching.trainings.executors import Executor, next_result, trainings_at_once
from lightcnn.searching.trainings.files import final_file, read_json, state_file
from lightcnn.searching.trainings.jobs import FINAL, Count, TrainingJob, TrainingResult, paused_file
from lightcnn.searching.trainings.training import paused_part
from lightcnn.searching.trials.clock import SearchClock
from lightcnn.searching.trials.storage import Outcome

PARTS = 10
"""Parts of a final training, after each of which it is scored and its state is on disk."""
MIN_GAIN = 0.02
"""A final training is skipped if it could add only so small a share to the training of the search."""
MIN_SECOND = 0.8
"""A network is trained with a second seed if there is time for so large a share of its first training."""
LEARNING, MIN_DOUBLINGS = 0.1, 0.5
"""A training with a time limit continues after the default length while its log loss falls by so large a share each
time its length doubles (decision 0019), measured over so many doublings at least, since a score has noise."""
LONGER = 1.05
"""A finished training is continued from before its decay if it can become so many times as long."""


class FinalProgress(Frozen):
    """A final training so far: the parts at the full learning rate, and the last one, in which it falls.

    `first_step` is the step of the last rung, 0 without its state and with a `second` seed. `taught_by` is
    the file of the predictions from which a second training learns, if there is one. `decay_steps` are those of the
    last part. `pending` is the part that started last, which continues if it was paused. `finished` is the training
    as it was at the ends that it reached before it was continued or repeated, the last one first; `ends` is their
    number, with those whose states are missing.
    """

    trial: Count
    seed: Seed
    images: Count
    first_step: Count
    second: bool = False
    taught_by: Annotated[str, Field(pattern=r"^(ensemble-\d{1,12}\.safetensors)?$")] = ""
    parts: tuple[TrainingResult, ...] = ()
    decay_steps: Count = 0
    end: TrainingResult | None = None
    pending: TrainingJob | None = None
    finished: tuple[FinalProgress, ...] = ()
    ends: Count = 0

    @property
    def endings(self) -> tuple[FinalProgress, ...]:
        """The training as it was at each of its ends, the last one first."""
        last = () if self.end is None else (self.model_copy(update={"finished": ()}),)
        return (*last, *self.finished)

    def distillation(self, otherwise: Distillation | None) -> Distillation | None:
        """How this training learns from predictions; `otherwise` is how others of the search do."""
        return Distillation(teacher=self.taught_by) if self.taught_by else otherwise

    @property
    def step(self) -> int:
        """Optimizer steps at the full learning rate."""
        return self.parts[-1].step if self.parts else self.first_step

    @property
    def is_repeated(self) -> bool:
        """Whether the network was trained again from the start, since the state at its last rung was missing."""
        return self.images > 0 and self.first_step == 0 and self.last_step > 0

    def steps_per_second(self, searched: float) -> float:
        """The speed of the last part; without one, that of the search, `searched`."""
        steps = [self.first_step, *(part.step for part in self.parts)]
        if self.parts:
            return (steps[-1] - steps[-2]) / max(self.parts[-1].seconds, 1e-9)
        return searched

    def after(self, job: TrainingJob, result: TrainingResult) -> FinalProgress:
        """The progress with the result of a job."""
        if job.training.steps is None:
            return self.model_copy(update={"parts": (*self.parts, result), "pending": None})
        return self.model_copy(update={"end": result, "decay_steps": job.training.decay_steps, "pending": None})

    @property
    def last_step(self) -> int:
        """The last step of the training so far."""
        return self.end.step if self.end is not None else self.step

    @property
    def stable_file(self) -> str:
        """The state before the learning rate falls."""
        return self.part_file(self.parts[-1]) if self.parts else self.rung_file

    def part_file(self, part: TrainingResult) -> str:
        """The state after a part, as long as it is kept."""
        return final_file(self.trial, f"stable-{part.step}.safetensors", second=self.second)

    def best_part(self, metric: MetricName) -> TrainingResult | None:
        """The part with the highest score, the last one of equals; None without parts."""
        return max(self.parts, key=lambda part: (max(part.ranks(metric)), part.step), default=None)

    def kept_files(self, metric: MetricName) -> set[str]:
        """The states of parts that are still needed: the last one, and the best one."""
        best = self.best_part(metric)
        return set() if best is None else {self.stable_file, self.part_file(best)}

    @property
    def rung_file(self) -> str:
        """The state of the last rung; there is none of a second seed."""
        return state_file(self.trial, self.images)

    @property
    def end_file(self) -> str:
        """The state at the end. Each end has a file of its own, so that none is lost if a longer training fails."""
        name = f"end-{self.ends}" if self.ends else "end"
        return final_file(self.trial, f"{name}.safetensors", second=self.second)


@dataclass(frozen=True)
class Finalist:
    """A network that is trained to the end, from the trial that proposed it; or once more, with a `second` seed."""

    outcome: Outcome
    candidate: Candidate
    seed: int
    second: bool = False


def is_learning(scored: Sequence[tuple[int, float]]) -> bool:
    """Whether a log loss still falls by `LEARNING` each time the training doubles, from (step, loss) in order.

    Example:
        >>> is_learning([(100, 0.5), (200, 0.4)]), is_learning([(100, 0.5), (200, 0.49)])
        (True, False)
    """
    if not scored:
        return False
    last, loss = scored[-1]
    half, before = min(scored, key=lambda score: abs(score[0] - last / 2))
    doublings = math.log2(last / half)
    return doublings > MIN_DOUBLINGS and loss < before * (1 - LEARNING) ** doublings


class FinalTrainings:
    """Trains the finalists, as many at once as there are workers.

    A finalist may `begin` while the search still runs; its results are then handed to `take`.
    """

    def __init__(
        self,
        executor: Executor,
        folder: RunFolder,
        plan: Plan,
        values: TrainingValues,
        clock: SearchClock,
        final_steps: int,
        on_part: Callable[[Finalist, FinalProgress, int], None] = lambda finalist, progress, end: None,
        on_end: Callable[[Finalist, FinalProgress], None] = lambda finalist, progress: None,
        metric: MetricName = "accuracy",
        taught_by: str = "",
        most_steps: int = 0,
    ) -> None:
        """`final_steps` are all steps of a network, with those of the search; fewer if the clock does not allow them,
        and up to `most_steps` while it is still learning.

        `on_part` gets a finalist, its progress, and its last step as it is planned now; `on_end` the finalist and its
        progress when its final training has ended or failed. `taught_by` as in `FinalProgress`.
        """
        self._executor = executor
        self._folder = folder
        self._plan = plan
        self._values = values
        self._clock = clock
        self._final_steps = final_steps
        self._most_steps = max(most_steps, final_steps)
        self._on_part = on_part
        self._on_end = on_end
        self._metric = metric
        self._taught_by = taught_by
        self._least = 0
        self._has_search = True
        self._failed: set[int] = set()
        self._finalists: dict[int, Finalist] = {}
        self._progress: dict[int, FinalProgress] = {}
        self._running: dict[int, TrainingJob] = {}
        self._waiting: deque[TrainingJob] = deque()

    @property
    def workers(self) -> int:
        """The final trainings that may run at once."""
        return trainings_at_once(self._plan, self._executor.final_workers)

    @property
    def running(self) -> int:
        """The final trainings that keep a worker busy."""
        return len(self._running) - len(self._waiting)

    @property
    def ended(self) -> int:
        """The final trainings that began beside the search and have ended."""
        return len(self._finalists.keys() - self._running.keys())

    def has_started(self, trial: int) -> bool:
        """Whether the final training of a network was started in this session."""
        return trial in self._finalists

    def run(self, finalists: Sequence[Finalist]) -> list[FinalProgress]:
        """Runs the parts of all finalists in turn; a failed part ends the training of its network."""
        self._has_search = False
        shared_by = max(1, len(finalists) - self.ended)
        for finalist in finalists:
            if finalist.outcome.number not in self._running.keys() | self._failed:
                self.begin(finalist, shared_by)
        self._run_to_end()
        for finalist in finalists:
            if not finalist.second and not any(map(self._is_trained, finalists)):
                self._repeat(finalist)
        return [self._progress[finalist.outcome.number] for finalist in finalists]

    def _run_to_end(self) -> None:
        while self._running:
            if (result := next_result(self._executor)) is not None:
                self.take(result)

    def _is_trained(self, finalist: Finalist) -> bool:
        """Whether a network is trained to its end, or as far as in the search."""
        progress = self._progress[finalist.outcome.number]
        return bool(progress.endings) or progress.last_step >= self._searched_steps(finalist)

    def _searched_steps(self, finalist: Finalist) -> int:
        return min(self._final_steps, self._plan.steps(finalist.outcome.images))

    def _repeat(self, finalist: Finalist) -> None:
        """Trains a network as far as the search did, whatever the time: no state is left that could be delivered.

        So it is if a machine leads a search that cannot reach the states of the others.
        """
        number = finalist.outcome.number
        if number in self._failed:
            return
        self._folder.log(f"trial {number}: the state of its last rung is missing, so that it is trained again")
        self._least = self._searched_steps(finalist)
        self._submit_next(number, 1)
        self._run_to_end()
        self._least = 0

    def begin(self, finalist: Finalist, shared_by: int = 1) -> None:
        """Continues the training of a finalist from what is on disk; `shared_by` trainings share the workers."""
        number = finalist.outcome.number
        self._executor.fetch(state_file(number, finalist.outcome.images))
        self._finalists[number] = finalist
        self._progress[number] = self._begun(finalist, shared_by)
        self._submit_next(number, shared_by)

    def ended_before(self, finalist: Finalist) -> FinalProgress | None:
        """The training of a network that ended in an earlier session; None if there is none."""
        name = progress_file(finalist.outcome.number, second=finalist.second)
        progress = read_json(self._folder, name, FinalProgress)
        if progress is None or progress.seed != finalist.seed or not (endings := self._endings(progress)):
            return None
        return endings[0].model_copy(update={"finished": endings[1:]})

    def _endings(self, progress: FinalProgress) -> tuple[FinalProgress, ...]:
        """The ends of a training whose states are on disk."""
        return tuple(ending for ending in progress.endings if (self._folder / ending.end_file).is_file())

    def have_time(self, finalists: Sequence[Finalist], steps: int) -> bool:
        """Whether these could be trained for most of so many steps, or have been in an earlier session."""
        states = [(finalist, self._begun(finalist, len(finalists))) for finalist in finalists]
        usual = min(steps, self._final_steps)  # a network that was learning for longer is no measure for others
        return all(
            progress.end is not None or self._end(finalist, progress, len(finalists)) >= MIN_SECOND * usual
            for finalist, progress in states
        )

    def take(self, result: TrainingResult) -> None:
        """Stores the result of a part, and begins the next one."""
        number, job = result.trial, self._running.pop(result.trial)
        if result.error:
            self._folder.log(f"trial {number}: the final training failed: {result.error}")
            self._folder.remove(paused_file(job.target))
            self._failed.add(number)
            self._on_end(self._finalists[number], self._progress[number])
            self._submit_waiting()
            return
        before = self._progress[number]
        progress = before.after(job, result)
        self._store(progress)
        self._folder.remove(paused_file(job.target))
        for name in before.kept_files(self._metric) - progress.kept_files(self._metric):
            self._folder.remove(name)
        self._submit_next(number, len(self._running) + 1)

    def _store(self, progress: FinalProgress) -> None:
        self._progress[progress.trial] = progress
        name = progress_file(progress.trial, second=progress.second)
        self._folder.write_json(name, progress.model_dump(mode="json"))

    def _submit_next(self, number: int, shared_by: int) -> None:
        progress = self._progress[number]
        if job := self._next_part(self._finalists[number], progress, shared_by):
            if progress.parts or progress.second:  # the file of a first training ends its network's rungs
                self._store(progress.model_copy(update={"pending": job}))
            self._running[number] = job
            self._waiting.append(job)
        else:
            self._on_end(self._finalists[number], self._progress[number])
        self._submit_waiting()

    def _submit_waiting(self) -> None:
        """Submits the next parts, as long as there are workers for them."""
        while self._waiting and self.running < self.workers:
            self._executor.submit(self._waiting.popleft())

    def training(self, progress: FinalProgress, decay_steps: int) -> Optimisation:
        """The settings of a training that ends after `decay_steps` more steps, in which the learning rate falls."""
        steps = progress.step + decay_steps
        return self._values.training.model_copy(update={"steps": steps, "decay_steps": decay_steps})

    def _begun(self, finalist: Finalist, shared_by: int) -> FinalProgress:
        """What an earlier session has trained of a finalist; it is trained further if there is more time."""
        outcome = finalist.outcome
        images = 0 if finalist.second else outcome.images
        has_state = images and (self._folder / state_file(outcome.number, images)).is_file()
        first = self._plan.steps(images) if has_state else 0
        fresh = FinalProgress(
            trial=outcome.number, seed=finalist.seed, images=images, first_step=first, second=finalist.second,
            taught_by=self._taught_by,
        )  # fmt: skip
        earlier = read_json(self._folder, progress_file(outcome.number, second=finalist.second), FinalProgress)
        if earlier is None or earlier.seed != fresh.seed:
            return fresh
        endings = self._endings(earlier)
        kept = {"finished": endings, "ends": earlier.ends + (earlier.end is not None)}
        unstarted = {"parts": (), "decay_steps": 0, "end": None, "pending": None, "finished": (), "ends": 0}
        if earlier.model_copy(update=unstarted) != fresh:
            return fresh.model_copy(update=kept)
        if not (self._folder / (earlier.end_file if earlier.end else earlier.stable_file)).is_file():
            return fresh.model_copy(update=kept | {"pending": None if earlier.parts else earlier.pending})
        if earlier.end is not None and self._end(finalist, earlier, shared_by) > LONGER * earlier.end.step:
            return earlier.model_copy(update={"end": None, "decay_steps": 0, **kept})
        if earlier.end is None and endings:  # it was continued
            longest = max(earlier.step, self._end(finalist, earlier, shared_by))
            if longest <= LONGER * endings[0].last_step:  # but there is no more time for that
                return endings[0].model_copy(update={"finished": endings[1:]})
        return earlier

    def _next_part(self, finalist: Finalist, progress: FinalProgress, shared_by: int) -> TrainingJob | None:
        """The next part of a finalist; None if it is at its end."""
        if progress.end is not None:
            return None
        end = self._end(finalist, progress, shared_by)
        if job := self._paused_part(finalist, progress, shared_by, end):
            self._on_part(finalist, progress, end)
            return job
        if end - progress.step < max(1, MIN_GAIN * progress.step):
            return None
        decay_from = min(end - 1, round(end * (1 - DECAY_SHARE)))
        part = max(1, round(min(end, self._final_steps) / PARTS))
        stable = progress.step + part / 4 < decay_from
        until = min(decay_from, progress.step + part) if stable else end
        source = progress.stable_file
        job = TrainingJob(
            trial=progress.trial,
            rung=FINAL,
            spec=finalist.candidate.spec,
            seed=progress.seed,
            training=self._values.training if stable else self.training(progress, end - progress.step),
            augment=self._values.augment,
            distill=progress.distillation(self._values.distill),
            until=until,
            source=source if progress.parts or progress.first_step else "",
            target=final_file(progress.trial, f"stable-{until}.safetensors", second=progress.second)
            if stable
            else progress.end_file,
            metric=self._metric,
        )
        self._on_part(finalist, progress, end)
        return job

    def _paused_part(self, finalist: Finalist, progress: FinalProgress, shared_by: int, end: int) -> TrainingJob | None:
        """The part that an earlier session paused, if there is time to continue it, and none for a longer training."""
        job = progress.pending
        part = None if job is None or job.until > self._most_steps else paused_part(job, self._folder)
        if part is None:
            return None
        if part.job.training.steps is None:
            return part.job if part.job.until < end else None
        left = self._clock.left()
        needed = (part.job.until - progress.step) / self._speed(finalist, progress, shared_by) - part.seconds
        has_time = left is None or needed <= left - self._plan.evaluation
        return part.job if has_time and end <= LONGER * part.job.until else None

    def _speed(self, finalist: Finalist, progress: FinalProgress, shared_by: int) -> float:
        """Optimizer steps of a finalist in a second, if so many trainings share the workers."""
        outcome = finalist.outcome
        searched = self._plan.steps(outcome.images) / max(outcome.seconds, 1e-9)
        return progress.steps_per_second(searched) * min(1.0, self.workers / shared_by)

    def _end(self, finalist: Finalist, progress: FinalProgress, shared_by: int) -> int:
        """The last step of a finalist, as the time allows, which `shared_by` trainings share."""
        left = self._clock.left()
        if left is None:
            return self._final_steps
        speed = self._speed(finalist, progress, shared_by)
        seconds = SAFETY_SHARE * (left - self._plan.evaluation)
        wanted = self._wanted_steps(finalist, progress)
        return min(wanted, max(self._least, progress.step + max(0, int(seconds * speed))))

    def _wanted_steps(self, finalist: Finalist, progress: FinalProgress) -> int:
        """The steps of a training that the clock does not end: more than usual as long as it is learning.

        It continues while a search uses the other workers, or other final trainings do: time may be kept for second
        ones. When it stops later than usual, the rest is the fall of the learning rate.
        """
        others = len(self._running.keys() - {progress.trial})
        rungs = {} if progress.second else finalist.outcome.utilities
        scored = [(self._plan.steps(images), math.exp(-utility)) for images, utility in sorted(rungs.items())]
        scored += [(part.step, part.averaged.loss) for part in progress.parts if part.averaged is not None]
        if (self._has_search or others + 1 >= self.workers) and is_learning(scored):
            return self._most_steps
        return min(self._most_steps, max(self._final_steps, round(progress.step / (1 - DECAY_SHARE))))


def progress_file(trial: int, *, second: bool = False) -> str:
    """The name of the progress of a final training in the run folder."""
    return final_file(trial, "final.json", second=second)

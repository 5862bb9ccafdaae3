"""What a search needs before anything is trained: the images and their split, the space, and what judges networks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from random import Random

import torch

from lightcnn.budget import Budget
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.positive_class import default_positive, with_positive
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, make_split
from lightcnn.devices import MEMORY_SHARE, free_memory, require_memory
from lightcnn.engine.memory import training_bytes
from lightcnn.output.warnings import ReportWarning
from lightcnn.recipe_defaults import default_augment, default_training, require_training
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.deployment.requirements import require_deployable, require_timeable
from lightcnn.searching.latency.models import LatencyModels, measure_models, measure_start, read_models
from lightcnn.searching.latency.timed_networks import LARGEST_SHARE
from lightcnn.searching.plan import AVERAGING, Plan, other_version, require_continuable
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.settings import SearchSettings, TrainingValues
from lightcnn.searching.teaching import (
    NewTeacher,
    Teacher,
    find_teacher,
    planned_teacher,
    require_teacher_argument,
    teaching_seconds,
)
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.executors import Executor
from lightcnn.searching.trainings.judge import Judge
from lightcnn.searching.trials.place import StudyFile, StudyPlace
from lightcnn.space import SearchSpace
from lightcnn.space_choice import SpaceChoice, choose_space
from lightcnn.teacher import TEACHER_FILE, TeacherRun


@dataclass(frozen=True)
class SearchInputs:
    """The settings with what follows from the data, and what they describe.

    `began` is the `time.monotonic()` at which the images had been read: the time limit counts from it. `chosen` is why
    the space was chosen, None if the user gave it.
    """

    settings: SearchSettings
    dataset: Dataset
    sets: Split
    space: BudgetedSpace
    latencies: LatencyModels | None
    judge: Judge
    teacher: Teacher | None
    began: float
    chosen: SpaceChoice | None


@dataclass(frozen=True)
class SessionParts:
    """What one session works with: its inputs, the images, its plan, what trains, the run folder, and the study.

    `warnings` are those about the machine.
    """

    folder: RunFolder
    place: StudyPlace
    inputs: SearchInputs
    data: PipelineData
    plan: Plan
    executor: Executor
    progress: SearchProgress
    warnings: tuple[ReportWarning, ...] = ()

    @property
    def settings(self) -> SearchSettings:
        return self.inputs.settings

    @property
    def space(self) -> BudgetedSpace:
        return self.inputs.space

    @property
    def judge(self) -> Judge:
        return self.inputs.judge

    @property
    def is_shared(self) -> bool:
        """Whether other machines may join the study."""
        return self.place.is_shared

    @cached_property
    def values(self) -> TrainingValues:
        """The training and the augmentation of all networks, and their teacher."""
        augment = default_augment(self.data.pipeline.dataset.channels, len(self.data.train))
        values = self.settings.training_values(self.plan.training(), augment)
        return values.taught_by(TEACHER_FILE)


def prepare(
    settings: SearchSettings,
    device: torch.device,
    workers: int,
    progress: SearchProgress,
    *,
    existing: RunFolder | None,
    wait_until_idle: Callable[[], object] = lambda: None,
) -> SearchInputs:
    """Reads the data and checks that a search can run on them; the settings of an `existing` one are complete.

    What the time depends on is timed once `wait_until_idle` returns: networks for a limit of latency, and then the
    training of a teacher, which is planned for the time that is left.

    Raises: BudgetError; DataError; InputError; RunError, before the data are read, if `existing` cannot be continued.
    """
    budget = Budget.parse(settings.budget)
    latencies = None if existing is None else _earlier_latencies(existing, budget)
    require_teacher_argument(settings, existing)
    dataset = read_data(settings, progress)
    began = time.monotonic()
    images = (dataset.channels, len(dataset.classes), dataset.size)
    chosen = choose_space(budget, images, settings.input) if settings.choose_space else None
    if existing is None:
        dataset, settings = _with_positive(dataset, _with_space(settings, chosen))
    sets = make_split(dataset, settings.seed, settings.reading)
    judge = _judge(settings, dataset, sets)  # which may refuse the metric, before anything is timed
    teacher = find_teacher(settings, dataset, sets, device, existing)
    if teacher is not None and not isinstance(teacher, NewTeacher) and teacher.note:
        dataset = replace(dataset, note="; ".join(filter(None, (dataset.note, teacher.note))))
    fitting = settings.space.for_data(*images)
    if latencies is None and budget.latencies:
        _require_counted(fitting, budget)
        latencies = _measured_latencies(fitting, budget, settings, dataset.size, began, progress, wait_until_idle)
    space = _budgeted(fitting, budget, settings, dataset.size, latencies)
    require_deployable(space, settings.deploy)
    count = len(sets.train)
    require_training(settings.training(default_training(1, count)), dataset.source, dataset.classes, count)
    if existing is None:
        _require_memory(space, settings, count, device, workers)
    if isinstance(teacher, (NewTeacher, TeacherRun)) and settings.seconds is not None:
        wait_until_idle()
        before = teaching_seconds(existing) if existing else 0.0
        teacher = planned_teacher(teacher, dataset, sets, settings.seconds, began - before)
    return SearchInputs(settings, dataset, sets, space, latencies, judge, teacher, began, chosen)


def read_data(settings: SearchSettings, progress: SearchProgress) -> Dataset:
    """The images of a search and their groups."""
    start, reading = time.monotonic(), settings.reading
    dataset = load(settings.data, reading, progress=progress.reading)
    dataset = find_groups(dataset, reading.duplicates, progress=progress.reading)
    progress.read(len(dataset), time.monotonic() - start)
    return dataset


def _require_memory(
    space: BudgetedSpace, settings: SearchSettings, images: int, device: torch.device, workers: int
) -> None:
    """Raises: BudgetError; InputError if the trainings of the first network by all workers do not fit into memory."""
    first = space.candidate(space.first(), Random(settings.seed))
    training = settings.training(default_training(1, images)).model_copy(update={"ema": AVERAGING})
    of_one = training_bytes(first.cost, training, images, device.type)
    at_once = 1  # every worker has a GPU of its own
    if device.type == "cpu":
        trials = space.limited(settings.trials) or workers
        at_once = min(workers, max(trials, (settings.seeds or 1) - 1))
    remedy = f"reduce the budget, --input or the batch ({training.batch} images, --set training.batch=N)"
    free = free_memory(device)
    if at_once > 1 and free is not None and (fitting := int(MEMORY_SHARE * free / of_one)):
        remedy = f"use at most --workers {fitting}, or {remedy}"
    times = f" in {at_once} workers" if at_once > 1 else ""
    require_memory(f"the first network of space {space.name}{times}", at_once * of_one, device, remedy=remedy)


def _with_positive(dataset: Dataset, settings: SearchSettings) -> tuple[Dataset, SearchSettings]:
    """The data and the settings of a new search with the positive class, if there are two."""
    if len(dataset.classes) != 2 or settings.reading.positive is not None:
        return dataset, settings
    positive = default_positive(dataset.classes)
    reading = settings.reading.model_copy(update={"positive": positive})
    return with_positive(dataset, positive), settings.model_copy(update={"reading": reading})


def _with_space(settings: SearchSettings, chosen: SpaceChoice | None) -> SearchSettings:
    """The settings of a new search, with the space that was `chosen`, if any, and the input size that is asked for."""
    space = settings.space if chosen is None else SearchSpace.load(chosen.name)
    return settings.model_copy(update={"space": space.with_input(settings.input) if settings.input else space})


def _judge(settings: SearchSettings, dataset: Dataset, sets: Split) -> Judge:
    """What judges networks on the validation set. Raises: InputError if the metric is undefined there."""
    return Judge(settings.metric, dataset.labels[sets.val], dataset.groups[sets.val], dataset.classes)


def _earlier_latencies(existing: RunFolder, budget: Budget) -> LatencyModels | None:
    """What predicts the times that the budget of an `existing` search limits, if it limits any.

    Raises: RunError if the search cannot be continued, or not on this machine.
    """
    require_continuable(existing)
    if not budget.latencies:
        return None
    require_timeable(budget)
    return read_models(existing, budget)


def _require_counted(space: SearchSpace, budget: Budget) -> None:
    """Raises: BudgetError, before networks are timed, if none of the space meets the other limits of the budget."""
    if counted := budget.without_latencies:
        BudgetedSpace(space, counted)


def _budgeted(
    space: SearchSpace, budget: Budget, settings: SearchSettings, pixels: int, latencies: LatencyModels | None
) -> BudgetedSpace:
    """The space of the search. Raises: BudgetError if no network of it meets the budget."""
    if latencies is None:
        return BudgetedSpace(space, budget, pixels, pareto=settings.pareto)
    models, use = latencies.models, latencies.start_use
    return BudgetedSpace(space, budget, pixels, models, start_use=use, pareto=settings.pareto)


def _measured_latencies(
    space: SearchSpace,
    budget: Budget,
    settings: SearchSettings,
    pixels: int,
    began: float,
    progress: SearchProgress,
    wait_until_idle: Callable[[], object],
) -> LatencyModels:
    """What predicts the times that the budget limits, from networks that are timed now.

    The seconds that are reported include the wait until nothing else runs, since `--time` does.
    """
    require_timeable(budget)
    start = time.monotonic()
    wait_until_idle()
    limit, used = settings.seconds or math.inf, time.monotonic() - began
    models = measure_models(space, budget, settings.seed, progress.timing, limit - used, used)
    if not settings.pareto:  # a front begins at the lower limit, and has its first networks there
        left = LARGEST_SHARE * limit - (time.monotonic() - began)
        use = measure_start(_budgeted(space, budget, settings, pixels, models), progress.timing, left)
        models = models.model_copy(update={"start_use": use})
    networks, error = min(each.networks for each in models.models), max(each.error for each in models.models)
    progress.timed(time.monotonic() - start, networks, error)
    return models


def study_file(folder: RunFolder) -> StudyFile:
    """study.db, to which SQLite writes in place. Raises: RunError if it or a file beside it is a link."""
    for suffix in ("-wal", "-shm", "-journal"):
        folder.in_place(f"study.db{suffix}")
    return StudyFile(folder.in_place("study.db"), earlier=other_version(folder))

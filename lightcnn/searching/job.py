"""The job of `lightcnn search`: data, plan, trials, final trainings, the run folder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import default_positive, with_positive
from lightcnn.data.sources.load import load
from lightcnn.data.split import data_document, make_split
from lightcnn.devices import DeviceName, default_workers, pick_device, require_memory
from lightcnn.engine.memory import training_bytes
from lightcnn.errors import InputError, LightcnnError, RunError
from lightcnn.output.report import report_head
from lightcnn.recipe import Augment, Reading
from lightcnn.recipe_defaults import default_augment, default_training
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.comparison import SearchResult
from lightcnn.searching.plan import AVERAGING, Plan, SearchClock, read_plan, write_plan
from lightcnn.searching.progress import SILENT, SearchProgress
from lightcnn.searching.report import delivered_recipe, write_report, write_trials
from lightcnn.searching.settings import DEFAULT_SECONDS, SETTINGS_FILE, SearchSettings, make_settings
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.searching.strategies.predictor import predict_utility
from lightcnn.searching.trainings.choice import Choice, all_weights, choose
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.evaluator import NetworkEvaluator
from lightcnn.searching.trainings.executors import Executor, InProcess
from lightcnn.searching.trainings.files import remove_states
from lightcnn.searching.trainings.finals import Finalist, FinalProgress, FinalTrainings, choose_finalists
from lightcnn.searching.trainings.pool import WorkerPool
from lightcnn.searching.trainings.repeats import repeat_training
from lightcnn.searching.trainings.speed import measured_plan, with_speed
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.searcher import LAG, Searcher
from lightcnn.searching.trials.storage import Outcome
from lightcnn.space import SearchSpace
from lightcnn.text import first_line


def search(
    budget: str,
    *,
    space: str = "micro",
    data: str = "digits",
    trials: int | None = None,
    seconds: float | None = None,
    strategy: StrategyName = "surrogate",
    epochs: int | None = None,
    finalists: int | None = None,
    workers: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    device: DeviceName = "auto",
    reading: Reading | None = None,
    out: str | Path | None = None,
) -> Run:
    """Searches for the best network within a budget and trains it, as `lightcnn search` does but without output.

    Without `trials` and `seconds`, the search takes two minutes.

    Args:
        budget: Limits with units, joined by commas, as in "1MFLOPs,50kparams".
        space: Name of a shipped search space, or path of a YAML file.
        data: Name of a data set, folder of class folders, or path of a .csv or .npz file.
        trials: Number of trials; the same seed then gives the same search on the same machine.
        seconds: Time limit for everything after reading the data, including the final training.
        strategy: How networks are proposed: "surrogate", "evolution", "tpe" or "random".
        epochs: Maximum epochs of the final training (default: as many as fit into the time).
        finalists: Number of networks that are trained to the end (default: one for each worker; 2 without `seconds`).
        workers: Processes that train (default: one for each core of a CPU, at most 8; 1 on a GPU).
        seeds: Number of trainings of the delivered network, each with another seed (default: one). All but the first
            take time beyond `seconds`.
        seed: Seed of the split, the proposals and the trainings.
        device: Where networks are trained.
        reading: How the data are read and split (default: `Reading()`).
        out: The new run folder (default: a new folder in runs/).

    Returns:
        The finished run, which predicts with the network that was found.

    Raises:
        InputError: If an argument is wrong or the budget cannot be met; no run folder is left then.
        LightcnnError: If no network could be trained.

    Example:
        >>> from lightcnn import search
        >>> search("100kFLOPs", seconds=3).report["best"]["cost"]["macs"] <= 100_000
        True
    """
    limit = DEFAULT_SECONDS if trials is None and seconds is None else seconds
    settings = make_settings({
        "budget": budget, "space": SearchSpace.load(space), "data": data, "strategy": strategy, "trials": trials,
        "seconds": limit, "epochs": epochs, "finalists": finalists, "workers": workers, "seeds": seeds, "seed": seed,
        "device": device, "reading": reading or Reading(),
    })  # fmt: skip
    return Run(run(settings, out=out).path)


def run(
    settings: SearchSettings,
    *,
    out: str | Path | None,
    resume: bool = False,
    progress: SearchProgress = SILENT,
) -> RunFolder:
    """Runs a search and returns its finished run folder: `out`, or a new folder in runs/.

    With `resume`, continues the search in `out` under these settings. The time limit counts from when the data have
    been read. Raises: as `search`.
    """
    existing = RunFolder.resumed(out, resume=resume, command="search", settings=SETTINGS_FILE)
    device = pick_device(settings.device)
    with _workers(settings, device, progress) as pool:
        dataset = _read(settings, progress)
        began = time.monotonic()
        if existing is None:
            dataset, settings = _with_positive(dataset, settings)
        sets = make_split(dataset, settings.seed, settings.reading)
        space = _space_for(settings, dataset)
        settings = _for_one_network(settings, space)
        workers = pool.workers if pool else 1
        _require_memory(space, settings, len(sets.train), device, workers)
        folder = existing or RunFolder.create(out, "search", {SETTINGS_FILE: _settings_yaml(settings)})
        with folder.locked():
            pipeline = Pipeline(dataset, sets, device, progress=progress.reading)
            data = PipelineData(pipeline, settings.seed)
            executor: Executor = InProcess(data, folder, progress.stepped)
            if pool and pipeline.shared(space.inspect(space.first()).spec.input[1]):
                pool.open(data, folder)
                executor = pool
            plan, spent = _plan(folder, settings, data, space, executor.workers, began)
            _Session(folder, settings, space, data, plan, executor, progress).run(spent, began)
    return folder


def estimate(settings: SearchSettings, progress: SearchProgress = SILENT) -> dict[str, Any]:
    """What a search would do and what its networks may cost: the JSON document of `--dry-run`.

    The speed is measured on a few batches of the first network; nothing else is trained. `first` is the cost of the
    space's first network, None if it cannot be fitted to the budget.
    """
    device = pick_device(settings.device)
    dataset, settings = _with_positive(_read(settings, progress), settings)
    began = time.monotonic()
    sets = make_split(dataset, settings.seed, settings.reading)
    space = _space_for(settings, dataset)
    settings = _for_one_network(settings, space)
    workers = settings.workers or default_workers(device)
    _require_memory(space, settings, len(sets.train), device, workers)
    pipeline = Pipeline(dataset, sets, device)
    plan = measured_plan(settings, PipelineData(pipeline, settings.seed), space, workers, began)
    first = space.fit(space.first())
    ends = {"smallest": space.space.smallest(), "largest": space.space.largest()}
    return {
        **report_head("search", seed=settings.seed, data=data_document(pipeline.dataset, sets)),
        "dry_run": True,
        "budget": space.budget.document(),
        "space": {"name": space.space.name, "genes": len(space.genes())}
        | {name: cost(space.space.spec(shape)).document() for name, shape in ends.items()},
        "first": first and first.cost.document(),
        "trials": settings.trials,
        "time_limit_seconds": settings.seconds,
        "plan": plan.document(settings.seconds, settings.epochs, settings.trials),
    }


def _plan(
    folder: RunFolder, settings: SearchSettings, data: PipelineData, space: BudgetedSpace, workers: int, began: float
) -> tuple[Plan, float]:
    """The plan, which is made only once, and the seconds before the first trial of an earlier session.

    The numbers of finalists and of workers are those of this session.
    """
    plan = read_plan(folder, data.pipeline.dataset.fingerprint)
    if plan is None:
        plan = measured_plan(settings, data, space, workers, began)
        write_plan(folder, plan)
        return plan, 0.0
    if settings.seconds is not None and plan.images_per_second is None:  # it had no time limit before
        plan = with_speed(plan, data, space)
        write_plan(folder, plan)
    changes = {
        "finalists": settings.finalists or plan.finalists,
        "workers": workers if plan.threads in (None, 1) else 1,
    }
    return plan.model_copy(update=changes), plan.spent


@contextmanager
def _workers(settings: SearchSettings, device: torch.device, progress: SearchProgress) -> Iterator[WorkerPool | None]:
    """Worker processes, which load PyTorch while the data are read; None if one process is enough.

    Raises: InputError for several workers on a GPU.
    """
    workers = settings.workers or default_workers(device)
    if workers > 1 and device.type != "cpu":
        raise InputError(f"--workers {workers}: a GPU trains one network at a time; use --workers 1, or --device cpu")
    with ExitStack() as stack:
        yield stack.enter_context(WorkerPool(workers, progress.stepped)) if workers > 1 else None


def _read(settings: SearchSettings, progress: SearchProgress) -> Dataset:
    """The images and their groups."""
    start, reading = time.monotonic(), settings.reading
    dataset = load(settings.data, reading, progress=progress.reading)
    dataset = find_groups(dataset, fast=reading.fast, progress=progress.reading)
    progress.read(len(dataset), time.monotonic() - start)
    return dataset


def _require_memory(
    space: BudgetedSpace, settings: SearchSettings, images: int, device: torch.device, workers: int
) -> None:
    """Checks that every worker can train the first network on so many images.

    Raises: BudgetError; InputError if it does not fit into memory.
    """
    first = space.candidate(space.first(), Random(settings.seed))
    training = default_training(1, images).model_copy(update={"ema": AVERAGING})
    needed = workers * training_bytes(first.cost, training)
    times = f" in {workers} workers" if workers > 1 else ""
    require_memory(f"the first network of space {space.name}{times}", needed, device)


def _with_positive(dataset: Dataset, settings: SearchSettings) -> tuple[Dataset, SearchSettings]:
    """The data and the settings of a new search with the positive class, if there are two."""
    if len(dataset.classes) != 2 or settings.reading.positive is not None:
        return dataset, settings
    positive = default_positive(dataset.classes)
    reading = settings.reading.model_copy(update={"positive": positive})
    return with_positive(dataset, positive), settings.model_copy(update={"reading": reading})


def _space_for(settings: SearchSettings, dataset: Dataset) -> BudgetedSpace:
    """The space under its budget, for the images of the data set. Raises: BudgetError."""
    space = settings.space.for_data(dataset.channels, len(dataset.classes), dataset.size)
    return BudgetedSpace(space, Budget.parse(settings.budget))


def _for_one_network(settings: SearchSettings, space: BudgetedSpace) -> SearchSettings:
    """The settings; with a single trial if the space has a single network."""
    return settings if space.genes() else settings.model_copy(update={"trials": 1})


def _settings_yaml(settings: SearchSettings) -> bytes:
    """search.yaml."""
    return document.dump(settings, exclude_defaults=False).encode()


def _study_file(folder: RunFolder) -> Path:
    """study.db, to which SQLite writes in place. Raises: RunError if it or a file beside it is a link."""
    for suffix in ("-wal", "-shm", "-journal"):
        folder.in_place(f"study.db{suffix}")
    return folder.in_place("study.db")


def _require_networks(folder: RunFolder, space: BudgetedSpace, outcomes: list[Outcome]) -> None:
    """Raises: RunError if the shape of a trial on disk is not a network of the space."""
    for outcome in outcomes:
        try:
            candidate = space.inspect(outcome.shape) if outcome.key else None
            if candidate and outcome.scores and any(excess > 0 for excess in candidate.violations.values()):
                raise ValueError("it has scores, but breaks the budget")
        except (LightcnnError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise RunError(
                f"{folder.path / 'study.db'}: not the study of this search (the shape of trial {outcome.number} is not "
                f"a network: {first_line(error)}); choose a new --out"
            ) from None


@dataclass(frozen=True)
class _Session:
    """One session of a search."""

    folder: RunFolder
    settings: SearchSettings
    space: BudgetedSpace
    data: PipelineData
    plan: Plan
    executor: Executor
    progress: SearchProgress

    def run(self, spent: float, began: float) -> None:
        """Runs the trials and the final trainings, and writes the report. `spent`: seconds of earlier sessions."""
        settings, plan = self.settings, self.plan
        searcher = self._searcher()
        # Nothing can be refused from here on: these are now the settings, and an earlier session's report is outdated.
        self.folder.write_bytes(SETTINGS_FILE, _settings_yaml(settings))
        self.folder.remove("report.json")
        earlier = searcher.outcomes()
        spent = max([spent, searcher.stored_seconds(), *(outcome.elapsed for outcome in earlier)])
        limit = settings.seconds
        clock = SearchClock(limit, plan.search_seconds(limit, settings.epochs), spent, began)
        self.progress.planned(self.folder, self.space, plan, clock, settings, len(self.data.validation))
        for outcome in earlier:
            if outcome.state != "running":
                self.progress.finished(outcome, "")
        finals = self._trainings(searcher, clock)
        self._search(searcher, finals, clock)
        self.progress.searched()
        finalists = self._finalists(searcher)
        trained = finals.run(finalists)
        searcher.settle()
        outcomes = searcher.outcomes()
        write_trials(self.folder, self.space.space, outcomes)
        self.progress.choosing()
        pipeline = self.data.pipeline
        choice = choose(
            all_weights(pipeline, self.folder, finalists, trained), pipeline.dataset.groups[pipeline.split.val]
        )
        with clock.paused():
            repeats = self._repeats(searcher, choice)
        result = SearchResult(
            outcomes, searcher.promises(outcomes), finalists, trained, choice, searcher.count_test_evaluation(), repeats
        )
        write_report(self.folder, settings, pipeline, self.space, plan, result, clock, self._augment())
        searcher.store_seconds(clock.elapsed())
        remove_states(self.folder, keep=[finalist.outcome.number for finalist in finalists])

    def _search(self, searcher: Searcher, finals: FinalTrainings, clock: SearchClock) -> None:
        """Trains and compares networks; only the first one if there is no time to compare any.

        The final training of the first network begins as soon as it has reached the last rung, if the plan says so.
        """
        settings, plan = self.settings, self.plan
        alone = plan.networks(settings.seconds, settings.epochs, settings.trials) == 1

        def begin_final(outcome: Outcome) -> None:
            if outcome.number == 0 and outcome.images == plan.rungs[-1] and outcome.is_scored:
                finals.begin(self._finalist(searcher, outcome))

        def finished(outcome: Outcome, error: str) -> None:
            self._finished(outcome, error)
            if plan.trains_first(settings.seconds):
                begin_final(outcome)

        if plan.trains_first(settings.seconds) and (earlier := searcher.outcomes()):
            begin_final(earlier[0])
        run_trials(
            searcher,
            NetworkEvaluator(self.executor, self.folder, plan, plan.training(), self._augment(), finals),
            trials=1 if alone else settings.trials,
            clock=clock,
            started=self.progress.started,
            finished=finished,
        )

    def _finalist(self, searcher: Searcher, outcome: Outcome) -> Finalist:
        """The network of a trial as a finalist."""
        return Finalist(outcome, self.space.inspect(outcome.shape), searcher.seed_of(outcome.number))

    def _searcher(self) -> Searcher:
        """The searcher over study.db. Raises: RunError if it cannot be used or holds another search."""
        settings, plan = self.settings, self.plan
        fingerprint = {
            "budget": self.space.budget.document(),
            "space": self.space.space.model_dump(mode="json"),
            "data": self.data.pipeline.dataset.fingerprint,
            "seed": settings.seed,
            "strategy": settings.strategy,
            "rungs": list(plan.rungs),
        }
        searcher = Searcher(
            self.space,
            _study_file(self.folder),
            strategy=settings.strategy,
            seed=settings.seed,
            rungs=plan.halving(),
            fingerprint=fingerprint,
            predictor=predict_utility,
            final_images=plan.final_images(settings.seconds, settings.epochs),
            lag=LAG if settings.seconds is None else None,
        )
        _require_networks(self.folder, self.space, searcher.outcomes())
        return searcher

    def _augment(self) -> Augment:
        return self.settings.augment or default_augment(self.data.pipeline.dataset.channels, len(self.data.train))

    def _finished(self, outcome: Outcome, error: str) -> None:
        """Logs a score or the end of a trial, and reports it."""
        parts = [error or outcome.reason or outcome.state]
        if outcome.score is not None:
            parts.append(f"validation accuracy {outcome.score:.4f} after {outcome.images} images")
        self.folder.log(f"trial {outcome.number}: {', '.join(parts)}")
        self.progress.finished(outcome, error)

    def _finalists(self, searcher: Searcher) -> list[Finalist]:
        """The networks to train to the end. Raises: LightcnnError with all reasons if no trial succeeded."""
        outcomes = searcher.outcomes()
        count = self.settings.finalists or self.plan.finalists
        chosen = choose_finalists(outcomes, searcher.promises(outcomes), count)
        if not chosen:
            reasons = "; ".join(sorted({outcome.reason for outcome in outcomes if outcome.reason}))
            raise LightcnnError(
                f"run {self.folder.path}: no trial succeeded; the reasons: {reasons or 'no time for any'}"
            )
        return [self._finalist(searcher, outcome) for outcome in chosen]

    def _repeats(self, searcher: Searcher, choice: Choice) -> list[float]:
        """The test accuracies of the delivered training with other seeds."""
        trial = choice.best.finalist.outcome.number
        recipe = delivered_recipe(self.settings, self.plan, choice.best, self._augment())
        seeds = [searcher.seed_of(trial, repeat) for repeat in range(1, self.settings.seeds or 1)]
        return repeat_training(
            self.executor, self.folder, self.data.pipeline, recipe, trial, seeds,
            lambda done, count: self.progress.repeating(trial, done, count),
        )  # fmt: skip

    def _trainings(self, searcher: Searcher, clock: SearchClock) -> FinalTrainings:
        """The final trainings, whose time is stored part by part."""

        def on_part(finalist: Finalist, progress: FinalProgress, end: int) -> None:
            searcher.store_seconds(clock.elapsed())
            self.progress.retraining(finalist, progress, end)

        images = self.plan.final_images(self.settings.seconds, self.settings.epochs)
        if self.settings.seconds is not None:  # the clock decides, up to the largest number of epochs
            images = self.plan.longest_images(self.settings.epochs)
        return FinalTrainings(
            self.executor, self.folder, self.plan, self.plan.training(), self._augment(), clock,
            self.plan.steps(images), on_part,
        )  # fmt: skip

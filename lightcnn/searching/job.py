"""The job of `lightcnn search`: data, space, trials, the best network trained in full, the run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import default_positive, with_positive
from lightcnn.data.sources.load import load
from lightcnn.data.split import data_document, make_split, subset
from lightcnn.devices import DeviceName, pick_device, require_memory
from lightcnn.errors import LightcnnError, RunError
from lightcnn.network import fold
from lightcnn.output.report import report_head
from lightcnn.recipe import Reading, Recipe, default_training
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.plan import Plan, SearchClock, final_epochs, read_plan, write_plan
from lightcnn.searching.progress import SILENT, SearchProgress
from lightcnn.searching.report import Final, write_report, write_trials
from lightcnn.searching.scoring import CandidateTrainer, ShortTraining
from lightcnn.searching.searcher import Searcher
from lightcnn.searching.settings import DEFAULT_SECONDS, SETTINGS_FILE, SearchSettings, make_settings
from lightcnn.searching.storage import Outcome
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.space import SearchSpace
from lightcnn.text import first_line

BYTES_PER_PARAMETER = 16
"""Of a training with AdamW: a weight, its gradient, and its two moments, in fp32."""


def search(
    budget: str,
    *,
    space: str = "micro",
    data: str = "digits",
    trials: int | None = None,
    seconds: float | None = None,
    strategy: StrategyName = "evolution",
    epochs: int | None = None,
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
        seconds: Time limit from when the images have been read, including the final training.
        strategy: How networks are proposed: "evolution", "surrogate", "tpe" or "random".
        epochs: Maximum epochs of the final training (default: as many as fit into the time).
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
        "seconds": limit, "epochs": epochs, "seed": seed, "device": device, "reading": reading or Reading(),
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

    With `resume`, continues the search in `out` under these settings. The time limit counts from when the images have
    been read. Raises: as `search`.
    """
    existing = RunFolder.resumed(out, resume=resume, command="search", settings=SETTINGS_FILE)
    device = pick_device(settings.device)
    dataset = _read(settings, progress)
    began = time.monotonic()
    if existing is None:
        dataset, settings = _with_positive(dataset, settings)
    sets = make_split(dataset, settings.seed, settings.reading)
    space = _space_for(settings, dataset)
    _require_memory(space, settings.seed, device)
    folder = existing or RunFolder.create(out, "search", {SETTINGS_FILE: _settings_yaml(settings)})
    with folder.locked():
        pipeline = Pipeline(dataset, sets, device, progress=progress.reading)
        trainer = CandidateTrainer(pipeline, settings, progress)
        plan, spent = _plan(folder, trainer, space, began)
        _Session(folder, settings, space, trainer, plan, progress).run(spent, began)
    return folder


def estimate(settings: SearchSettings, progress: SearchProgress = SILENT) -> dict[str, Any]:
    """What a search would do and what its networks may cost: the JSON document of `--dry-run`. Trains nothing.

    `first` is the cost of the space's first network, None if it cannot be fitted to the budget.
    """
    device = pick_device(settings.device)
    dataset, settings = _with_positive(_read(settings, progress), settings)
    sets = make_split(dataset, settings.seed, settings.reading)
    data = data_document(dataset.scaled_to(sets.train), sets)
    space = _space_for(settings, dataset)
    _require_memory(space, settings.seed, device)
    first = space.fit(space.first())
    ends = {"smallest": space.space.smallest(), "largest": space.space.largest()}
    return {
        **report_head("search", seed=settings.seed, data=data),
        "dry_run": True,
        "budget": space.budget.document(),
        "space": {"name": space.space.name, "genes": len(space.genes())}
        | {name: cost(space.space.spec(shape)).document() for name, shape in ends.items()},
        "first": first and first.cost.document(),
        "trials": settings.trials,
        "time_limit_seconds": settings.seconds,
    }


def _read(settings: SearchSettings, progress: SearchProgress) -> Dataset:
    """The images and their groups."""
    start, reading = time.monotonic(), settings.reading
    dataset = load(settings.data, reading, progress=progress.reading)
    dataset = find_groups(dataset, fast=reading.fast, progress=progress.reading)
    progress.read(len(dataset), time.monotonic() - start)
    return dataset


def _require_memory(space: BudgetedSpace, seed: int, device: torch.device) -> None:
    """Checks that the first network can be trained. Raises: BudgetError; InputError if it does not fit into memory."""
    first = space.candidate(space.first(), Random(seed))
    require_memory(f"the first network of space {space.space.name}", BYTES_PER_PARAMETER * first.cost.params, device)


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


def _settings_yaml(settings: SearchSettings) -> bytes:
    """search.yaml."""
    return document.dump(settings, exclude_defaults=False).encode()


def _plan(folder: RunFolder, trainer: CandidateTrainer, space: BudgetedSpace, began: float) -> tuple[Plan, float]:
    """The plan, and the seconds that had passed before the first trial of an earlier session; made only once."""
    settings, fingerprint = trainer.settings, trainer.pipeline.dataset.fingerprint
    stored = read_plan(folder, fingerprint)
    if stored is not None:
        return stored
    train = len(trainer.pipeline.split.train)
    if settings.seconds is None:
        plan = Plan.fixed(train, settings.epochs)
    else:
        speed = trainer.images_per_second(space)
        plan = Plan.timed(train, settings.seconds, time.monotonic() - began, speed, settings.epochs)
    write_plan(folder, plan, fingerprint, time.monotonic() - began)
    return plan, 0.0


def _study_file(folder: RunFolder) -> Path:
    """study.db, to which SQLite writes in place. Raises: RunError if it or a file beside it is a link."""
    for suffix in ("-wal", "-shm", "-journal"):
        folder.in_place(f"study.db{suffix}")
    return folder.in_place("study.db")


def _require_networks(folder: RunFolder, space: BudgetedSpace, outcomes: list[Outcome]) -> None:
    """Raises: RunError if the shape of a trial on disk is not a network of the space."""
    for outcome in outcomes:
        try:
            candidate = space.inspect(outcome.shape) if outcome.shape else None
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
    trainer: CandidateTrainer
    plan: Plan
    progress: SearchProgress

    def run(self, spent: float, began: float) -> None:
        """Runs the trials and the final training, and writes the report. `spent`: seconds of earlier sessions."""
        searcher = self._searcher()
        # Nothing can be refused from here on: these are now the settings, and an earlier session's report is outdated.
        self.folder.write_bytes(SETTINGS_FILE, _settings_yaml(self.settings))
        self.folder.remove("report.json")
        earlier = searcher.outcomes()
        spent = max([spent, *(outcome.elapsed for outcome in earlier)])
        limit = self.settings.seconds
        clock = SearchClock(limit, self.plan.search_seconds(limit), spent, began)
        self.progress.planned(self.folder, self.space, self.plan, clock, self.settings)
        for outcome in earlier:
            self.progress.finished(outcome)
        searcher.run(
            ShortTraining(self.trainer, self._trial_images()),
            trials=self.settings.trials,
            clock=clock,
            started=self.progress.started,
            finished=self._finished,
        )
        outcomes = searcher.outcomes()
        write_trials(self.folder, self.space.space, outcomes)
        final = self._final(self._best(searcher, outcomes), clock)
        write_report(
            self.folder, self.settings, self.trainer.pipeline, self.space, self.plan, outcomes, final, clock
        )  # fmt: skip

    def _searcher(self) -> Searcher:
        """The searcher over study.db. Raises: RunError if it cannot be used or holds another search."""
        fingerprint = {
            "budget": self.space.budget.document(),
            "space": self.space.space.model_dump(mode="json"),
            "data": self.trainer.pipeline.dataset.fingerprint,
            "seed": self.settings.seed,
            "strategy": self.settings.strategy,
            "epochs": list(self.plan.rungs.epochs),
            "images": self.plan.images,
        }
        searcher = Searcher(
            self.space,
            _study_file(self.folder),
            strategy=self.settings.strategy,
            seed=self.settings.seed,
            rungs=self.plan.rungs,
            fingerprint=fingerprint,
        )
        _require_networks(self.folder, self.space, searcher.outcomes())
        return searcher

    def _trial_images(self) -> NDArray[np.int64]:
        """Indices of the training images that trials use."""
        pipeline = self.trainer.pipeline
        return subset(pipeline.dataset, pipeline.split.train, self.plan.images, self.settings.seed)

    def _finished(self, outcome: Outcome) -> None:
        """Logs a finished trial and reports it."""
        parts = [outcome.state]
        if outcome.score is not None:
            parts.append(f"validation accuracy {outcome.score:.4f} after {outcome.epochs} epochs")
        parts += [outcome.reason] * bool(outcome.reason)
        self.folder.log(f"trial {outcome.number}: {', '.join(parts)}")
        self.progress.finished(outcome)

    def _best(self, searcher: Searcher, outcomes: list[Outcome]) -> Outcome:
        """The best trial. Raises: LightcnnError with all reasons if no trial succeeded."""
        best = searcher.best()
        if best is None:
            reasons = "; ".join(sorted({outcome.reason for outcome in outcomes if outcome.reason}))
            raise LightcnnError(
                f"run {self.folder.path}: no trial succeeded; the reasons: {reasons or 'no time for any'}"
            )
        return best

    def _final(self, outcome: Outcome, clock: SearchClock) -> Final:
        """Trains the best network from scratch on the whole training set and predicts the test set, once."""
        pipeline, sets = self.trainer.pipeline, self.trainer.pipeline.split
        candidate = self.space.inspect(outcome.shape)
        spec = candidate.spec
        epochs = self._final_epochs(outcome, clock)
        self.progress.retraining(candidate, epochs)
        recipe = Recipe(
            name=spec.name,
            data=self.settings.data,
            reading=self.settings.reading,
            seed=self.settings.seed,
            network=spec,
            augment=self.trainer.augment,
            training=default_training(epochs, len(sets.train)),
        )
        pipeline.forget()
        model, history = self.trainer.train(spec, sets.train, recipe.training, recipe.seed)
        deployed = fold(model).cpu()
        counters = {"fvcore": fvcore_total(deployed, spec.input), "thop": thop_total(deployed, spec.input)}
        predicted = {
            name: self.trainer.predict(model, indices, spec.input[1])
            for name, indices in (("val", sets.val), ("test", sets.test))
        }
        return Final(outcome, candidate, model, recipe, history, predicted, counters)

    def _final_epochs(self, outcome: Outcome, clock: SearchClock) -> int:
        """Epochs of the final training: as set or planned, but no more than the time left allows."""
        left = clock.left()
        planned = self.settings.epochs or self.plan.final_epochs
        if left is None:
            return planned
        trained = sum(outcome.scores) * len(self._trial_images())
        seconds_per_epoch = outcome.seconds / trained * len(self.trainer.pipeline.split.train)
        return min(planned, final_epochs(left, seconds_per_epoch))

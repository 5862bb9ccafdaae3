"""The whole line of `lightcnn search`: data, space, trials, the best network trained in full, the run folder."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.data.grouping.groups import grouped
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.load import load
from lightcnn.data.split import split, subset
from lightcnn.devices import pick_device
from lightcnn.engine.loop import Epoch, fit
from lightcnn.errors import LightcnnError, RunError, TrainingError
from lightcnn.inference import probabilities
from lightcnn.network import build, fold
from lightcnn.recipe import Optimisation, Reading, Recipe, default_augment, default_training
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
from lightcnn.searching.plan import Plan, SearchClock, final_epochs
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.report import Final, write_report, write_trials
from lightcnn.searching.searcher import Fidelity, Outcome, Rungs, Searcher
from lightcnn.searching.settings import PlanSettings, SearchSettings, make_settings
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec
from lightcnn.text import first_line


def search(
    budget: str,
    *,
    space: str = "micro",
    data: str = "digits",
    trials: int | None = None,
    seconds: float | None = None,
    strategy: Literal["evolution", "tpe", "random"] = "evolution",
    epochs: int | None = None,
    seed: int = 0,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    reading: Reading | None = None,
    out: str | Path | None = None,
) -> Run:
    """`lightcnn search` as a function: the finished run folder, silently. Two minutes where neither limit is given.

    Raises: InputError before any work is done; LightcnnError where no network could be trained.
    """
    settings = make_settings(
        budget=budget, space=SearchSpace.load(space), data=data, strategy=strategy, trials=trials,
        seconds=120.0 if trials is None and seconds is None else seconds, epochs=epochs, seed=seed, device=device,
        reading=reading or Reading(),
    )  # fmt: skip
    return Run(run(settings, out=out).path)


def run(
    settings: SearchSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    watcher: SearchProgress | None = None,
    began: float | None = None,
) -> RunFolder:
    """Searches as `settings` say and returns the finished run folder.

    `began` is the `time.monotonic()` that the time limit counts from, this moment if not said. With `resume`, the run
    in `out` goes on, under these settings. Raises: as `search`.
    """
    began = time.monotonic() if began is None else began
    watcher = watcher or SearchProgress()
    if resume and out is None:
        raise RunError("--resume: needs --out with the run folder to go on with")
    out = Path(out) if out is not None else RunFolder.default_path("search")
    held = RunFolder.load(out) if resume else None
    if held is None:
        RunFolder.require_free(out)
    device = pick_device(settings.device)
    dataset = load(settings.data, settings.reading, progress=watcher.reading)
    dataset = grouped(dataset, progress=watcher.reading)
    sides = split(dataset, settings.seed, settings.reading)
    space = settings.space.for_data(dataset.channels, len(dataset.classes), dataset.size)
    budgeted = BudgetedSpace(space, Budget.parse(settings.budget))
    budgeted.candidate(budgeted.first(), Random(settings.seed))
    run = held or RunFolder.create(out, "search", {"search.yaml": _text(settings)})
    with run.locked():
        bench = CandidateTrainer(Pipeline(dataset, sides, device, progress=watcher.reading), settings, watcher)
        plan, spent = _plan(run, bench, budgeted, dataset.fingerprint, began)
        return _Search(run, settings, budgeted, bench, plan, watcher).run(spent, began)


class CandidateTrainer:
    """Trains specs on one data set under one recipe."""

    def __init__(self, pipeline: Pipeline, settings: SearchSettings, watcher: SearchProgress) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.watcher = watcher
        self.augment = settings.augment or default_augment(pipeline.dataset.channels, len(pipeline.split.train))

    def train(
        self, spec: NetworkSpec, indices: NDArray[np.int64], training: Optimisation, seed: int
    ) -> tuple[nn.Module, list[Epoch]]:
        """A network trained from scratch on the images at `indices`, and its epochs."""
        size = spec.input[1]
        model = build(spec, seed).to(self.pipeline.device)
        epochs: list[Epoch] = []

        def watch(epoch: Epoch) -> None:
            epochs.append(epoch)
            self.watcher.epoch(epoch, training.epochs)

        try:
            fit(
                model,
                self.pipeline.images(indices, size),
                self.pipeline.labels(indices),
                preprocess=self.pipeline.preprocess(size),
                settings=training,
                augmentation=self.augment,
                seed=seed,
                on_epoch=watch,
            )
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise TrainingError(f"out of memory with batches of {training.batch}: {first_line(error)}") from error
        return model, epochs

    def predict(self, model: nn.Module, indices: NDArray[np.int64], size: int) -> NDArray[np.float64]:
        """Class probabilities (N, classes) of the images at `indices`."""
        return probabilities(model, self.pipeline.images(indices, size), self.pipeline.preprocess(size))

    def accuracy(self, model: nn.Module, indices: NDArray[np.int64], size: int) -> float:
        """The share of right answers on the images at `indices`."""
        return float(
            (self.predict(model, indices, size).argmax(axis=1) == self.pipeline.dataset.labels[indices]).mean()
        )


class _Search:
    """One session of one search."""

    def __init__(
        self,
        run: RunFolder,
        settings: SearchSettings,
        space: BudgetedSpace,
        bench: CandidateTrainer,
        plan: Plan,
        watcher: SearchProgress,
    ) -> None:
        self.run_folder = run
        self.settings = settings
        self.space = space
        self.bench = bench
        self.plan = plan
        self.watcher = watcher
        sides = bench.pipeline.split
        self.indices = subset(bench.pipeline.dataset, sides.train, plan.images, settings.seed)

    def run(self, spent: float, began: float) -> RunFolder:
        """Trials, final training, report."""
        settings, run = self.settings, self.run_folder
        fingerprint = {
            "budget": self.space.budget.document(),
            "space": self.space.space.model_dump(mode="json"),
            "data": self.bench.pipeline.dataset.fingerprint,
            "seed": settings.seed,
            "strategy": settings.strategy,
            "epochs": list(self.plan.rungs.epochs),
            "images": self.plan.images,
        }
        searcher = Searcher(
            self.space,
            run / "study.db",
            strategy=settings.strategy,
            seed=settings.seed,
            rungs=self.plan.rungs,
            fingerprint=fingerprint,
        )
        # Nothing can be refused any more: the settings are these now, and an earlier session's report is out of date.
        run.write_bytes("search.yaml", _text(settings))
        (run / "report.json").unlink(missing_ok=True)
        done = searcher.outcomes()
        spent = max([spent, *(outcome.elapsed for outcome in done)])
        clock = SearchClock(settings.seconds, self.plan.search_seconds(settings.seconds), spent, began)
        self.watcher.planned(run, self.space, self.plan, clock, settings)
        for outcome in done:
            self.watcher.finished(outcome)
        searcher.run(
            self._score, trials=settings.trials, clock=clock, started=self.watcher.started, finished=self._finished
        )
        outcomes = searcher.outcomes()
        write_trials(run, self.space.space, outcomes)
        best = searcher.best()
        if best is None:
            reasons = {outcome.reason for outcome in outcomes if outcome.reason}
            raise LightcnnError(
                f"run {run.path}: no trial succeeded; the reasons: {'; '.join(sorted(reasons)) or 'no time for any'}"
            )
        write_report(
            run, settings, self.bench.pipeline, self.space, self.plan, outcomes, self._final(best, clock), clock
        )
        return run

    def _score(self, candidate: Candidate, fidelity: Fidelity) -> float:
        """Validation accuracy after a short training."""
        training = default_training(fidelity.epochs, len(self.indices))
        model, _ = self.bench.train(candidate.spec, self.indices, training, fidelity.seed)
        return self.bench.accuracy(model, self.bench.pipeline.split.val, candidate.spec.input[1])

    def _finished(self, outcome: Outcome) -> None:
        score = (
            "" if outcome.score is None else f", validation accuracy {outcome.score:.4f} after {outcome.epochs} epochs"
        )
        self.run_folder.log(
            f"trial {outcome.number}: {outcome.state}{score}{', ' * bool(outcome.reason)}{outcome.reason}"
        )
        self.watcher.finished(outcome)

    def _final(self, outcome: Outcome, clock: SearchClock) -> Final:
        """The best network trained from scratch on the whole training side, and the test side looked at, once."""
        pipeline, sides = self.bench.pipeline, self.bench.pipeline.split
        candidate = self.space.inspect(outcome.shape)
        spec = candidate.spec
        epochs = self._epochs(outcome, clock)
        self.watcher.retraining(candidate, epochs)
        recipe = Recipe(
            name=spec.name,
            data=self.settings.data,
            reading=self.settings.reading,
            seed=self.settings.seed,
            network=spec,
            augment=self.bench.augment,
            training=default_training(epochs, len(sides.train)),
        )
        pipeline.forget()
        model, history = self.bench.train(spec, sides.train, recipe.training, recipe.seed)
        deployed = fold(model).cpu()
        counters = {"fvcore": fvcore_total(deployed, spec.input), "thop": thop_total(deployed, spec.input)}
        predicted = {side: self.bench.predict(model, getattr(sides, side), spec.input[1]) for side in ("val", "test")}
        return Final(outcome, candidate, model, recipe, history, predicted, counters)

    def _epochs(self, outcome: Outcome, clock: SearchClock) -> int:
        """Epochs of the final training: as asked or planned, and no more than the time left allows."""
        left = clock.left()
        wanted = self.settings.epochs or self.plan.final_epochs
        if left is None:
            return wanted
        trained = sum(outcome.scores) * len(self.indices)
        seconds_an_epoch = outcome.seconds / trained * len(self.bench.pipeline.split.train)
        return min(wanted, final_epochs(left, seconds_an_epoch))


def _text(settings: SearchSettings) -> bytes:
    """search.yaml."""
    return document.dump(settings, exclude_defaults=False).encode()


def _plan(
    run: RunFolder, bench: CandidateTrainer, space: BudgetedSpace, fingerprint: str, began: float
) -> tuple[Plan, float]:
    """The plan, and the seconds that had been spent before the first trial; made once, then read back."""
    file = run / "plan.yaml"
    if file.is_file():
        held = document.load(PlanSettings, file)
        if held.fingerprint != fingerprint:
            raise RunError(
                f"run {run.path}: the data have changed since it began (fingerprint {fingerprint[:12]}, was "
                f"{held.fingerprint[:12]}); give a fresh --out"
            )
        return Plan(held.images, Rungs(held.epochs, held.keep), held.final_epochs, held.final_seconds), held.spent
    train = len(bench.pipeline.split.train)
    seconds = bench.settings.seconds
    plan = Plan.fixed(train, bench.settings.epochs)
    if seconds is not None:
        speed = _images_a_second(bench, space)
        plan = Plan.timed(train, seconds, time.monotonic() - began, speed, bench.settings.epochs)
    spent = time.monotonic() - began
    made = PlanSettings(
        fingerprint=fingerprint,
        images=plan.images,
        epochs=plan.rungs.epochs,
        keep=plan.rungs.keep,
        final_epochs=plan.final_epochs,
        final_seconds=plan.final_seconds,
        spent=spent,
    )
    run.write_bytes("plan.yaml", document.dump(made).encode())
    return plan, 0.0


def _images_a_second(bench: CandidateTrainer, space: BudgetedSpace) -> float:
    """The speed of training on this machine, measured on the first network of the space after a warm-up."""
    silent = CandidateTrainer(bench.pipeline, bench.settings, SearchProgress())
    candidate = space.fit(space.first()) or space.inspect(space.space.smallest())
    indices = bench.pipeline.split.train[:2048]
    silent.train(candidate.spec, indices[:512], Optimisation(epochs=1), 0)
    start = time.monotonic()
    silent.train(candidate.spec, indices, Optimisation(epochs=1), 0)
    return len(indices) / (time.monotonic() - start)

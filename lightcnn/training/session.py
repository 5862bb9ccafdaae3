"""One training: its checkpoints, epochs and run folder; and an estimate of its time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import Baseline, build_network, require_weights
from lightcnn.counting.stages import network_cost
from lightcnn.devices import is_out_of_memory
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.engine.history import History, Row
from lightcnn.engine.loop import Epoch, fit
from lightcnn.engine.state import State
from lightcnn.errors import TrainingError
from lightcnn.evaluation.calibration import cross_entropy
from lightcnn.evaluation.scores import point_scores
from lightcnn.inference import probabilities
from lightcnn.network import Network
from lightcnn.output.report import report_head
from lightcnn.run_folder import RunFolder
from lightcnn.teacher import TeacherRun
from lightcnn.text import first_line
from lightcnn.training.progress import SILENT, TrainingProgress
from lightcnn.training.report.predictions import FinishedTraining
from lightcnn.training.report.report import write_metrics, write_report
from lightcnn.training.resume import require_same_recipe
from lightcnn.training.settings import TrainSettings
from lightcnn.training.setup import TrainingSetup

MEASURED_STEPS = 4
"""Batches that an estimate of the time is measured on."""
MAX_LISTED = 3
"""Files of a batch that an error lists."""


def train_one(
    setup: TrainingSetup,
    path: Path,
    resumed: RunFolder | None = None,
    *,
    progress: TrainingProgress = SILENT,
    started: float | None = None,
    settings: TrainSettings | None = None,
    time_limit: float | None = None,
) -> RunFolder:
    """Trains into the new folder `path`, or continues the run in `resumed`.

    `started`: when the command started, by `time.monotonic`. `settings` are written into a new folder.
    After the first epoch, none begins that would end later than `time_limit`, in seconds of all sessions.

    Raises: RunError if the folder cannot be used, TrainingError if the loss diverged or memory or disk space ran out.
    """
    if resumed is not None:
        require_same_recipe(resumed, setup.recipe, setup.pipeline.document())
    continues = resumed is not None and Checkpoints(resumed / "checkpoints").exist()
    # Built before the run folder is made: if weights cannot be loaded, no folder is left behind.
    model = build_network(setup.recipe.network, setup.recipe.seed, pretrained=not continues)
    run = resumed or RunFolder.create(path, "train", setup.files(settings))
    with run.locked():
        return _Training(run, setup, model, progress, started or time.monotonic(), time_limit).run()


class _Training:
    """One session of one training."""

    def __init__(
        self,
        run: RunFolder,
        setup: TrainingSetup,
        model: nn.Module,
        progress: TrainingProgress,
        started: float,
        time_limit: float | None,
    ) -> None:
        self.run_folder = run
        self.setup = setup
        self.progress = progress
        self.settings = setup.recipe.training
        self.started = started
        self.time_limit = time_limit
        self.model = model.to(setup.pipeline.device)
        self.state = State(self.model, self.settings, len(setup.pipeline.split.train))
        self.checkpoints = Checkpoints(run / "checkpoints")
        self.history = self.checkpoints.load(self.state)
        if not self.history.epoch:
            self.history = History(first_weights=first_weights(model))
        self.earlier_seconds = self.history.seconds

    def run(self) -> RunFolder:
        """Trains the remaining epochs, evaluates the test set once, and writes the report."""
        run, setup, epochs = self.run_folder, self.setup, self.history.epoch
        self.progress.planned(run, setup.recipe, setup.pipeline.document(), self.history)
        run.log(
            f"training resumes after epoch {epochs}" if epochs else f"training starts with {self.history.first_weights}"
        )
        run.remove("report.json")
        if not self._is_over():
            self._fit()
        self.progress.finishing()
        best = self.state.judged
        best.load_state_dict(dict(self.checkpoints.best(self.state)))
        predicted = {split_name: setup.predict(best, split_name) for split_name in ("val", "test")}
        training = FinishedTraining(setup.recipe, best, self.history, predicted, self._seconds())
        write_report(run, setup.pipeline, training)
        self.progress.reported(run)
        run.log(f"finished: the best epoch was {self.history.best}")
        return run

    def _fit(self) -> None:
        setup, train, batch = self.setup, self.setup.pipeline.split.train, self.settings.batch
        lessons = setup.lessons(self.run_folder, self.progress.reading)
        try:
            fit(
                self.model,
                setup.pipeline.images(train, setup.size),
                setup.pipeline.labels(train),
                preprocess=setup.preprocess,
                settings=self.settings,
                augmentation=setup.recipe.augment,
                seed=setup.recipe.seed,
                lessons=lessons,
                state=self.state,
                on_epoch=self._end_epoch,
                on_batch=self.progress.stepped,
                describe_batch=self._describe_batch,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            half, accumulate = max(2, batch // 2), 2 * self.settings.accumulate
            raise TrainingError(
                f"out of memory with batches of {batch}: {first_line(error)}; try batches of {half}, and accumulate "
                f"twice as many so that optimizer steps stay the same: --set training.batch={half} "
                f"--set training.accumulate={accumulate}"
            ) from error

    def _end_epoch(self, epoch: Epoch) -> None:
        """Validates the network and writes everything to disk before the next epoch starts."""
        row = self._validated(epoch)
        self.history = self.history.after(row, self.settings, self._seconds())
        self.state.schedule.observe(self.history.since)
        self.state.stopped = self._is_over()
        self.checkpoints.save(self.state, self.history)
        write_metrics(self.run_folder, self.history)
        self.run_folder.log(
            f"epoch {row.epoch}: loss {row.loss:.4f}, validation loss {row.val_loss:.4f}, "
            f"accuracy {row.val_accuracy:.4f}"
        )
        self.progress.epoch(self.history)

    def _is_over(self) -> bool:
        """Whether no more epochs are trained: by the settings, or because the next one would end too late."""
        epochs = self.history.epoch
        if epochs and self.time_limit is not None and self._seconds() * (epochs + 1) / epochs > self.time_limit:
            return True
        return self.history.ended(self.settings)

    def _validated(self, epoch: Epoch) -> Row:
        """The epoch with its validation metrics. Raises: TrainingError if a probability is not finite."""
        pipeline = self.setup.pipeline
        labels = pipeline.dataset.labels[pipeline.split.val]
        predicted = self.setup.predict(self.state.judged, "val")
        if not np.isfinite(predicted).all():
            raise TrainingError(
                f"the network predicts {predicted[~np.isfinite(predicted)][0]} on the validation set after epoch "
                f"{epoch.number}; lower training.learning_rate, or clip gradients with training.clip_norm=1"
            )
        metrics = point_scores(labels, predicted)
        return Row(
            epoch=epoch.number,
            loss=epoch.loss,
            learning_rate=epoch.learning_rate,
            seconds=epoch.seconds,
            val_loss=cross_entropy(labels, predicted),
            val_accuracy=metrics["accuracy"],
            val_balanced_accuracy=metrics["balanced_accuracy"],
            val_f1=metrics["f1"],
            val_auc=metrics["auc"],
        )

    def _describe_batch(self, batch: NDArray[np.int64]) -> str:
        """The first files of a batch, given as indices into the training set, and the number of the others."""
        pipeline = self.setup.pipeline
        paths: Sequence[str] = [pipeline.dataset.paths[i] for i in pipeline.split.train[batch[:MAX_LISTED]]]
        return ", ".join(paths) + (f" and {len(batch) - MAX_LISTED} more" if len(batch) > MAX_LISTED else "")

    def _seconds(self) -> float:
        """Seconds of all sessions so far."""
        return self.earlier_seconds + time.monotonic() - self.started


def first_weights(model: nn.Module) -> str:
    """The weights that a training starts from, in words."""
    if isinstance(model, Baseline):
        return model.note
    return "random weights" if isinstance(model, Network) else "the weights of the module as given"


def estimate(setup: TrainingSetup) -> dict[str, Any]:
    """The document of `--dry-run`: the training, and its time, measured on a few batches.

    Raises: InputError if its weights cannot be loaded.
    """
    pipeline, recipe = setup.pipeline, setup.recipe
    few = pipeline.split.train[: MEASURED_STEPS * recipe.training.batch]
    settings = recipe.training.model_copy(update={"epochs": 1})
    require_weights(recipe.network)
    # A weights file is read, so that one that does not fit is reported now; nothing is downloaded.
    from_file = isinstance(recipe.network, BaselineSpec) and recipe.network.weights != "timm"
    model = build_network(recipe.network, recipe.seed, pretrained=from_file).to(pipeline.device)

    def timed_fit(indices: NDArray[np.int64]) -> float:
        start = time.perf_counter()
        fit(
            model, pipeline.images(indices, setup.size), pipeline.labels(indices), preprocess=setup.preprocess,
            settings=settings, augmentation=recipe.augment, seed=recipe.seed,
        )  # fmt: skip
        return time.perf_counter() - start

    timed_fit(few[: recipe.training.batch])
    speed = len(few) / timed_fit(few)
    start = time.perf_counter()
    some = pipeline.split.val[: len(few)]
    probabilities(model, pipeline.images(some, setup.size), setup.preprocess)
    validation = (time.perf_counter() - start) / len(some)
    counts, epochs = pipeline.split.counts(), recipe.training.epochs
    seconds = epochs * (counts["train"] / speed + counts["val"] * validation) + counts["test"] * validation
    seconds += counts["train"] * _teacher_seconds(setup, few)
    return {
        **report_head("train", seed=recipe.seed, data=pipeline.document()),
        "dry_run": True,
        "network": {"cost": network_cost(recipe.network, model)},
        "epochs": epochs,
        "device": str(pipeline.device),
        "estimate": {"seconds": round(seconds, 3), "images_per_second": round(speed, 1)},
        "recipe": recipe.model_dump(mode="json"),
    }


def _teacher_seconds(setup: TrainingSetup, few: NDArray[np.int64]) -> float:
    """Seconds in which a teacher predicts one image, measured on a few; 0 without one, or if its predictions exist."""
    if not isinstance(setup.teacher, TeacherRun):
        return 0.0
    return setup.teacher.seconds(setup.pipeline.dataset, few)

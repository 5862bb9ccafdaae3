"""One training: its checkpoints, its epochs, its run folder; and how long it would take."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import Baseline, build_network
from lightcnn.counting.stages import network_cost
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.engine.history import History, Row
from lightcnn.engine.loop import Epoch, fit
from lightcnn.engine.state import State
from lightcnn.errors import RunError, TrainingError
from lightcnn.evaluation.calibration import cross_entropy
from lightcnn.evaluation.scores import points
from lightcnn.inference import probabilities
from lightcnn.network import Network
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line
from lightcnn.training.progress import TrainingProgress
from lightcnn.training.recipe_argument import differences
from lightcnn.training.report.report import Finished, write_metrics, write_report
from lightcnn.training.setup import TrainingSetup
from lightcnn.version import __version__

MEASURED = 4
"""Steps that an estimate of the time is measured on."""
SHOWN = 3
"""Files of a batch, and differences between recipes, that an error names."""


def train_one(
    bench: TrainingSetup,
    path: Path,
    held: RunFolder | None = None,
    *,
    progress: TrainingProgress | None = None,
    began: float | None = None,
) -> RunFolder:
    """Trains what is on the bench into a fresh folder, or goes on in one that is `held`. Raises: as `job.train`."""
    if held is not None:
        require_same_recipe(held, bench.recipe, bench.pipeline.document())
    begun = held is not None and Checkpoints(held / "checkpoints").exist()
    # Before the run folder is made: weights that cannot be had leave none behind.
    model = build_network(bench.recipe.network, bench.recipe.seed, pretrained=not begun)
    run = held or RunFolder.create(path, "train", bench.files())
    with run.locked():
        return _Training(run, bench, model, progress or TrainingProgress(), began or time.monotonic()).run()


def require_same_recipe(held: RunFolder, recipe: Recipe, data: Mapping[str, Any]) -> None:
    """Raises: RunError where a run was begun with another recipe or on other data (the `data` of report.json)."""
    if not (held / "data.json").is_file():
        raise RunError(f"run {held.path}: not a training; --resume goes on with what `lightcnn train` began")
    other = differences(document.load(Recipe, held / "recipe.yaml"), recipe)
    if other:
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        raise RunError(
            f"--resume: {held.path} was begun with another recipe ({'; '.join(other[:SHOWN])}{more}); leave RECIPE and "
            "the options out, or give a fresh --out"
        )
    was, now = _data_of(held), data
    if was.get("fingerprint") != now["fingerprint"]:
        told = [f"{name} {was.get(name)} there, {now[name]} here" for name in ("counts", "classes")
                if was.get(name) != now[name]]  # fmt: skip
        raise RunError(
            f"--resume: the data of {held.path} have changed since it began (fingerprint "
            f"{str(was.get('fingerprint'))[:12]} there, {now['fingerprint'][:12]} here"
            f"{''.join(f'; {one}' for one in told)}); give a fresh --out"
        )


def _data_of(held: RunFolder) -> dict[str, Any]:
    try:
        data: dict[str, Any] = dict(json.loads((held / "data.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        raise RunError(f"run {held.path}: data.json is damaged; begin anew with a fresh --out") from None
    return data


class _Training:
    """One session of one training."""

    def __init__(
        self, run: RunFolder, bench: TrainingSetup, model: Network | Baseline, progress: TrainingProgress, began: float
    ) -> None:
        self.run_folder = run
        self.bench = bench
        self.progress = progress
        self.settings = bench.recipe.training
        self.began = began
        sides = bench.pipeline.split
        self.model = model.to(bench.pipeline.device)
        self.state = State(self.model, self.settings, len(sides.train))
        self.checkpoints = Checkpoints(run / "checkpoints")
        self.history = self.checkpoints.load(self.state)
        if not self.history.epoch:
            self.history = History(first_weights=first_weights(model))
        self.spent = self.history.seconds

    def run(self) -> RunFolder:
        """The epochs that are left, then the test side, once, and the report."""
        run, bench = self.run_folder, self.bench
        self.progress.planned(run, bench.recipe, bench.pipeline.document(), self.history)
        went_on = f"training, {self.history.epoch} epochs are done"
        run.log(went_on if self.history.epoch else f"training begins with {self.history.first_weights}")
        (run / "report.json").unlink(missing_ok=True)
        if not self.history.ended(self.settings):
            self._fit()
        self.progress.finishing()
        best = self.state.judged
        best.load_state_dict(dict(self.checkpoints.best(self.state)))
        predicted = {side: bench.predict(best, side) for side in ("val", "test")}
        write_report(run, bench.pipeline, Finished(bench.recipe, best, self.history, predicted, self._seconds()))
        run.log(f"finished: the best epoch was {self.history.best}")
        return run

    def _fit(self) -> None:
        pipeline, train = self.bench.pipeline, self.bench.pipeline.split.train
        batch = self.settings.batch
        try:
            fit(
                self.model,
                pipeline.images(train, self.bench.size),
                pipeline.labels(train),
                preprocess=self.bench.preprocess,
                settings=self.settings,
                augmentation=self.bench.recipe.augment,
                seed=self.bench.recipe.seed,
                teacher=self.bench.teacher,
                state=self.state,
                on_epoch=self._epoch,
                on_batch=self.progress.stepped,
                describe_batch=self._named,
            )
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            half, times = max(2, batch // 2), self.settings.accumulate
            raise TrainingError(
                f"out of memory with batches of {batch}: {first_line(error)}; {half} should fit, and with "
                f"twice the batches a step the steps stay: --set training.batch={half} "
                f"--set training.accumulate={2 * times}"
            ) from error

    def _epoch(self, epoch: Epoch) -> None:
        """Validates, judges, and writes everything down before the next epoch begins."""
        row = self._validated(epoch)
        self.history = self.history.after(row, self.settings, self._seconds())
        self.state.schedule.observe(self.history.since)
        self.state.stopped = self.history.ended(self.settings)
        self.checkpoints.save(self.state, self.history)
        write_metrics(self.run_folder, self.history)
        self.run_folder.log(
            f"epoch {row.epoch}: loss {row.loss:.4f}, validation loss {row.val_loss:.4f}, "
            f"accuracy {row.val_accuracy:.4f}"
        )
        self.progress.epoch(self.history)

    def _validated(self, epoch: Epoch) -> Row:
        pipeline = self.bench.pipeline
        labels = pipeline.dataset.labels[pipeline.split.val]
        predicted = self.bench.predict(self.state.judged, "val")
        if not np.isfinite(predicted).all():
            raise TrainingError(
                f"the network answers with {predicted[~np.isfinite(predicted)][0]} on the validation side after epoch "
                f"{epoch.number}; lower training.learning_rate, or limit steps with training.clip_norm=1"
            )
        found = points(labels, predicted)
        return Row(
            epoch=epoch.number,
            loss=epoch.loss,
            learning_rate=epoch.learning_rate,
            seconds=epoch.seconds,
            val_loss=cross_entropy(labels, predicted),
            val_accuracy=found["accuracy"],
            val_balanced_accuracy=found["balanced_accuracy"],
            val_f1=found["f1"],
            val_auc=found["auc"],
        )

    def _named(self, batch: NDArray[np.int64]) -> str:
        """The first files of a batch, given as places in the training side, and how many more there are."""
        pipeline = self.bench.pipeline
        paths: Sequence[str] = [pipeline.dataset.paths[i] for i in pipeline.split.train[batch[:SHOWN]]]
        return ", ".join(paths) + (f" and {len(batch) - SHOWN} more" if len(batch) > SHOWN else "")

    def _seconds(self) -> float:
        """Of all sessions so far."""
        return self.spent + time.monotonic() - self.began


def first_weights(model: Network | Baseline) -> str:
    """Where a training begins."""
    return model.note if isinstance(model, Baseline) else "random weights"


def estimate(bench: TrainingSetup) -> dict[str, Any]:
    """The `--dry-run` document: what the training would be, and its time, measured on a few steps."""
    pipeline, recipe = bench.pipeline, bench.recipe
    few = pipeline.split.train[: MEASURED * recipe.training.batch]
    settings = recipe.training.model_copy(update={"epochs": 1})
    # A file of weights is read, so that one that does not fit is told now; nothing is fetched.
    held = isinstance(recipe.network, BaselineSpec) and recipe.network.weights != "timm"
    model = build_network(recipe.network, recipe.seed, pretrained=held).to(pipeline.device)

    def timed_fit(indices: NDArray[np.int64]) -> float:
        begin = time.perf_counter()
        fit(
            model, pipeline.images(indices, bench.size), pipeline.labels(indices), preprocess=bench.preprocess,
            settings=settings, augmentation=recipe.augment, seed=recipe.seed, teacher=bench.teacher,
        )  # fmt: skip
        return time.perf_counter() - begin

    timed_fit(few[: recipe.training.batch])
    speed = len(few) / timed_fit(few)
    begin = time.perf_counter()
    some = pipeline.split.val[: len(few)]
    probabilities(model, pipeline.images(some, bench.size), bench.preprocess)
    validation = (time.perf_counter() - begin) / len(some)
    counts, epochs = pipeline.split.counts(), recipe.training.epochs
    seconds = epochs * (counts["train"] / speed + counts["val"] * validation) + counts["test"] * validation
    return {
        "lightcnn": __version__,
        "command": "train",
        "dry_run": True,
        "seed": recipe.seed,
        "data": pipeline.document(),
        "network": {"cost": network_cost(recipe.network, model)},
        "epochs": epochs,
        "device": str(pipeline.device),
        "estimate": {"seconds": round(seconds, 3), "images_per_second": round(speed, 1)},
        "recipe": recipe.model_dump(mode="json"),
    }


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what an error means; on the CPU torch says it in words only."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)

"""What a training works on: a recipe with every value, its data on a device, and its teacher. All that can be refused
is refused here, before any work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import pretrained_statistics
from lightcnn.cost import idle_strides
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import grouped
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, split
from lightcnn.devices import pick_device
from lightcnn.engine.distillation import Teacher
from lightcnn.errors import DataMissing, InputError
from lightcnn.evaluation.predictions import read_predictions
from lightcnn.inference import probabilities
from lightcnn.recipe import Reading, Recipe
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork
from lightcnn.training.progress import TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft

STAND_IN_SOURCE = "synthetic-lesions"
"""What a recipe learns from where its data set is not on this machine."""
OF_RUN = ("report.json", "environment.json", "predictions.csv")
"""Files that tell a finished training's folder."""


@dataclass(frozen=True)
class TrainingSetup:
    """A recipe with every value, its data on a device, and its teacher, if it has one."""

    recipe: Recipe
    pipeline: Pipeline
    teacher: Teacher | None

    @property
    def size(self) -> int:
        """Of the network's input."""
        return self.recipe.network.input[1]

    @property
    def preprocess(self) -> Preprocess:
        """The rule of preparing an image for the network."""
        return self.pipeline.preprocess(self.size)

    def predict(self, model: nn.Module, side: str) -> NDArray[np.float64]:
        """Class probabilities (N, classes) of a side."""
        indices = getattr(self.pipeline.split, side)
        return probabilities(model, self.pipeline.images(indices, self.size), self.preprocess)

    @property
    def read(self) -> tuple[str, Dataset]:
        """What was read, for another bench."""
        return self.recipe.data, self.pipeline.dataset

    def files(self) -> dict[str, bytes]:
        """What a run folder begins with."""
        data = self.pipeline.document()
        text = document.dump(self.recipe, stand_in_warning(data), exclude_defaults=False)
        return {"recipe.yaml": text.encode(), "data.json": json_bytes(data)}

    def repeated(self, seed: int, reading: Reading) -> TrainingSetup:
        """The same with another seed and split; the images are not read again."""
        recipe = self.recipe.model_copy(update={"seed": seed, "reading": reading})
        pipeline = self.pipeline.resplit(split(self.pipeline.dataset, seed, reading))
        _require_fit(recipe, pipeline.dataset, len(pipeline.split.train))
        _require_unseen(recipe, pipeline.dataset, pipeline.split)
        return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline))


def prepare(
    given: RecipeDraft,
    device: str = "auto",
    progress: TrainingProgress | None = None,
    *,
    read: tuple[str, Dataset] | None = None,
) -> TrainingSetup:
    """Reads and splits the data and holds the recipe against them. Raises: InputError.

    `read`: the source and its data, where another bench has read them.
    """
    progress, place = progress or TrainingProgress(), pick_device(device)
    source, dataset = read or _read(given.recipe, progress)
    sides = split(dataset, given.recipe.seed, given.recipe.reading)
    recipe = given.resolved(source, dataset.channels, len(sides.train))
    _require_fit(recipe, dataset, len(sides.train))
    unknown = _require_unseen(recipe, dataset, sides)
    dataset = replace(dataset, note="; ".join(filter(None, [dataset.note, *unknown])))
    pipeline = Pipeline(dataset, sides, place, recipe.preprocess, progress.reading, normalised=_expected(recipe))
    return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline))


def _read(recipe: Recipe, progress: TrainingProgress) -> tuple[str, Dataset]:
    """The data and their source: a stand-in where a named set is missing and the recipe allows one."""
    try:
        return recipe.data, grouped(load(recipe.data, recipe.reading, progress=progress.reading),
                                    progress=progress.reading)  # fmt: skip
    except DataMissing as missing:
        if recipe.reading.require_data:
            raise
        classes = recipe.network.classes
        source = STAND_IN_SOURCE if classes == 2 else f"{STAND_IN_SOURCE}:classes={classes}"
        dataset = grouped(load(source, recipe.reading, progress=progress.reading), progress=progress.reading)
        note = f"{dataset.note}; asked for was {recipe.data}: {missing}"
        return source, replace(dataset, note=note)


def _require_fit(recipe: Recipe, dataset: Dataset, images: int) -> None:
    """Raises: InputError where the network or the training cannot be that of these data."""
    network, training = recipe.network, recipe.training
    channels, height, width = network.input
    classes = len(dataset.classes)
    if network.classes != classes:
        raise InputError(
            f"network.classes: {network.classes}, but data {dataset.source} has {classes} classes; "
            f"--set network.classes={classes}"
        )
    if channels != dataset.channels:
        raise InputError(
            f"network.input: {channels} channels, but the images of data {dataset.source} have {dataset.channels}; "
            f"--set network.input=[{dataset.channels},{height},{width}]"
        )
    if height != width:
        raise InputError(
            f"network.input: {height}×{width}, but images are brought to squares; "
            f"--set network.input=[{channels},{height},{height}]"
        )
    if isinstance(network, NetworkSpec) and idle_strides(network):
        raise InputError(
            f"network.input: {height}×{width} is one pixel before the last stride; use a larger input or fewer halvings"
        )
    if training.batch > images:
        raise InputError(
            f"training.batch: {training.batch} images, but the training side of data {dataset.source} has {images}; "
            f"--set training.batch={max(2, images // 4)}"
        )
    if isinstance(training.class_weights, dict) and training.class_weights.keys() != set(dataset.classes):
        odd = sorted(training.class_weights.keys() ^ set(dataset.classes))[0]
        lacks = odd in dataset.classes
        raise InputError(
            f"training.class_weights: class {odd!r} {'has no weight' if lacks else 'is not in the data'}; give one for "
            f"each of {', '.join(dataset.classes[:20])}"
        )


def _expected(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation that pretrained weights were made with; None for random ones. Raises: InputError."""
    if not isinstance(recipe.network, BaselineSpec):
        return None
    weights = recipe.network.weights
    if weights not in ("none", "timm") and not Path(weights).is_file():
        # A resume does not read them, but images are normalised by what stands beside them.
        raise InputError(f"network.weights: {weights}: no such file")
    found = pretrained_statistics(recipe.network)
    return None if found is None else (found.mean, found.deviation)


def _teacher(recipe: Recipe, pipeline: Pipeline) -> Teacher | None:
    """Raises: RunError where it cannot be read, InputError where it knows other classes."""
    if recipe.distill is None:
        return None
    teacher = TrainedNetwork.load(recipe.distill.teacher, device=pipeline.device.type)
    own = teacher.preprocess
    classes = pipeline.dataset.classes
    if own.classes != classes:
        raise InputError(
            f"distill.teacher {recipe.distill.teacher}: knows the classes {', '.join(own.classes[:20])}, but data "
            f"{pipeline.dataset.source} has {', '.join(classes[:20])}; give one that was trained on the same classes"
        )
    return Teacher(teacher.model, own, pipeline.preprocess(recipe.network.input[1]), recipe.distill)


def upstream_runs(recipe: Recipe) -> dict[str, RunFolder]:
    """The runs whose networks a recipe builds upon, by the key that names each: a teacher, and pretrained weights."""
    found = {"distill.teacher": recipe.distill.teacher} if recipe.distill else {}
    weights = getattr(recipe.network, "weights", "none")
    beside = Path(weights).parent
    if weights not in ("none", "timm") and all((beside / name).is_file() for name in OF_RUN):
        found["network.weights"] = str(beside)
    return {key: RunFolder.load(path) for key, path in found.items()}


def _require_unseen(recipe: Recipe, dataset: Dataset, sides: Split) -> list[str]:
    """What is not known of forerunners that learned from other data.

    Raises: InputError where one has learned from images of the test side, which would flatter what is built upon it.
    """
    return [_unknown(key, run, dataset, sides) for key, run in upstream_runs(recipe).items()]


def _unknown(key: str, run: RunFolder, dataset: Dataset, sides: Split) -> str:
    """Of one forerunner; nothing where it has seen no image of the test side."""
    data = run.report["data"] or {}
    if data.get("fingerprint") != dataset.fingerprint:
        return f"{key} learned from {data.get('source')}: whether images of this test side were there is not known"
    tested = {row["path"] for row in read_predictions(run) if row["split"] == "test"}
    known = [dataset.paths[index] for index in sides.test if dataset.paths[index] not in tested]
    if known:
        raise InputError(
            f"{key} {run.path}: has learned from {len(known):,} of the {len(sides.test):,} test images "
            f"({known[0]}); train it on the same split: with the same seed and options of reading"
        )
    return ""


def stand_in_warning(data: Mapping[str, Any]) -> str:
    """What stands over everything that was made with a stand-in; nothing otherwise. `data` is that of report.json."""
    return "STAND-IN DATA, drawn by code: nothing here tells anything about patients" if data["stand_in"] else ""

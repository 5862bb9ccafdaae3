"""What a training works on: a complete recipe, its data on a device, and its teacher.

Everything that can be wrong with them is checked here, before any work is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from lightcnn.data.files.intensity import OWN_SCALE
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import default_positive, in_order, with_positive
from lightcnn.data.preprocess import Preprocess, read_preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.split import Split, make_split
from lightcnn.devices import pick_device
from lightcnn.engine.distillation import Teacher
from lightcnn.errors import DataMissing, InputError
from lightcnn.evaluation.predictions import read_predictions
from lightcnn.inference import probabilities
from lightcnn.output.caveats import STAND_IN_HEADING
from lightcnn.recipe import Reading, Recipe
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork
from lightcnn.training.progress import SILENT, TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft
from lightcnn.training.settings import TrainSettings

STAND_IN_SOURCE = "synthetic-lesions"
"""The data that a recipe is trained on if its data set is missing on this machine."""
FINISHED_RUN_FILES = ("report.json", "environment.json", "predictions.csv")
"""Files by which the folder of a finished training is recognised."""
MAX_LISTED = 20
"""Class names that an error lists."""


@dataclass(frozen=True)
class TrainingSetup:
    """A complete recipe, its data on a device, and its teacher, if any."""

    recipe: Recipe
    pipeline: Pipeline
    teacher: Teacher | None

    @property
    def size(self) -> int:
        """Height and width of the network's input in pixels."""
        return self.recipe.network.input[1]

    @property
    def preprocess(self) -> Preprocess:
        """How an image is prepared for the network."""
        return self.pipeline.preprocess(self.size)

    def predict(self, model: nn.Module, split_name: str) -> NDArray[np.float64]:
        """Class probabilities (N, classes) of the images of one set: "train", "val" or "test"."""
        indices = getattr(self.pipeline.split, split_name)
        return probabilities(model, self.pipeline.images(indices, self.size), self.preprocess)

    @property
    def read(self) -> tuple[str, Dataset]:
        """The source and the data set that was read from it, for another setup."""
        return self.recipe.data, self.pipeline.dataset

    def files(self, settings: TrainSettings | None = None) -> dict[str, bytes]:
        """The first files of a run folder."""
        return first_files(self.recipe, self.pipeline.document(), settings)

    def repeated(self, seed: int, reading: Reading) -> TrainingSetup:
        """The same with another seed and split; the images are not read again. Raises: InputError."""
        reading = reading.model_copy(update={"positive": self.recipe.reading.positive})
        recipe = self.recipe.model_copy(update={"seed": seed, "reading": reading})
        pipeline = self.pipeline.with_split(make_split(self.pipeline.dataset, seed, reading))
        _require_fit(recipe, pipeline.dataset, len(pipeline.split.train))
        _require_unseen(recipe, pipeline.dataset, pipeline.split)
        return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline))


def prepare(
    draft: RecipeDraft,
    device: str = "auto",
    progress: TrainingProgress = SILENT,
    *,
    read: tuple[str, Dataset] | None = None,
) -> TrainingSetup:
    """Reads and splits the data and checks the recipe against them.

    `read`: the source and its data set, if another setup has read them. Raises: InputError.
    """
    torch_device = pick_device(device)
    source, dataset = read or _read(draft, progress)
    parts = make_split(dataset, draft.recipe.seed, draft.recipe.reading)
    positive = dataset.classes[1] if len(dataset.classes) == 2 else None
    recipe = draft.resolved(source, dataset.channels, len(parts.train), positive)
    _require_fit(recipe, dataset, len(parts.train))
    unknown = _require_unseen(recipe, dataset, parts)
    dataset = replace(dataset, note="; ".join(filter(None, [dataset.note, *unknown])))
    statistics = _pretrained_statistics(recipe)
    pipeline = Pipeline(dataset, parts, torch_device, recipe.preprocess, progress.reading, normalised=statistics)
    return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline))


def first_files(recipe: Recipe, data: Mapping[str, Any], settings: TrainSettings | None) -> dict[str, bytes]:
    """recipe.yaml, data.json and, with settings, train.yaml. `data` is that of report.json."""
    header = stand_in_warning(data)
    text = document.dump(recipe, header, exclude_defaults=False)
    files = {"recipe.yaml": text.encode(), "data.json": json_bytes(data)}
    return files | (settings.file(header) if settings else {})


def _read(draft: RecipeDraft, progress: TrainingProgress) -> tuple[str, Dataset]:
    """The data and their source: a stand-in if the data set is missing and the recipe allows it. Raises: DataError."""
    recipe = draft.recipe
    try:
        dataset = find_groups(load(recipe.data, recipe.reading, progress=progress.reading), progress=progress.reading)
    except DataMissing as missing:
        if recipe.reading.require_data:
            raise
        source, dataset = _stand_in(recipe, missing, progress)
        return source, _with_default_positive(dataset, draft)
    return recipe.data, dataset if recipe.reading.positive else _with_default_positive(dataset, draft)


def _stand_in(recipe: Recipe, missing: DataMissing, progress: TrainingProgress) -> tuple[str, Dataset]:
    """Synthetic images with as many classes as the network, and their source."""
    classes, reading = recipe.network.classes, recipe.reading.model_copy(update={"positive": None})
    source = STAND_IN_SOURCE if classes == 2 else f"{STAND_IN_SOURCE}:classes={classes}"
    dataset = find_groups(load(source, reading, progress=progress.reading), progress=progress.reading)
    note = f"{dataset.note}; the recipe names {recipe.data}: {missing}"
    return source, replace(dataset, note=note)


def _with_default_positive(dataset: Dataset, draft: RecipeDraft) -> Dataset:
    """Two classes in the order of the run that is resumed, else of the teacher, else as their names suggest."""
    if len(dataset.classes) != 2:
        return dataset
    order: Sequence[str] = draft.classes
    teacher = draft.recipe.distill and Path(draft.recipe.distill.teacher) / "preprocess.json"
    if not order and teacher and teacher.is_file():
        order = read_preprocess(teacher).classes
    if sorted(order) == sorted(dataset.classes):
        return in_order(dataset, order)
    return with_positive(dataset, default_positive(dataset.classes))


def _require_fit(recipe: Recipe, dataset: Dataset, images: int) -> None:
    """Raises: InputError if the network or the training does not fit the data set and its `images` training images."""
    _require_network_fits(recipe, dataset)
    training = recipe.training
    if training.batch > images:
        raise InputError(
            f"training.batch: {training.batch} images, but the training set of data {dataset.source} has {images}; "
            f"--set training.batch={max(2, images // 4)}"
        )
    if isinstance(training.class_weights, dict) and training.class_weights.keys() != set(dataset.classes):
        wrong = sorted(training.class_weights.keys() ^ set(dataset.classes))[0]
        missing = wrong in dataset.classes
        raise InputError(
            f"training.class_weights: class {wrong!r} {'has no weight' if missing else 'is not in the data'}; give "
            f"a weight for each of {', '.join(dataset.classes[:MAX_LISTED])}"
        )


def _require_network_fits(recipe: Recipe, dataset: Dataset) -> None:
    network, classes = recipe.network, len(dataset.classes)
    channels, height, width = network.input
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
            f"network.input: {height}×{width}, but images are resized to squares; "
            f"--set network.input=[{channels},{height},{height}]"
        )
    if isinstance(network, NetworkSpec) and idle_strides(network):
        raise InputError(
            f"network.input: {height}×{width} is one pixel before the last stride; use a larger input or fewer strides"
        )


def _pretrained_statistics(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation that pretrained weights expect; None for random weights. Raises: InputError."""
    if not isinstance(recipe.network, BaselineSpec):
        return None
    weights = recipe.network.weights
    if weights not in ("none", "timm") and not Path(weights).is_file():
        # A resumed run does not read the weights, but normalises images with the statistics in their folder.
        raise InputError(f"network.weights: {weights}: no such file")
    statistics = pretrained_statistics(recipe.network)
    return None if statistics is None else (statistics.mean, statistics.deviation)


def _teacher(recipe: Recipe, pipeline: Pipeline) -> Teacher | None:
    """The teacher of a recipe. Raises: RunError if it cannot be read, InputError if it has other classes."""
    if recipe.distill is None:
        return None
    teacher = TrainedNetwork.load(recipe.distill.teacher, device=pipeline.device.type)
    classes = pipeline.dataset.classes
    if teacher.preprocess.classes != classes:
        raise InputError(
            f"distill.teacher {recipe.distill.teacher}: knows the classes "
            f"{', '.join(teacher.preprocess.classes[:MAX_LISTED])}, but data {pipeline.dataset.source} has "
            f"{', '.join(classes[:MAX_LISTED])}; choose a teacher that was trained on the same classes"
        )
    scale = pipeline.dataset.scale or OWN_SCALE
    if not scale.agrees(teacher.preprocess.scale):
        raise InputError(
            f"distill.teacher {recipe.distill.teacher}: scales images with more than 8 bits per channel differently "
            f"from data {pipeline.dataset.source} ({scale}); train the teacher again on these data"
        )
    student = pipeline.preprocess(recipe.network.input[1])
    return Teacher(teacher.model, teacher.preprocess, student, recipe.distill)


def upstream_runs(recipe: Recipe) -> dict[str, RunFolder]:
    """The runs whose networks a recipe uses, by the key that names each: a teacher, and pretrained weights."""
    paths = {"distill.teacher": recipe.distill.teacher} if recipe.distill else {}
    weights = getattr(recipe.network, "weights", "none")
    folder = Path(weights).parent
    if weights not in ("none", "timm") and all((folder / name).is_file() for name in FINISHED_RUN_FILES):
        paths["network.weights"] = str(folder)
    return {key: RunFolder.load(path) for key, path in paths.items()}


def _require_unseen(recipe: Recipe, dataset: Dataset, parts: Split) -> list[str]:
    """Notes on upstream runs with other data, of which it is unknown what they were trained on.

    Raises: InputError if an upstream run was trained on images of the test set, which would inflate the scores.
    """
    return [_require_run_unseen(key, run, dataset, parts) for key, run in upstream_runs(recipe).items()]


def _require_run_unseen(key: str, run: RunFolder, dataset: Dataset, parts: Split) -> str:
    data = run.report["data"] or {}
    if data.get("fingerprint") != in_order(dataset, data.get("classes") or ()).fingerprint:
        return f"{key} was trained on {data.get('source')}: it is unknown whether that contains images of this test set"
    tested = {row["path"] for row in read_predictions(run) if row["split"] == "test"}
    seen = [dataset.paths[index] for index in parts.test if dataset.paths[index] not in tested]
    if seen:
        raise InputError(
            f"{key} {run.path}: was trained on {len(seen):,} of the {len(parts.test):,} test images ({seen[0]}); "
            "train it on the same split: with the same seed and the same data options"
        )
    return ""


def stand_in_warning(data: Mapping[str, Any]) -> str:
    """The warning above everything that was made with a stand-in, else nothing. `data` is that of report.json."""
    return STAND_IN_HEADING if data["stand_in"] else ""

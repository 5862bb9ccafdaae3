"""What a training works on: a complete recipe, its data on a device, and its teacher.

Everything that can be wrong with them is checked here and in `checks`, before any work is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lightcnn import document
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.cost import cost
from lightcnn.data.dataset import Dataset
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.positive_class import default_positive, in_order, with_positive
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.arrays import recipe_head
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.devices import SMALLER_NETWORK, pick_device, require_memory
from lightcnn.engine.distillation import Lessons
from lightcnn.engine.memory import training_bytes
from lightcnn.errors import DataMissing
from lightcnn.inference import probabilities
from lightcnn.module_spec import ModuleSpec
from lightcnn.output.caveats import STAND_IN_HEADING
from lightcnn.output.warnings import ReportWarning
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import RECIPE_FILE, Reading, Recipe
from lightcnn.recipe_defaults import usual_batch
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.spec import NetworkSpec
from lightcnn.teacher import TEACHER_FILE, TeacherPredictions, TeacherRun, open_teacher, teacher_classes
from lightcnn.training.checks import expected_statistics, require_all, require_fit, require_unseen
from lightcnn.training.own_network import require_module
from lightcnn.training.progress import SILENT, TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft
from lightcnn.training.settings import TrainSettings

STAND_IN_SOURCE = "synthetic-lesions"
"""The data that a recipe is trained on if its data set is missing on this machine."""
SMALL_INPUT, LARGE_RATIO = 64, 4
"""Images that are at least so many times as large as an input of at most so many pixels lose what they show."""


@dataclass(frozen=True)
class TrainingSetup:
    """A complete recipe, its data on a device, and its teacher, if any."""

    recipe: Recipe
    pipeline: Pipeline
    teacher: TeacherRun | TeacherPredictions | None

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

    def lessons(self, run: RunFolder, progress: Progress = no_progress) -> Lessons | None:
        """What the teacher predicts for the training images, if there is a teacher; it is kept in the run folder."""
        if self.recipe.distill is None or self.teacher is None:
            return None
        predictions, train = self.teacher, self.pipeline.split.train
        if isinstance(predictions, TeacherRun):
            predictions = predictions.predict(self.pipeline.dataset, train, progress)
        run.write_bytes(TEACHER_FILE, predictions.content())
        return Lessons(self.recipe.distill, torch.from_numpy(predictions.probabilities).to(self.pipeline.device))

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
        require_fit(recipe, pipeline.dataset, len(pipeline.split.train))
        require_unseen(recipe, pipeline.dataset, pipeline.split)
        return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline))


def prepare(
    draft: RecipeDraft,
    device: str = "auto",
    progress: TrainingProgress = SILENT,
    *,
    read: tuple[str, Dataset] | None = None,
    resumed: RunFolder | None = None,
) -> TrainingSetup:
    """Reads and splits the data and checks the recipe against them.

    `read`: the source and its data set, if another setup has read them. `resumed`: the run that is continued, if any.
    Raises: InputError.
    """
    torch_device = pick_device(device)
    source, dataset = read or _read(draft, progress)
    parts = make_split(dataset, draft.recipe.seed, draft.recipe.reading)
    positive = dataset.classes[1] if len(dataset.classes) == 2 else None
    images, classes = len(parts.train), len(dataset.classes)
    recipe = draft.resolved(source, dataset.channels, images, classes=classes, positive=positive)
    unknown: list[str] = []
    require_all(
        lambda: require_fit(recipe, dataset, images),
        lambda: unknown.extend(require_unseen(recipe, dataset, parts, resumed)),
        lambda: expected_statistics(recipe),
    )
    _require_memory(recipe, images, torch_device)
    require_module(recipe, images, torch_device)
    dataset = replace(
        dataset,
        note="; ".join(filter(None, [dataset.note, *(text for text in unknown if text not in dataset.note)])),
        warnings=(*dataset.warnings, *_adapted_warnings(draft, recipe, images), *_reduced_warnings(dataset, recipe)),
    )
    statistics = expected_statistics(recipe)
    pipeline = Pipeline(dataset, parts, torch_device, recipe.preprocess, progress.reading, normalised=statistics)
    return TrainingSetup(recipe, pipeline, _teacher(recipe, pipeline, resumed))


def _require_memory(recipe: Recipe, images: int, device: torch.device) -> None:
    """Raises: InputError if what a training needs at least does not fit into the free memory of the device.

    Of a baseline, the weights are checked when it is built; an own module has been built.
    """
    if isinstance(recipe.network, NetworkSpec):
        needed = training_bytes(cost(recipe.network), recipe.training, images, device.type)
        remedy = f"{SMALLER_NETWORK}, or training.batch, which is {recipe.training.batch}"
        require_memory(recipe.network.name or "network", needed, device, remedy=remedy)


def first_files(recipe: Recipe, data: Mapping[str, Any], settings: TrainSettings | None) -> dict[str, bytes]:
    """recipe.yaml, data.json and, with settings, train.yaml. `data` is that of report.json."""
    header = stand_in_warning(data)
    text = document.dump(recipe, header or recipe_head(), exclude_defaults=False)
    files = {RECIPE_FILE: text.encode(), "data.json": json_bytes(data)}
    return files | (settings.file(header) if settings else {})


def _read(draft: RecipeDraft, progress: TrainingProgress) -> tuple[str, Dataset]:
    """The data and their source: a stand-in if the data set is missing and the recipe allows it. Raises: DataError."""
    recipe, reading = draft.recipe, draft.recipe.reading
    if "positive" in draft.follows:  # that of other data, which may have other classes
        reading = reading.model_copy(update={"positive": None})
    try:
        dataset = find_groups(
            load(recipe.data, reading, progress=progress.reading), reading.duplicates, progress=progress.reading
        )
    except DataMissing as missing:
        if recipe.reading.require_data:
            raise
        source, dataset = _stand_in(recipe, missing, progress)
        return source, _with_default_positive(dataset, draft)
    return recipe.data, dataset if reading.positive else _with_default_positive(dataset, draft)


def _stand_in(recipe: Recipe, missing: DataMissing, progress: TrainingProgress) -> tuple[str, Dataset]:
    """Synthetic images with as many classes as the network, and their source."""
    classes, reading = recipe.network.classes, recipe.reading.model_copy(update={"positive": None})
    source = STAND_IN_SOURCE if classes == 2 else f"{STAND_IN_SOURCE}:classes={classes}"
    dataset = find_groups(
        load(source, reading, progress=progress.reading), reading.duplicates, progress=progress.reading
    )
    note = f"{dataset.note}; the recipe names {recipe.data}: {missing}"
    return source, replace(dataset, note=note)


def _with_default_positive(dataset: Dataset, draft: RecipeDraft) -> Dataset:
    """Two classes in the order of the resumed run, else of the teacher, else of the recipe, else as names suggest."""
    if len(dataset.classes) != 2:
        return dataset
    order, distill = draft.classes, draft.recipe.distill
    if not order and distill:
        order = teacher_classes(distill.teacher, key="distill.teacher")
    if sorted(order) == sorted(dataset.classes):
        return in_order(dataset, order)
    positive = draft.recipe.reading.positive
    return with_positive(dataset, positive if positive in dataset.classes else default_positive(dataset.classes))


def _reduced_warnings(dataset: Dataset, recipe: Recipe) -> list[ReportWarning]:
    """A warning if photographs are reduced to a network input of few pixels."""
    size = recipe.network.input[1]
    if size > SMALL_INPUT or dataset.size < LARGE_RATIO * size:
        return []
    message = (
        f"Images of {dataset.size} pixels (median) are reduced to {size}×{size}, the input of the network: choose a "
        "recipe with a larger input, or set network.input, as in --set network.input=[3,96,96]."
    )
    return [ReportWarning("images_reduced", message, len(dataset))]


def _adapted_warnings(draft: RecipeDraft, recipe: Recipe, images: int) -> list[ReportWarning]:
    """Warnings of what the recipe took from its `images` training images, now or when the run was started."""
    warnings = [*_network_warnings(draft, recipe), *_batch_warnings(draft, recipe, images)]
    return warnings or list(draft.adapted)


def _network_warnings(draft: RecipeDraft, recipe: Recipe) -> list[ReportWarning]:
    """A warning if the network of a file took its number of classes or channels from the data."""
    before, after = draft.recipe.network, recipe.network
    if isinstance(before, ModuleSpec):
        return []
    changes = [
        f"{name} {old} → {new}"
        for name, old, new in (
            ("classes", before.classes, after.classes),
            ("channels", before.input[0], after.input[0]),
        )
        if old != new and not (draft.bare and isinstance(before, BaselineSpec))
    ]
    if not changes:
        return []
    message = f"The network was adapted to the data: {', '.join(changes)}; keep a value with --set network.KEY=VALUE."
    return [ReportWarning("network_adapted", message, len(changes))]


def _batch_warnings(draft: RecipeDraft, recipe: Recipe, images: int) -> list[ReportWarning]:
    """A warning if there were too few training images for the default batch size."""
    before, after = usual_batch(images) if draft.bare else draft.recipe.training.batch, recipe.training.batch
    if "batch" not in draft.follows or before == after:
        return []
    message = (
        f"The batch size was adapted to {images:,} training images: {before} → {after}; choose another one with "
        "--set training.batch=N."
    )
    return [ReportWarning("batch_adapted", message, images)]


def _teacher(
    recipe: Recipe, pipeline: Pipeline, resumed: RunFolder | None = None
) -> TeacherRun | TeacherPredictions | None:
    """The teacher of a recipe. Raises: InputError if it cannot be read, or does not fit the data."""
    if recipe.distill is None:
        return None
    dataset, train, device = pipeline.dataset, pipeline.split.train, pipeline.device.type
    return open_teacher(recipe.distill.teacher, dataset, train, key="distill.teacher", device=device, kept=resumed)


def stand_in_warning(data: Mapping[str, Any]) -> str:
    """The warning above everything that was made with a stand-in, else nothing. `data` is that of report.json."""
    return STAND_IN_HEADING if data["stand_in"] else ""

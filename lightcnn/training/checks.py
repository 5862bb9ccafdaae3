"""Whether a recipe fits its data, and whether the runs that it builds on have seen the test images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightcnn import upstream_runs
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import pretrained_statistics
from lightcnn.cost import idle_strides
from lightcnn.data.dataset import Dataset
from lightcnn.data.split import Split
from lightcnn.errors import DocumentError, InputError, Problem
from lightcnn.recipe import Recipe
from lightcnn.recipe_defaults import require_training
from lightcnn.run_folder import RunFolder, named_by
from lightcnn.spec import NetworkSpec
from lightcnn.teacher import TEACHER_FILE, require_file

FINISHED_RUN_FILES = ("report.json", "environment.json", "predictions.csv")
"""Files by which the folder of a finished training is recognised."""


def require_all(*checks: Callable[[], object]) -> None:
    """Runs all checks. Raises: the error of the only one that fails, or DocumentError with the problems of several."""
    errors: list[InputError] = []
    for check in checks:
        try:
            check()
        except InputError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise DocumentError([problem for error in errors for problem in _problems(error)])


def _problems(error: InputError) -> list[Problem]:
    return error.problems if isinstance(error, DocumentError) else [Problem("", "", str(error))]


def require_fit(recipe: Recipe, dataset: Dataset, images: int) -> None:
    """Raises: InputError if the network or the training does not fit the data set and its `images` training images."""
    require_all(
        lambda: _require_classes(recipe, dataset),
        lambda: _require_input(recipe, dataset),
        lambda: require_training(recipe.training, dataset.source, dataset.classes, images),
    )


def _require_classes(recipe: Recipe, dataset: Dataset) -> None:
    network, classes = recipe.network, len(dataset.classes)
    if network.classes != classes:
        raise InputError(
            f"network.classes: {network.classes}, but data {dataset.source} has {classes} classes; "
            f"--set network.classes={classes}"
        )


def _require_input(recipe: Recipe, dataset: Dataset) -> None:
    network = recipe.network
    channels, height, width = network.input
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


def expected_statistics(recipe: Recipe) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation that pretrained weights expect; None for random weights. Raises: InputError."""
    if not isinstance(recipe.network, BaselineSpec):
        return None
    weights = recipe.network.weights
    if weights not in ("none", "timm") and not Path(weights).is_file():
        # A resumed run does not read the weights, but normalises images with the statistics in their folder.
        raise InputError(f"network.weights: {weights}: no such file")
    statistics = pretrained_statistics(recipe.network)
    return None if statistics is None else (statistics.mean, statistics.deviation)


def runs_of(recipe: Recipe, resumed: RunFolder | None = None) -> dict[str, RunFolder]:
    """The runs whose networks a recipe uses, by the key that names each: a teacher, and pretrained weights.

    The predictions of a teacher that are in a file, or in the run that is `resumed`, fit one training set only, for
    which the teacher was checked.
    """
    predicted = resumed is not None and (resumed / TEACHER_FILE).is_file()
    paths = {}
    if recipe.distill and not predicted and not Path(recipe.distill.teacher).is_file():
        require_file(recipe.distill.teacher, "distill.teacher")
        paths["distill.teacher"] = recipe.distill.teacher
    weights = getattr(recipe.network, "weights", "none")
    folder = Path(weights).parent
    if weights not in ("none", "timm") and all((folder / name).is_file() for name in FINISHED_RUN_FILES):
        paths["network.weights"] = str(folder)
    runs = {}
    for key, path in paths.items():
        with named_by(key):
            runs[key] = RunFolder.load(path)
    return runs


def require_unseen(recipe: Recipe, dataset: Dataset, sets: Split, resumed: RunFolder | None = None) -> list[str]:
    """Notes on upstream runs with other data, of which it is unknown what they were trained on.

    Raises: InputError if an upstream run was trained on images of the validation or the test set.
    """
    return [upstream_runs.require_unseen(key, run, dataset, sets) for key, run in runs_of(recipe, resumed).items()]

"""`lightcnn train`: from settings to the run folder of one training, or of all its folds and seeds."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from lightcnn.data.sources.arrays import given
from lightcnn.devices import DeviceName
from lightcnn.errors import InputError
from lightcnn.output.terminal import receiver
from lightcnn.overrides import Override
from lightcnn.own_module import given_module, module_spec
from lightcnn.progress import Progress
from lightcnn.python_calls import python_call
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.tracking.names import require_trackers
from lightcnn.tracking.trackers import Trackers
from lightcnn.training import repeats, session
from lightcnn.training.progress import SILENT, CalledTrainingProgress, TrainingProgress, tracked
from lightcnn.training.recipe_argument import Followed, RecipeDraft, continued, read_recipe_argument
from lightcnn.training.repeats import Repeats
from lightcnn.training.resume import require_same_recipe
from lightcnn.training.settings import MARKER_FILE, TrainSettings, make_settings
from lightcnn.training.setup import prepare
from lightcnn.training.terminal import TrainView


@python_call
def train(
    recipe: Recipe | str | Path,
    *,
    data: Any = None,
    groups: Any = None,
    folds: int | None = None,
    seeds: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: DeviceName = "auto",
    progress: bool | Progress = False,
    network: nn.Module | None = None,
    log: str | Sequence[str] = (),
) -> Run:
    """Trains the network of a recipe and writes a run folder, like `lightcnn train` but without output.

    Args:
        recipe: A `Recipe`, the path of a recipe file or of a run folder, or the name of a shipped recipe.
        data: What to train on in place of the recipe's data: a path, the name of a data set, arrays (X, y), or a
            PyTorch data set of (image, label), as in `search`. Classes and channels of the network follow it, and
            the positive class unless a `Recipe` names it.
        groups: For arrays, the patient or photograph of each image (N,).
        folds: Number of cross-validation folds, 2 or more. None: one split into training, validation and test set.
        seeds: Number of trainings with different seeds, starting at the recipe's seed. None: one training.
        out: The run folder, which must not exist unless `resume` is set. None: a new folder under `runs/`.
        resume: Continue the interrupted training in `out`.
        device: Where to train. "auto" takes CUDA if available, then MPS, then the CPU.
        progress: True for the live view of the command; or a function of (step, done, total): images or epochs.
        network: An own module to train in place of the recipe's network: float32 images (N, C, H, W) → logits
            (N, classes), or (N, 1) for two classes, at the recipe's input size, with the channels and classes of the
            data. Training starts with its weights; a copy is trained, the module stays as it is. Its cost is counted on
            a trace. The run holds its weights but not its code: give the module again to resume, and to
            `Run.load`.
        log: "tensorboard", "mlflow" or "wandb", or several: also sends the recipe and the scores to these trackers.

    Returns:
        The finished run: its `report` holds the scores, and `predict` classifies images.

    Raises:
        InputError: The recipe, its data, `network` or `out` are invalid. Nothing has been written.
        TrainingError: The loss diverged, or memory or disk space ran out.

    Example:
        >>> from lightcnn import Recipe, train
        >>> short = Recipe.load("quick").training.model_copy(update={"epochs": 1})
        >>> run = train(Recipe.load("quick").model_copy(update={"training": short}))
    """
    if data is None and groups is not None:
        raise InputError("train: groups without data; give the images as data=(X, y), too")
    reported = receiver(progress, SILENT, CalledTrainingProgress, TrainView)
    trackers = Trackers(require_trackers(log), warnings.warn)
    images = nullcontext("") if data is None else given(data, groups)
    with images as source, reported as view, given_module(network), trackers:
        draft = _draft(recipe, source)
        draft = draft if network is None else _with_module(draft, network)
        settings = make_settings(draft, folds=folds, seeds=seeds, device=device)
        folder = run(settings, out=out, resume=resume, progress=tracked(view, trackers))
        return Run(folder.path, module=network)


def _draft(recipe: Recipe | str | Path, source: str) -> RecipeDraft:
    """The recipe with data of that source, whose classes and channels its network takes; its own without a source."""
    changes = [Override("data", ("data",), source)] if source else []
    if not isinstance(recipe, Recipe):
        return read_recipe_argument(recipe, changes)
    if not source:
        return RecipeDraft(recipe)
    follows: tuple[Followed, ...] = ("classes", "channels", "batch")
    if recipe.reading.positive is None:
        follows = (*follows, "positive")
    return RecipeDraft(recipe.model_copy(update={"data": source}), follows=follows)


def _with_module(draft: RecipeDraft, module: nn.Module) -> RecipeDraft:
    """The draft with a module as its network; channels and classes are those of the data. Raises: InputError."""
    before = draft.recipe.network
    network = module_spec(module, before.input, before.classes)
    follows: tuple[Followed, ...] = (*draft.follows, "classes", "channels")
    return replace(draft, recipe=draft.recipe.model_copy(update={"network": network}), follows=follows)


def run(
    settings: TrainSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: TrainingProgress = SILENT,
) -> RunFolder:
    """Trains into `out` or a new folder, or resumes the training in `out`, and returns the finished run folder.

    Raises: InputError before any work is done; TrainingError if the loss diverged or memory or disk space ran out.
    """
    started = time.monotonic()
    resumed = RunFolder.resumed(out, resume=resume, command="train", settings=MARKER_FILE)
    path = Path(out) if out is not None else RunFolder.default_path("train")
    draft = continued(settings.draft, resumed)
    several = _repeats(settings, resumed)
    if several is not None:
        return repeats.train_all(
            draft, several, path, resumed, device=settings.device, progress=progress, settings=settings
        )
    setup = prepare(draft, settings.device, progress, resumed=resumed)
    return session.train_one(setup, path, resumed, progress=progress, started=started, settings=settings)


def estimate(
    settings: TrainSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: TrainingProgress = SILENT,
) -> dict[str, Any]:
    """The document of `--dry-run`; nothing is written. Raises: InputError for everything for which `run` raises it."""
    resumed = RunFolder.resumed(out, resume=resume, command="train", settings=MARKER_FILE)
    RunFolder.require_writable(Path(out) if out is not None else RunFolder.default_path("train"))
    draft = continued(settings.draft, resumed)
    several = _repeats(settings, resumed)
    if several is not None:
        return repeats.estimate(draft, several, settings.device, progress, resumed)
    setup = prepare(draft, settings.device, progress, resumed=resumed)
    if resumed is not None:
        require_same_recipe(resumed, setup.recipe, setup.pipeline.document())
    return session.estimate(setup)


def _repeats(settings: TrainSettings, resumed: RunFolder | None) -> Repeats | None:
    """Folds and seeds of the settings, else those of the resumed run; None: one training. Raises: InputError."""
    if settings.folds is None and settings.seeds is None:
        return None if resumed is None else repeats.load_repeats(resumed)
    if settings.folds == 0:  # without folds, it is None
        raise InputError("--folds 0: at least 2 folds are needed; leave --folds out for one split")
    return Repeats(settings.folds or 0, 1 if settings.seeds is None else settings.seeds)

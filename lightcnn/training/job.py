"""`lightcnn train`: from a recipe to the run folder of one training, or of all its folds and seeds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from lightcnn.errors import RunError
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.training import repeats, session
from lightcnn.training.progress import TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.repeats import Repeats
from lightcnn.training.setup import prepare


def train(
    recipe: Recipe | str | Path,
    *,
    folds: int | None = None,
    seeds: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Run:
    """`lightcnn train` as a function: the finished run folder, silently.

    Raises: InputError before any work is done; TrainingError where the loss diverged or memory or disk ran out.
    """
    given = RecipeDraft(recipe) if isinstance(recipe, Recipe) else read_recipe_argument(recipe)
    return Run(run(given, folds=folds, seeds=seeds, out=out, resume=resume, device=device).path)


def run(
    given: RecipeDraft,
    *,
    folds: int | None = None,
    seeds: int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    progress: TrainingProgress | None = None,
) -> RunFolder:
    """Trains as `given` says, with `folds` or `seeds` several times, and returns the finished run folder.

    Raises: as `train`.
    """
    began, progress = time.monotonic(), progress or TrainingProgress()
    if resume and out is None:
        raise RunError("--resume: needs --out with the run folder to go on with")
    path = Path(out) if out is not None else RunFolder.fresh("train")
    held = RunFolder.load(path) if resume else None
    if held is None:
        RunFolder.free(path)
    several = _repeats(folds, seeds, held)
    if several is None:
        return session.train_one(prepare(given, device, progress), path, held, progress=progress, began=began)
    return repeats.train_all(given, several, path, held, device=device, progress=progress)


def estimate(
    given: RecipeDraft,
    *,
    folds: int | None = None,
    seeds: int | None = None,
    device: str = "auto",
    progress: TrainingProgress | None = None,
) -> dict[str, Any]:
    """The `--dry-run` document; nothing is written. Raises: InputError."""
    several = _repeats(folds, seeds, None)
    if several is None:
        return session.estimate(prepare(given, device, progress))
    return repeats.estimate(given, several, device, progress)


def _repeats(folds: int | None, seeds: int | None, held: RunFolder | None) -> Repeats | None:
    """As given, else as a run folder was begun; None for one training. Raises: InputError."""
    if folds is None and seeds is None:
        return None if held is None else repeats.load_repeats(held)
    return Repeats(folds or 0, 1 if seeds is None else seeds)

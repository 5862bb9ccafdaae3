"""`lightcnn ablate`: trains the unchanged recipe and every change of it over seeds and folds, in one run folder."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.ablating.plan import (
    CHANGES_FOLDER,
    AblationPlan,
    Trial,
    load_plan,
    make_plan,
    without_changes,
)
from lightcnn.ablating.progress import SILENT, AblationProgress, CalledAblationProgress
from lightcnn.ablating.report import write_report
from lightcnn.ablating.settings import PLAN_FILE, AblateSettings, make_settings
from lightcnn.ablating.terminal import AblateView
from lightcnn.ablating.variants import UNCHANGED, SkippedChange
from lightcnn.devices import DeviceName
from lightcnn.errors import InputError, LightcnnError, RunError
from lightcnn.output.report import report_head
from lightcnn.output.terminal import receiver
from lightcnn.progress import Progress
from lightcnn.python_calls import python_call
from lightcnn.recipe import RECIPE_FILE, Recipe
from lightcnn.run import Run
from lightcnn.run_files import earlier_values
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.text import format_error
from lightcnn.training import session
from lightcnn.training.recipe_argument import RecipeDraft, continued, read_recipe_argument
from lightcnn.training.repeats import Repeats, full_recipe, prepare_parts, train_all
from lightcnn.training.report.pooled import pooled_data
from lightcnn.training.resume import require_same_recipe
from lightcnn.training.setup import TrainingSetup, stand_in_warning

FAILURES = (LightcnnError, RuntimeError, ValueError, MemoryError)
"""Errors that end the training of one change, but not the ablation."""


@python_call
def ablate(
    recipe: Recipe | str | Path,
    *,
    over: str | Sequence[str],
    only: Sequence[str] = (),
    folds: int = 0,
    seeds: int = 1,
    out: str | Path | None = None,
    resume: bool = False,
    device: DeviceName = "auto",
    progress: bool | Progress = False,
) -> Run:
    """Trains a recipe unchanged and once per change, and compares each change with the unchanged recipe.

    Args:
        recipe: A recipe, the path of a recipe file or of a run folder, or the name of a shipped recipe.
        over: Kinds of changes (`architecture`, `hyperparameters`, `augmentation`, `baselines`) or files of changes.
        only: Names of the changes to make; all of them by default.
        folds: Number of folds, each the test set once; 0 for a single split.
        seeds: Number of trainings with different seeds, counted up from the recipe's seed.
        out: Run folder to write, which must not exist unless `resume` is set; a new one under `runs/` by default.
        resume: Whether to resume the ablation in `out`.
        device: Device to train on.
        progress: True for the live view of the command; or a function of (step, done, total): images or recipes.

    Returns:
        The run folder; `report["rows"]` has one row per change, `report["failed"]` the changes that failed to train.

    Raises:
        InputError: The recipe, the changes or the data cannot be used; nothing has been trained.
        LightcnnError: The unchanged recipe failed to train.

    Example:
        >>> run = lightcnn.ablate("recipe.yaml", over="hyperparameters", only=["optimizer-sgd"])
        >>> [row["change"] for row in run.report["rows"]]
        ['unchanged', 'optimizer-sgd']
    """
    draft = RecipeDraft(recipe) if isinstance(recipe, Recipe) else read_recipe_argument(recipe)
    kinds = [over] if isinstance(over, str) else over
    settings = make_settings(draft, kinds, only=only, folds=folds, seeds=seeds, device=device)
    with receiver(progress, SILENT, CalledAblationProgress, AblateView) as view:
        return Run(run(settings, out=out, resume=resume, progress=view).path)


def run(
    settings: AblateSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: AblationProgress = SILENT,
) -> RunFolder:
    """Trains what is not finished yet and writes the report.

    With `resume`, the run folder `out` is resumed: with the settings that it was started with if `settings` has no
    recipe; otherwise the two must agree. Raises: as `ablate`.
    """
    resumed = RunFolder.resumed(out, resume=resume, command="ablate", settings=PLAN_FILE)
    setup = _prepare(settings, resumed, progress)
    if resumed is not None:
        _require_same_ablation(resumed, setup)
    folder = resumed or RunFolder.create(out, "ablate", setup.files(settings))
    with folder.locked():
        folder.remove("report.json")
        failed = _train_all(folder, setup, settings.device, progress)
        progress.finishing()
        with earlier_values(folder.path, "report.json of a finished change") if resumed else nullcontext():
            write_report(folder, setup.plan, setup.data, failed)
        folder.log(f"finished: {len(setup.plan.trials) - 1} changes, {len(failed)} failed")
    return folder


def estimate(
    settings: AblateSettings,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    progress: AblationProgress = SILENT,
) -> dict[str, Any]:
    """The `--dry-run` document: every change with its exact cost and its time, measured on a few steps.

    Nothing is written. Arguments and Raises: as `run`.
    """
    resumed = RunFolder.resumed(out, resume=resume, command="ablate", settings=PLAN_FILE)
    RunFolder.require_writable(Path(out) if out is not None else RunFolder.default_path("ablate"))
    setup = _prepare(settings, resumed, progress)
    if resumed is not None:
        _require_same_ablation(resumed, setup)
    plan, first = setup.plan, setup.trainings[0]
    rows = [_estimate_trial(trial, first, plan.trainings) for trial in plan.trials]
    return {
        **report_head("ablate", seed=plan.trials[0].recipe.seed, data=setup.data),
        "dry_run": True,
        "over": list(plan.over),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "epochs": plan.trials[0].recipe.training.epochs,
        "device": str(first.pipeline.device),
        "rows": rows,
        "left_out": [skipped.model_dump() for skipped in plan.left_out],
        "estimate": {"seconds": round(sum(row["seconds"] or 0.0 for row in rows), 3)},
    }


class AblationSetup:
    """A plan, and the setups that the parts of its unchanged recipe are trained with."""

    def __init__(self, plan: AblationPlan, trainings: Sequence[TrainingSetup]) -> None:
        self.plan = plan
        self.trainings = trainings
        self.data = pooled_data([training.pipeline for training in trainings])

    def files(self, settings: AblateSettings) -> dict[str, bytes]:
        """The first files of a run folder."""
        recipe = document.dump(self.plan.trials[0].recipe, stand_in_warning(self.data), exclude_defaults=False)
        return {
            PLAN_FILE: self.plan.model_dump_json(indent=1).encode(),
            "ablate.yaml": document.dump(settings, exclude_defaults=False).encode(),
            RECIPE_FILE: recipe.encode(),
            "data.json": json_bytes(self.data),
        }


def _prepare(settings: AblateSettings, resumed: RunFolder | None, progress: AblationProgress) -> AblationSetup:
    """The plan of the settings, or that of the resumed run. Raises: InputError."""
    draft = settings.draft
    if draft is not None:
        return _prepare_new(settings, continued(draft, resumed), progress)
    if resumed is None:
        raise InputError("ablate: RECIPE is missing; name a file or a shipped recipe, as in `lightcnn ablate quick`")
    plan = load_plan(resumed)
    unchanged = continued(RecipeDraft(plan.trials[0].recipe), resumed)
    parts = prepare_parts(unchanged, Repeats(plan.folds, plan.seeds), settings.device, progress)
    return AblationSetup(plan, [training for _, training in parts])


def _prepare_new(settings: AblateSettings, draft: RecipeDraft, progress: AblationProgress) -> AblationSetup:
    """Checks every change against the recipe and the data. Raises: InputError, DocumentError."""
    repeats = Repeats(settings.folds, settings.seeds)
    if not draft.bare:
        make_plan(draft.recipe, settings.over, only=settings.only)  # errors in the changes come before reading images
    parts = prepare_parts(draft, repeats, settings.device, progress)
    trainings = [training for _, training in parts]
    recipe = full_recipe(draft.recipe, parts).model_copy(update={"data": draft.recipe.data})
    plan = make_plan(recipe, settings.over, only=settings.only, folds=repeats.folds, seeds=repeats.seeds)
    misfits = [skipped for trial in plan.trials[1:] if (skipped := _misfit(trial, trainings[0]))]
    return AblationSetup(without_changes(plan, misfits), trainings)


def _require_same_ablation(resumed: RunFolder, setup: AblationSetup) -> None:
    """Raises: RunError if a run was started with another recipe, other data or other changes."""
    require_same_recipe(resumed, setup.plan.trials[0].recipe, setup.data)
    if not load_plan(resumed).trains_the_same(setup.plan):
        raise RunError(f"--resume: {resumed.path} was started with other changes; leave out RECIPE and all options")


def _train_all(folder: RunFolder, setup: AblationSetup, device: str, progress: AblationProgress) -> dict[str, str]:
    """Trains every recipe of the plan; returns the changes that failed, with the reasons."""
    failed: dict[str, str] = {}
    trials = setup.plan.trials
    for number, trial in enumerate(trials, start=1):
        progress.change(number, len(trials), trial.name, trial.about)
        try:
            _train(folder, setup, trial, device, progress)
        except FAILURES as error:
            if number == 1 or isinstance(error, RunError):  # a run folder that cannot be used is not a failed training
                raise
            folder.log(f"change {trial.name} failed: {''.join(traceback.format_exception(error))}")
            failed[trial.name] = format_error(error)
            progress.failed(trial.name, failed[trial.name])
    return failed


def _train(folder: RunFolder, setup: AblationSetup, trial: Trial, device: str, progress: AblationProgress) -> None:
    """Trains the parts of one recipe that are not finished."""
    path = folder / f"{CHANGES_FOLDER}/{trial.name}"
    repeats, started = Repeats(setup.plan.folds, setup.plan.seeds), RunFolder.load(path) if path.exists() else None
    if started is not None and (started / "report.json").is_file():
        return
    read = setup.trainings[0].read
    train_all(RecipeDraft(trial.recipe), repeats, path, started, device=device, progress=progress, read=read)


def _estimate_trial(trial: Trial, first: TrainingSetup, trainings: int) -> dict[str, Any]:
    """One of the `rows` of the dry run: cost, and the time of all trainings."""
    row: dict[str, Any] = {"change": trial.name, "about": trial.about}
    training = _changed_setup(trial, first)
    try:
        plan = session.estimate(training)
    except FAILURES as error:
        if trial.name == UNCHANGED:  # the ablation itself would end with this error
            raise
        return row | {"cost": None, "seconds": None, "reason": format_error(error)}
    seconds = round(plan["estimate"]["seconds"] * trainings, 3)
    return row | {"cost": plan["network"]["cost"], "seconds": seconds, "reason": ""}


def _changed_setup(trial: Trial, training: TrainingSetup) -> TrainingSetup:
    """A changed recipe on the images and the split of `training`. Raises: InputError if it does not fit them."""
    unchanged = training.recipe
    recipe = trial.recipe.model_copy(update={"data": unchanged.data})
    return replace(training, recipe=recipe).repeated(unchanged.seed, unchanged.reading)


def _misfit(trial: Trial, training: TrainingSetup) -> SkippedChange | None:
    """The change with the reason why it cannot be trained on these data; None if it can."""
    try:
        _changed_setup(trial, training)
    except InputError as error:
        return SkippedChange(change=trial.name, reason=str(error))
    return None

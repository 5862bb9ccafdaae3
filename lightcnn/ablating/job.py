"""`lightcnn ablate`: the recipe as it is and every change of it, each over seeds and folds, in one run folder."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightcnn import document
from lightcnn.ablating.plan import FILE, FOLDER, AblationPlan, SkippedChange, Trial, load_plan, make_plan, reduced
from lightcnn.ablating.progress import AblationProgress
from lightcnn.ablating.report import write_report
from lightcnn.errors import InputError, LightcnnError, RunError
from lightcnn.recipe import Recipe
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.text import first_line
from lightcnn.training import session
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.repeats import Repeats, full_recipe, prepare_parts, train_all
from lightcnn.training.report.pooled import pooled_data
from lightcnn.training.resume import require_same_recipe
from lightcnn.training.setup import TrainingSetup, stand_in_warning
from lightcnn.version import __version__

FAILURES = (LightcnnError, RuntimeError, ValueError, MemoryError)
"""What ends the training of one change and not the ablation."""


def ablate(
    recipe: Recipe | str | Path,
    *,
    over: str | Sequence[str],
    only: Sequence[str] = (),
    folds: int = 0,
    seeds: int = 1,
    out: str | Path | None = None,
    resume: bool = False,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> Run:
    """`lightcnn ablate` as a function: the finished run folder, silently.

    Changes that could not be trained stand under `failed` in its report. Raises: InputError before any work is done;
    LightcnnError where the unchanged recipe could not be trained.
    """
    given = RecipeDraft(recipe) if isinstance(recipe, Recipe) else read_recipe_argument(recipe)
    kinds = [over] if isinstance(over, str) else list(over)
    if resume and out is None:
        raise RunError("--resume: needs --out with the run folder to go on with")
    held = RunFolder.load(str(out)) if resume else None
    if held is None and out is not None:
        RunFolder.require_free(Path(out))
    layout = prepare(given, kinds, only=only, repeats=Repeats(folds, seeds), device=device)
    return Run(run(layout, out=out, held=held, device=device).path)


class AblationSetup:
    """A plan, and the benches that the parts of its unchanged recipe are trained on."""

    def __init__(self, plan: AblationPlan, benches: Sequence[TrainingSetup]) -> None:
        self.plan = plan
        self.benches = benches
        self.data = pooled_data([bench.pipeline for bench in benches])

    def files(self) -> dict[str, bytes]:
        """What a run folder begins with."""
        text = document.dump(self.plan.trials[0].recipe, stand_in_warning(self.data), exclude_defaults=False)
        return {
            FILE: self.plan.model_dump_json(indent=1).encode(),
            "recipe.yaml": text.encode(),
            "data.json": json_bytes(self.data),
        }


def prepare(
    given: RecipeDraft,
    over: Sequence[str],
    *,
    only: Sequence[str] = (),
    repeats: Repeats,
    device: str = "auto",
    watcher: AblationProgress | None = None,
) -> AblationSetup:
    """What would be trained: every change held against the recipe and the data. Raises: InputError, DocumentError."""
    if not given.bare:
        make_plan(given.recipe, over, only=only)  # what is wrong with the changes is said before any image is read
    parts = prepare_parts(given, repeats, device, watcher)
    benches = [bench for _, bench in parts]
    recipe = full_recipe(given.recipe, parts).model_copy(update={"data": given.recipe.data})
    plan = make_plan(recipe, over, only=only, folds=repeats.folds, seeds=repeats.seeds)
    return AblationSetup(
        reduced(plan, [skip for trial in plan.trials[1:] if (skip := _misfit(trial, benches[0]))]), benches
    )


def prepare_resumed(run: RunFolder, device: str = "auto", watcher: AblationProgress | None = None) -> AblationSetup:
    """What a run folder was begun with. Raises: RunError where it is no ablation or its data have changed."""
    plan = load_plan(run)
    parts = prepare_parts(RecipeDraft(plan.trials[0].recipe), Repeats(plan.folds, plan.seeds), device, watcher)
    return AblationSetup(plan, [bench for _, bench in parts])


def run(
    layout: AblationSetup,
    *,
    out: str | Path | None = None,
    held: RunFolder | None = None,
    device: str = "auto",
    watcher: AblationProgress | None = None,
) -> RunFolder:
    """Trains what is not finished, into `out`, a fresh folder, or one that is `held`, and writes the report.

    Raises: InputError before any work is done; LightcnnError where the unchanged recipe could not be trained.
    """
    watcher, plan = watcher or AblationProgress(), layout.plan
    if held is not None:
        require_same_recipe(held, plan.trials[0].recipe, layout.data)
        if load_plan(held) != plan:
            raise RunError(f"--resume: {held.path} was begun with other changes; leave RECIPE and the options out")
    run = held or RunFolder.create(out, "ablate", layout.files())
    failed: dict[str, str] = {}
    with run.locked():
        (run / "report.json").unlink(missing_ok=True)
        for number, trial in enumerate(plan.trials, start=1):
            watcher.change(number, len(plan.trials), trial.name, trial.about)
            try:
                _train(run, layout, trial, device, watcher)
            except FAILURES as error:
                if number == 1:
                    raise
                failed[trial.name] = _told(run, trial, error)
                watcher.failed(trial.name, failed[trial.name])
        watcher.finishing()
        write_report(run, plan, layout.data, failed)
        run.log(f"finished: {len(plan.trials) - 1} changes, {len(failed)} failed")
    return run


def estimate(layout: AblationSetup) -> dict[str, Any]:
    """The `--dry-run` document: every change with its exact cost and its time, measured on a few steps."""
    plan, rows = layout.plan, []
    for trial in plan.trials:
        bench = _bench(trial, layout.benches[0])
        row: dict[str, Any] = {"change": trial.name, "about": trial.about}
        try:
            found = session.estimate(bench)
        except FAILURES as error:
            rows.append(row | {"cost": None, "seconds": None, "reason": _line(error)})
            continue
        seconds = round(found["estimate"]["seconds"] * plan.trainings, 3)
        rows.append(row | {"cost": found["network"]["cost"], "seconds": seconds, "reason": ""})
    return {
        "lightcnn": __version__,
        "command": "ablate",
        "dry_run": True,
        "seed": plan.trials[0].recipe.seed,
        "data": layout.data,
        "over": list(plan.over),
        "folds": plan.folds,
        "seeds": plan.seeds,
        "epochs": plan.trials[0].recipe.training.epochs,
        "device": str(layout.benches[0].pipeline.device),
        "rows": rows,
        "left_out": [skipped.model_dump() for skipped in plan.left_out],
        "estimate": {"seconds": round(sum(row["seconds"] or 0.0 for row in rows), 3)},
    }


def _train(run: RunFolder, layout: AblationSetup, trial: Trial, device: str, watcher: AblationProgress) -> None:
    """Trains all parts of a recipe, or those that are left of them."""
    path = run / FOLDER / trial.name
    if (path / "report.json").is_file():
        return
    repeats, held = Repeats(layout.plan.folds, layout.plan.seeds), RunFolder.load(path) if path.exists() else None
    read = layout.benches[0].read
    train_all(RecipeDraft(trial.recipe), repeats, path, held, device=device, progress=watcher, read=read)


def _bench(trial: Trial, bench: TrainingSetup) -> TrainingSetup:
    """The changed recipe on the images and the split of a bench. Raises: InputError where it cannot be that of them."""
    own = bench.recipe
    return replace(bench, recipe=trial.recipe.model_copy(update={"data": own.data})).repeated(own.seed, own.reading)


def _misfit(trial: Trial, bench: TrainingSetup) -> SkippedChange | None:
    """Why a change cannot be trained on these data, if it cannot."""
    try:
        _bench(trial, bench)
    except InputError as error:
        return SkippedChange(change=trial.name, reason=str(error))
    return None


def _told(run: RunFolder, trial: Trial, error: BaseException) -> str:
    """Why a change could not be trained, in one line; all of it goes to the log."""
    run.log(f"change {trial.name} failed: {''.join(traceback.format_exception(error))}")
    return _line(error)


def _line(error: BaseException) -> str:
    text = first_line(error)
    return text if isinstance(error, LightcnnError) else f"{type(error).__name__}: {text}"

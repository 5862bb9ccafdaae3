"""`lightcnn train`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from lightcnn.cli.options import (
    AUTO,
    AllowLeak,
    DataDir,
    Debug,
    Epochs,
    Fast,
    Folds,
    Json,
    Log,
    Out,
    Positive,
    Quiet,
    RecipeArgument,
    RequireData,
    Resplit,
    Seed,
    Sets,
    SkipCorrupt,
    Thorough,
    TrainingData,
    TrainingDevice,
    print_json,
    reading_values,
    recipe_overrides,
    resumable,
)
from lightcnn.errors import InputError
from lightcnn.output.caveats import warning_lines
from lightcnn.output.console import CommandConsole
from lightcnn.output.positive_class import positive_sentence
from lightcnn.text import visible
from lightcnn.tracking.names import require_trackers


def train(
    recipe: RecipeArgument = None,
    data: TrainingData = None,
    epochs: Epochs = None,
    seed: Seed = None,
    folds: Folds = None,
    seeds: Annotated[
        int | None,
        typer.Option(metavar="S", help="Train with S seeds from --seed on; with --folds each makes its own folds."),
    ] = None,
    sets: Sets = None,
    device: TrainingDevice = AUTO,
    data_dir: DataDir = None,
    skip_corrupt: SkipCorrupt = False,
    resplit: Resplit = False,
    allow_leak: AllowLeak = False,
    require_data: RequireData = False,
    fast: Fast = False,
    thorough: Thorough = False,
    positive: Positive = None,
    log: Log = None,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the training in --out; RECIPE may be omitted.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the complete recipe, data, cost and time without training.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train the network of a recipe and write a run folder."""
    from lightcnn.run_files import earlier_values
    from lightcnn.run_folder import RunFolder
    from lightcnn.tracking.trackers import Trackers
    from lightcnn.training.progress import tracked
    from lightcnn.training.settings import MARKER_FILE, make_settings
    from lightcnn.training.terminal import TrainView

    names = require_trackers(log or ())
    if recipe is None and not (resume and out is not None):
        raise InputError("train: RECIPE is missing; name a file or a shipped recipe, as in `lightcnn train quick`")
    resumed = RunFolder.resumed(out, resume=resume, command="train", settings=MARKER_FILE)
    reading = reading_values(data_dir, skip_corrupt, resplit, allow_leak, require_data, fast, thorough, positive)
    changes = recipe_overrides(data, epochs, seed, reading, sets)
    draft = _draft(recipe, resumed, changes)
    settings = make_settings(draft, folds=folds, seeds=seeds, device=device.value)
    if dry_run:
        return _dry_run(settings, out, resume, as_json, quiet)
    unchanged = recipe is None and not changes and folds is None and seeds is None
    if resumed is not None and unchanged and (resumed / "report.json").is_file():
        with earlier_values(resumed.path, "report.json"):
            return _show(resumed, as_json, quiet)
    out = out or RunFolder.default_path("train")
    with (
        resumable("train", out, MARKER_FILE, names),
        TrainView(CommandConsole(stderr=True), quiet) as view,
        Trackers(names, view.warn) as trackers,
    ):
        from lightcnn.training import job

        run = job.run(settings, out=out, resume=resume, progress=tracked(view, trackers))
    return _show(run, as_json, quiet)


def _draft(recipe: str | None, resumed: Any, changes: Any) -> Any:
    """The recipe that RECIPE names, else that of the resumed run, with the changes. Raises: InputError."""
    from lightcnn.training.recipe_argument import read_recipe_argument

    source: str | Path = resumed / "recipe.yaml" if recipe is None else recipe
    return read_recipe_argument(source, changes)


def _dry_run(settings: Any, out: Path | None, resume: bool, as_json: bool, quiet: bool) -> None:
    """Prints the complete recipe, data, cost and time of a training, or of all folds and seeds."""
    from lightcnn import document
    from lightcnn.recipe import Recipe
    from lightcnn.training.terminal import TrainView, dry_run_lines, stand_in_panel

    with TrainView(CommandConsole(stderr=True), quiet) as view:
        from lightcnn.training.job import estimate

        plan = estimate(settings, out=out, resume=resume, progress=view)
    if as_json:
        return print_json(plan)
    if plan["data"]["stand_in"]:
        CommandConsole(stderr=True).print(stand_in_panel(plan["data"]))
    recipe = Recipe.model_validate_json(json.dumps(plan["recipe"]))
    typer.echo(document.dump(recipe, exclude_defaults=False))
    typer.echo(visible(dry_run_lines(plan), keep="\n"))
    for line in warning_lines(plan):
        typer.echo(visible(line), err=True)
    return None


def _show(run: Any, as_json: bool, quiet: bool) -> None:
    """Prints the result of a training: the score, its caveats, the run folder, and how to repeat it."""
    from lightcnn.training.terminal import parts_table, result_grid, stand_in_panel, train_summary

    report = run.report
    if as_json:
        return print_json(report)
    console = CommandConsole()
    if console.is_terminal and not quiet:
        console.print(result_grid(report))
    else:
        console.print_line(train_summary(report))
    if "parts" in report and not quiet:
        console.print()
        console.print(parts_table(report, width=console.width))
        console.print()
    if report["metrics"]["test"]["warning"]:
        console.print_line(f"warning: {report['metrics']['test']['warning']}")
    if not quiet:
        if positive := positive_sentence(report):
            console.print_line(positive)
        stand_in = report["data"]["stand_in"]
        if stand_in:
            console.print(stand_in_panel(report["data"]))
        for line in warning_lines(report, omit=("stand_in", "note") if stand_in else ()):
            console.print_line(line)
        console.print_line(_next_steps(run))
    return None


def _next_steps(run: Any) -> str:
    """Where the report is, and the command that repeats the training."""
    folder = shlex.quote(str(run.path))
    options = "".join(f" --{name} {run.report[name]}" for name in ("folds", "seeds") if run.report.get(name))
    return (
        f"run folder {run.path}: open {run / 'report.html'}; repeat the training with: "
        f"lightcnn train {folder}/recipe.yaml{options}"
    )

"""`lightcnn ablate`."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.text import Text

from lightcnn.ablating.variants import KINDS
from lightcnn.cli.options import (
    AUTO,
    AllowLeak,
    DataDir,
    Debug,
    Epochs,
    Fast,
    Folds,
    Json,
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
from lightcnn.output.caveats import warnings_beside_notes
from lightcnn.output.console import CommandConsole
from lightcnn.output.largest_class import largest_class_sentence
from lightcnn.text import visible

OVER = f"Kinds of changes: {', '.join(KINDS)}, or a FILE of changes; repeat the option or separate by commas."


def ablate(
    recipe: RecipeArgument = None,
    over: Annotated[list[str] | None, typer.Option(metavar="KIND|FILE", help=OVER)] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Names of the changes to make; repeat the option or separate by commas."),
    ] = None,
    data: TrainingData = None,
    epochs: Epochs = None,
    seed: Seed = None,
    folds: Folds = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="S", help="Train each recipe with S seeds, from --seed on (default: 1).")
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
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Resume the ablation in --out; RECIPE may be omitted.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the changes, their cost and their time without training.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a recipe with one change at a time, and report the effect of each change on score and cost."""
    from lightcnn.ablating.plan import is_finished
    from lightcnn.ablating.settings import PLAN_FILE
    from lightcnn.ablating.terminal import AblateView
    from lightcnn.run_files import earlier_values
    from lightcnn.run_folder import RunFolder

    if recipe is None and not (resume and out is not None):
        raise InputError("ablate: RECIPE is missing; name a file or a shipped recipe, as in `lightcnn ablate quick`")
    resumed = RunFolder.resumed(out, resume=resume, command="ablate", settings=PLAN_FILE)
    reading = reading_values(data_dir, skip_corrupt, resplit, allow_leak, require_data, fast, thorough, positive)
    changes = recipe_overrides(data, epochs, seed, reading, sets)
    if recipe is None and (changes or over or only or folds is not None or seeds is not None):
        raise InputError("--resume: options change what is trained; give RECIPE and all of its options, or none")
    if resumed is not None and recipe is None and not dry_run and is_finished(resumed):
        with earlier_values(resumed.path, "report.json"):
            return _show(resumed, as_json, quiet)
    path = out or RunFolder.default_path("ablate")
    with (
        resumable("ablate", path, PLAN_FILE),
        AblateView(CommandConsole(stderr=True), quiet) as view,
    ):
        from lightcnn.ablating import job

        settings = _settings(recipe, changes, _listed(over), _listed(only), folds, seeds, device.value)
        if dry_run:
            plan = job.estimate(settings, out=out, resume=resume, progress=view)
        else:
            run = job.run(settings, out=path, resume=resume, progress=view)
    return _show_dry_run(plan, as_json, quiet) if dry_run else _show(run, as_json, quiet)


def _settings(
    recipe: str | None,
    changes: list[Any],
    over: list[str],
    only: list[str],
    folds: int | None,
    seeds: int | None,
    device: Any,
) -> Any:
    """The settings of the command line; without a recipe those of the resumed run apply."""
    from lightcnn.ablating.settings import AblateSettings, make_settings
    from lightcnn.training.recipe_argument import read_recipe_argument

    if recipe is None:
        return AblateSettings(device=device)
    draft = read_recipe_argument(recipe, changes)
    return make_settings(draft, over, only=only, folds=folds or 0, seeds=1 if seeds is None else seeds, device=device)


def _listed(values: list[str] | None) -> list[str]:
    """The values of an option that is repeated or whose values are separated by commas."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _show_dry_run(plan: dict[str, Any], as_json: bool, quiet: bool) -> None:
    """Prints every change with its cost and time, and the total time."""
    from lightcnn.ablating.terminal import dry_run_table, format_duration
    from lightcnn.training.terminal import stand_in_panel

    if as_json:
        return print_json(plan)
    if plan["data"]["stand_in"]:
        CommandConsole(stderr=True).print(stand_in_panel(plan["data"]))
    console = CommandConsole()
    console.print(dry_run_table(plan))
    _show_left_out(console, plan)
    trainings = plan["seeds"] * max(1, plan["folds"])
    repeats = f", {trainings} trainings each" if trainings > 1 else ""
    console.print(
        Text(f"time: about {format_duration(plan['estimate']['seconds'])} in total{repeats}, on {plan['device']}, "
             "measured on a few steps; nothing was written"), soft_wrap=True,
    )  # fmt: skip
    return None


def _show(run: Any, as_json: bool, quiet: bool) -> None:
    """Prints the conclusions, the table, the failures, and where the report is. Raises: typer.Exit if any failed."""
    from lightcnn.ablating.terminal import ablate_table
    from lightcnn.training.terminal import stand_in_panel

    report = run.report
    if as_json:
        print_json(report)
    else:
        console = CommandConsole()
        if report["data"]["stand_in"]:
            console.print(stand_in_panel(report["data"]))
        if not quiet:
            for pair in report["pairs"]:
                if pair["metric"] == report["metric"]:
                    console.print_line(pair["sentence"])
            console.print()
        console.print(ablate_table(report, width=console.width))
        console.print()
        if not quiet:
            warnings = [f"warning: {message}" for message in warnings_beside_notes(report)]
            about = filter(None, [largest_class_sentence(report)])
            for line in (*about, *warnings, *(f"note: {note}" for note in report["notes"])):
                console.print_line(line)
            _show_left_out(console, report)
            console.print_line(f"run folder {run.path}: open {run / 'report.html'}")
    if report["failed"]:
        for failure in report["failed"]:
            typer.echo(visible(f"lightcnn: change {failure['change']} failed: {failure['reason']}"), err=True)
        raise typer.Exit(1)


def _show_left_out(console: CommandConsole, report: dict[str, Any]) -> None:
    for skipped in report["left_out"]:
        console.print_line(f"left out: {skipped['change']}: {skipped['reason']}")

"""`lightcnn ablate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import (
    AllowLeak,
    DataDir,
    Debug,
    Device,
    Interrupted,
    Json,
    Out,
    Quiet,
    RequireData,
    Resplit,
    SkipCorrupt,
    print_json,
    recipe_overrides,
)
from lightcnn.errors import InputError
from lightcnn.text import visible

OVER = "architecture, hyperparameters, augmentation, baselines, or a FILE of changes; repeatable, or joined by commas."


def ablate(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe, a file, or a spec.yaml with --data.")
    ] = None,
    over: Annotated[list[str] | None, typer.Option(metavar="KIND|FILE", help=OVER)] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Of these, the named changes; repeatable, or by commas.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Another SOURCE than the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; the same as --set training.epochs=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of split, first weights and trainings.")] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Cut the images into K folds by group and test on each once.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="S", help="Train each with S seeds, from --seed on; default 1.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY.PATH=VALUE", help="Any value of the recipe; repeatable.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to train.")] = Device.auto,
    data_dir: DataDir = None,
    skip_corrupt: SkipCorrupt = False,
    resplit: Resplit = False,
    allow_leak: AllowLeak = False,
    require_data: RequireData = False,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the ablation in --out; RECIPE and all else may be left out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the changes, their cost and their time; train nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train a recipe with one change at a time, and say what each change does to score and cost."""
    from lightcnn.ablating.terminal import AblateView
    from lightcnn.run_folder import RunFolder

    held = _held(recipe, out, resume)
    given = recipe_overrides(
        {
            "data": data, "training.epochs": epochs, "seed": seed, "reading.data_dir": data_dir and str(data_dir),
            "reading.skip_corrupt": skip_corrupt, "reading.resplit": resplit, "reading.allow_leak": allow_leak,
            "reading.require_data": require_data,
        },
        sets or (),
    )  # fmt: skip
    if recipe is None and (given or over or only or folds is not None or seeds is not None):
        raise InputError("--resume: options change what is trained; give RECIPE and all of them, or none")
    path = out or RunFolder.default_path("ablate")
    if held is not None and recipe is None and not dry_run and _whole(held):
        return _show(held, as_json, quiet)
    asked = (recipe, given, _listed(over), _listed(only), folds or 0, 1 if seeds is None else seeds)
    try:
        with AblateView(Console(stderr=True, highlight=False), quiet) as view:
            from lightcnn.ablating import job

            layout = _layout(asked, held, device.value, view)
            if not dry_run:
                done = job.run(layout, out=path, held=held, device=device.value, watcher=view)
    except KeyboardInterrupt:
        if (path / "ablation.json").is_file():
            raise Interrupted(
                f"interrupted; go on with: lightcnn ablate --resume --out {shlex.quote(str(path))}"
            ) from None
        raise
    return _dry_run(layout, as_json, quiet) if dry_run else _show(done, as_json, quiet)


def _held(recipe: str | None, out: Path | None, resume: bool) -> Any:
    """The run folder to go on with, if one is. Raises: InputError where what is needed is not given."""
    from lightcnn.run_folder import RunFolder

    if recipe is None and not (resume and out is not None):
        raise InputError("ablate: RECIPE is missing; give a file or a shipped name, as in `lightcnn ablate quick`")
    if resume and out is None:
        raise InputError("--resume: needs --out with the run folder to go on with")
    if out is not None and not resume:
        RunFolder.require_free(out)
    return RunFolder.load(str(out)) if resume else None


def _layout(asked: tuple[Any, ...], held: Any, device: str, view: Any) -> Any:
    """What is to be trained: as asked for, or as a run folder holds it."""
    from lightcnn.ablating.job import prepare, prepare_resumed
    from lightcnn.training.recipe_argument import read_recipe_argument
    from lightcnn.training.repeats import Repeats

    recipe, given, over, only, folds, seeds = asked
    if recipe is None:
        return prepare_resumed(held, device, view)
    return prepare(
        read_recipe_argument(recipe, given), over, only=only, repeats=Repeats(folds, seeds), device=device, watcher=view
    )


def _listed(values: list[str] | None) -> list[str]:
    """Options that are repeated or joined by commas, one by one."""
    return [part.strip() for value in values or () for part in value.split(",") if part.strip()]


def _whole(held: Any) -> bool:
    """Whether nothing is left to train. Raises: RunError where it is no ablation."""
    from lightcnn.ablating.plan import load_plan

    load_plan(held)
    return (held / "report.json").is_file() and not held.report.get("failed")


def _dry_run(layout: Any, as_json: bool, quiet: bool) -> None:
    """Every change with its cost and time, and the time of all."""
    from lightcnn.ablating.job import estimate
    from lightcnn.ablating.terminal import dry_run_table, lasting
    from lightcnn.training.terminal import stand_in_panel

    plan = estimate(layout)
    if as_json:
        return print_json(plan)
    if plan["data"]["stand_in"]:
        Console(stderr=True, highlight=False).print(stand_in_panel(plan["data"]))
    console = Console(highlight=False)
    console.print(dry_run_table(plan))
    _left_out(console, plan)
    each = layout.plan.trainings
    times = f", {each} trainings each" if each > 1 else ""
    console.print(
        Text(f"time: about {lasting(plan['estimate']['seconds'])} for all{times}, on {plan['device']} as measured on a "
             "few steps; nothing was written"), soft_wrap=True,
    )  # fmt: skip
    return None


def _show(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of an ablation: the table, what can be said, what failed, and where it lies."""
    from lightcnn.ablating.terminal import ablate_table
    from lightcnn.training.terminal import stand_in_panel

    report = run.report
    if as_json:
        print_json(report)
    else:
        console = Console(highlight=False)
        if report["data"]["stand_in"]:
            console.print(stand_in_panel(report["data"]))
        console.print(ablate_table(report))
        console.print()
        if not quiet:
            said = [pair["sentence"] for pair in report["pairs"] if pair["metric"] == report["metric"]]
            for line in (*said, *(f"note: {note}" for note in report["notes"])):
                console.print(Text(visible(line)), soft_wrap=True)
            _left_out(console, report)
            console.print(Text(f"run folder {run.path}: open {run / 'report.html'}"), soft_wrap=True)
    if report["failed"]:
        for one in report["failed"]:
            typer.echo(visible(f"lightcnn: change {one['change']} failed: {one['reason']}"), err=True)
        raise typer.Exit(1)


def _left_out(console: Console, report: Any) -> None:
    for one in report["left_out"]:
        console.print(Text(visible(f"left out: {one['change']}: {one['reason']}")), soft_wrap=True)

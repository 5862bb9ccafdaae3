"""`lightcnn train`."""

from __future__ import annotations

import json
import shlex
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
    recipe_changes,
)
from lightcnn.errors import InputError
from lightcnn.output.caveats import cautions
from lightcnn.text import visible


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe, a file, or a spec.yaml with --data.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Another SOURCE than the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; the same as --set training.epochs=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of split, first weights and trainings.")] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="Cut the images into K folds by group and test on each once.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(metavar="S", help="Train with S seeds, from --seed on; with folds each cuts its own.")
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
        bool, typer.Option("--resume", help="Go on with the training in --out; RECIPE may be left out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved recipe, sizes, cost and time; train nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Train the network of a recipe, and leave a run folder."""
    from lightcnn.run_folder import RunFolder
    from lightcnn.training.recipe_argument import read_recipe_argument
    from lightcnn.training.terminal import TrainView

    if recipe is None and not (resume and out is not None):
        raise InputError("train: RECIPE is missing; give a file or a shipped name, as in `lightcnn train quick`")
    if resume and out is None:
        raise InputError("--resume: needs --out with the run folder to go on with")
    if resume and out is not None and not (RunFolder.load(out) / "data.json").is_file():
        raise InputError(f"--resume: {out} is not a training; give the folder that `lightcnn train` has begun")
    given = recipe_changes(
        {
            "data": data, "training.epochs": epochs, "seed": seed, "reading.data_dir": data_dir and str(data_dir),
            "reading.skip_corrupt": skip_corrupt, "reading.resplit": resplit, "reading.allow_leak": allow_leak,
            "reading.require_data": require_data,
        },
        sets or (),
    )  # fmt: skip
    wanted = read_recipe_argument(
        RunFolder.load(out) / "recipe.yaml" if recipe is None and out is not None else str(recipe), given
    )
    if out is not None and not resume:
        RunFolder.free(out)
    if dry_run:
        return _dry_run(wanted, folds, seeds, device.value, as_json, quiet)
    asked = recipe is not None or given or folds is not None or seeds is not None
    if resume and not asked and out is not None and (out / "report.json").is_file():
        return _show(RunFolder.load(out), as_json, quiet)
    out = out or RunFolder.fresh("train")
    try:
        with TrainView(Console(stderr=True, highlight=False), quiet) as view:
            from lightcnn.training import job

            done = job.run(wanted, folds=folds, seeds=seeds, out=out, resume=resume, device=device.value, progress=view)
    except KeyboardInterrupt:
        if (out / "data.json").is_file():
            raise Interrupted(
                f"interrupted; go on with: lightcnn train --resume --out {shlex.quote(str(out))}"
            ) from None
        raise
    return _show(done, as_json, quiet)


def _dry_run(wanted: Any, folds: int | None, seeds: int | None, device: str, as_json: bool, quiet: bool) -> None:
    """The resolved recipe, sizes, cost and time of a training, or of all folds and seeds."""
    from lightcnn import document
    from lightcnn.recipe import Recipe
    from lightcnn.training.terminal import TrainView, dry_run_lines, stand_in_panel

    with TrainView(Console(stderr=True, highlight=False), quiet) as view:
        from lightcnn.training.job import estimate

        plan = estimate(wanted, folds=folds, seeds=seeds, device=device, progress=view)
    if as_json:
        return print_json(plan)
    if plan["data"]["stand_in"]:
        Console(stderr=True, highlight=False).print(stand_in_panel(plan["data"]))
    recipe = Recipe.model_validate_json(json.dumps(plan["recipe"]))
    typer.echo(document.dump(recipe, exclude_defaults=False))
    typer.echo(dry_run_lines(plan))
    return None


def _show(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of a training: the score, where it lies, and how to go on."""
    from lightcnn.training.terminal import parts_table, stand_in_panel, train_summary

    report = run.report
    if as_json:
        return print_json(report)
    console = Console(highlight=False)
    if "parts" in report and not quiet:
        console.print(parts_table(report))
        console.print()
    console.print(Text(train_summary(report)), soft_wrap=True)
    if report["metrics"]["test"]["warning"]:
        console.print(Text(visible(f"warning: {report['metrics']['test']['warning']}")), soft_wrap=True)
    if not quiet:
        if report["data"]["stand_in"]:
            console.print(stand_in_panel(report["data"]))
        else:
            for note in cautions(report["data"]):
                console.print(Text(visible(f"note: {note}")), soft_wrap=True)
        folder = shlex.quote(str(run.path))
        again = "".join(f" --{name} {report[name]}" for name in ("folds", "seeds") if report.get(name))
        console.print(
            Text(
                f"run folder {run.path}: open {run / 'report.html'}; train the same again with: "
                f"lightcnn train {folder}/recipe.yaml{again}"
            ),
            soft_wrap=True,
        )
    return None

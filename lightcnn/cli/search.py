"""`lightcnn search`."""

from __future__ import annotations

import csv
import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import (
    STARTED_AT,
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
    parse_duration,
    print_json,
)
from lightcnn.errors import InputError
from lightcnn.output.caveats import caveats
from lightcnn.text import visible
from lightcnn.version import __version__


class Strategy(StrEnum):
    """How the next network is proposed."""

    evolution = "evolution"
    tpe = "tpe"
    random = "random"


def search(
    budget: Annotated[
        str | None,
        typer.Option(help="Limits with units: 1MFLOPs, 50kparams, 64KB, 64KiB-RAM, 0.9..1MFLOPs, joined by commas."),
    ] = None,
    space: Annotated[str | None, typer.Option(help="A shipped search space or a file; default micro.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="A folder of class folders, a .csv, a .npz, or a name; default digits."),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many trials; the same seed then gives the same search.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(
            "--time", help="For everything, final training included: 90s, 10m, 1h30m; default 2m without --trials."
        ),
    ] = None,
    strategy: Annotated[Strategy | None, typer.Option(help="How networks are proposed; default evolution.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of the final training, at most; default: what the time allows.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of split, proposals and trainings; default 0.")] = None,
    device: Annotated[Device | None, typer.Option(help="Where to train; default auto.")] = None,
    data_dir: DataDir = None,
    skip_corrupt: SkipCorrupt = False,
    resplit: Resplit = False,
    allow_leak: AllowLeak = False,
    require_data: RequireData = False,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the search in --out, with its own settings.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be searched and what it costs; train nothing.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Search the best network within a budget, train it, and leave a run folder."""
    given = {
        "budget": budget, "space": space, "data": data, "trials": trials, "seconds": parse_duration(time),
        "strategy": strategy and strategy.value, "epochs": epochs, "seed": seed, "device": device and device.value,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    given |= {
        name: value
        for name, value in {
            "data_dir": data_dir and str(data_dir), "skip_corrupt": skip_corrupt, "resplit": resplit,
            "allow_leak": allow_leak, "require_data": require_data,
        }.items() if value
    }  # fmt: skip
    extended = bool(given.keys() & {"trials", "seconds", "epochs"})
    settings = _resumed(out, given) if resume else _settings(given, out)
    if dry_run:
        return _dry_run(settings, as_json)

    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.terminal import SearchView

    if resume and out is not None and (out / "report.json").is_file() and not extended:
        return _show_search(RunFolder.load(out), as_json, quiet)
    out = out or RunFolder.default_path("search")
    console = Console(stderr=True, highlight=False)
    try:
        with SearchView(console, quiet) as view:
            from lightcnn.searching import job

            finished = job.run(settings, out=out, resume=resume, watcher=view, began=STARTED_AT)
    except KeyboardInterrupt:
        if (out / "search.yaml").is_file():
            raise Interrupted(
                f"interrupted; go on with: lightcnn search --resume --out {shlex.quote(str(out))}"
            ) from None
        raise
    _show_search(finished, as_json, quiet)
    return None


def _settings(given: dict[str, Any], out: Path | None) -> Any:
    """The settings of a new search, its budget held against its space before anything heavy is imported."""
    from lightcnn.budget import Budget
    from lightcnn.data.sources.load import describe
    from lightcnn.recipe import Reading
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.budgeted_space import BudgetedSpace
    from lightcnn.searching.settings import make_settings
    from lightcnn.space import SearchSpace

    if "budget" not in given:
        raise InputError("search: --budget is missing; say what the network may cost, as in --budget 1MFLOPs")
    if out is not None:
        RunFolder.require_free(out)
    budget = Budget.parse(given["budget"])
    space = SearchSpace.load(given.get("space", "micro"))
    source = given.get("data", "digits")
    BudgetedSpace(space.for_data(*describe(source)), budget)
    if "trials" not in given and "seconds" not in given:
        given["seconds"] = 120.0
    reading = Reading(**{name: given.pop(name) for name in Reading.model_fields if name in given})
    return make_settings(**(given | {"space": space, "data": source, "reading": reading}))


def _resumed(out: Path | None, given: dict[str, Any]) -> Any:
    """The settings in a run folder; what was given beside must agree with them. Only the ends (time,
    trials, epochs of the final training) and the device may change."""
    from lightcnn.budget import Budget
    from lightcnn.recipe import Reading
    from lightcnn.searching.settings import load_settings, make_settings
    from lightcnn.space import SearchSpace

    if out is None:
        raise InputError("--resume: needs --out with the run folder to go on with")
    held = load_settings(out)
    extended: dict[str, Any] = {
        name: given.pop(name) for name in ("trials", "seconds", "epochs", "device") if name in given
    }
    for name, value in given.items():
        asked = SearchSpace.load(value) if name == "space" else value
        was = getattr(held.reading if name in Reading.model_fields else held, name)
        same = asked == was
        if name == "budget":
            same = Budget.parse(value) == Budget.parse(held.budget)
        if not same:
            was = held.space.name if name == "space" else was
            raise InputError(
                f"--resume: {out} was begun with {name} {was!r}, not {value!r}; "
                f"leave --{name.replace('_', '-')} out, or give a fresh --out"
            )
    if extended.keys() & {"trials", "seconds"}:
        extended = {"trials": None, "seconds": None} | extended
    return make_settings(**(dict(held) | extended))


def _dry_run(settings: Any, as_json: bool) -> None:
    from lightcnn.budget import Budget, human
    from lightcnn.cost import cost
    from lightcnn.data.grouping.groups import grouped
    from lightcnn.data.sources.load import load
    from lightcnn.data.split import data_document, split
    from lightcnn.searching.budgeted_space import BudgetedSpace

    dataset = grouped(load(settings.data, settings.reading))
    data = data_document(dataset, split(dataset, settings.seed, settings.reading))
    bound = BudgetedSpace(
        settings.space.for_data(dataset.channels, len(dataset.classes), dataset.size), Budget.parse(settings.budget)
    )
    ends = {
        name: cost(bound.space.spec(shape))
        for name, shape in (("smallest", bound.space.smallest()), ("largest", bound.space.largest()))
    }
    first = bound.fit(bound.first())
    if as_json:
        document = {
            "lightcnn": __version__, "command": "search", "dry_run": True, "seed": settings.seed,
            "data": data, "budget": bound.budget.document(),
            "space": {"name": bound.space.name, "genes": len(bound.genes())}
            | {name: c.document() for name, c in ends.items()},
            "first": first and first.cost.document(), "trials": settings.trials, "time_limit_seconds": settings.seconds,
        }  # fmt: skip
        return print_json(document)
    typer.echo(f"data    {settings.data}: " + ", ".join(f"{count} {side}" for side, count in data["counts"].items()))
    typer.echo(
        f"space   {bound.space.name}: {len(bound.genes())} genes, "
        f"{human(ends['smallest'].macs)} to {human(ends['largest'].macs)} FLOPs"
    )
    typer.echo(f"budget  {bound.budget}")
    typer.echo(
        f"first   {first.cost}" if first else "first   a drawn shape: the space's own start does not fit this budget"
    )
    ends_at = [f"{settings.trials} trials"] * bool(settings.trials) + [f"{settings.seconds:g} seconds"] * bool(
        settings.seconds
    )
    typer.echo(f"ends    after {' or '.join(ends_at)}; nothing was trained")
    for caution in caveats(data):
        typer.echo(visible(f"note    {caution}"), err=True)
    return None


def _show_search(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of a search: the table of the best, the score, where it lies and how to go on."""

    from lightcnn.output.caveats import caveats
    from lightcnn.searching.terminal import search_table, summary
    from lightcnn.text import visible

    report = run.report
    if as_json:
        return print_json(report)
    console = Console(highlight=False)
    if not quiet:
        with open(run / "trials.csv", encoding="utf-8", newline="") as file:
            console.print(search_table(report, list(csv.DictReader(file))))
        console.print()
    console.print(Text(summary(report)), soft_wrap=True)
    if not quiet:
        for note in caveats(report["data"]):
            console.print(Text(f"note: {visible(note)}"), soft_wrap=True)
        console.print(
            Text(
                f"run folder {run.path}: open {run / 'report.html'}; "
                f"search on with: lightcnn search --resume --out {shlex.quote(str(run.path))} {_longer(run, report)}"
            ),
            soft_wrap=True,
        )
    return None


def _longer(run: Any, report: Any) -> str:
    """The option that takes a finished search twice as far."""
    from lightcnn.searching.settings import load_settings

    if load_settings(run.path).seconds is None:
        return f"--trials {2 * report['counts']['proposed']}"
    return f"--time {max(1, round(2 * report['seconds'] / 60))}m"

"""The command line: one function per command. What is heavy is imported inside the function that needs it."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

import lightcnn
from lightcnn.errors import DocumentError, InputError, LightcnnError
from lightcnn.page import visible

BEGAN = time.monotonic()
"""When the command began: what `--time` counts from."""

app = typer.Typer(
    name="lightcnn",
    help="Architecture search for lightweight CNNs under exact FLOP, parameter and memory budgets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, all else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress, no messages.")]
Debug = Annotated[bool, typer.Option("--debug", help="A traceback with every error.")]


DataDir = Annotated[
    Path | None, typer.Option(help="Where published data sets lie or are put; default ~/.cache/lightcnn/data.")
]
Out = Annotated[Path | None, typer.Option(help="The run folder; default a fresh one under runs/.")]
SkipCorrupt = Annotated[bool, typer.Option("--skip-corrupt", help="Leave out files that cannot be read, and say so.")]
RequireData = Annotated[bool, typer.Option("--require-data", help="Refuse a stand-in where the data set is not there.")]

Resplit = Annotated[bool, typer.Option("--resplit", help="Cut the sides anew, whatever split is given.")]
AllowLeak = Annotated[
    bool, typer.Option("--allow-leak", help="Use a given split although sources stand on both sides of it.")
]

UsageError: Any = typer.BadParameter.__mro__[1]
"""Base of what typer raises for a wrong command line (typer carries its own copy of click)."""


class Device(StrEnum):
    """Where networks are trained."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Strategy(StrEnum):
    """How the next network is proposed."""

    evolution = "evolution"
    tpe = "tpe"
    random = "random"


class Listing(StrEnum):
    """What `lightcnn list` lists."""

    recipes = "recipes"
    spaces = "spaces"
    datasets = "datasets"
    baselines = "baselines"
    schemas = "schemas"


class Interrupted(Exception):  # noqa: N818 (no error: the user asked for it)
    """Ctrl-C in the middle of something that can go on later; says how."""


def run(arguments: list[str]) -> int:
    """Runs one command line and returns its exit code; errors are one line on stderr."""
    debug = "--debug" in arguments
    try:
        code = app(arguments, standalone_mode=False)
        if code == 130:  # typer's own answer to Ctrl-C, in silence
            return _ended("interrupted", 130, debug=False)
        return code if isinstance(code, int) else 0
    except DocumentError as error:
        for problem in error.problems[:-1]:
            typer.echo(f"lightcnn: {problem}", err=True)
        return _ended(str(error.problems[-1]), error.exit_code, debug)
    except LightcnnError as error:
        return _ended(str(error), error.exit_code, debug)
    except Interrupted as hint:
        return _ended(str(hint), 130, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _ended("interrupted", 130, debug)
    except UsageError as error:
        context = getattr(error, "ctx", None)
        message = error.format_message()
        if not arguments:
            typer.echo(message, err=True)
            return 2
        message = " ".join(message.split())
        return _ended(f"{message}; see `{context.command_path if context else 'lightcnn'} --help`", 2, debug)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _ended(
            f"{error.filename or 'output'}: {error.strerror}; see that the disk has room, then --resume", 1, debug
        )
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        return _ended(f"{type(error).__name__}: {reason} (a fault of lightcnn; --debug shows where)", 1, debug)


def _ended(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    from lightcnn.page import visible

    # Names of files stand in it, which may hold what a terminal obeys.
    Console(stderr=True, highlight=False).print(Text(visible(f"lightcnn: {message}")), soft_wrap=True)
    return code


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="The version, and nothing else.")] = False,
) -> None:
    if version:
        typer.echo(f"lightcnn {lightcnn.__version__}")
        raise typer.Exit


@app.command()
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
    duration: Annotated[
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
        "budget": budget, "space": space, "data": data, "trials": trials, "seconds": _seconds(duration),
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

    from lightcnn.run import Run
    from lightcnn.view import SearchView

    if resume and out is not None and (out / "report.json").is_file() and not extended:
        return _show_search(Run.load(out), as_json, quiet)
    out = out or Run.fresh("search")
    console = Console(stderr=True, highlight=False)
    try:
        with SearchView(console, quiet) as view:
            from lightcnn.searching.job import conduct

            finished = conduct(settings, out=out, resume=resume, watcher=view, began=BEGAN)
    except KeyboardInterrupt:
        if (out / "search.yaml").is_file():
            raise Interrupted(
                f"interrupted; go on with: lightcnn search --resume --out {shlex.quote(str(out))}"
            ) from None
        raise
    _show_search(finished, as_json, quiet)
    return None


@app.command()
def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="RECIPE", help="A shipped recipe, a file, or a spec.yaml with --data.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Another SOURCE than the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most; the same as --set training.epochs=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of split, first weights and trainings.")] = None,
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
    from lightcnn import changes
    from lightcnn.drafts import draft
    from lightcnn.run import Run
    from lightcnn.trainview import TrainView

    if recipe is None and not (resume and out is not None):
        raise InputError("train: RECIPE is missing; give a file or a shipped name, as in `lightcnn train quick`")
    if resume and out is None:
        raise InputError("--resume: needs --out with the run folder to go on with")
    given = [
        changes.Change(f"--{path[-1].replace('_', '-')}", path, value)
        for path, value in (
            (("data",), data), (("training", "epochs"), epochs), (("seed",), seed),
            (("reading", "data_dir"), data_dir and str(data_dir)), (("reading", "skip_corrupt"), skip_corrupt),
            (("reading", "resplit"), resplit), (("reading", "allow_leak"), allow_leak),
            (("reading", "require_data"), require_data),
        ) if value is not None and value is not False
    ]  # fmt: skip
    given += [changes.read(text) for text in sets or ()]
    wanted = draft(Run.load(out) / "recipe.yaml" if recipe is None and out is not None else str(recipe), given)
    if out is not None and not resume:
        Run.free(out)
    if dry_run:
        return _dry_run_of_training(wanted, device.value, as_json, quiet)
    if resume and recipe is None and not given and out is not None and (out / "report.json").is_file():
        return _show_training(Run.load(out), as_json, quiet)
    out = out or Run.fresh("train")
    try:
        with TrainView(Console(stderr=True, highlight=False), quiet) as view:
            from lightcnn.learning.job import conduct

            done = conduct(wanted, out=out, resume=resume, device=device.value, watcher=view)
    except KeyboardInterrupt:
        if (out / "data.json").is_file():
            raise Interrupted(
                f"interrupted; go on with: lightcnn train --resume --out {shlex.quote(str(out))}"
            ) from None
        raise
    return _show_training(done, as_json, quiet)


@app.command()
def audit(
    source: Annotated[
        str,
        typer.Argument(metavar="SOURCE", help="A folder of class folders, a .csv, a .npz, or a name."),
    ],
    fast: Annotated[bool, typer.Option("--fast", help="Leave near duplicates out.")] = False,
    augment: Annotated[
        str | None, typer.Option(metavar="PRESET", help="Also show what that augmentation makes of some images.")
    ] = None,
    data_dir: DataDir = None,
    skip_corrupt: Annotated[
        bool, typer.Option("--skip-corrupt", help="Changes nothing: an audit lists such files and goes on.")
    ] = False,
    require_data: RequireData = False,
    out: Out = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Find what is wrong with images before anything is trained on them, and leave a run folder."""
    from lightcnn.recipe import Reading
    from lightcnn.run import Run
    from lightcnn.view import StepsView

    if out is not None:
        Run.free(out)
    reading = Reading(data_dir=str(data_dir) if data_dir else None, require_data=require_data)
    with StepsView(Console(stderr=True, highlight=False), quiet) as view:
        from lightcnn.auditing import conduct

        done = conduct(source, reading, out=out, fast=fast, augment=augment, progress=view.progress)
    _show_audit(done, as_json, quiet)


@app.command()
def predict(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGE|FOLDER ...", help="Files, or folders of them.")],
    abstain_below: Annotated[
        float, typer.Option(metavar="P", help='Predict "abstained" where the highest probability is lower.')
    ] = 0.0,
    csv_to: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write CSV to a fresh file, or to stdout with -.")
    ] = None,
    device: Annotated[Device, typer.Option(help="Where to predict.")] = Device.auto,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Predict the classes of images with the network of a run, and print their probabilities."""
    from lightcnn.predicting import LineFile, Prediction

    if csv_to == "-" and as_json:
        raise InputError("--csv -: stdout is taken by --json; give --csv a file")
    prediction = Prediction(run_folder, images, device=device.value, abstain_below=abstain_below)
    if csv_to is None or csv_to == "-":
        write = (lambda line: typer.echo(line, nl=False)) if csv_to else None
        return _predict(prediction, write, lines=not as_json, as_json=as_json, quiet=quiet)
    with LineFile(Path(csv_to)) as file:
        return _predict(prediction, file.write, lines=False, as_json=as_json, quiet=quiet)


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Network specs, search spaces, recipes.")],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Validate YAML files and print every error of every file."""
    from lightcnn.checking import check_file

    results = [check_file(file) for file in files]
    if as_json:
        _print_json({"lightcnn": lightcnn.__version__, "command": "check", "files": results})
    elif not quiet:
        for result in results:
            if not result["errors"]:
                typer.echo(f"{result['file']}: a valid {result['kind']}")
    for error in (error for result in results for error in result["errors"]):
        typer.echo(error, err=True)
    if any(result["errors"] for result in results):
        raise typer.Exit(2)


@app.command("list")
def list_(
    what: Annotated[Listing, typer.Argument(help="What to list.")],
    show: Annotated[str | None, typer.Option(help="Print the shipped file of that name, to copy and change.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List what is shipped."""
    from lightcnn.checking import shipped_items

    items = shipped_items(what.value)
    if show is not None:
        from lightcnn.document import nearest

        item = next((item for item in items if item["name"] == show), None)
        if item is None or "file" not in item:
            names = [item["name"] for item in items if "file" in item]
            raise InputError(
                f"list {what.value} --show {show}: no such file{nearest(show, names)}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        text = Path(item["file"]).read_text(encoding="utf-8")
        if as_json:
            _print_json({"lightcnn": lightcnn.__version__, "command": "list", "items": [item | {"text": text}]})
        else:
            typer.echo(text, nl=False)
    elif as_json:
        _print_json({"lightcnn": lightcnn.__version__, "command": "list", "items": items})
    else:
        width = max(len(item["name"]) for item in items)
        for item in items:
            typer.echo(f"{item['name']:<{width}}  {item['about']}")


def _settings(given: dict[str, Any], out: Path | None) -> Any:
    """The settings of a new search, its budget held against its space before anything heavy is imported."""
    from lightcnn.budget import Budget
    from lightcnn.data.sources import outline
    from lightcnn.fit import BudgetedSpace
    from lightcnn.recipe import Reading
    from lightcnn.run import Run
    from lightcnn.searching.settings import make_settings
    from lightcnn.space import SearchSpace

    if "budget" not in given:
        raise InputError("search: --budget is missing; say what the network may cost, as in --budget 1MFLOPs")
    if out is not None:
        Run.free(out)
    budget = Budget.parse(given["budget"])
    space = SearchSpace.load(given.get("space", "micro"))
    source = given.get("data", "digits")
    BudgetedSpace(space.for_data(*outline(source)), budget)
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
    from lightcnn.cautions import cautions
    from lightcnn.cost import cost
    from lightcnn.data.groups import grouped
    from lightcnn.data.sources import load
    from lightcnn.data.split import data_document, split
    from lightcnn.fit import BudgetedSpace

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
            "lightcnn": lightcnn.__version__, "command": "search", "dry_run": True, "seed": settings.seed,
            "data": data, "budget": bound.budget.document(),
            "space": {"name": bound.space.name, "genes": len(bound.genes())}
            | {name: c.document() for name, c in ends.items()},
            "first": first and first.cost.document(), "trials": settings.trials, "time_limit_seconds": settings.seconds,
        }  # fmt: skip
        return _print_json(document)
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
    for caution in cautions(data):
        typer.echo(visible(f"note    {caution}"), err=True)
    return None


def _show_search(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of a search: the table of the best, the score, where it lies and how to go on."""
    import csv

    from lightcnn.cautions import cautions
    from lightcnn.page import visible
    from lightcnn.view import search_table, summary

    report = run.report
    if as_json:
        return _print_json(report)
    console = Console(highlight=False)
    if not quiet:
        with open(run / "trials.csv", encoding="utf-8", newline="") as file:
            console.print(search_table(report, list(csv.DictReader(file))))
        console.print()
    console.print(Text(summary(report)), soft_wrap=True)
    if not quiet:
        for note in cautions(report["data"]):
            console.print(Text(f"note: {visible(note)}"), soft_wrap=True)
        console.print(
            Text(
                f"run folder {run.path}: open {run / 'report.html'}; "
                f"search on with: lightcnn search --resume --out {shlex.quote(str(run.path))} {_longer(run, report)}"
            ),
            soft_wrap=True,
        )
    return None


def _dry_run_of_training(wanted: Any, device: str, as_json: bool, quiet: bool) -> None:
    """The resolved recipe, sizes, cost and time of a training."""
    from lightcnn import document
    from lightcnn.trainview import TrainView, dry_run_lines, stand_in_panel

    with TrainView(Console(stderr=True, highlight=False), quiet) as view:
        from lightcnn.learning.bench import prepare
        from lightcnn.learning.job import estimate

        bench = prepare(wanted, device, view)
        plan = estimate(bench)
    if as_json:
        return _print_json(plan)
    if plan["data"]["stand_in"]:
        Console(stderr=True, highlight=False).print(stand_in_panel(plan["data"]))
    typer.echo(document.dump(bench.recipe, exclude_defaults=False))
    typer.echo(dry_run_lines(plan))
    return None


def _show_training(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of a training: the score, where it lies, and how to go on."""
    from lightcnn.cautions import cautions
    from lightcnn.trainview import stand_in_panel, train_summary

    report = run.report
    if as_json:
        return _print_json(report)
    console = Console(highlight=False)
    console.print(Text(train_summary(report)), soft_wrap=True)
    if not quiet:
        if report["data"]["stand_in"]:
            console.print(stand_in_panel(report["data"]))
        else:
            for note in cautions(report["data"]):
                console.print(Text(visible(f"note: {note}")), soft_wrap=True)
        folder = shlex.quote(str(run.path))
        console.print(
            Text(
                f"run folder {run.path}: open {run / 'report.html'}; train the same again with: "
                f"lightcnn train {folder}/recipe.yaml"
            ),
            soft_wrap=True,
        )
    return None


def _show_audit(run: Any, as_json: bool, quiet: bool) -> None:
    """The end of an audit: what was found, the verdict, and where it lies."""
    from lightcnn.view import audit_tables

    report = run.report
    if as_json:
        return _print_json(report)
    console = Console(highlight=False)
    if not quiet:
        console.print(audit_tables(report))
        console.print()
    console.print(Text(visible(report["verdict"])), soft_wrap=True)
    if not quiet:
        if report["data"]["note"]:
            console.print(Text(f"note: {visible(report['data']['note'])}"), soft_wrap=True)
        console.print(Text(f"run folder {run.path}: open {run / 'report.html'}"), soft_wrap=True)
    return None


def _predict(prediction: Any, write_csv: Any, *, lines: bool, as_json: bool, quiet: bool) -> None:
    """Predicts into CSV, JSON or else a table; `lines`: stdout gets lines while it goes. Messages go to stderr."""
    from lightcnn.predicting import Csv, Document, Sink, Table
    from lightcnn.view import StepsView

    console = Console(stderr=True, highlight=False)
    document = Document()
    sinks: list[Sink] = [document] if as_json else []
    if write_csv is not None:
        sinks.append(Csv(write_csv))

    listed = not quiet and not as_json

    def told(skipped: Any) -> None:
        if listed:
            console.print(Text(visible(f"skipped: {skipped.image} {skipped.reason}")), soft_wrap=True)

    # A bar and lines on one terminal would overwrite each other.
    with StepsView(console, quiet or (lines and sys.stdout.isatty())) as view:
        prediction.conduct(sinks or [Table(typer.echo)], skip=told, progress=view.progress)
    if as_json:
        _print_json(prediction.document(document.predictions))
    if not quiet and prediction.found.passed_over:
        console.print(Text(f"passed over {prediction.found.passed_over:,} files that are no images by name"))
    prediction.demand_whole(listed=listed)


def _longer(run: Any, report: Any) -> str:
    """The option that takes a finished search twice as far."""
    from lightcnn.searching.settings import load_settings

    if load_settings(run.path).seconds is None:
        return f"--trials {2 * report['counts']['proposed']}"
    return f"--time {max(1, round(2 * report['seconds'] / 60))}m"


def _seconds(text: str | None) -> float | None:
    """A duration such as 90s, 10m or 1h30m in seconds. Raises: InputError."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else [0.0]
    seconds = sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))
    if not match or seconds <= 0:
        raise InputError(f"--time {text!r}: not a duration; write it with units, as in 90s, 10m or 1h30m")
    return seconds


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, allow_nan=False))

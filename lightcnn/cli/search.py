"""`lightcnn search`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightcnn import csv_files
from lightcnn.cli import completion
from lightcnn.cli.options import (
    AllowLeak,
    DataDir,
    Debug,
    Device,
    Fast,
    Json,
    Log,
    Out,
    Positive,
    Quiet,
    RequireData,
    Resplit,
    SkipCorrupt,
    Thorough,
    assigned,
    print_json,
    reading_values,
    resumable,
)
from lightcnn.devices import MAX_WORKERS
from lightcnn.duration import parse_duration
from lightcnn.errors import BudgetError, InputError
from lightcnn.output.caveats import warning_lines
from lightcnn.output.console import CommandConsole
from lightcnn.searching.deployment.names import DEPLOYMENTS
from lightcnn.searching.metric_names import METRICS
from lightcnn.searching.shared.settings import SharedSettings, shared_settings
from lightcnn.searching.strategies.names import STRATEGIES
from lightcnn.text import visible
from lightcnn.tracking.names import TrackerName, require_trackers
from lightcnn.version import __version__

if TYPE_CHECKING:
    from lightcnn.budget import Budget
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.settings import SearchSettings

MAX_TRIALS_BYTES = 50_000_000
"""Largest trials.csv that is read."""
Metric = StrEnum("Metric", [(name, name) for name in METRICS])  # type: ignore[misc]
Deployment = StrEnum("Deployment", [(name, name) for name in DEPLOYMENTS])  # type: ignore[misc]
Strategy = StrEnum("Strategy", [(name, name) for name in STRATEGIES])  # type: ignore[misc]

BudgetLimits = Annotated[
    str | None,
    typer.Option(
        metavar="LIMITS",
        help="Limits with units, joined by commas: 1MFLOPs, 50kparams, 64KB, 64KiB-RAM, 128kB-flash, 16kB-arena, 5ms, "
        "5ms-onnx, 0.9..1MFLOPs.",
    ),
]
Pareto = Annotated[
    bool,
    typer.Option(
        "--pareto",
        help="Search for a Pareto front over the range in --budget, as in 0.2..4MFLOPs, 20k..200kparams or 0.5..5ms.",
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        autocompletion=completion.spaces,
        help="A shipped search space or a YAML file (default: auto, by budget and size of the images).",
    ),
]
SearchData = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        autocompletion=completion.data_sets,
        help="A folder of class folders, a .csv, .tar or .npz file, or a data set's name (default: digits).",
    ),
]
InputSize = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Input size of all networks in pixels (default: the space's sizes compete)."),
]
Trials = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Stop after N trials; without --storage, the same seed then gives the same search."
    ),
]
TimeLimit = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="DURATION",
        help="Time limit from when the images have been read, including the final training and, for a limit in ms, the "
        "timing of 30 networks (two thirds of it at most): 90s, 10m, 1h30m (default: 2m if --trials is not given).",
    ),
]
SearchSets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY.PATH=VALUE",
        help="Set a value of training, augment or distill for all trainings, as in training.class_weights=balanced; "
        "repeatable.",
    ),
]
ProposedBy = Annotated[Strategy | None, typer.Option(help=f"How networks are proposed (default: {STRATEGIES[0]}).")]
Maximised = Annotated[
    Metric | None, typer.Option(help=f"What is maximised on the validation images (default: {METRICS[0]}).")
]
FinalEpochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Epochs of the final training, with --time at most (default: 20 to 100 by the number of images).",
    ),
]
Finalists = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=64,
        help="Number of networks that are trained to the end (default: one per worker; 2 without --time, "
        "and with one worker; with --pareto one per band of costs).",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=MAX_WORKERS,
        help="Processes that train (default: one per core of a CPU, at most 8; one per GPU).",
    ),
]
SearchSeeds = Annotated[
    int | None,
    typer.Option(
        metavar="S",
        min=1,
        max=100,
        help="Train the network that was found with S seeds, and print mean and standard deviation; all but the first "
        "take time beyond --time (default: 1).",
    ),
]
SearchSeed = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, help="Seed of the split, the proposals and the trainings (default: 0)."),
]
DeployedAs = Annotated[
    Deployment | None,
    typer.Option(
        help="Quantize the final networks to 8 bits as for this export format and deliver the best of them after that; "
        "takes time beyond --time (default: compare in float)."
    ),
]
TaughtBy = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|timm:NAME[=FILE]",
        autocompletion=completion.run_folders,
        help="The run of a trained network with the same classes: all networks learn from its predictions for the "
        "training images, too. timm:NAME is a pretrained network, which the search first trains like train finetune, "
        "in at most a third of --time; FILE has its weights.",
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Search on several machines: all that give the same storage and --study train for one search. "
        "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or grpc://HOST:PORT of `lightcnn storage serve` (default: "
        "the variable LIGHTCNN_STORAGE, which other users cannot list).",
    ),
]
StudyName = Annotated[
    str | None, typer.Option("--study", metavar="NAME", help="The study in --storage that the machines share.")
]
Artifacts = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="With --storage: a folder that all machines reach, for the states of trainings (default: a training that "
        "another machine continues starts again from scratch).",
    ),
]
TrialTimeout = Annotated[
    str | None,
    typer.Option(
        metavar="DURATION",
        help="With --storage: a training that takes longer to its next rung, or a part of a final training, has "
        "failed (default: no limit).",
    ),
]
SearchDevice = Annotated[Device | None, typer.Option(help="Where networks are trained (default: auto).")]
ResumeSearch = Annotated[
    bool, typer.Option("--resume", help="Resume the search in --out with the settings it was started with.")
]
SearchDryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be searched and what networks cost; train nothing.")
]


def search(
    budget: BudgetLimits = None,
    pareto: Pareto = False,
    space: Space = None,
    data: SearchData = None,
    trials: Trials = None,
    time: TimeLimit = None,
    strategy: ProposedBy = None,
    metric: Maximised = None,
    input: InputSize = None,
    sets: SearchSets = None,
    epochs: FinalEpochs = None,
    finalists: Finalists = None,
    workers: Workers = None,
    seeds: SearchSeeds = None,
    seed: SearchSeed = None,
    device: SearchDevice = None,
    deploy: DeployedAs = None,
    teacher: TaughtBy = None,
    data_dir: DataDir = None,
    skip_corrupt: SkipCorrupt = False,
    resplit: Resplit = False,
    allow_leak: AllowLeak = False,
    require_data: RequireData = False,
    fast: Fast = False,
    thorough: Thorough = False,
    positive: Positive = None,
    log: Log = None,
    storage: Storage = None,
    study: StudyName = None,
    artifacts: Artifacts = None,
    trial_timeout: TrialTimeout = None,
    out: Out = None,
    resume: ResumeSearch = False,
    dry_run: SearchDryRun = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Search for the best network within a budget, train it, and write a run folder."""
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.settings import CONTINUING, has_ended, lifted_limit, resumed_settings

    trackers = require_trackers(log or ())
    options: dict[str, Any] = {
        "budget": budget, "space": space, "data": data, "trials": trials, "seconds": parse_duration(time),
        "strategy": strategy and strategy.value, "metric": metric and metric.value, "input": input, "epochs": epochs,
        "finalists": finalists, "workers": workers, "seeds": seeds, "seed": seed, "device": device and device.value,
        "deploy": deploy and deploy.value, "teacher": teacher,
    }  # fmt: skip
    options = {name: value for name, value in options.items() if value is not None}
    if pareto:
        options["pareto"] = True
    if sets:
        options["set"] = assigned(sets)
    options |= reading_values(data_dir, skip_corrupt, resplit, allow_leak, require_data, fast, thorough, positive)
    shared = shared_settings(storage, study, artifacts, parse_duration(trial_timeout, "--trial-timeout"))
    if shared is not None:
        _take_part(shared, options, out, trackers, resume=resume, dry_run=dry_run, as_json=as_json, quiet=quiet)
        return
    settings = resumed_settings(out, options) if resume else _new_settings(options, out)
    if resume and not quiet and (lifted := lifted_limit(out, settings)):
        line = f"note: {lifted} limits this search no longer; give it as well to keep it"
        CommandConsole(stderr=True).print_line(line)
    if dry_run:
        _show_estimate(settings, as_json, quiet, resumed=out if resume else None)
    elif resume and not options.keys() & CONTINUING and out and has_ended(RunFolder(out)):
        _show_again(out, as_json, quiet)
    else:
        _show_search(_run(settings, out, trackers, quiet, resumed_by=options if resume else None), as_json, quiet)


def _take_part(
    shared: SharedSettings,
    options: Mapping[str, Any],
    out: Path | None,
    log: tuple[TrackerName, ...],
    *,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Takes part in a search of several machines, and prints the result, or on which machine it is or will be."""
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.progress import tracked
    from lightcnn.searching.settings import SETTINGS_FILE
    from lightcnn.searching.shared.job import finished, joined_settings, require_shareable
    from lightcnn.searching.terminal import SearchView
    from lightcnn.tracking.trackers import Trackers

    settings = joined_settings(shared, options, resume=resume) or _new_settings(options, out)
    require_shareable(settings)
    if dry_run:
        _show_estimate(settings, as_json, quiet, shared=shared)
        return
    end, run = finished(shared, settings), None
    if end is None:
        out, console = out or RunFolder.default_path("search"), CommandConsole(stderr=True)
        with (
            resumable("search", out, SETTINGS_FILE, log, shared.options),
            SearchView(console, quiet) as view,
            Trackers(log, view.warn) as trackers,
        ):
            from lightcnn.searching import job

            progress = tracked(view, trackers)
            run, end = job.run_shared(settings, shared, out=out, resume=resume, progress=progress)
    if run is not None:
        _show_search(run, as_json, quiet)
    elif as_json:
        where = end.model_dump(mode="json", include={"host", "folder", "in_training"})
        print_json({"lightcnn": __version__, "command": "search", "study": str(shared)} | where)
    elif not quiet:
        CommandConsole().print_line(f"{shared}: {end.line}")


def _new_settings(options: Mapping[str, Any], out: Path | None) -> SearchSettings:
    """The settings of a new search; its budget is checked before anything heavy is imported."""
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.settings import new_settings

    if "budget" not in options:
        raise InputError("search: --budget is missing; state what the network may cost, as in --budget 1MFLOPs")
    RunFolder.require_writable(
        RunFolder.default_path("search") if out is None else RunFolder.require_free(out, can_resume=True)
    )
    options = {name: value for name, value in options.items() if (name, value) != ("space", "auto")}
    _require_possible(options)
    return new_settings(options)


def _require_possible(options: Mapping[str, Any]) -> None:
    """Checks the budget against the space, or those that may be chosen once the images are read.

    Raises: BudgetError if no network of them can meet it; InputError for another option.
    """
    from lightcnn.budget import Budget
    from lightcnn.data.sources.load import describe
    from lightcnn.searching.deployment.requirements import require_timeable
    from lightcnn.space_choice import possible_spaces

    budget = Budget.parse(options["budget"])
    images = describe(options.get("data", "digits"))
    names = (options["space"],) if "space" in options else possible_spaces(budget, images, options.get("input"))
    refused = list[BudgetError]()
    for name in names:
        try:
            _require_space(name, budget, images, options)
            break
        except BudgetError as error:
            refused.append(error)
    else:
        raise refused[0]
    require_timeable(budget)


def _require_space(name: str, budget: Budget, images: tuple[int, int, int], options: Mapping[str, Any]) -> None:
    """Raises: BudgetError if no network of this space can meet the budget; InputError for another option."""
    from lightcnn.budget import Budget
    from lightcnn.data.dataset import MAX_CLASSES
    from lightcnn.data.sources.load import UNREAD
    from lightcnn.lower_limits import require_reached
    from lightcnn.searching.budgeted_space import BudgetedSpace
    from lightcnn.searching.deployment.requirements import require_deployable
    from lightcnn.space import SearchSpace

    space = SearchSpace.load(name)
    if input := options.get("input"):
        space = space.with_input(input)
    counted = budget.without_latencies  # networks are timed later
    if counted is None:
        return
    pareto = "pareto" in options and not budget.latencies
    if images == UNREAD and not pareto:
        require_reached(space.for_data(3, MAX_CLASSES, images[2]), counted)
        counted = Budget(tuple(replace(limit, lower=None) for limit in counted.limits))
    require_deployable(BudgetedSpace(space.for_data(*images), counted, pareto=pareto), options.get("deploy"))


def _run(
    settings: SearchSettings,
    out: Path | None,
    log: Sequence[TrackerName],
    quiet: bool,
    *,
    resumed_by: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Runs the search under its live view, and logs it; `resumed_by` are the options of a search that is resumed."""
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.progress import tracked
    from lightcnn.searching.settings import SETTINGS_FILE
    from lightcnn.searching.terminal import SearchView
    from lightcnn.tracking.trackers import Trackers

    out = out or RunFolder.default_path("search")
    console = CommandConsole(stderr=True)
    with (
        resumable("search", out, SETTINGS_FILE, log, _written(resumed_by or {})),
        SearchView(console, quiet) as view,
        Trackers(log, view.warn) as trackers,
    ):
        from lightcnn.searching import job

        return job.run(settings, out=out, resume=resumed_by is not None, progress=tracked(view, trackers))


def _written(options: Mapping[str, Any]) -> str:
    """The options that may change when a search is resumed, as on a command line: its folder may not have them yet."""
    from lightcnn.searching.settings import CHANGEABLE

    changed = {name: value for name, value in options.items() if name in CHANGEABLE}
    seconds = {"time": f"{changed.pop('seconds'):.10g}s"} if "seconds" in changed else {}
    return " ".join(f"--{name} {value}" for name, value in (seconds | changed).items())


def _show_estimate(
    settings: SearchSettings,
    as_json: bool,
    quiet: bool,
    *,
    resumed: Path | None = None,
    shared: SharedSettings | None = None,
) -> None:
    """Prints the dry run of a search, which may be resumed in a folder, or whose study is shared."""
    from lightcnn.searching.terminal import SearchView, format_estimate

    with SearchView(CommandConsole(stderr=True), quiet) as view:
        from lightcnn.searching.job import estimate

        document = estimate(settings, view, resumed=resumed, shared=shared)
    if as_json:
        print_json(document)
        return
    for line in format_estimate(document, settings):
        typer.echo(visible(line))
    for line in warning_lines(document):
        typer.echo(visible(line), err=True)


def _show_again(out: Path, as_json: bool, quiet: bool) -> None:
    """Prints the end of a search that has nothing left to do, and states that."""
    from lightcnn.run_files import earlier_values
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.report.wording import ended_line, unused_seconds

    with earlier_values(out, "report.json"):
        run = RunFolder.load(out)
        if not quiet and (longer := _longer(run)):
            limit = None if unused_seconds(run.report) else _seconds(run)
            CommandConsole(stderr=True).print_line(ended_line(limit, longer))
        _show_search(run, as_json, quiet)


def _show_search(run: RunFolder, as_json: bool, quiet: bool) -> None:
    """Prints the end of a search: the score, the best networks, the run folder, and how to search longer."""
    from lightcnn.run_files import earlier_values, read_limited
    from lightcnn.searching.report.terminal import front_table, result_grid, search_table, summary
    from lightcnn.searching.report.wording import comparison_lines, seeds_line, teacher_line, unchecked_choice

    report = run.report
    if as_json:
        print_json(report)
        return
    console = CommandConsole()
    if console.is_terminal and not quiet:
        console.print(result_grid(report))
    else:
        console.print_line(summary(report))
    if not quiet:
        with earlier_values(run.path, "trials.csv"):
            trials = csv_files.read(read_limited(run.path, "trials.csv", MAX_TRIALS_BYTES))
        console.print()
        if "pareto" in report:
            console.print(front_table(report, width=console.width))
            console.print()
        console.print(search_table(report, trials, width=console.width))
        console.print()
        for line in [
            *filter(None, [seeds_line(report), teacher_line(report)]),
            *(comparison_lines(report) if "comparison" in report else []),
            *filter(None, [unchecked_choice(report)]),
            *warning_lines(report),
        ]:
            console.print_line(line)
        longer = _longer(run)
        more = f"; search longer with: {longer}" if longer else ""
        console.print_line(f"run folder {run.path}: open {run / 'report.html'}{more}")


def _longer(run: RunFolder) -> str | None:
    """The command that continues a search; None if its space has one network, or if it is of an earlier version."""
    from lightcnn.searching.report.wording import longer_command, longer_option
    from lightcnn.searching.settings import load_settings

    if "comparison" not in run.report or not load_settings(run.path).space.genes():
        return None
    return longer_command(run.path, longer_option(_seconds(run), run.report), run.report["data"]["source"])


def _seconds(run: RunFolder) -> float | None:
    """The time limit of a search."""
    from lightcnn.searching.settings import load_settings

    return load_settings(run.path).seconds

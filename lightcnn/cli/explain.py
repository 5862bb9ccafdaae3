"""`lightcnn explain`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lightcnn import document
from lightcnn.cli import completion
from lightcnn.cli.options import AUTO, DataDir, Debug, Device, Json, Out, Quiet, print_json, resumable
from lightcnn.errors import InputError
from lightcnn.explaining.methods.catalogue import (
    DEFAULT_METHODS,
    METHODS,
    MODEL_FREE_METHODS,
    BaselineImage,
    MethodOptions,
)
from lightcnn.explaining.settings import (
    DEFAULT_IMAGES,
    SETTINGS_FILE,
    CheckLevel,
    ExplainSettings,
    require_layers,
    require_usable,
)
from lightcnn.image_size import parse_input_option
from lightcnn.output.console import CommandConsole
from lightcnn.output.report import report_head
from lightcnn.run_folder import RunFolder

if TYPE_CHECKING:
    from lightcnn.explaining.methods.layer_choice import MapLayer

METHOD_LIST = ",".join(DEFAULT_METHODS)
"""The methods that are used by default for a run, as they are typed."""

ExplainedRun = Annotated[
    Path,
    typer.Argument(
        metavar="RUN|MODEL.onnx",
        autocompletion=completion.run_folders,
        help="Folder of a finished run, or an ONNX file, which is run without PyTorch.",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Argument(metavar="IMAGE|FOLDER ...", help="Image files, or folders of them (default: the run's test set)."),
]
MethodList = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help=f"Methods to use, separated by commas: {', '.join(METHODS)} (default: {METHOD_LIST}; "
        f"of an ONNX file {','.join(MODEL_FREE_METHODS)}, which are all that it allows).",
    ),
]
TargetClass = Annotated[
    str | None,
    typer.Option(metavar="CLASS", help="Class to explain (default: the predicted class of each image)."),
]
LayerName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Layer for Grad-CAM and its variants (default: the deepest layer with a map of at least 7 × 7).",
    ),
]
ListLayers = Annotated[
    bool, typer.Option("--layers", help="List the layers that --layer accepts, with the sizes of their maps.")
]
Baseline = Annotated[BaselineImage, typer.Option(help="Image at which Integrated Gradients starts its path.")]
Smooth = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Average Integrated Gradients over N noisy copies of the image (SmoothGrad); 0: off.",
    ),
]
Samples = Annotated[
    int, typer.Option(metavar="N", min=2, help="Number of perturbed images that LIME fits its model on.")
]
Segments = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Number of superpixels of LIME (default: chosen by the size of the image)."),
]
Checks = Annotated[CheckLevel, typer.Option(help="How thoroughly to check the maps; full runs every method again.")]
Masks = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Folder of ground-truth masks, one per image, with the same file name (any extension).",
    ),
]
TestData = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        autocompletion=completion.data_sets,
        help="Explain the test set of this data instead of the run's own.",
    ),
]
ImageCount = Annotated[
    int | None,
    typer.Option(
        "--images",
        metavar="N",
        min=1,
        help=f"Explain at most N test images, sampled with --seed (default: {DEFAULT_IMAGES}).",
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Maximum number of images that go through the network at once (default: 8 on a CPU, otherwise 64).",
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Class names of an ONNX file that lightcnn did not write, one per line."),
]
InputSize = Annotated[str | None, typer.Option(metavar="CxHxW", help="Input size of such a file.")]
ExplainSeed = Annotated[
    int, typer.Option(metavar="N", min=0, help="Seed of the choice of images, of LIME, of noise and of the checks.")
]
ResumeExplain = Annotated[
    bool,
    typer.Option("--resume", help="Resume the run in --out; repeat the same command. Explained images are kept."),
]


def explain(
    context: typer.Context,
    run_folder: ExplainedRun,
    images: Images = None,
    method: MethodList = None,
    target: TargetClass = None,
    layer: LayerName = None,
    layers: ListLayers = False,
    baseline: Baseline = BaselineImage.black,
    smooth: Smooth = 0,
    samples: Samples = 1000,
    segments: Segments = None,
    checks: Checks = CheckLevel.quick,
    masks: Masks = None,
    data: TestData = None,
    count: ImageCount = None,
    batch: Batch = None,
    seed: ExplainSeed = 0,
    labels: Labels = None,
    input: InputSize = None,
    device: Annotated[Device, typer.Option(help="Device on which to explain.")] = AUTO,
    data_dir: DataDir = None,
    out: Out = None,
    resume: ResumeExplain = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show where a run or an exported file looks, by several methods, and check how far each map can be trusted."""
    if images and count is not None:
        raise InputError("--images: images are given already; give images, or the number of test images to explain")
    RunFolder.resumed(out, resume=resume, command="explain", settings=SETTINGS_FILE)
    values = {
        "layer": layer, "baseline": baseline.value, "smooth": smooth, "samples": samples, "segments": segments,
        "seed": seed,
    }  # fmt: skip
    settings = ExplainSettings(
        run=run_folder, inputs=tuple(images or ()), methods=_method_names(method), target=target,
        options=document.make(MethodOptions, values, "explain"), checks=checks.value, masks=masks, data=data,
        images=count or DEFAULT_IMAGES, batch=batch, device=device.value, data_dir=data_dir, labels=labels,
        input=None if input is None else parse_input_option(input),
    )  # fmt: skip
    require_usable(settings)
    if layers:
        require_layers(settings)
        return _print_layers(_list_layers(settings), as_json)
    folder = out or RunFolder.default_path("explain")
    with resumable(_typed_command(context), folder, SETTINGS_FILE):
        run = _run(settings, folder, resume, quiet, list_images=not (as_json or quiet))
    return _print_result(run, as_json, quiet)


def _run(settings: ExplainSettings, out: Path, resume: bool, quiet: bool, *, list_images: bool) -> RunFolder:
    """Explains the images, with bars and, with `list_images`, a table of each image on stderr."""
    from lightcnn.explaining.terminal import TerminalProgress
    from lightcnn.output.terminal import StepsView

    console = CommandConsole(stderr=True)
    with StepsView(console, quiet) as view:
        from lightcnn.explaining.job import run

        progress = TerminalProgress(view, console if list_images else None)
        return run(settings, out=out, resume=resume, progress=progress)


def _list_layers(settings: ExplainSettings) -> list[MapLayer]:
    from lightcnn.explaining.setup.run_setup import layers_of, prepare_run

    return layers_of(prepare_run(settings))


def _typed_command(context: typer.Context) -> str:
    """The command line as it was typed, without --out and --resume."""
    words = ["explain"]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE" or name in ("out", "resume"):
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words += [str(part) for part in value] if isinstance(value, list | tuple) else [str(value)]
        else:
            words += [parameter.opts[0]] if value is True else [parameter.opts[0], str(value)]
    return shlex.join(words)


def _print_layers(layers: Sequence[MapLayer], as_json: bool) -> None:
    """Names and sizes of the layers with maps, in the order in which they run."""
    from lightcnn.explaining.terminal import layer_table

    names = ("name", "kind", "channels", "height", "width")
    rows = [{name: getattr(layer, name) for name in names} for layer in layers]
    if as_json:
        return print_json(report_head("explain") | {"layers": rows})
    CommandConsole().print(layer_table(rows))
    return None


def _print_result(run: RunFolder, as_json: bool, quiet: bool) -> None:
    """The checks of all images, what they mean, and where the report is."""
    from lightcnn.run_folder import require_complete

    report = run.report
    if as_json:
        print_json(report)
    else:
        _print_summary(run, report, quiet)
    require_complete("explain", report["counts"]["explained"], report["skipped"], report["failures"])


def _print_summary(run: RunFolder, report: Mapping[str, Any], quiet: bool) -> None:
    from lightcnn.explaining.terminal import summary_table
    from lightcnn.output.caveats import warning_lines

    console = CommandConsole()
    if not quiet and report["summary"]:
        console.print(summary_table(report["summary"]))
        console.print()
    lines = [report["warning"]] if report["warning"] else []
    lines += warning_lines(report, omit=("stand_in", "note"))
    lines += report["sentence"].splitlines()
    if not quiet:
        lines += [f"note: {note}" for note in report["notes"]]
        lines.append(f"run folder {run.path}: open {run / 'report.html'}")
    for line in lines:
        console.print_line(line)


def _method_names(text: str | None) -> tuple[str, ...]:
    """The names in a list separated by commas; none for None. Raises: InputError if a list names none."""
    if text is None:
        return ()
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise InputError(
            f"--method: no method is named; give one or several, separated by commas, as in {','.join(DEFAULT_METHODS)}"
        )
    return names

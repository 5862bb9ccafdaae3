"""`lightcnn explain`."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from lightcnn.cli.options import DataDir, Debug, Device, Interrupted, Json, Out, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.text import visible
from lightcnn.version import __version__


class Baseline(StrEnum):
    """What Integrated Gradients begins with."""

    black = "black"
    mean = "mean"
    blur = "blur"
    random = "random"


class Checks(StrEnum):
    """How much is checked."""

    quick = "quick"
    full = "full"
    none = "none"


def explain(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE|FOLDER ...", help="Files, or folders of them; none: the run's test side."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(metavar="LIST", help="With commas: gradcam, gradcam++, layercam, ig, lime, occlusion."),
    ] = "gradcam,ig,lime",
    target: Annotated[
        str | None,
        typer.Option(metavar="CLASS", help="The class explained; default: each image's predicted one."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of Grad-CAM; default: the deepest of at least 7 × 7.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="List the layers and their sizes, and end.")] = False,
    baseline: Annotated[Baseline, typer.Option(help="What Integrated Gradients begins with.")] = Baseline.black,
    smooth: Annotated[int, typer.Option(metavar="N", min=0, help="Noisy copies of Integrated Gradients.")] = 0,
    samples: Annotated[int, typer.Option(metavar="N", min=2, help="Of LIME.")] = 1000,
    segments: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Superpixels of LIME; default: by the size of the image.")
    ] = None,
    checks: Annotated[Checks, typer.Option(help="How much is checked.")] = Checks.quick,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where the truth lies: a file of each image's stem."),
    ] = None,
    data: Annotated[str | None, typer.Option(metavar="SOURCE", help="Other data whose test side is explained.")] = None,
    count: Annotated[
        int | None,
        typer.Option("--images", metavar="N", min=1, help="Of a test side, at most; chosen by the seed; default 24."),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Images at once through the network; default 8 on a CPU, else 64."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the choice of images, of LIME, noise and checks.")] = 0,
    device: Annotated[Device, typer.Option(help="Where to explain.")] = Device.auto,
    data_dir: DataDir = None,
    out: Out = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out, with the same command: what is explained stays.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show where a trained network looks, by several methods, and how far each map can be trusted."""
    from lightcnn.output.terminal import StepsView

    if images and count is not None:
        raise InputError("--images: images are given already; give images, or how many of a test side are explained")
    if resume and out is None:
        raise InputError("--resume: needs --out with the run folder to go on with")
    if out is not None and not resume:
        from lightcnn.run_folder import RunFolder

        RunFolder.require_free(out)
    console = Console(stderr=True, highlight=False)
    with StepsView(console, quiet) as view:
        from lightcnn.explaining.job import IMAGES, Settings, Work
        from lightcnn.explaining.methods.catalogue import MethodOptions

        options = MethodOptions(layer, baseline.value, smooth, samples, segments, seed)
        work = Work(
            run_folder,
            Settings(
                methods=_names(method), target=target, options=options, checks=checks.value, masks=masks, data=data,
                images=count or IMAGES, batch=batch, device=device.value, data_dir=data_dir,
            ),
        )  # fmt: skip
        if layers:
            found = work.layers()
        else:
            done = _conduct(work, images or [], out, resume, view, console, listed=not (as_json or quiet))
    if layers:
        return _list(found, as_json)
    return _show(done, as_json, quiet)


def _conduct(
    work: Any, images: list[Path], out: Path | None, resume: bool, view: Any, console: Console, *, listed: bool
) -> Any:
    """The work itself, with a table of each image on stderr as soon as it is done."""
    from lightcnn.explaining.terminal import image_heading, image_table

    def tell(entries: list[dict[str, Any]]) -> None:
        if listed:
            console.print(Text(visible(image_heading(entries))), soft_wrap=True)
            console.print(image_table(entries))

    try:
        return work.conduct(images, out=out, resume=resume, progress=view.progress, tell=tell)
    except KeyboardInterrupt:
        if not work.path.exists():
            raise
        raise Interrupted(
            f"interrupted after {work.done} of {work.count} images; go on with the same command and "
            f"--resume --out {shlex.quote(str(work.path))}"
        ) from None


def _list(layers: Any, as_json: bool) -> None:
    """Names and sizes of maps, in the order they run."""
    from lightcnn.explaining.terminal import layer_table

    rows = [
        {"name": one.name, "kind": one.kind, "channels": one.channels, "height": one.height, "width": one.width}
        for one in layers
    ]
    if as_json:
        return print_json({"lightcnn": __version__, "command": "explain", "layers": rows})
    Console(highlight=False).print(layer_table(rows))
    return None


def _show(done: Any, as_json: bool, quiet: bool) -> None:
    """The checks of all images, what they mean, and where everything lies."""
    from lightcnn.explaining.job import require_complete
    from lightcnn.explaining.terminal import summary_table

    report = done.report
    if as_json:
        print_json(report)
    else:
        console = Console(highlight=False)
        if not quiet and report["summary"]:
            console.print(summary_table(report["summary"]))
            console.print()
        if report["warning"]:
            console.print(Text(visible(report["warning"])), soft_wrap=True)
        for line in report["sentence"].splitlines():
            console.print(Text(visible(line)), soft_wrap=True)
        if not quiet:
            for note in report["notes"]:
                console.print(Text(visible(f"note: {note}")), soft_wrap=True)
            console.print(Text(visible(f"run folder {done.path}: open {done / 'report.html'}")), soft_wrap=True)
    require_complete(report)


def _names(text: str) -> tuple[str, ...]:
    """Raises: InputError."""
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise InputError("--method: no method is named; give one or several with commas, as in gradcam,ig,lime")
    return names

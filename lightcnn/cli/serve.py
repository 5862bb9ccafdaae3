"""`lightcnn serve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import AUTO, Debug, Device, Json, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.image_size import parse_input_option
from lightcnn.output.console import CommandConsole
from lightcnn.serving.settings import Limits, ServeSettings, require_usable
from lightcnn.version import __version__


def serve(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|MODEL.onnx",
            autocompletion=completion.run_folders,
            help="Folder of a finished run, or an ONNX file, which is run without PyTorch.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="HOST", help="Address on which to answer.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", help="Port on which to answer; 0 chooses a free one.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            envvar="LIGHTCNN_TOKEN",
            show_envvar=False,
            help="Answer only requests with this token (or set LIGHTCNN_TOKEN, which other users cannot list).",
        ),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Answer other machines without a token.")
    ] = False,
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name by which others reach the server, such as that of a proxy; repeat it for several.",
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Class names of an ONNX file that lightcnn did not write, one per line."),
    ] = None,
    input: Annotated[str | None, typer.Option(metavar="CxHxW", help="Input size of such a file.")] = None,
    max_megabytes: Annotated[float, typer.Option(metavar="N", help="Maximum size of a request.")] = Limits.megabytes,
    max_megapixels: Annotated[float, typer.Option(metavar="N", help="Maximum size of an image.")] = Limits.megapixels,
    max_images: Annotated[int, typer.Option(metavar="N", help="Maximum number of images per request.")] = Limits.images,
    max_requests_per_second: Annotated[
        float, typer.Option(metavar="N", help="Maximum requests per second and client address.")
    ] = Limits.requests_per_second,
    openapi: Annotated[bool, typer.Option("--openapi", help="Print the OpenAPI document and exit.")] = False,
    device: Annotated[Device, typer.Option(help="Device on which the network of a run is run.")] = AUTO,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve a page and a JSON API that predict and explain images; the decision stays with the person."""
    if openapi:
        from lightcnn.serving.openapi import document

        typer.echo(json.dumps(document(), indent=2))
        return
    if path is None:
        raise InputError("serve: no network is given; name the folder of a run or an ONNX file")
    limits = Limits(
        megabytes=max_megabytes, megapixels=max_megapixels, images=max_images,
        requests_per_second=max_requests_per_second,
    )  # fmt: skip
    settings = ServeSettings(
        path, host=host, port=port, token=token, allow_remote=allow_remote,
        names=tuple(name or ()), labels=labels, input=None if input is None else parse_input_option(input),
        device=device.value, limits=limits,
    )  # fmt: skip
    require_usable(settings)
    _serve(settings, as_json=as_json, quiet=quiet)


def _serve(settings: ServeSettings, *, as_json: bool, quiet: bool) -> None:
    """Serves until a signal; prints the address when it answers."""
    from lightcnn.serving import job

    console = CommandConsole()

    def print_address(url: str) -> None:
        if as_json:
            print_json({"lightcnn": __version__, "command": "serve", "path": str(settings.path), "address": url})
        elif not quiet:
            fragment = "#token=..." if settings.token else ""
            console.print_line(f"serving {settings.path} on {url}{fragment}; end with Ctrl-C")

    job.run(settings, on_ready=print_address)

"""`lightcnn dashboard`."""

from __future__ import annotations

from typing import Annotated

import typer

from lightcnn.cli import completion
from lightcnn.cli.options import Debug, Json, Quiet, print_json
from lightcnn.output.console import CommandConsole
from lightcnn.version import __version__


def dashboard(
    study: Annotated[
        str,
        typer.Argument(
            metavar="RUN|URL",
            autocompletion=completion.run_folders,
            help="Run folder of a search, which may still run, or the URL of an Optuna storage.",
        ),
    ],
    port: Annotated[int, typer.Option(metavar="PORT", help="Port on 127.0.0.1; 0 chooses a free one.")] = 8080,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the trials of a search in optuna-dashboard, which cannot change them."""
    from lightcnn.searching.shared.settings import storage_of
    from lightcnn.searching.trials import dashboard as server
    from lightcnn.searching.trials.storage_url import visible_url

    shown = visible_url(study) if "://" in study else study

    def print_address(url: str) -> None:
        if as_json:
            print_json({"lightcnn": __version__, "command": "dashboard", "study": shown, "address": url})
        elif not quiet:
            CommandConsole().print_line(f"showing {shown} on {url}; end with Ctrl-C")

    server.run(storage_of(study), port=port, on_ready=print_address)

"""`lightcnn storage`: Optuna's server between many machines and one database."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from lightcnn.cli.options import Debug, Json, Quiet, print_json
from lightcnn.output.console import CommandConsole
from lightcnn.version import __version__


class StorageAction(StrEnum):
    """What `lightcnn storage` does."""

    serve = "serve"


def storage(
    action: Annotated[StorageAction, typer.Argument(help="What to do.")],
    url: Annotated[
        str | None,
        typer.Argument(
            metavar="URL",
            help="The database: postgresql+psycopg://USER:PASSWORD@HOST/DATABASE (default: LIGHTCNN_STORAGE).",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Address on which to answer; the protocol has no password.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="PORT", min=1, max=65_535, help="Port on which to answer.")] = 13_000,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Serve a database to the machines of a search as --storage grpc://HOST:PORT, by Optuna's own server."""
    from lightcnn.searching.shared.settings import served_settings
    from lightcnn.searching.trials.storage_url import bracketed

    settings = served_settings(url)

    def print_address() -> None:
        address = f"grpc://{bracketed(host)}:{port}"
        if as_json:
            print_json({"lightcnn": __version__, "command": "storage", "address": address})
        elif not quiet:
            CommandConsole().print_line(f"serving {settings.visible_url} on {address}; end with Ctrl-C")

    from lightcnn.searching.shared.proxy import serve

    serve(settings, host, port, print_address)

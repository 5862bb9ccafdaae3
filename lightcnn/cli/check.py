"""`lightcnn check`: validates YAML files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from lightcnn.cli.options import Debug, Json, Quiet, print_json
from lightcnn.output.report import report_head
from lightcnn.text import visible


def check(
    files: Annotated[
        list[Path], typer.Argument(help="Network specs, baselines, search spaces, recipes, or files of changes.")
    ],
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Validate YAML files and print all errors of every file."""
    from lightcnn.cli.catalogue import check_file

    began = time.monotonic()
    results = [check_file(file) for file in files]
    if as_json:
        print_json(report_head("check", seconds=time.monotonic() - began) | {"files": results})
    elif not quiet:
        for result in results:
            if not result["errors"]:
                article = "" if result["kind"].startswith(("changes", "settings")) else "a "
                typer.echo(visible(f"{result['file']}: {article}valid {result['kind']}"))
    for error in (error for result in results for error in result["errors"]):
        typer.echo(visible(error), err=True)
    if any(result["errors"] for result in results):
        raise typer.Exit(2)

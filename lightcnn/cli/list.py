"""`lightcnn list`: lists what lightcnn comes with."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lightcnn.cli.options import Debug, Json, Quiet, print_json
from lightcnn.errors import InputError
from lightcnn.output.report import report_head


class Listing(StrEnum):
    """The lists that `lightcnn list` prints."""

    recipes = "recipes"
    spaces = "spaces"
    datasets = "datasets"
    baselines = "baselines"
    schemas = "schemas"
    formats = "formats"


def list_(
    what: Annotated[Listing, typer.Argument(help="The list to print.")],
    show: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print the shipped file of that name, for copying and changing it."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List recipes, search spaces, data sets, baselines, schemas or formats."""
    from lightcnn.cli.catalogue import shipped_items

    began = time.monotonic()
    items = shipped_items(what)
    if show is not None:
        from lightcnn.text import nearest

        item = next((item for item in items if item["name"] == show), None)
        if item is None or "file" not in item:
            names = [item["name"] for item in items if "file" in item]
            raise InputError(
                f"list {what.value} --show {show}: no such file{nearest(show, names)}; "
                f"files: {', '.join(names) or 'none'}"
            )
        text = Path(item["file"]).read_text(encoding="utf-8")
        if as_json:
            print_json(report_head("list", seconds=time.monotonic() - began) | {"items": [item | {"text": text}]})
        else:
            typer.echo(text, nl=False)
    elif as_json:
        print_json(report_head("list", seconds=time.monotonic() - began) | {"items": items})
    else:
        width = max(len(item["name"]) for item in items)
        for item in items:
            typer.echo(f"{item['name']:<{width}}  {item['about']}")

"""`lightcnn list`: lists what lightcnn comes with, and the runs in a folder."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from lightcnn.cli import completion
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
    runs = "runs"


def list_(
    what: Annotated[Listing, typer.Argument(help="The list to print.")],
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="With runs: the folder that contains them (default: runs).")
    ] = None,
    show: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Print the shipped file of that name, for copying and changing it."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="With runs: write them to a page, with drawings and links."),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List recipes, search spaces, data sets, baselines, schemas or formats, or the runs in a folder."""
    if what is Listing.runs:
        if show is not None:
            raise InputError("list runs: --show prints shipped files; open report.html of a run")
        return _list_runs(folder or Path(completion.RUNS), page, as_json=as_json, quiet=quiet)
    if folder is not None or page is not None:
        raise InputError(f"list {what.value}: DIR and --html belong to `lightcnn list runs`; leave them out")
    return _list_shipped(what, show, as_json=as_json)


def _list_runs(folder: Path, page: Path | None, *, as_json: bool, quiet: bool) -> None:
    from lightcnn.cli.run_index import count_text, note_lines, runs_table, write_page
    from lightcnn.output.console import CommandConsole
    from lightcnn.run_list import listed_runs

    began = time.monotonic()
    runs = listed_runs(folder)
    if page is not None:
        write_page(page, folder, runs)
    if as_json:
        items = [run.document() for run in runs]
        return print_json(report_head("list", seconds=time.monotonic() - began) | {"items": items})
    console = CommandConsole()
    if runs:
        console.print(runs_table(runs, width=console.width))
    for line in note_lines(runs):
        console.print_line(line)
    if not runs and not quiet:
        console.print_line(f"{folder} contains no runs")
    if page is not None and not quiet:
        console.print_line(f"page {page}: {count_text(runs)}")
    return None


def _list_shipped(what: Listing, show: str | None, *, as_json: bool) -> None:
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

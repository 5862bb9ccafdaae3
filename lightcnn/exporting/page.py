"""report.html of an export: the table of formats, and the files, preprocessing and facts of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.exporting.wording import HEADER, sentences, table_rows
from lightcnn.output import html
from lightcnn.output.caveats import cautions


def export_page(report: Mapping[str, Any]) -> bytes:
    """The page, from export.json."""
    size, channels = report["input"]["size"], report["input"]["channels"]
    return html.page(
        f"lightcnn export: {report['run']}",
        [
            *(html.paragraph(f"Refused: {refusal['reason']}", "alarm") for refusal in report["refused"]),
            *(html.paragraph(text, "note") for text in cautions(report)),
            html.table(HEADER, _cells(report)),
            *map(html.paragraph, sentences(report)),
            *(part for entry in report["formats"] for part in _section(entry)),
            html.heading("Input and classes"),
            html.paragraph(f"The network reads {size} × {size} pixels with {channels} channels."),
            html.table(("output", "class"), list(enumerate(report["classes"]))),
            html.heading("Machine"),
            html.pairs(_machine(report["machine"])),
        ],
    )


def _cells(report: Mapping[str, Any]) -> list[list[Any]]:
    """The rows of the table; numbers are aligned to the right."""
    return [[row[0], *(html.NumberCell(text, 0) for text in row[1:])] for row in table_rows(report)]


def _section(entry: Mapping[str, Any]) -> list[str]:
    """What the page says about one format."""
    facts = {name.replace("_", " "): _text(value) for name, value in entry["details"].items()}
    device = {name.replace("_", " "): _text(value) for name, value in (entry["device"] or {}).items()}
    return [
        html.heading(f"{entry['format']}: {entry['about']}"),
        html.paragraph(entry["preprocessing"]),
        html.code("\n".join(entry["files"])),
        *([html.pairs(facts)] if facts else []),
        *([html.paragraph("On the emulated processor:"), html.pairs(device)] if device else []),
    ]


def _text(value: Any) -> Any:
    """A value of export.json in a cell."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_text(inner)) for inner in value)
    return value


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    return {
        "processor": machine["processor"], "cores": machine["cores"], "threads": machine["threads"],
        "Python": machine["python"], "packages": versions,
    }  # fmt: skip

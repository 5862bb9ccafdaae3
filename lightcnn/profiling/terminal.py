"""The tables of networks and of layers on a terminal. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from lightcnn.output.terminal import fitting_columns
from lightcnn.profiling.columns import COLUMNS, TEXT_COLUMNS, row_cells
from lightcnn.text import visible

LEAST_IMPORTANT = (
    "torch", "thop", "params_with_buffers", "fvcore", "throughput", "arena_bytes", "flash_bytes", "p95", "peak_int8",
    "ms_onnx_int8", "ms_eager", "int8",
)  # fmt: skip
"""Columns that a narrow terminal leaves out, in this order."""


def table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str | None = None) -> Table:
    """A table of rows of report.json with the named columns."""
    output = Table(title=title, box=None, pad_edge=False, header_style="bold")
    for name in names:
        output.add_column(
            COLUMNS[name].title, justify="left" if name in TEXT_COLUMNS else "right", no_wrap=name != "source"
        )
    for row in rows:
        output.add_row(*(Text(text) for text in row_cells(row, names)))
    return output


def fitting(rows: Sequence[Mapping[str, Any]], names: Sequence[str], width: int) -> tuple[str, ...]:
    """The columns that fit into a terminal of so many characters, the most important ones."""
    optional = [COLUMNS[name].title for name in LEAST_IMPORTANT]
    cells = [row_cells(row, names) for row in rows]
    places = fitting_columns([COLUMNS[name].title for name in names], cells, optional, width)
    return tuple(names[place] for place in places)


def layer_table(name: str, layers: Sequence[Mapping[str, Any]]) -> Table:
    """The layers of one network, and their sum."""
    output = Table(title=Text(visible(name)), box=None, pad_edge=False, header_style="bold", title_justify="left")
    for title in ("layer", "kind", "output"):
        output.add_column(title)
    for title in ("params", "MACs", "share", "activations in own types, B"):
        output.add_column(title, justify="right", no_wrap=True)
    for layer in layers:
        output.add_row(
            Text(visible(layer["name"]) or "(itself)"), layer["kind"], "×".join(map(str, layer["shape"])),
            f"{layer['params']:,}", f"{layer['macs']:,}", f"{layer['share']:.1%}", f"{layer['activation_bytes']:,}",
        )  # fmt: skip
    output.add_section()
    output.add_row(
        "all", "", "", f"{sum(layer['params'] for layer in layers):,}", f"{sum(layer['macs'] for layer in layers):,}",
        "100.0%", f"{max((layer['activation_bytes'] for layer in layers), default=0):,}",
    )  # fmt: skip
    return output

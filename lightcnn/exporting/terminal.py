"""What the terminal shows of an export: a table with one row per format, and what it was measured on. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from lightcnn.exporting.wording import HEADER, table_rows
from lightcnn.output.terminal import fitted_table

OPTIONAL = ("95 % interval", "files, B", "agreement")
"""Columns that a narrow terminal leaves out, in this order."""


def format_table(report: Mapping[str, Any], *, width: int) -> Table:
    """PyTorch, then each format of an export.json, with the columns that fit into `width` characters."""
    return fitted_table(HEADER, table_rows(report), optional=OPTIONAL, width=width, left=HEADER[:1])

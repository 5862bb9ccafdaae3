"""What the terminal shows of an export: a table with one row per format, and what it was measured on. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from lightcnn.exporting.wording import HEADER, table_rows
from lightcnn.output.terminal import table


def format_table(report: Mapping[str, Any]) -> Table:
    """PyTorch, then each format of an export.json."""
    output = table(*HEADER, left=(0,))
    for cells in table_rows(report):
        output.add_row(*map(Text, cells))
    return output

"""The numbers of a confusion matrix as a table: everything that its chart shows under the pointer. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.output.html import NumberCell

MAX_CONFUSIONS = 1_000
"""Rows of the table of the confusion matrix, those with the most images; predictions.csv has all."""
MAX_FREQUENT = 8
"""Mistakes that are listed beside the confusion matrix."""


def confusion_table(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> dict[str, Any]:
    """The cells of the confusion matrix that are not 0, the largest mistakes first."""
    cells = [
        (classes[row], classes[column], count, NumberCell(f"{count / sum(counts):.1%}", count / sum(counts)))
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count
    ]
    cells.sort(key=lambda cell: (cell[0] == cell[1], -cell[2]))
    more = f"; {len(cells) - MAX_CONFUSIONS:,} more in predictions.csv" if len(cells) > MAX_CONFUSIONS else ""
    return {
        "header": ("true class", "predicted class", "images", "share of the true class"),
        "rows": cells[:MAX_CONFUSIONS],
        "caption": f"The most frequent mistakes first{more}",
    }


def frequent_mistakes(confusions: Mapping[str, Any]) -> dict[str, Any]:
    """The most frequent mistakes of `confusion_table`, with their share in the column of the images."""
    mistakes = [row for row in confusions["rows"] if row[0] != row[1]][:MAX_FREQUENT]
    return {
        "header": confusions["header"][:3],
        "rows": [(*names, NumberCell(f"{count:,} ({share.text})", count)) for *names, count, share in mistakes],
    }

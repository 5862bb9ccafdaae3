"""What `lightcnn explain` reports while it runs. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class ExplainProgress:
    """Receives the progress of `lightcnn explain`; this class is silent."""

    def step(self, what: str, done: int, total: int) -> None:
        """`done` of `total` parts of the step `what` are done."""

    def explained(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """One image is explained; `entries` are its `explanations` of report.json."""


SILENT = ExplainProgress()

"""The keys that every JSON document of a command begins with. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lightcnn.output.caveats import data_warnings
from lightcnn.output.warnings import ReportWarning, warning_documents
from lightcnn.version import __version__


def report_head(
    command: str,
    *,
    seed: int = 0,
    seconds: float | None = None,
    data: Mapping[str, Any] | None = None,
    warnings: Iterable[ReportWarning] = (),
) -> dict[str, Any]:
    """`lightcnn`, `command`, `seed`, `seconds`, `warnings` and `data` of a report.json.

    `seconds` is None for a document that measures no time, such as a dry run's; `data` is None if no data set was read.
    `warnings` are those of the command; the warnings about the data precede them.
    """
    return {
        "lightcnn": __version__,
        "command": command,
        "seed": seed,
        **({} if seconds is None else {"seconds": round(seconds, 3)}),
        "warnings": [*(data_warnings(data) if data is not None else []), *warning_documents(warnings)],
        "data": None if data is None else dict(data),
    }


DEVICE_TITLES = {
    "flash_bytes": "flash of the generated C, bytes",
    "arena_bytes": "static buffer (arena) of the generated C, bytes",
}


def device_bytes(cost: Mapping[str, Any]) -> dict[str, int]:
    """The rows of a report's table of costs; none if they are not known, as in runs of earlier versions."""
    return {title: cost[name] for name, title in DEVICE_TITLES.items() if cost.get(name) is not None}

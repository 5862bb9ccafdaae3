"""The report of `lightcnn profile` and the files of its run folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn import csv_files
from lightcnn.counting.count import CONVENTION
from lightcnn.counting.layers import LAYER_COLUMNS
from lightcnn.measurement.latency import describe_machine
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning
from lightcnn.profiling import columns
from lightcnn.profiling.figures import draw_figures
from lightcnn.profiling.page import profile_page
from lightcnn.profiling.profile import Profile
from lightcnn.run_folder import json_bytes
from lightcnn.text import shorten

MAX_LISTED = 500
"""Maximum characters of the list in a warning."""
Failure = dict[str, str]
"""`name` and `error` (one line) of a network that could not be profiled."""


def report_document(
    profiles: Sequence[Profile], failures: Sequence[Failure], *, threads: int, started: float
) -> dict[str, Any]:
    """The content of report.json; `started` is the time.monotonic() at which the command started."""
    rows = [profile.document() for profile in profiles]
    return {
        **report_head("profile", seconds=time.monotonic() - started, warnings=_warnings(rows, profiles)),
        "convention": CONVENTION,
        "machine": describe_machine() | {"threads": threads},
        "rows": rows,
        "failures": list(failures),
        "layers": {profile.name: [layer.document() for layer in profile.layers] for profile in profiles},
    }


def _warnings(rows: Sequence[Mapping[str, Any]], profiles: Sequence[Profile]) -> list[ReportWarning]:
    """What was not counted, and which accuracies do not belong to the profiled input size."""
    unknown = [f"{operator} in {row['name']}" for row in rows for operator in row["unknown"]]
    left_out = [f"{p.name} ({p.other_accuracy})" for p in profiles if p.other_accuracy]
    warnings = []
    if unknown:
        message = (
            f"The multiply-adds of {shorten(', '.join(unknown), MAX_LISTED)} are unknown and not counted: the MACs of "
            "these networks are at least those that are shown."
        )
        warnings.append(ReportWarning("operators_uncounted", message, len(unknown)))
    if left_out:
        message = (
            f"The accuracy of {shorten(', '.join(left_out), MAX_LISTED)} was measured at another input size and is "
            "left out; profile the network at that size."
        )
        warnings.append(ReportWarning("accuracies_left_out", message, len(left_out)))
    return warnings


def run_folder_files(report: Mapping[str, Any], profiles: Sequence[Profile]) -> dict[str, bytes]:
    """Name → content of each file of the run folder."""
    rows = report["rows"]
    figures = draw_figures(rows)
    return {
        "report.html": profile_page(report, figures, {profile.name: profile.stages for profile in profiles}),
        "profile.csv": columns.csv_table(rows, tuple(columns.COLUMNS)),
        "layers.csv": _layers_csv(profiles),
        **{f"plots/{name}.png": figure.png for name, figure in figures.items()},
        "report.json": json_bytes(report),
    }


def _layers_csv(profiles: Sequence[Profile]) -> bytes:
    rows = [[profile.name, *layer.cells()] for profile in profiles for layer in profile.layers]
    return csv_files.write([("network", *LAYER_COLUMNS), *rows])

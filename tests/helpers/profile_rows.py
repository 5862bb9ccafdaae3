"""Rows and reports of a profile, with invented times and accuracies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from helpers.models import without_values

from lightcnn.counting.count import count
from lightcnn.measurement.latency import Latency
from lightcnn.profiling.profile import Accuracy, Profile
from lightcnn.recipe import Recipe


def rows() -> list[dict[str, Any]]:
    """Three rows of report.json; two have invented times and accuracies."""
    spec = Recipe.load("quick").network
    model = without_values(spec)
    counts = count(model, spec.input)
    time = Latency(2.0, 2.5, 0.1, 20, 1, "folded", "contiguous", "cpu", True, 4, 600.0)
    first = Profile("one|$&", "spec", spec.input, counts, (time,), None, Accuracy(0.9, "file"))
    second = replace(first, name="other", latencies=(replace(time, median=4.0, unstable=False),),
                    accuracy=Accuracy(0.8, "published, not ours"))  # fmt: skip
    return [first.document(), second.document(), replace(first, name="bare", latencies=(), accuracy=None).document()]


def report_of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A report with these rows."""
    machine = {"processor": "p", "cores": 2, "threads": 1, "load": None, "python": "3", "packages": {}, "gpu": None}
    return {
        "data": None,
        "warnings": [],
        "convention": "c",
        "machine": machine,
        "rows": rows,
        "failures": [],
        "layers": {row["name"]: [] for row in rows},
    }

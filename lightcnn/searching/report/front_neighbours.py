"""Trainings in the same folder as a search for a front, which its page draws beside it: MicroMPoxNet's, or anyone's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightcnn.errors import LightcnnError
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder

REPORT = "report.json"


def neighbours_document(folder: Path, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`pareto.beside` of report.json: finished trainings with the same split of the same images, by name.

    Folds, several seeds and runs that cannot be read are left out.
    """
    rows = []
    for path in sorted(folder.iterdir()):
        try:
            if (path / REPORT).is_file() and (row := _neighbour(RunFolder.load(path), report)):
                rows.append(row)
        except (LightcnnError, OSError, *VALUE_ERRORS):
            continue
    return rows


def _neighbour(run: RunFolder, report: Mapping[str, Any]) -> dict[str, Any] | None:
    """A training as one row; None for another command, and for other training, validation or test images."""
    other = run.report
    if other["command"] != "train" or other["seed"] != report["seed"]:
        return None
    same = all(other["data"][name] == report["data"][name] for name in ("fingerprint", "classes", "counts"))
    if not same or other["predictions"]["images_sha256"] != report["predictions"]["images_sha256"]:
        return None
    metrics = dict.fromkeys(("accuracy", report["metric"]))
    return {
        "run": run.path.name,
        "cost": other["network"]["cost"],
        **{
            name: {
                metric: {end: other["metrics"][name][metric][end] for end in ("value", "low", "high")}
                for metric in metrics
            }
            for name in ("val", "test")
        },
    }

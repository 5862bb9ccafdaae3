"""What is drawn beside a Pareto front: MicroMPoxNet at its cost, and trainings in the same folder with their scores.

Over a latency, their times are measured as those of the finalists are; nothing else should run meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightcnn.baseline_spec import AnySpec, load_network
from lightcnn.budget import LATENCY_RESOURCES, Resource
from lightcnn.device_cost import device_cost
from lightcnn.errors import LightcnnError
from lightcnn.evaluation.predictions import read_test_images
from lightcnn.module_spec import ModuleSpec
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import Recipe
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder
from lightcnn.searching.latency.models import measure_alone

REPORT = "report.json"
REFERENCE = "micrompoxnet"
"""The recipe whose network is drawn beside the front."""
MAX_TIMED = 6
"""Trainings whose times are measured, the first ones by name: each takes a second or two."""


def reference_cost(resource: Resource, progress: Progress = no_progress) -> float | None:
    """The cost of MicroMPoxNet as published, at its own input size; None for a time that cannot be measured."""
    network = Recipe.load(REFERENCE).network
    if resource in LATENCY_RESOURCES:
        return _measured(network, resource, progress)
    return resource.largest_count(device_cost(network))  # type: ignore[arg-type]


def timed_neighbours(
    rows: Sequence[Mapping[str, Any]], folder: Path, resource: Resource, progress: Progress
) -> list[dict[str, Any]]:
    """The rows of `neighbours_document` with the times of their networks, as `measured`, as far as they are known.

    Those of own modules and of networks that cannot be built or run are not, nor those after the first `MAX_TIMED`.
    """
    timed = []
    for number, row in enumerate(rows):
        time = _time_of_run(folder / row["run"], resource, progress) if number < MAX_TIMED else None
        timed.append({**row, **({} if time is None else {"measured": {resource.name: time}})})
    return timed


def neighbours_document(run: RunFolder, report: Mapping[str, Any], tested: Sequence[str]) -> list[dict[str, Any]]:
    """`pareto.beside` of report.json: trainings beside a run with the same split of the same images, by name.

    `tested` are the hashes of the pixels of the test images of `report`, sorted. Folds, several seeds and runs that
    cannot be read are left out.
    """
    rows = []
    for path in sorted(run.path.resolve().parent.iterdir()):
        try:
            if (path / REPORT).is_file() and (row := _neighbour(RunFolder.load(path), report, tested)):
                rows.append(row)
        except (LightcnnError, OSError, *VALUE_ERRORS):
            continue
    return rows


def _test_images(run: RunFolder, report: Mapping[str, Any]) -> list[str]:
    """The hashes of the pixels of the test images, sorted: the same images have other names in another source."""
    return sorted(read_test_images(run, report["predictions"]["images_sha256"]).values())


def _neighbour(run: RunFolder, report: Mapping[str, Any], tested: Sequence[str]) -> dict[str, Any] | None:
    """A training as one row; None for another command, and for other images than those of `report`.

    `tested` are the hashes of its test images.
    """
    other = run.report
    if other["command"] != "train" or other["seed"] != report["seed"]:
        return None
    same = all(other["data"][name] == report["data"][name] for name in ("fingerprint", "classes", "counts"))
    if not same or _test_images(run, other) != tested:
        return None
    metrics = dict.fromkeys(("accuracy", report["metric"]))
    cost, scores = other["network"]["cost"], other["metrics"]
    _require_numbers(*cost["weight_bytes"].values())
    _require_numbers(*(count for name, count in cost.items() if name != "weight_bytes"))
    row: dict[str, Any] = {"run": run.path.name, "cost": cost}
    for name in ("val", "test"):
        row[name] = {metric: {end: scores[name][metric][end] for end in ("value", "low", "high")} for metric in metrics}
        _require_numbers(*(score["value"] for score in row[name].values()), missing=name == "test")
        _require_numbers(*(score[end] for score in row[name].values() for end in ("low", "high")))
    return row


def _require_numbers(*values: Any, missing: bool = True) -> None:
    """Raises: TypeError or ValueError if a value is not a finite number; None may be `missing`."""
    for value in values:
        if not (missing and value is None) and not math.isfinite(value):
            raise ValueError(f"{value} in a report")


def _time_of_run(path: Path, resource: Resource, progress: Progress) -> float | None:
    try:
        network = load_network(RunFolder(path) / "spec.yaml")
    except (LightcnnError, OSError):
        return None
    return _measured(network, resource, progress)


def _measured(network: AnySpec, resource: Resource, progress: Progress) -> float | None:
    """The microseconds of one image; None if they cannot be measured."""
    if isinstance(network, ModuleSpec):
        return None
    try:
        return round(measure_alone(network, resource, progress), 1)
    except (LightcnnError, RuntimeError, *VALUE_ERRORS):  # PyTorch and timm raise any of them
        return None

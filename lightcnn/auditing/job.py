"""`lightcnn audit`: examines a data set and writes the run folder with everything that was found."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightcnn import csv_files, document
from lightcnn.auditing import figures
from lightcnn.auditing.audit import Audit, examine_source
from lightcnn.auditing.page import MAX_ROWS, audit_page, class_counts
from lightcnn.auditing.report import audit_report
from lightcnn.auditing.settings import FINDINGS, AuditSettings
from lightcnn.data.contact_sheets import augment_sheet, png, tile
from lightcnn.data.sources.arrays import given
from lightcnn.output.charts.svg import Chart
from lightcnn.output.terminal import StepsView, receiver
from lightcnn.progress import Progress, no_progress
from lightcnn.python_calls import python_call
from lightcnn.recipe import PRESETS, Reading
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder, json_bytes

SHEET_COLUMNS = 8
"""Images of a cluster that a contact sheet shows."""
PREVIEW_IMAGES = 6
"""Images that the sheet of an augmentation shows, evenly spaced over the data set."""
GROUP_COLUMNS = ("path", "label", "group", "split")


@python_call
def audit(
    source: Any,
    *,
    groups: Any = None,
    fast: bool = False,
    augment: str | None = None,
    data_dir: str | Path | None = None,
    require_data: bool = False,
    out: str | Path | None = None,
    progress: bool | Progress = False,
) -> Run:
    """Checks a labelled image data set for problems before anything is trained on it.

    Args:
        source: Data set: a folder of class folders, a `.csv`, `.tar` shards, a `.npz`, or a name such as `digits`; or
            arrays (X, y), or a PyTorch data set of (image, label), as in `search`.
        groups: For arrays, the patient or photograph of each image (N,).
        fast: Whether to omit the search for near duplicates.
        augment: Name of an augmentation preset to show on some of the images, such as `light`.
        data_dir: Folder of published data sets; `~/.cache/lightcnn/data` by default.
        require_data: Whether to refuse a synthetic stand-in for a data set that is missing.
        out: Run folder to write, which must not exist; a new folder under `runs/` by default.
        progress: True for the progress bars of the command; or a function of (step, done, total), images mostly.

    Returns:
        The run folder of the audit; `report["verdict"]` is a paragraph, and `report` has every finding.

    Raises:
        InputError: The source cannot be used, there is no such preset, or `out` cannot be written.

    Example:
        >>> run = lightcnn.audit("digits", fast=True)
        >>> run.report["counts"]["images"]
        1797
    """
    folder = None if data_dir is None else str(data_dir)
    reading = document.make(Reading, {"data_dir": folder, "require_data": require_data}, "audit")
    silent: Progress = no_progress
    with given(source, groups) as name, receiver(progress, silent, lambda call: call, StepsView) as steps:
        values = {"source": name, "reading": reading, "fast": fast, "augment": augment}
        return Run(run(document.make(AuditSettings, values, "audit"), out=out, progress=steps).path)


def run(settings: AuditSettings, *, out: str | Path | None = None, progress: Progress = no_progress) -> RunFolder:
    """Audits the source of `settings` and writes the run folder atomically.

    An audit writes nothing before it is finished, so it cannot be resumed. Raises: InputError, as `audit`.
    """
    path = RunFolder.new_path(out, "audit")
    start = time.strftime("%Y-%m-%d %H:%M:%S")
    audit = examine_source(settings.source, settings.reading, fast=settings.fast, progress=progress)
    report = audit_report(audit)
    charts = _draw_charts(audit)
    sheets = _draw_sheets(audit, settings.augment, progress)
    files = {
        "audit.yaml": document.dump(settings, exclude_defaults=False).encode(),
        "report.html": audit_page(audit, report, charts, sheets.get("augment")),
        "groups.csv": _groups_csv(audit),
        "log.txt": _log(start, report).encode(),
        **{f"plots/{name}.png": drawn.png for name, drawn in charts.items()},
        **{f"plots/{name}.png": sheet for name, sheet in sheets.items()},
        "report.json": json_bytes(report),
    }
    return RunFolder.create(path, "audit", files)


def _draw_charts(audit: Audit) -> dict[str, Chart]:
    """The charts of the classes and of the sizes, by name."""
    data = audit.dataset
    sizes = figures.size_histogram(audit.file_shapes.max(axis=1).tolist())
    return {"classes": figures.class_bars(data.classes, class_counts(audit)), "sizes": sizes}


def _draw_sheets(audit: Audit, augment: str | None, progress: Progress) -> dict[str, bytes]:
    """PNG files by name: a contact sheet for every kind of finding (one row per cluster), and the augmentation."""
    images = audit.dataset.images
    sheets = {}
    findings = {name: clusters[:MAX_ROWS] for name, clusters in audit.findings().items() if clusters}
    blank = np.full((1, 1, 1), 255, dtype=np.uint8)
    for step, (name, clusters) in enumerate(findings.items()):
        progress("drawing contact sheets", step, len(findings))
        columns = min(SHEET_COLUMNS, max(map(len, clusters)))
        rows = [[images[i] for i in cluster[:columns]] + [blank] * (columns - len(cluster)) for cluster in clusters]
        sheets[name] = png(tile([image for row in rows for image in row], columns))
    if augment is not None:
        chosen = np.linspace(0, len(images) - 1, min(PREVIEW_IMAGES, len(images))).round().astype(int)
        sheets["augment"] = png(augment_sheet([images[i] for i in chosen], PRESETS[augment], 0))
    return sheets


def _groups_csv(audit: Audit) -> bytes:
    """groups.csv: a manifest of the groups, with paths as in the source."""
    data = audit.dataset
    labels = [data.classes[label] for label in data.labels]
    rows = zip(data.paths, labels, data.groups.tolist(), data.split.tolist(), strict=True)
    return csv_files.write([GROUP_COLUMNS, *rows])


def _log(start: str, report: Mapping[str, Any]) -> str:
    counts = report["counts"]
    summary = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in ("images", "corrupt", *FINDINGS))
    return f"{start} audit started\n{time.strftime('%Y-%m-%d %H:%M:%S')} audit finished: {summary}\n"

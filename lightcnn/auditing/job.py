"""`lightcnn audit`: the audit of a source, and the run folder with everything that it found."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lightcnn.auditing import figures
from lightcnn.auditing.audit import Audit, audit
from lightcnn.auditing.page import ROWS, audit_page
from lightcnn.data.contact_sheets import augment_sheet, png, tile
from lightcnn.errors import InputError
from lightcnn.progress import Progress, no_progress
from lightcnn.recipe import PRESETS, Reading
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.text import nearest

COLUMNS = 8
"""Images of a cluster that a contact sheet shows."""
PREVIEWED = 6
"""Images that the sheet of an augmentation shows, evenly taken from all."""
GROUP_COLUMNS = ("path", "label", "group", "split")


def run(
    source: str,
    reading: Reading | None = None,
    *,
    out: str | Path | None = None,
    fast: bool = False,
    augment: str | None = None,
    progress: Progress = no_progress,
) -> RunFolder:
    """Audits `source` and returns the run folder, which is there whole or not at all.

    Raises: InputError where the source cannot be used, or nothing can be written to `out`.
    """
    if augment is not None and augment not in PRESETS:
        raise InputError(
            f"--augment {augment}: no such preset{nearest(augment, PRESETS)}; there are: {', '.join(PRESETS)}"
        )
    path = RunFolder.require_free(Path(out)) if out is not None else RunFolder.default_path("audit")
    began = time.strftime("%Y-%m-%d %H:%M:%S")
    done = audit(source, reading, fast=fast, progress=progress)
    report = done.document()
    pictures = _pictures(done, augment, progress)
    files = {
        "report.html": audit_page(done, report, pictures),
        "groups.csv": _groups(done),
        "log.txt": _log(began, report).encode(),
        **{f"plots/{name}.png": picture for name, picture in pictures.items()},
        "report.json": json_bytes(report),
    }
    return RunFolder.create(path, "audit", files)


def _pictures(done: Audit, augment: str | None, progress: Progress) -> dict[str, bytes]:
    """Contact sheets by name: one for every kind of finding, a row a cluster; sizes; what an augmentation does."""
    images = done.dataset.images
    pictures = {}
    findings = {name: clusters[:ROWS] for name, clusters in done.findings().items() if clusters}
    blank = np.full((1, 1, 1), 255, dtype=np.uint8)
    for step, (name, clusters) in enumerate(findings.items()):
        progress("drawing contact sheets", step, len(findings))
        columns = min(COLUMNS, max(map(len, clusters)))
        rows = [[images[i] for i in cluster[:columns]] + [blank] * (columns - len(cluster)) for cluster in clusters]
        pictures[name] = png(tile([image for row in rows for image in row], columns))
    pictures["sizes"] = figures.sizes([max(shape) for shape in done.own_shapes])
    if augment is not None:
        chosen = np.linspace(0, len(images) - 1, min(PREVIEWED, len(images))).round().astype(int)
        pictures["augment"] = png(augment_sheet([images[i] for i in chosen], PRESETS[augment], 0))
    return pictures


def _groups(done: Audit) -> bytes:
    """groups.csv: a manifest of what was found, with paths as the source has them."""
    data = done.dataset
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(GROUP_COLUMNS)
    labels = [data.classes[label] for label in data.labels]
    writer.writerows(zip(data.paths, labels, data.groups.tolist(), data.split.tolist(), strict=True))
    # Names that are no UTF-8 are written as the bytes that the file system has.
    return stream.getvalue().encode("utf-8", "surrogateescape")


def _log(began: str, report: Mapping[str, Any]) -> str:
    counts = report["counts"]
    said = ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in ("images", "corrupt", *_FOUND))
    return f"{began} audit begins\n{time.strftime('%Y-%m-%d %H:%M:%S')} audit ended: {said}\n"


_FOUND = ("cross_class", "cross_split", "exact_duplicates", "near_duplicates")

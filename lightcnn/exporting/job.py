"""`lightcnn export`: writes a run's network in other formats, compares each with PyTorch, and keeps what passes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightcnn import interrupt, run_files
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.counting.passes import keep_random_state
from lightcnn.errors import InputError, LightcnnError
from lightcnn.exporting.comparison import Reference, compare, last_axis, make_reference, measure_latencies
from lightcnn.exporting.formats import FORMATS, ExportFormat
from lightcnn.exporting.page import export_page
from lightcnn.exporting.report import ComparedFormat, report_document
from lightcnn.exporting.settings import ExportSettings, require_usable
from lightcnn.exporting.subject import ExportedFormat, ExportSubject, load_subject
from lightcnn.measurement.latency import Latency
from lightcnn.module_spec import ModuleSpec
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder, json_bytes

REPORT_FILE, PAGE_FILE = "export.json", "report.html"
PARTS = "parts"
"""Folder in which each format is written before its files are kept."""
DEVICE_IMAGES = 20
"""Images on which files are run in an emulator: with 15 million instructions each, this takes about 2 s."""
Refusals = dict[str, LightcnnError]
"""Format → why it was not kept."""


@dataclass(frozen=True)
class Export:
    """The folder of an export, and the content of its export.json."""

    path: Path
    report: dict[str, Any]


def run(settings: ExportSettings, *, out: str | Path | None = None, progress: Progress = no_progress) -> Export:
    """Exports a run into the new folder `out`, by default one under runs/, which appears when it is complete.

    A format that is refused is listed in `refused` of export.json. Raises: InputError before any work if a setting
    cannot be used; LightcnnError if no format passes. Nothing is then left behind.
    """
    started = time.monotonic()
    source = require_usable(settings)
    path = RunFolder.new_path(out, "export")
    with keep_random_state():
        subject = load_subject(source, source=settings.data, data_dir=settings.data_dir, progress=progress)
        refusals = _impossible(settings, subject)
        rows = [FORMATS[name] for name in settings.formats if name not in refusals]
        with _new_folder(path) as folder:
            reference = make_reference(subject, with_validation=any(row.is_int8 for row in rows))
            passed = _write_all(rows, settings, subject, reference, folder / PARTS, refusals, progress)
            latencies = _measure(passed, subject, reference, progress)
            seconds = time.monotonic() - started
            report = report_document(settings, subject, reference, passed, latencies, _texts(refusals), seconds)
            _keep(passed, folder)
            run_files.write_file(folder / PAGE_FILE, export_page(report))
            run_files.write_file(folder / REPORT_FILE, json_bytes(report))
    return Export(path, report)


def _impossible(settings: ExportSettings, subject: ExportSubject) -> Refusals:
    """The formats that this run cannot have, and why. Raises: InputError if that is so for all of them."""
    problems = {name: _problem(FORMATS[name], subject) for name in settings.formats}
    refusals: Refusals = {name: InputError(f"--to {name}: {text}") for name, text in problems.items() if text}
    _require_any(settings.formats, refusals)
    return refusals


def _problem(row: ExportFormat, subject: ExportSubject) -> str:
    """Why the format cannot be written for this run; empty if it can."""
    spec = subject.network.spec
    if isinstance(spec, ModuleSpec) and (row.needs_spec or row.name == "hub"):
        return f"the run has no code for the network {spec.module}, a module of Python; use --to onnx"
    if row.needs_spec and isinstance(spec, BaselineSpec):
        blocks = (type(part).__name__ for part in subject.network.model.modules() if _is_of_timm(part))
        return (
            f"has no operator for {next(blocks, 'the blocks')} of timm's {spec.baseline}; use --to onnx, or export a "
            "network of lightcnn's blocks, such as one that a search returns"
        )
    if row.is_int8 and subject.training is None:
        return f"needs training images for its calibration, but {subject.data_problem}"
    return ""


def _is_of_timm(part: Any) -> bool:
    """Whether a module is one of timm's blocks, not a network."""
    return type(part).__module__.startswith("timm.") and not hasattr(part, "forward_features")


def _require_any(names: Sequence[str], refusals: Refusals) -> None:
    """Raises: the error of the first format if all were refused; its text then has all reasons."""
    if len(refusals) < len(names):
        return
    first = next(iter(refusals.values()))
    raise type(first)("; ".join(map(str, refusals.values()))) from first


def _write_all(
    rows: Sequence[ExportFormat],
    settings: ExportSettings,
    subject: ExportSubject,
    reference: Reference,
    parts: Path,
    refusals: Refusals,
    progress: Progress,
) -> list[ComparedFormat]:
    """Writes each format into a folder of its own and compares it; those that fail are added to `refusals`."""
    passed = []
    for row in rows:
        folder = parts / row.name
        folder.mkdir(parents=True)
        progress(f"writing {row.name}", 0, 1)
        try:
            exported = row.write(subject, folder, progress)
            comparison = compare(
                subject, reference, row, exported, max_loss_points=settings.max_loss_points, progress=progress
            )
            device = _emulate(settings, reference, exported)
        except LightcnnError as error:
            refusals[row.name] = error
            continue
        passed.append(ComparedFormat(row, folder, exported, comparison, device))
    _require_any(settings.formats, refusals)
    return passed


def _emulate(settings: ExportSettings, reference: Reference, exported: ExportedFormat) -> Mapping[str, Any] | None:
    """What the files need on the processor, if they can run on it. Raises: LightcnnError if their outputs differ."""
    if settings.check is None or exported.emulate is None:
        return None
    device = exported.emulate(settings.check, last_axis(reference.images[:DEVICE_IMAGES]))
    if not device["answers_equal"]:
        raise LightcnnError(
            f"{exported.format}: on the emulated {settings.check} its outputs differ from those of the integer "
            "reference; the files were not kept"
        )
    return device


def _measure(
    passed: Sequence[ComparedFormat], subject: ExportSubject, reference: Reference, progress: Progress
) -> dict[str, Latency]:
    """Format → its latency, if it is timed; "folded" is PyTorch."""
    timed = [each.exported for each in passed if each.row.is_timed and each.exported.latency_ms is None]
    latencies = measure_latencies(subject, timed, reference.images[0], progress)
    return dict(zip(("folded", *(each.format for each in timed)), latencies, strict=True))


def _keep(passed: Sequence[ComparedFormat], folder: Path) -> None:
    """Moves the files of all formats into the folder, and removes everything else that writing them left."""
    for each in passed:
        for name in each.exported.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            (each.folder / name).rename(target)
    shutil.rmtree(folder / PARTS)


def _texts(refusals: Refusals) -> dict[str, str]:
    return {name: str(error) for name, error in refusals.items()}


@contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A folder with a temporary name that is renamed to `path` at the end, or removed after an error or a signal."""
    interrupt.check()
    run_files.tidy_abandoned(path.parent)
    folder = run_files.temporary_name(path)
    try:
        folder.mkdir(parents=True)
        yield folder
        interrupt.check()
        folder.rename(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise

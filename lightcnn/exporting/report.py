"""export.json: what was written, how it compares with PyTorch, and what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightcnn.cost import FLOAT_BYTES
from lightcnn.exporting.comparison import Comparison, Reference
from lightcnn.exporting.formats import ExportFormat
from lightcnn.exporting.settings import ExportSettings
from lightcnn.exporting.subject import ExportedFormat, ExportSubject
from lightcnn.measurement.latency import Latency, describe_machine
from lightcnn.measurement.runtime_names import FOLDED
from lightcnn.output.caveats import STAND_IN_NETWORK
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning


@dataclass(frozen=True, eq=False)
class ComparedFormat:
    """A format that passed: the folder in which its files were written, and how it compares with PyTorch.

    `device` is what the emulated processor showed, if the files ran on it.
    """

    row: ExportFormat
    folder: Path
    exported: ExportedFormat
    comparison: Comparison
    device: Mapping[str, Any] | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all files."""
        return sum((self.folder / name).stat().st_size for name in self.exported.files)


def report_document(
    settings: ExportSettings,
    subject: ExportSubject,
    reference: Reference,
    passed: Sequence[ComparedFormat],
    latencies: Mapping[str, Latency],
    refusals: Mapping[str, str],
    seconds: float,
) -> dict[str, Any]:
    """The content of export.json, before the files are moved."""
    entries = [_entry(each, latencies) for each in passed]
    return {
        **report_head("export", seconds=seconds, data=subject.data, warnings=_warnings(subject, len(entries))),
        "network": subject.run.report.get("network"),
        "run": str(subject.run.path),
        "classes": list(subject.preprocess.classes),
        "input": {"size": subject.preprocess.size, "channels": subject.preprocess.channels},
        "check": settings.check,
        "max_loss_points": settings.max_loss_points,
        "pytorch": {
            "weight_bytes": FLOAT_BYTES * sum(weights.numel() for weights in subject.deployed.parameters()),
            "accuracy": reference.accuracy,
            "latency_ms": latencies[FOLDED].document(),
        },
        "operating": subject.operating,
        "formats": entries,
        "refused": [{"format": name, "reason": reason} for name, reason in refusals.items()],
        "machine": describe_machine() | {"threads": 1},
        "notes": _notes(entries),
    }


def _entry(each: ComparedFormat, latencies: Mapping[str, Latency]) -> dict[str, Any]:
    """One of `formats`."""
    exported, comparison = each.exported, each.comparison
    latency = latencies.get(exported.format)
    return {
        "format": exported.format,
        "about": each.row.description,
        "files": list(exported.files),
        "bytes": each.bytes,
        "weight_bytes": exported.weight_bytes,
        "parity": comparison.parity,
        "accuracy": comparison.accuracy,
        "validation": comparison.validation,
        "latency_ms": exported.latency_ms if latency is None else latency.document(),
        "preprocessing": exported.preprocessing,
        "device": each.device,
        "details": dict(exported.details),
    }


def _warnings(subject: ExportSubject, formats: int) -> list[ReportWarning]:
    """The warnings beside those about the data."""
    if subject.test is not None:
        return []
    warnings = [ReportWarning("stand_in", STAND_IN_NETWORK, formats)] if subject.preprocess.stand_in else []
    message = f"Neither accuracy nor agreement on real images was measured: {subject.data_problem}."
    return [*warnings, ReportWarning("accuracy_not_measured", message, formats)]


def _notes(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a reader must know about the table."""
    latencies = {entry["format"]: entry["latency_ms"] for entry in entries}
    fp32, int8 = latencies.get("onnx"), latencies.get("onnx-int8")
    notes = []
    if fp32 and int8 and int8["median"] > fp32["median"] and not (fp32["unstable"] or int8["unstable"]):
        notes.append(
            f"onnx-int8 is slower than onnx on this machine: {int8['median']:.3g} ms, not {fp32['median']:.3g} ms."
        )
    if any(entry["device"] for entry in entries):
        notes.append("An emulator counts instructions, not cycles: time and energy on a real device are not shown.")
    return notes

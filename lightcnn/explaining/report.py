"""report.json of explanations, and the error that an incomplete report causes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from lightcnn.devices import device_name
from lightcnn.errors import LightcnnError
from lightcnn.explaining.checks.summary import summary, summary_text
from lightcnn.explaining.images.selection import Selection
from lightcnn.explaining.results import Results
from lightcnn.explaining.settings import ExplainSettings
from lightcnn.explaining.setup import ExplainSetup
from lightcnn.output.caveats import STAND_IN
from lightcnn.text import visible
from lightcnn.version import __version__

STAND_IN_NETWORK = (
    "STAND-IN: this network was trained on synthetic images. Its explanations say nothing about photographs."
)
MAX_LISTED = 3
"""Number of skipped images that an error names."""


def stand_in_warning(data: Mapping[str, Any] | None, *, network_stand_in: bool) -> str:
    """The warning on every figure if the images or the training images are synthetic; otherwise empty."""
    if data is not None and data["stand_in"]:
        return STAND_IN
    return STAND_IN_NETWORK if network_stand_in else ""


def report_document(
    settings: ExplainSettings,
    setup: ExplainSetup,
    selection: Selection,
    results: Results,
    figures: Iterable[str],
) -> dict[str, Any]:
    """report.json without `seconds`; `figures` are the names of the overview figures."""
    rows = summary(results.entries)
    return {
        "lightcnn": __version__,
        "command": "explain",
        "seed": settings.options.seed,
        "data": selection.data,
        "network": setup.source.report.get("network"),
        "run": str(setup.source.path),
        "classes": list(setup.preprocess.classes),
        "methods": [method.name for method in setup.explainer.methods],
        "options": asdict(settings.options),
        "target": settings.target,
        "checks": str(settings.checks),
        "device": device_name(setup.network.device),
        "warning": results.warning,
        "counts": results.counts() | {"available": selection.available, "passed_over": selection.passed_over},
        "explanations": results.entries,
        "skipped": [{"image": skipped.image, "reason": skipped.reason} for skipped in results.skipped],
        "failures": [
            {"image": failure.image, "method": failure.method, "error": str(failure.error)}
            for failure in results.failures
        ],
        "summary": rows,
        "sentence": summary_text(rows),
        "plots": sorted(figures),
        "notes": [
            *results.notes(masks_given=settings.masks is not None),
            *filter(None, [selection.note, setup.network.batch.note]),
        ],
    }


def require_complete(report: Mapping[str, Any]) -> None:
    """Raises: LightcnnError if images were skipped or methods failed; the message names the first of them."""
    problems = [*_skipped_problem(report), *_failure_problem(report)]
    if problems:
        raise LightcnnError(visible(f"explain: {'; '.join(problems)}"))


def _skipped_problem(report: Mapping[str, Any]) -> list[str]:
    skipped = report["skipped"]
    if not skipped:
        return []
    count = len(skipped) + report["counts"]["explained"]
    listed = "; ".join(f"{entry['image']} {entry['reason']}" for entry in skipped[:MAX_LISTED])
    more = "; and more" if len(skipped) > MAX_LISTED else ""
    return [f"{len(skipped):,} of {count:,} images were skipped: {listed}{more}"]


def _failure_problem(report: Mapping[str, Any]) -> list[str]:
    failures = report["failures"]
    if not failures:
        return []
    methods = ", ".join(dict.fromkeys(failure["method"] for failure in failures))
    images = len({failure["image"] for failure in failures})
    return [f"{methods} could not explain {images:,} images: {failures[0]['error']}"]

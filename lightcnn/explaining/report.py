"""report.json of explanations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from lightcnn.data.files.conversion import pixel_warnings
from lightcnn.data.files.walk import run_folder_warnings
from lightcnn.explaining.checks.summary import summary, summary_text
from lightcnn.explaining.images.selection import Selection
from lightcnn.explaining.results import Results
from lightcnn.explaining.settings import ExplainSettings
from lightcnn.explaining.setup.explain_setup import ExplainSetup
from lightcnn.output.caveats import STAND_IN, STAND_IN_NETWORK
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning
from lightcnn.unlikeness import difference_warnings


def stand_in_warning(data: Mapping[str, Any] | None, *, network_stand_in: bool) -> str:
    """The warning on every figure if the images or the training images are synthetic; otherwise empty."""
    if data is not None and data["stand_in"]:
        return STAND_IN
    return STAND_IN_NETWORK if network_stand_in else ""


def _warnings(results: Results, setup: ExplainSetup, selection: Selection) -> list[ReportWarning]:
    """The warnings beside those about the data."""
    warnings = [
        *run_folder_warnings(selection.run_folders),
        *pixel_warnings(results.conversions, setup.rule.scale),
        *difference_warnings(
            setup.rule.unlikeness,
            [evaluation.unlikeness for evaluation in results.evaluations],
            Counter(evaluation.mismatches for evaluation in results.evaluations),
        ),
    ]
    if results.warning != STAND_IN_NETWORK:
        return warnings
    return [ReportWarning("stand_in", STAND_IN_NETWORK, len({entry["image"] for entry in results.entries})), *warnings]


def report_document(
    settings: ExplainSettings,
    setup: ExplainSetup,
    selection: Selection,
    results: Results,
    figures: Iterable[str],
) -> dict[str, Any]:
    """report.json without `seconds`; `figures` are the names of the overview figures."""
    rows = summary(results.entries)
    warnings = _warnings(results, setup, selection)
    return {
        **report_head("explain", seed=settings.options.seed, data=selection.data, warnings=warnings),
        "network": setup.network,
        "run": str(setup.path),
        "classes": list(setup.rule.classes),
        "methods": [method.name for method in setup.explainer.methods],
        "options": settings.options.model_dump(),
        "target": settings.target,
        "checks": str(settings.checks),
        "device": setup.device,
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
            *filter(None, [selection.note, *setup.notes]),
        ],
    }

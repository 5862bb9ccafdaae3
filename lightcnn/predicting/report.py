"""The JSON document of `lightcnn predict`, and the error if images were skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightcnn.data.files.walk import run_folder_warnings
from lightcnn.output.report import report_head
from lightcnn.predicting.job import Result
from lightcnn.predicting.settings import PredictSettings
from lightcnn.run_folder import require_complete


def report_document(settings: PredictSettings, result: Result, predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `--json` prints."""
    warnings = [*run_folder_warnings(result.run_folders), *result.warnings]
    return {
        **report_head("predict", seconds=result.seconds, warnings=warnings),
        "run": str(settings.folder),
        "classes": list(result.classes),
        "abstain_below": settings.abstain_below,
        "note": result.note,
        "counts": {
            "images": result.predicted + len(result.skipped),
            "predicted": result.predicted,
            "abstained": result.abstained,
            "skipped": len(result.skipped),
            "passed_over": result.ignored,
        },
        "unlikeness": result.unlikeness
        and {
            "limit": 1.0,
            "false_alarm_rate": result.unlikeness.false_alarm_rate,
            "validation_images": result.unlikeness.validation_images,
        },
        "predictions": list(predictions),
        "skipped": [{"image": skipped.image, "reason": skipped.reason} for skipped in result.skipped],
    }


def require_all_predicted(result: Result, *, listed: bool) -> None:
    """Checks that no image was skipped; the error names the first ones unless they were `listed` before.

    Raises: DataError if all images were skipped, and LightcnnError if some were.
    """
    skipped = [{"image": image.image, "reason": image.reason} for image in result.skipped]
    require_complete("predict", result.predicted, skipped, name_skipped=not listed)

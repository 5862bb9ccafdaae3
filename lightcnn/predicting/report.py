"""The JSON document of `lightcnn predict`, and the error if images were skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightcnn.errors import DataError, LightcnnError
from lightcnn.predicting.job import Result
from lightcnn.predicting.settings import Settings
from lightcnn.text import visible
from lightcnn.version import __version__

MAX_NAMED = 3
"""Maximum number of skipped images that an error names."""


def report_document(settings: Settings, result: Result, predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "lightcnn": __version__,
        "command": "predict",
        "seed": 0,
        "seconds": result.seconds,
        "data": None,
        "run": str(settings.folder),
        "classes": list(result.classes),
        "abstain_below": settings.abstain_below,
        "counts": {
            "images": result.predicted + len(result.skipped),
            "predicted": result.predicted,
            "abstained": result.abstained,
            "skipped": len(result.skipped),
            "passed_over": result.ignored,
        },
        "predictions": list(predictions),
        "skipped": [{"image": skipped.image, "reason": skipped.reason} for skipped in result.skipped],
    }


def require_complete(result: Result, *, listed: bool) -> None:
    """Checks that no image was skipped; the error names the first ones unless they were `listed` before.

    Raises: DataError if all images were skipped, and LightcnnError if some were.
    """
    skipped = result.skipped
    if not skipped:
        return
    first = "; ".join(visible(f"{image.image} {image.reason}") for image in skipped[:MAX_NAMED])
    names = "" if listed else f": {first}{'; and more' if len(skipped) > MAX_NAMED else ''}"
    count = len(skipped) + result.predicted
    if not result.predicted:
        raise DataError(f"predict: none of {count:,} images could be read{names}")
    raise LightcnnError(f"predict: {len(skipped):,} of {count:,} images were skipped{names}")

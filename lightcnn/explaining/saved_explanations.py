"""The explanations of an image in the run folder, from which a resumed run continues."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.image_files import FigureFiles
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.run_folder import RunFolder

FOLDER = "explained"
"""Holds one record per image. A record is written last: if it exists, so do all other files of its image."""


def save(
    folder: RunFolder, number: int, image: ExplainedImage, explanations: Sequence[Explanation], files: FigureFiles
) -> None:
    """Writes the files of the image with that number, and its record last."""
    for name, content in files.contents.items():
        folder.write_bytes(name, content)
    drawn = ("panel", "curves", "maps", "overlays", "segments", "notes")
    record = {
        "picture": digest(image),
        "drawn": {name: getattr(files, name) for name in drawn},
        "explanations": [explanation.document() for explanation in explanations],
    }
    folder.write_json(_record_name(number), record)


def load(folder: RunFolder, number: int, image: ExplainedImage) -> tuple[list[Explanation], FigureFiles] | None:
    """What `save` wrote; None if it is incomplete, damaged or belongs to another image."""
    try:
        record = json.loads((folder / _record_name(number)).read_bytes())
        if record["picture"] != digest(image):
            return None
        drawn = record["drawn"]
        contents = {name: (folder / name).read_bytes() for name in (drawn["panel"], drawn["curves"]) if name}
        files = FigureFiles(contents, **drawn | {"notes": tuple(drawn["notes"])})
        return [_explanation(folder, entry, files, image) for entry in record["explanations"]], files
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def digest(image: ExplainedImage) -> str:
    """SHA-256 of an image's name, and of its pixels and mask at the size of the network's input."""
    content = hashlib.sha256(image.name.encode("utf-8", "surrogateescape") + image.pixels.numpy().tobytes())
    if image.mask is not None:
        content.update(np.packbits(image.mask).tobytes())
    return content.hexdigest()


def _explanation(folder: RunFolder, entry: dict[str, Any], files: FigureFiles, image: ExplainedImage) -> Explanation:
    method = entry["method"]
    segments = np.load(folder / files.segments[method]) if method in files.segments else None
    values = np.load(folder / files.maps[method])
    attribution = Attribution(method, values, entry["layer"], entry["facts"], tuple(entry["notes"]), segments)
    names = ("image", "target", "target_index", "prediction", "probability", "checks")
    return Explanation(
        **{name: entry[name] for name in names},
        attribution=attribution,
        seconds=entry["seconds"],
        seen=image.pixels.movedim(0, 2).numpy(),
    )


def _record_name(number: int) -> str:
    return f"{FOLDER}/{number:03}.json"

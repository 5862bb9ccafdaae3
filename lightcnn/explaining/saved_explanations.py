"""What an explained image leaves in the run folder, so that a work that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.image_files import Drawn
from lightcnn.explaining.images.image import Picture
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.run_folder import RunFolder

FOLDER = "explained"
"""A file an image; it is written last, so that its presence means that all others are there."""


def save(run: RunFolder, number: int, picture: Picture, found: Sequence[Explanation], drawn: Drawn) -> None:
    """Writes the files of the image of that number, and its record last."""
    for name, content in drawn.files.items():
        run.write_bytes(name, content)
    told = {
        "picture": digest(picture),
        "drawn": {name: getattr(drawn, name) for name in ("panel", "curves", "maps", "overlays", "segments", "notes")},
        "explanations": [one.document() for one in found],
    }
    run.write_json(_name(number), told)


def load(run: RunFolder, number: int, picture: Picture) -> tuple[list[Explanation], Drawn] | None:
    """The same read back; None where it is not there whole, or was of another picture."""
    try:
        told = json.loads((run / _name(number)).read_bytes())
        if told["picture"] != digest(picture):
            return None
        held = told["drawn"]
        files = {name: (run / name).read_bytes() for name in (held["panel"], held["curves"]) if name}
        drawn = Drawn(files, **held | {"notes": tuple(held["notes"])})
        return [_explanation(run, entry, drawn, picture) for entry in told["explanations"]], drawn
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None


def digest(picture: Picture) -> str:
    """SHA-256 of a picture's name, pixels and mask, as the network has them."""
    content = hashlib.sha256(picture.name.encode("utf-8", "surrogateescape") + picture.pixels.numpy().tobytes())
    if picture.mask is not None:
        content.update(np.packbits(picture.mask).tobytes())
    return content.hexdigest()


def _explanation(run: RunFolder, entry: dict[str, Any], drawn: Drawn, picture: Picture) -> Explanation:
    method = entry["method"]
    segments = np.load(run / drawn.segments[method]) if method in drawn.segments else None
    found = Attribution(
        method, np.load(run / drawn.maps[method]), entry["layer"], entry["facts"], tuple(entry["notes"]), segments
    )
    told = {name: entry[name] for name in ("image", "target", "target_index", "prediction", "probability", "checks")}
    return Explanation(**told, attribution=found, seconds=entry["seconds"], seen=picture.pixels.movedim(0, 2).numpy())


def _name(number: int) -> str:
    return f"{FOLDER}/{number:03}.json"

"""The explanations of an image in the run folder, from which a resumed run continues."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.figures.image_files import FigureFiles
from lightcnn.explaining.images.image import ExplainedImage
from lightcnn.explaining.methods.attribution import Attribution
from lightcnn.run_files import read_limited
from lightcnn.run_folder import RunFolder, json_bytes

FOLDER = "explained"
"""Holds one record per image. A record is written last: if it exists, so do all other files of its image."""
MAX_FILE_BYTES = 100_000_000
"""Size of the largest map or figure that is read."""


class _Part(BaseModel):
    """A part of a record."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class _Drawn(_Part):
    """The names of the files of an image, and the notes on them."""

    panel: str
    curves: str | None
    maps: dict[str, str]
    overlays: dict[str, str]
    segments: dict[str, str]
    notes: tuple[str, ...]

    def names(self) -> Iterator[str]:
        """All files."""
        yield from filter(None, (self.panel, self.curves))
        for by_method in (self.maps, self.overlays, self.segments):
            yield from by_method.values()


class _Check(_Part):
    """The result of a check; its other values are shown as they are."""

    model_config = ConfigDict(extra="allow")

    value: float | None
    passed: bool | None


class _Explanation(_Part):
    """An explanation by one method, as in report.json."""

    image: str
    target: str
    target_index: Annotated[int, Field(ge=0)]
    prediction: str
    probability: Annotated[float, Field(ge=0, le=1)]
    method: str
    layer: str | None
    facts: dict[str, Any]
    notes: tuple[str, ...]
    checks: dict[str, _Check]
    seconds: Annotated[float, Field(ge=0)]


class _Record(_Part):
    """The record of an image."""

    image_digest: Annotated[str, Field(alias="picture")]
    drawn: _Drawn
    explanations: tuple[_Explanation, ...]


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
    """What `save` wrote; None if it is incomplete, damaged or belongs to another image.

    Raises: RunError if the record names a file outside the run folder, or a file is a link or not a regular file.
    """
    if not (folder / _record_name(number)).is_file():
        return None
    document = folder.read_json(_record_name(number))
    try:
        record = _Record.model_validate_json(json_bytes(document))
        if record.image_digest != digest(image):
            return None
        missing = [name for name in record.drawn.names() if not (folder / name).is_file()]
        return None if missing else _restored(folder, record, image)
    except (ValidationError, ValueError, EOFError, KeyError, MemoryError):
        return None


def _restored(folder: RunFolder, record: _Record, image: ExplainedImage) -> tuple[list[Explanation], FigureFiles]:
    drawn = record.drawn
    shown = {name: read_limited(folder.path, name, MAX_FILE_BYTES) for name in (drawn.panel, drawn.curves) if name}
    files = FigureFiles(shown, **dict(drawn))
    return [_explanation(folder, entry, files, image) for entry in record.explanations], files


def digest(image: ExplainedImage) -> str:
    """SHA-256 of an image's name, and of its pixels and mask at the size of the network's input."""
    content = hashlib.sha256(image.name.encode("utf-8", "surrogateescape") + image.seen.transpose(2, 0, 1).tobytes())
    if image.mask is not None:
        content.update(np.packbits(image.mask).tobytes())
    return content.hexdigest()


def _explanation(folder: RunFolder, entry: _Explanation, files: FigureFiles, image: ExplainedImage) -> Explanation:
    method, shape = entry.method, image.seen.shape[:2]
    segments = _array(folder, files.segments[method], shape) if method in files.segments else None
    values = _array(folder, files.maps[method], shape)
    return Explanation(
        image=entry.image,
        target=entry.target,
        target_index=entry.target_index,
        prediction=entry.prediction,
        probability=entry.probability,
        attribution=Attribution(method, values, entry.layer, entry.facts, entry.notes, segments),
        checks={name: check.model_dump() for name, check in entry.checks.items()},
        seconds=entry.seconds,
        seen=image.seen,
    )


def _array(folder: RunFolder, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """The array in a .npy file. Raises: ValueError if it is damaged or has another shape."""
    array = np.load(io.BytesIO(read_limited(folder.path, name, MAX_FILE_BYTES)), allow_pickle=False)
    if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype.kind not in "fiu":
        raise ValueError(f"{name} is not an array of shape {shape}")
    return array


def _record_name(number: int) -> str:
    return f"{FOLDER}/{number:03}.json"

"""Compares an ONNX file with PyTorch: at the network's size, and for images that the file itself resizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lightcnn.data.tensors import prepare
from lightcnn.errors import LightcnnError
from lightcnn.exported_metadata import ExportedMetadata
from lightcnn.exporting.subject import ExportSubject
from lightcnn.inference import probabilities
from lightcnn.onnxfiles.assembly import PIXELS, with_output
from lightcnn.onnxfiles.runtime import open_session, session_outputs
from lightcnn.recipe import Preparation

IMAGES = 64
"""Images of the network's size that are compared."""
RESIZED_IMAGES = 8
"""Images that are compared at each other size."""
RESIZED = ((0.57, 0.57), (0.8, 1.3), (1.9, 1.4), (3.1, 5.2))
"""Heights and widths of images that the file resizes, relative to the network's size."""
TOLERANCE, RESIZED_TOLERANCE = 1e-5, 2e-3
"""Largest differences of probabilities. At the network's size, those of Fashion-MNIST's networks were below 1e-6."""
MAX_PIXEL_DIFFERENCE = 1
"""Largest difference of a resized pixel, in grey levels: a value between two levels is rounded to either."""
Pixels = NDArray[np.uint8]


def require_parity(subject: ExportSubject, data: bytes, metadata: ExportedMetadata) -> dict[str, Any]:
    """The differences between a file and the run's network, on validation images or, without them, on noise.

    Returns `max_abs_difference` at the network's size and `resized`: the largest differences in probabilities and
    in pixels, and the share of pixels that differ; None for a file that resizes nothing.

    Raises: LightcnnError if a difference is too large.
    """
    images = _images(subject)
    session = open_session(with_output(data, PIXELS), 1)
    same = _difference(subject, session, list(images), Preparation())
    _require(same["max_abs_difference"], TOLERANCE, "probabilities at the network's size")
    if not metadata.takes_any_size:
        return {"images": len(images), "max_abs_difference": same["max_abs_difference"], "resized": None}
    fit = Preparation(fit=subject.preprocess.fit)
    rows = [
        _difference(subject, session, _at_size(images, height, width), fit) for height, width in _sizes(metadata.size)
    ]
    largest = {
        name: float(np.max([row[name] for row in rows])) for name in ("max_abs_difference", "max_pixel_difference")
    }
    _require(largest["max_pixel_difference"], MAX_PIXEL_DIFFERENCE, "resized pixels, in grey levels,")
    _require(largest["max_abs_difference"], RESIZED_TOLERANCE, "probabilities of resized images")
    resized = {
        "sizes": [list(size) for size in _sizes(metadata.size)],
        "images": len(rows) * len(_at_size(images, 1, 1)),
        **largest,
        "pixels_that_differ": float(np.mean([row["pixels_that_differ"] for row in rows])),
    }
    return {"images": len(images), "max_abs_difference": same["max_abs_difference"], "resized": resized}


def _images(subject: ExportSubject) -> Pixels:
    """Validation images (N, S, S, C), or noise."""
    size, channels = subject.preprocess.size, subject.preprocess.channels
    noise = np.random.default_rng(0).integers(0, 256, (IMAGES, size, size, channels), dtype=np.uint8)
    if subject.validation is None:
        return noise
    images = subject.validation.images[:IMAGES].movedim(1, 3).numpy()
    return np.concatenate([images, noise[len(images) :]])


def _sizes(size: int) -> list[tuple[int, int]]:
    return [(max(1, round(height * size)), max(1, round(width * size))) for height, width in RESIZED]


def _at_size(images: Pixels, height: int, width: int) -> list[Pixels]:
    """Some of the images, repeated and cropped to another size: their pixels stay as sharp as they were."""
    repeats = (-(-height // images.shape[1]), -(-width // images.shape[2]), 1)
    chosen = images[:: max(1, len(images) // RESIZED_IMAGES)][:RESIZED_IMAGES]
    return [np.ascontiguousarray(np.tile(image, repeats)[:height, :width]) for image in chosen]


def _difference(
    subject: ExportSubject, session: Any, images: list[Pixels], preparation: Preparation
) -> dict[str, float]:
    """The differences for images (H, W, C) of one size, each of which PyTorch prepares as a run does."""
    size = subject.preprocess.size
    expected = torch.stack([prepare(image, preparation, size) for image in images])
    outputs = [session_outputs(session, image[None]) for image in images]
    predicted, pixels = (np.concatenate([each[index] for each in outputs]) for index in (0, -1))
    steps = np.abs(pixels - expected.numpy())
    reference = probabilities(subject.network.model, expected, subject.preprocess, batch=RESIZED_IMAGES)
    return {
        "max_abs_difference": float(np.abs(predicted - reference).max()),
        "max_pixel_difference": float(steps.max()),
        "pixels_that_differ": float((steps > 0).mean()),
    }


def _require(difference: float, limit: float, what: str) -> None:
    """Raises: LightcnnError if a difference is above the limit, or not a number."""
    if not difference <= limit:
        raise LightcnnError(
            f"onnx: {what} differ from PyTorch's by up to {difference:.2g}, more than {limit:g}; the file was not kept"
        )

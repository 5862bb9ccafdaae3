"""The parts of a recipe that follow from the data: augmentation, batch size and epochs; what must fit. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lightcnn.errors import InputError
from lightcnn.recipe import Augment, Optimisation

FEWEST_STEPS = 4
"""Batches of an epoch that a default batch size leaves at least."""
SMALLEST_BATCH = 8
"""The smallest default batch size: BatchNorm needs several images for its statistics."""
MAX_LISTED = 20
"""Class names that an error lists."""


def default_augment(channels: int, images: int) -> Augment:
    """Small shifts, rotations and zooms, which get smaller with the number of images.

    With many images, a small network does not memorise them, and the blur of resampling costs more than variety gains.
    Only colour images are mirrored, because greyscale images are often characters.
    """
    strength = min(1.0, 4_000 / images)
    full = Augment()
    return Augment(
        shift=round(strength * full.shift, 4),
        rotate=round(strength * full.rotate, 2),
        zoom=round(strength * full.zoom, 4),
        flip=channels == 3,
    )


def default_training(epochs: int, images: int) -> Optimisation:
    """Batches of 128, smaller for small data sets so that an epoch has about 20 steps, and labels smoothed by 0.1."""
    batch = fitted_batch(usual_batch(images), images)
    return Optimisation(epochs=epochs, batch=batch, label_smoothing=0.1)


def usual_batch(images: int) -> int:
    """The default batch size of a network alone, if there are enough images for it."""
    return min(128, max(32, int(2 ** round(math.log2(images / 20)))))


def fitted_batch(batch: int, images: int) -> int:
    """A default batch size, reduced for few training images.

    It becomes the largest power of two that leaves `FEWEST_STEPS` batches of an epoch, but not less than
    `SMALLEST_BATCH`, unless there are fewer images.
    """
    largest = 1 << int(math.log2(max(SMALLEST_BATCH, images // FEWEST_STEPS)))
    return max(2, min(batch, largest, images))


def default_epochs(images: int, maximum: int = 100) -> int:
    """The epochs in which about 600,000 images are seen, from 20 to `maximum`."""
    return min(maximum, max(20, round(600_000 / images)))


def require_training(training: Optimisation, source: str, classes: Sequence[str], images: int) -> None:
    """Raises: InputError if the settings do not fit the classes and the number of training images of a data source."""
    if training.batch > images:
        raise InputError(
            f"training.batch: {training.batch} images, but the training set of data {source} has {images}; "
            f"--set training.batch={max(2, images // 4)}"
        )
    weights = training.class_weights
    if isinstance(weights, dict) and weights.keys() != set(classes):
        wrong = sorted(weights.keys() ^ set(classes))[0]
        raise InputError(
            f"training.class_weights: class {wrong!r} {'has no weight' if wrong in classes else 'is not in the data'}; "
            f"give a weight for each of {', '.join(classes[:MAX_LISTED])}"
        )

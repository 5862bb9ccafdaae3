"""Which images are explained: those of files and folders, or some of a test set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.data.preprocess import Preprocess
from lightcnn.decisions import decide
from lightcnn.errors import DataError
from lightcnn.explaining.images.image import ExplainedImage, ImageReading, from_dataset, from_file
from lightcnn.explaining.images.masks import MaskFolder
from lightcnn.progress import Progress
from lightcnn.run_data import RunData

if TYPE_CHECKING:
    from lightcnn.explaining.explained_network import ExplainedNetwork


@dataclass(frozen=True, eq=False)
class Selection:
    """The images to explain, read one by one; an image that cannot be read is given as `Skipped`.

    `count` images are chosen from `available` ones. `passed_over` files do not have an image's name, and `run_folders`
    inside the folders were not read. `data` is that of report.json, or None for images of files.
    """

    images: Callable[[], Iterator[ExplainedImage | Skipped]]
    count: int
    available: int
    passed_over: int = 0
    run_folders: int = 0
    data: dict[str, Any] | None = None

    @property
    def note(self) -> str:
        """How the images were chosen; empty if all are explained."""
        if self.count == self.available:
            return ""
        return (
            f"{self.count:,} of the {self.available:,} images of the test set, chosen by the seed: first one of every "
            "class and of correct and wrong predictions, then in proportion; shares are shares of these images"
        )


def select_files(inputs: Sequence[Path], reading: ImageReading, masks: MaskFolder | None) -> Selection:
    """All images in files and folders. Raises: InputError if there are none, or none has a mask."""
    counted = count_images(inputs, "explain")
    if masks is not None:
        masks.require_any([str(path) for path in walk(inputs) if isinstance(path, Path)])

    def images() -> Iterator[ExplainedImage | Skipped]:
        for path in walk(inputs):
            if isinstance(path, Skipped):
                yield path
            else:
                yield _read(str(path), partial(from_file, path, reading, masks))

    return Selection(images, counted.images, counted.images, counted.ignored, counted.run_folders)


def select_test_images(
    data: RunData,
    network: ExplainedNetwork,
    preprocess: Preprocess,
    masks: MaskFolder | None,
    *,
    limit: int,
    seed: int,
    progress: Progress,
) -> Selection:
    """At most `limit` images of a test set, some of every class and of correct and wrong predictions.

    Raises: InputError if none of them has a mask.
    """
    indices = _chosen_indices(data, network, preprocess, limit, seed, progress)
    if masks is not None:
        masks.require_any([data.dataset.paths[index] for index in indices])
    reading = ImageReading.of(preprocess)

    def images() -> Iterator[ExplainedImage | Skipped]:
        for index in indices.tolist():
            yield _read(data.dataset.paths[index], partial(from_dataset, data.dataset, index, reading, masks))

    return Selection(images, len(indices), len(data.split.test), data=data.document())


def _chosen_indices(
    data: RunData, network: ExplainedNetwork, preprocess: Preprocess, limit: int, seed: int, progress: Progress
) -> NDArray[np.int64]:
    """Indices into the data set, in ascending order."""
    from lightcnn.explaining.images.image_choice import candidate_indices, predict, sample_strata

    indices = candidate_indices(data, seed)
    if len(indices) <= limit:
        return indices
    predictions = decide(predict(network, preprocess, data.dataset, indices, progress), preprocess.threshold)
    labels = data.dataset.labels[indices]
    strata = list(zip(labels.tolist(), (predictions == labels).tolist(), strict=True))
    return indices[sample_strata(strata, limit, seed)]


def _read(name: str, read: Callable[[], ExplainedImage]) -> ExplainedImage | Skipped:
    """An image, or the reason why it cannot be read."""
    try:
        return read()
    except DataError as error:
        return Skipped(name, str(error))
    except OSError as error:
        return Skipped(name, f"cannot be read ({error.strerror})")
    except MemoryError:
        return Skipped(name, "needs more memory than is available")

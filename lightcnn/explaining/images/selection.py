"""Which pictures are explained: those of files and folders, or some of a test side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.data.preprocess import Preprocess
from lightcnn.decisions import decide
from lightcnn.errors import DataError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.images.image import MaskFolder, Picture, from_dataset, from_file
from lightcnn.explaining.images.run_test_data import TestSide, answers, candidates, choose
from lightcnn.progress import Progress


@dataclass(frozen=True, eq=False)
class Selection:
    """Pictures in their order, faulty ones as what is wrong with them.

    `count` of them come, chosen from `available`; `passed_over` files were no images by name. `data` is that of
    report.json, None of files.
    """

    pictures: Callable[[], Iterator[Picture | Skipped]]
    count: int
    available: int
    passed_over: int = 0
    data: dict[str, Any] | None = None

    @property
    def note(self) -> str:
        """How the pictures were chosen, where not all come."""
        if self.count == self.available:
            return ""
        return (
            f"{self.count:,} of the {self.available:,} images of the test side, chosen by the seed: one of every class "
            "and of right and wrong answers first, then in proportion; shares are of these images"
        )


def of_files(inputs: Sequence[Path], rule: Preprocess, masks: MaskFolder | None) -> Selection:
    """All images below files and folders. Raises: InputError where there are none, or none has a mask."""
    met = count_images(inputs, "explain")
    if masks is not None:
        masks.require_any([str(found) for found in walk(inputs) if isinstance(found, Path)])

    def pictures() -> Iterator[Picture | Skipped]:
        for found in walk(inputs):
            if isinstance(found, Skipped):
                yield found
            else:
                yield _read(str(found), partial(from_file, found, rule, masks))

    return Selection(pictures, met.images, met.images, met.passed_over)


def of_side(
    side: TestSide,
    explained: ExplainedNetwork,
    rule: Preprocess,
    masks: MaskFolder | None,
    *,
    most: int,
    seed: int,
    progress: Progress,
) -> Selection:
    """At most so many images of a test side: some of every class, and of those answered rightly and wrongly."""
    chosen = _chosen(side, explained, rule, most, seed, progress)
    if masks is not None:
        masks.require_any([side.dataset.paths[index] for index in chosen])

    def pictures() -> Iterator[Picture | Skipped]:
        for index in chosen.tolist():
            yield _read(side.dataset.paths[index], partial(from_dataset, side.dataset, index, rule, masks))

    return Selection(pictures, len(chosen), len(side.split.test), data=side.document())


def _chosen(
    side: TestSide, explained: ExplainedNetwork, rule: Preprocess, most: int, seed: int, progress: Progress
) -> NDArray[np.int64]:
    """Indices into the dataset, ascending."""
    indices = candidates(side, seed)
    if len(indices) <= most:
        return indices
    said = decide(answers(explained, rule, side.dataset, indices, progress), rule.threshold)
    labels = side.dataset.labels[indices]
    return indices[choose(list(zip(labels.tolist(), (said == labels).tolist(), strict=True)), most, seed)]


def _read(name: str, read: Callable[[], Picture]) -> Picture | Skipped:
    """A picture, or what is wrong with it."""
    try:
        return read()
    except DataError as error:
        return Skipped(name, str(error))
    except OSError as error:
        return Skipped(name, f"cannot be read ({error.strerror})")
    except MemoryError:
        return Skipped(name, "needs more memory than there is")

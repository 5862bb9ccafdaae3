"""What is exported, and what a format gives back: the seam between the job and the formats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.data.preprocess import Preprocess
from lightcnn.run_folder import RunFolder
from lightcnn.trained_network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one set at the network's size, uint8 (N, C, S, S), with labels (N,) and groups (N,)."""

    images: Tensor
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ExportSubject:
    """A trained run, its network on the CPU with norms folded, and the images of its data.

    `training` holds at most as many images as calibration needs. The three sets are None if the data cannot be read.
    """

    run: RunFolder
    network: TrainedNetwork
    deployed: nn.Module
    training: ImageSet | None = None
    validation: ImageSet | None = None
    test: ImageSet | None = None

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing of the run."""
        return self.network.preprocess


@dataclass(frozen=True, eq=False)
class ExportedFormat:
    """Files of one format, written into the folder of the export.

    Args:
        format: Name of the format.
        files: Names of the files, relative to the folder.
        weight_bytes: Bytes of the weights and biases in them.
        preprocessing: What the caller must do with an image before the file reads it, as a sentence.
        probabilities: What the file computes for uint8 images (N, S, S, C) of the network's size: class probabilities
            (N, classes).
        latency_ms: Median time of one image in this runtime, measured; None if it is not timed.
        is_int8: Whether weights and activations are in 8 bits.
        emulate: Runs the files on an emulated processor such as cortex-m4, for images like those of `probabilities`,
            and returns the `device` of export.json; None if they do not run on one.
        details: Further facts for export.json, such as the bytes of the arena.
    """

    format: str
    files: tuple[str, ...]
    weight_bytes: int
    preprocessing: str
    probabilities: Callable[[NDArray[np.uint8]], NDArray[np.float64]]
    latency_ms: Mapping[str, Any] | None = None
    is_int8: bool = False
    emulate: Callable[[str, NDArray[np.uint8]], Mapping[str, Any]] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

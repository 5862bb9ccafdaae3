"""What is exported, and what a format gives back: the seam between the job and the formats."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.folding import deploy, fold_pairs
from lightcnn.data.dataset import Dataset
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import calibration_set
from lightcnn.data.tensors import network_pixels
from lightcnn.errors import InputError
from lightcnn.evaluation.predictions import count_test_probabilities
from lightcnn.network import fold
from lightcnn.operating_points import check, operating_document
from lightcnn.progress import Progress, no_progress
from lightcnn.run_data import RunData, load_run_data
from lightcnn.run_files import VALUE_ERRORS
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork

CHUNK = 64
"""Images that are prepared at once."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one set at the network's size, uint8 (N, C, S, S), with labels (N,) and groups (N,)."""

    images: Tensor
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ExportSubject:
    """A trained run, its network on the CPU with norms folded, and the images of its data.

    `training` holds the images of `calibration_set`. The three sets and `data`, that of a report.json, are None if the
    data cannot be read, and `data_problem` is then the reason.
    """

    run: RunFolder
    network: TrainedNetwork
    deployed: nn.Module
    training: ImageSet | None = None
    validation: ImageSet | None = None
    test: ImageSet | None = None
    data: Mapping[str, Any] | None = None
    data_problem: str = ""

    @property
    def preprocess(self) -> Preprocess:
        """The preprocessing of the run."""
        return self.network.preprocess

    @property
    def report(self) -> Mapping[str, Any]:
        """The report.json of the run; empty if it has none."""
        report = self.run.report if (self.run.path / "report.json").is_file() else {}
        return report if isinstance(report, dict) else {}

    @cached_property
    def operating(self) -> dict[str, Any] | None:
        """Sensitivity and specificity on the test set of the run, as its report states them; None if it does not."""
        try:
            document = operating_document(self.report["metrics"]["test"], count_test_probabilities(self.run))
            check(document, self.preprocess.classes)
        except VALUE_ERRORS:
            return None
        return document


INT8 = frozenset({"int8", "uint8"})
"""Types of numbers in 8 bits."""


@dataclass(frozen=True)
class NumberTypes:
    """The types of the weights of a file's layers and of the activations that they read, such as "int8"."""

    weights: frozenset[str]
    activations: frozenset[str]

    @property
    def is_int8(self) -> bool:
        """Whether all of them are in 8 bits."""
        return all(types and types <= INT8 for types in (self.weights, self.activations))

    def __str__(self) -> str:
        weights, activations = (", ".join(sorted(types)) or "none" for types in (self.weights, self.activations))
        return f"weights in {weights} and activations in {activations}"


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
        number_types: The types of its numbers, read from the written files; a format in int8 must have them.
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
    number_types: NumberTypes | None = None
    emulate: Callable[[str, NDArray[np.uint8]], Mapping[str, Any]] | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


def load_subject(
    run: RunFolder, *, source: str | None = None, data_dir: Path | None = None, progress: Progress = no_progress
) -> ExportSubject:
    """The network of a finished run, and the images of its data, or of the data `source`.

    Raises: InputError if the network cannot be used, or the data `source`; the run's own data may be missing.
    """
    network = TrainedNetwork.load(run, device="cpu")
    deployed = _deployed(network)
    try:
        data = load_run_data(run, network.preprocess, source=source, data_dir=data_dir, progress=progress)
    except InputError as error:
        if source is not None:
            raise
        return ExportSubject(run, network, deployed, data_problem=str(error))
    return ExportSubject(
        run, network, deployed,
        training=_image_set(data, calibration_set(data.dataset, data.split), network.preprocess, progress),
        validation=_image_set(data, data.split.val, network.preprocess, progress),
        test=_image_set(data, data.split.test, network.preprocess, progress),
        data=data.document(),
    )  # fmt: skip


def _deployed(network: TrainedNetwork) -> nn.Module:
    """The network with norms folded; of other networks, the norms that a trace shows to be foldable."""
    if isinstance(network.spec, NetworkSpec):
        return fold(network.model)
    size, channels = network.preprocess.size, network.preprocess.channels
    return fold_pairs(network.model, deploy(network.model, (channels, size, size)).pairs)


def _image_set(data: RunData, indices: NDArray[np.int64], preprocess: Preprocess, progress: Progress) -> ImageSet:
    """The images at these indices, prepared on all cores."""
    dataset: Dataset = data.dataset
    groups = np.unique(dataset.groups[indices], return_inverse=True)[1].astype(np.int64)
    images = torch.empty(len(indices), preprocess.channels, preprocess.size, preprocess.size, dtype=torch.uint8)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(indices), CHUNK):
            progress("preparing images", start, len(indices))
            chosen = indices[start : start + CHUNK].tolist()
            pixels = pool.map(lambda index: network_pixels(dataset.images[index], preprocess), chosen)
            images[start : start + CHUNK] = torch.stack(list(pixels))
    progress("preparing images", len(indices), len(indices))
    return ImageSet(images, dataset.labels[indices], groups)

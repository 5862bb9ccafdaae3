"""The images that the trainings of a search need: in this process, or in files that several processes share."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightcnn.data.images import Images, View
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.split import subset
from lightcnn.data.store import open_images
from lightcnn.run_folder import RunFolder
from lightcnn.teacher import TeacherPredictions

VALIDATION_IMAGES = 2_500
"""Validation images that networks are compared on while they are trained. With them, the difference of the log losses
of two finalists of a search of Fashion-MNIST had a standard error of 0.007, that of their accuracies 0.43 points."""
ARRAYS = ("labels", "train", "validation")
TEACHER = "teacher"
"""The array of the teacher's predictions, which only searches with a teacher have."""


class TrainingData(Protocol):
    """What a training reads. `train` and `validation` are indices of images, ascending."""

    @property
    def device(self) -> torch.device: ...
    @property
    def train(self) -> NDArray[np.int64]: ...
    @property
    def validation(self) -> NDArray[np.int64]: ...
    def images(self, indices: NDArray[np.int64], size: int) -> Images: ...
    def labels(self, indices: NDArray[np.int64]) -> Tensor: ...
    def preprocess(self, size: int) -> Preprocess: ...
    def taught(self) -> Tensor: ...


class PipelineData:
    """The images of a pipeline, in this process. The validation images are a part of the set, chosen by `seed`."""

    def __init__(self, pipeline: Pipeline, seed: int, teacher: TeacherPredictions | None = None) -> None:
        """`teacher`: what a teacher predicts for the training images, if there is one."""
        self.pipeline = pipeline
        self.teacher = teacher
        self._lessons = None if teacher is None else teacher.probabilities
        self.device = pipeline.device
        self.train = pipeline.split.train
        self.validation = subset(pipeline.dataset, pipeline.split.val, VALIDATION_IMAGES, seed)

    @property
    def validation_groups(self) -> int:
        """The groups of the validation images: so many of them are independent."""
        return len(np.unique(self.pipeline.dataset.groups[self.validation]))

    def images(self, indices: NDArray[np.int64], size: int) -> Images:
        """uint8 (N, C, size, size)."""
        return self.pipeline.images(indices, size)

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """int64 (N,) on the device."""
        return self.pipeline.labels(indices)

    def preprocess(self, size: int) -> Preprocess:
        """The preprocessing for networks of that input size."""
        return self.pipeline.preprocess(size)

    def taught(self) -> Tensor:
        """The teacher's class probabilities (N, classes) of the training images, float32 on the device."""
        assert self._lessons is not None, "a job names a teacher only if the search has one"
        return torch.from_numpy(self._lessons).to(self.device)

    def teach(self, predictions: TeacherPredictions, folder: RunFolder) -> None:
        """Makes these the predictions from which jobs learn from now on, in this process and in others."""
        self._lessons = predictions.probabilities
        _write_array(folder, TEACHER, self._lessons)

    def write_arrays(self, folder: RunFolder) -> None:
        """Writes the labels, indices and the teacher's predictions for `SharedData` into trainings/."""
        arrays: dict[str, NDArray[Any]] = {
            "labels": self.pipeline.dataset.labels,
            "train": self.train,
            "validation": self.validation,
        }
        if self._lessons is not None:
            arrays[TEACHER] = self._lessons
        for name, array in arrays.items():
            _write_array(folder, name, array)


def _write_array(folder: RunFolder, name: str, array: NDArray[Any]) -> None:
    """Writes an array for `SharedData`."""
    content = io.BytesIO()
    np.save(content, array)
    folder.write_bytes(f"trainings/{name}.npy", content.getvalue())


class SharedData:
    """The same images in a worker process: labels and indices from `folder`, images from the cache.

    `add` names the file of the images of a size, before they are asked for.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self._folder = folder
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
        self._labels, self.train, self.validation = (arrays[name] for name in ARRAYS)
        self._stores: dict[int, Tensor] = {}
        self._preprocess: dict[int, Preprocess] = {}

    def add(self, images: Path, preprocess: Preprocess) -> None:
        """Takes the file of images prepared by `preprocess`."""
        if preprocess.size not in self._stores:
            self._stores[preprocess.size] = open_images(images)
            self._preprocess[preprocess.size] = preprocess

    def images(self, indices: NDArray[np.int64], size: int) -> Images:
        """uint8 (N, C, size, size)."""
        return View(self._stores[size], indices, self.device)

    def labels(self, indices: NDArray[np.int64]) -> Tensor:
        """int64 (N,) on the device."""
        return torch.from_numpy(self._labels[indices]).to(self.device)

    def preprocess(self, size: int) -> Preprocess:
        """The preprocessing for networks of that input size."""
        return self._preprocess[size]

    def taught(self) -> Tensor:
        """The teacher's class probabilities (N, classes) of the training images, float32 on the device."""
        return torch.from_numpy(np.load(self._folder / f"{TEACHER}.npy", allow_pickle=False)).to(self.device)

"""A trained network, read from its run folder, which predicts, is explained and exported, and teaches other networks.

A run folder is untrusted input: its network must be a valid spec, its weights must be safetensors that fit the network
exactly, and nothing large is allocated before that is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.baseline_spec import BaselineSpec, load_network
from lightcnn.data.files.conversion import Conversion, pixel_warnings
from lightcnn.data.files.walk import Skipped
from lightcnn.data.preprocess import Preprocess, read_preprocess
from lightcnn.data.stream import PreparedImage, prepare_stream
from lightcnn.decisions import decide
from lightcnn.devices import pick_device
from lightcnn.errors import DataError, InputError, LightcnnError, RunError
from lightcnn.inference import evaluate
from lightcnn.output.warnings import ReportWarning
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.unlikeness import Unlikeness, difference_warnings
from lightcnn.weights import read_network

ABSTAINED = "abstained"
MAX_BATCH_PIXELS = 2_000_000
"""Largest number of pixels in a batch (64 images of 176×176): small batches need little memory and are fast enough."""
MAX_BATCH_IMAGES = 64
"""Largest number of images in a batch."""

Image = Path | Skipped | NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for N images: names of the classes, probabilities (N, classes) in float64, and a class per image.

    `warnings` are about what was done to the values of the files, and about images unlike the training images.
    `unlikeness` (N,) scores how unlike those each image is: above 1, its prediction is not reliable. It is None if the
    run was made by a version that did not measure it.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    predictions: tuple[str, ...]
    warnings: tuple[ReportWarning, ...] = ()
    unlikeness: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network computes for an image: probabilities (classes,), the score of unlikeness, and `mismatches`.

    Those name what differs from the training images: "channels", "size" or "colours".
    """

    probabilities: NDArray[np.float64]
    unlikeness: float | None = None
    mismatches: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights, in eval mode on its device, and the preprocessing it was trained with."""

    spec: NetworkSpec | BaselineSpec
    model: nn.Module
    preprocess: Preprocess

    @classmethod
    def load(cls, run: RunFolder | str | Path, *, device: str = "auto") -> TrainedNetwork:
        """The network of a finished run. Raises: InputError if a file is missing, damaged, or of another run."""
        run = run if isinstance(run, RunFolder) else RunFolder.load(run)
        run.require("spec.yaml", "weights.safetensors", "preprocess.json")
        target = pick_device(device)
        preprocess = read_preprocess(run / "preprocess.json")
        spec = load_network(run / "spec.yaml")
        _require_agreement(run, spec, preprocess)
        model = read_network(run / "weights.safetensors", spec).eval().requires_grad_(False)
        return cls(spec, model.to(target).to(memory_format=torch.channels_last), preprocess)

    @property
    def device(self) -> torch.device:
        """The device that the network is on."""
        return next(self.model.parameters()).device

    def predict(self, images: Iterable[Any], *, abstain_below: float = 0.0) -> Predictions:
        """Predicts images, given as paths or as uint8 arrays (H, W), (H, W, 1) or (H, W, 3).

        An array is processed like a file with these pixels. Raises: InputError for anything else, and DataError for the
        first file that cannot be read.
        """
        require_probability(abstain_below)
        rows: list[Evaluation] = []
        conversions: list[Conversion] = []
        stream = self.evaluations(checked_images(images), on_conversion=conversions.append)
        for number, (image, row) in enumerate(stream):
            if isinstance(row, str):
                name = image if isinstance(image, Path) else "an array"
                raise DataError(f"predict: images[{number}] ({name}) {row}")
            rows.append(row)
        classes = self.preprocess.classes
        table = np.stack([row.probabilities for row in rows]) if rows else np.empty((0, len(classes)))
        decided = tuple(self.decide(row, abstain_below) for row in table)
        unlikeness, scores = self.preprocess.unlikeness, [row.unlikeness for row in rows]
        warnings = (
            *pixel_warnings(conversions, self.preprocess.scale),
            *difference_warnings(unlikeness, scores, Counter(row.mismatches for row in rows)),
        )
        return Predictions(classes, table, decided, warnings, np.array(scores, np.float64) if unlikeness else None)

    def stream(
        self, images: Iterable[Image], *, on_conversion: Callable[[Conversion], object] = lambda _: None
    ) -> Iterator[tuple[Image, NDArray[np.float64] | str]]:
        """Yields each image in order, with its class probabilities (classes,) or with the reason why it has none.

        The memory does not grow with the number of images. `on_conversion` is called with what was done to the values
        of each file.
        """
        for image, row in self.evaluations(images, on_conversion=on_conversion):
            yield image, row if isinstance(row, str) else row.probabilities

    def evaluations(
        self, images: Iterable[Image], *, on_conversion: Callable[[Conversion], object] = lambda _: None
    ) -> Iterator[tuple[Image, Evaluation | str]]:
        """The same, with the score of unlikeness of each image and what differs from the training images."""
        size = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // self.preprocess.size**2))
        stream = prepare_stream(images, self.preprocess, ahead=2 * size, on_conversion=on_conversion)
        while chunk := list(islice(stream, size)):
            rows = iter(self._evaluate([image for _, image in chunk if isinstance(image, PreparedImage)]))
            for image, prepared in chunk:
                yield image, prepared if isinstance(prepared, str) else _finite(next(rows))

    def decide(self, row: NDArray[np.float64], abstain_below: float = 0.0) -> str:
        """The predicted class for probabilities (classes,), or "abstained" if the highest is below `abstain_below`."""
        if row.max() < abstain_below:
            return ABSTAINED
        return self.preprocess.classes[int(decide(row[None], self.preprocess.threshold)[0])]

    def _evaluate(self, images: list[PreparedImage]) -> list[Evaluation]:
        if not images:
            return []
        pixels = torch.stack([image.pixels for image in images]).to(self.device)
        originals = [(image.channels, image.shorter_side) for image in images]
        try:
            return evaluate_images(self.model, pixels, originals, self.preprocess)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise LightcnnError(
                f"predict: out of memory on {self.device} with {len(images)} images; use --device cpu"
            ) from error


def evaluate_images(
    model: nn.Module, pixels: Tensor, originals: Sequence[tuple[int, int]], preprocess: Preprocess
) -> list[Evaluation]:
    """Evaluates images uint8 (N, C, S, S) and compares them with the training images.

    `originals` are the channels and the shorter side in pixels of each image before it was prepared. Raises: RunError.
    """
    rows, features = evaluate(model, pixels, preprocess)
    unlikeness = preprocess.unlikeness
    names = [("channels",) * (channels > preprocess.channels) for channels, _ in originals]
    if unlikeness is None:
        return [Evaluation(row, None, name) for row, name in zip(rows, names, strict=True)]
    require_features(unlikeness, features)
    finite = np.nan_to_num(features, posinf=1e30, neginf=-1e30)
    colours = unlikeness.differs(finite, 2 * preprocess.channels)
    names = [
        (*name, *("size",) * (2 * shorter_side < unlikeness.smallest_side), *("colours",) * bool(other))
        for name, (_, shorter_side), other in zip(names, originals, colours, strict=True)
    ]
    return [Evaluation(*row) for row in zip(rows, unlikeness.scores(finite).tolist(), names, strict=True)]


def require_probability(value: float) -> None:
    """Raises: InputError if `value` is not a probability."""
    if not 0 <= value <= 1:
        raise InputError(f"--abstain-below {value:g}: not a probability; give a number from 0 to 1")


def require_features(unlikeness: Unlikeness, features: NDArray[np.float64]) -> None:
    """Raises: RunError if the score in preprocess.json was not measured with features (N, features) like these."""
    if features.shape[1] != unlikeness.features:
        raise RunError(
            f"preprocess.json: unlikeness: has {unlikeness.features} features, but the network has {features.shape[1]}"
            "; put back the file that the run wrote"
        )


def _finite(row: Evaluation) -> Evaluation | str:
    return row if np.isfinite(row.probabilities).all() else "makes the network's numbers overflow"


def checked_images(images: Iterable[Any], command: str = "predict") -> Iterator[Path | NDArray[np.uint8]]:
    """Yields paths, and arrays as (H, W, C). Raises: InputError for anything else; its text names `command`."""
    is_single = isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim < 4)
    if is_single or not isinstance(images, Iterable):
        raise InputError(f"{command}: images must be a list of paths and arrays; put a single image into a list")
    for number, image in enumerate(images):
        if isinstance(image, str | Path):
            yield Path(image)
            continue
        if not isinstance(image, np.ndarray):
            raise InputError(f"{command}: images[{number}] is a {type(image).__name__}, not a path or an array")
        shape = image.shape if image.ndim == 3 else (*image.shape, 1)
        if image.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or image.size == 0:
            raise InputError(
                f"{command}: images[{number}] is {image.dtype} {image.shape}; give uint8 (H, W), (H, W, 1) or (H, W, 3)"
            )
        yield np.ascontiguousarray(image).reshape(shape)


def _require_agreement(run: RunFolder, spec: NetworkSpec | BaselineSpec, preprocess: Preprocess) -> None:
    """Raises: RunError if preprocessing and network do not fit together."""
    if len(preprocess.classes) != spec.classes:
        raise RunError(
            f"run {run.path}: preprocess.json names {len(preprocess.classes)} classes, the network has {spec.classes}"
        )
    prepared_shape = (preprocess.channels, preprocess.size, preprocess.size)
    if prepared_shape != spec.input:
        raise RunError(f"run {run.path}: preprocess.json makes images {prepared_shape}, the network reads {spec.input}")

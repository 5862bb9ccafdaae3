"""What predicts images: a trained network of a run, or an exported file. Shared here: inputs, results and warnings.

No torch and no pydantic, since exported files predict without them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Real
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image as PillowImage

from lightcnn.data.files.conversion import Conversion, pixel_warnings
from lightcnn.data.files.decode import pixels_of
from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.files.walk import Skipped
from lightcnn.data.stream import PreparedImage, prepare_stream
from lightcnn.decisions import decide
from lightcnn.errors import DataError, InputError, RunError
from lightcnn.output.warnings import ReportWarning
from lightcnn.text import in_one_line
from lightcnn.unlikeness import Unlikeness, difference_warnings

ABSTAINED = "abstained"
MAX_BATCH_PIXELS = 2_000_000
"""Largest number of pixels in a batch (64 images of 176×176): small batches need little memory and are fast enough."""
MAX_BATCH_IMAGES = 64
"""Largest number of images in a batch."""

Image = Path | Skipped | NDArray[np.uint8]


class PredictionRule(Protocol):
    """What a prediction needs to know of a preprocessing; `Preprocess` in `lightcnn.data` describes the values."""

    @property
    def size(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def fit(self) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def threshold(self) -> float: ...
    @property
    def scale(self) -> IntensityScale | None: ...
    @property
    def unlikeness(self) -> Unlikeness | None: ...


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


class Predictor(ABC):
    """A network with its preprocessing, which predicts images in streams of any length."""

    @property
    @abstractmethod
    def rule(self) -> PredictionRule:
        """The classes, the threshold and the other facts about the preprocessing."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return self.rule.classes

    @property
    def note(self) -> str:
        """What was assumed about a file that does not state it, in one sentence; otherwise empty."""
        return ""

    @abstractmethod
    def prepare(self, image: NDArray[np.uint8]) -> Any:
        """The pixels of a decoded image (H, W, 1 or 3), as `evaluate` reads them."""

    @abstractmethod
    def evaluate(self, images: Sequence[PreparedImage[Any]]) -> list[Evaluation]:
        """What the network computes for prepared images; at least one."""

    def predict(self, images: Iterable[Any], *, abstain_below: float = 0.0) -> Predictions:
        """Predicts images, given as paths, PIL images, or uint8 arrays (H, W), (H, W, 1) or (H, W, 3).

        An array or a PIL image is processed like a file with these pixels. Raises: InputError for anything else, and
        DataError for the first file that cannot be read.
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
        table = np.stack([row.probabilities for row in rows]) if rows else np.empty((0, len(self.classes)))
        decided = tuple(self.decide(row, abstain_below) for row in table)
        unlikeness, scores = self.rule.unlikeness, [row.unlikeness for row in rows]
        warnings = (
            *pixel_warnings(conversions, self.rule.scale),
            *difference_warnings(unlikeness, scores, Counter(row.mismatches for row in rows)),
        )
        return Predictions(self.classes, table, decided, warnings, np.array(scores, np.float64) if unlikeness else None)

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
        size = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // self.rule.size**2))
        stream = prepare_stream(images, self.prepare, self.rule.scale, ahead=2 * size, on_conversion=on_conversion)
        while chunk := list(islice(stream, size)):
            prepared = [image for _, image in chunk if isinstance(image, PreparedImage)]
            rows = iter(self.evaluate(prepared) if prepared else [])
            for image, result in chunk:
                yield image, result if isinstance(result, str) else _finite(next(rows))

    def decide(self, row: NDArray[np.float64], abstain_below: float = 0.0) -> str:
        """The predicted class for probabilities (classes,), or "abstained" if the highest is below `abstain_below`."""
        if row.max() < abstain_below:
            return ABSTAINED
        return self.classes[int(decide(row[None], self.rule.threshold)[0])]


def compare_with_training(
    rows: NDArray[np.float64],
    features: NDArray[np.float64] | None,
    originals: Sequence[tuple[int, int]],
    rule: PredictionRule,
) -> list[Evaluation]:
    """Evaluations of probabilities (N, classes) and features (N, features), compared with the training images.

    `originals` are the channels and the shorter side in pixels of each image before it was prepared. Without a score in
    the rule, only channels are compared. Raises: RunError if the score was measured with other features.
    """
    unlikeness = rule.unlikeness
    names = [("channels",) * (channels > rule.channels) for channels, _ in originals]
    if unlikeness is None or features is None:
        return [Evaluation(row, None, name) for row, name in zip(rows, names, strict=True)]
    require_features(unlikeness, features)
    finite = np.nan_to_num(features, posinf=1e30, neginf=-1e30)
    colours = unlikeness.differs(finite, 2 * rule.channels)
    names = [
        (*name, *("size",) * (2 * shorter_side < unlikeness.smallest_side), *("colours",) * bool(other))
        for name, (_, shorter_side), other in zip(names, originals, colours, strict=True)
    ]
    return [Evaluation(*row) for row in zip(rows, unlikeness.scores(finite).tolist(), names, strict=True)]


def require_probability(value: Any) -> None:
    """Raises: InputError if `value` is not a probability."""
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1:
        shown = f"{float(value):g}" if is_number else in_one_line(value)
        raise InputError(f"--abstain-below {shown}: not a probability; give a number from 0 to 1")


def require_features(unlikeness: Unlikeness, features: NDArray[np.float64]) -> None:
    """Raises: RunError if the score in preprocess.json was not measured with features (N, features) like these."""
    if features.shape[1] != unlikeness.features:
        raise RunError(
            f"preprocess.json: unlikeness: has {unlikeness.features} features, but the network has {features.shape[1]}"
            "; put back the file that the run wrote"
        )


def _finite(row: Evaluation) -> Evaluation | str:
    return row if np.isfinite(row.probabilities).all() else "makes the network's numbers overflow"


def several_images(images: Any, channels: int) -> list[Any]:
    """The images, or the one image, that a user gave to a network of images with so many channels.

    Raises: InputError if they are neither, or are an array of which this is unclear.
    """
    shape: tuple[int, ...] = getattr(images, "shape", ())
    if isinstance(images, str | Path | PillowImage) or len(shape) == 2 or (len(shape) == 3 and shape[-1] in (1, 3)):
        return [images]
    if len(shape) == 3 and (shape[-1] in (2, 4) or shape[0] == channels == 3):
        kind = "an image with transparency" if shape[-1] in (2, 4) else "one image with its channels first"
        raise InputError(
            f"images: an array of shape {tuple(shape)} may be {kind}; give one as (H, W, 3), and several grey ones as "
            "a list"
        )
    try:
        iterator = iter(images)
    except TypeError:
        raise InputError(
            f"images={in_one_line(images)}: neither an image nor a list of images; give paths, PIL images or uint8 "
            "arrays"
        ) from None
    return list(iterator)


def checked_images(images: Iterable[Any], command: str = "predict") -> Iterator[Path | NDArray[np.uint8]]:
    """Yields paths, and arrays as (H, W, C). Raises: InputError for anything else; its text names `command`."""
    is_single = isinstance(images, str | Path) or (isinstance(images, np.ndarray) and images.ndim < 4)
    if is_single or not isinstance(images, Iterable):
        raise InputError(f"{command}: images must be a list of paths and arrays; put a single image into a list")
    for number, image in enumerate(images):
        if isinstance(image, str | Path):
            yield Path(image)
            continue
        name = f"{command}: images[{number}]"
        if isinstance(image, PillowImage):
            image = pixels_of(image, name)
        if not isinstance(image, np.ndarray):
            raise InputError(f"{name} is a {type(image).__name__}, not a path, a PIL image or an array")
        shape = image.shape if image.ndim == 3 else (*image.shape, 1)
        if image.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3) or image.size == 0:
            raise InputError(f"{name} is {image.dtype} {image.shape}; give uint8 (H, W), (H, W, 1) or (H, W, 3)")
        yield np.ascontiguousarray(image).reshape(shape)

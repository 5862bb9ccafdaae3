"""An ONNX file that lightcnn did not write: a classifier whose class names and input size the user gives.

It takes float images (N, C, H, W), which it gets on the scale 0..1 without further normalisation, or uint8 images
(N, H, W, C). It returns logits or probabilities. No torch, no pydantic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.intensity import OWN_SCALE, IntensityScale
from lightcnn.data.preparation.resize import resize_array
from lightcnn.data.preparation.steps import with_channels
from lightcnn.data.stream import PreparedImage
from lightcnn.decisions import OutputKind, are_shares, class_probabilities, kind_by_values
from lightcnn.errors import InputError
from lightcnn.onnxfiles.runtime import open_file, run_session
from lightcnn.predictor import Evaluation, Predictor, compare_with_training
from lightcnn.unlikeness import Unlikeness

FLOATS, BYTES = "tensor(float)", "tensor(uint8)"
MAX_LABEL_BYTES = 20_000_000
"""Size of the largest file of class names that is read."""
PROBES = 8
"""Number of images of noise whose outputs show whether a file returns logits or probabilities."""
INPUTS = {
    FLOATS: "images as floats (N, C, H, W) on the scale 0 to 1, without mean and deviation",
    BYTES: "images as uint8 (N, H, W, C)",
}
"""Type of the input → how images are given, as it is stated with every prediction."""


@dataclass(frozen=True)
class ForeignRule:
    """The preprocessing and the decisions for a file that states none: the user's classes and input size."""

    classes: tuple[str, ...]
    input: tuple[int, int, int]
    threshold: float = 0.5
    scale: IntensityScale | None = field(default=OWN_SCALE)
    unlikeness: Unlikeness | None = None
    fit: str = "stretch"

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return self.input[0]

    @property
    def size(self) -> int:
        """The longer side of an image in pixels."""
        return max(self.input[1:])


class ForeignModel(Predictor):
    """An ONNX file without the metadata of lightcnn, with class names and an input size (C, H, W) from the user.

    Raises: InputError if the file cannot be read, or takes or returns something else.
    """

    def __init__(
        self, path: str | Path, classes: Sequence[str], input: tuple[int, int, int], *, threads: int = 0
    ) -> None:
        self.path = Path(path)
        if input[0] not in (1, 3):
            raise InputError(f"--input {'x'.join(map(str, input))}: images have 1 or 3 channels")
        self._rule = ForeignRule(tuple(classes), input)
        self._session = open_file(self.path, threads)
        self._type = self._require_input()
        self._output = self._session.get_outputs()[0].name
        self._batched = not isinstance(self._session.get_inputs()[0].shape[0], int)
        self.kind = self._kind()

    @property
    def rule(self) -> ForeignRule:
        """The classes and the input size."""
        return self._rule

    @property
    def note(self) -> str:
        """What was assumed about the file, in one sentence."""
        channels, height, width = self.rule.input
        colours = "grey" if channels == 1 else "RGB"
        return (
            f"{self.path}: has no metadata of lightcnn; it gets {colours} {INPUTS[self._type]}, stretched to "
            f"{height}×{width} pixels, and its outputs are taken as {self.kind}"
        )

    def prepare(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded image (H, W, 1 or 3) → uint8 (height, width, C)."""
        channels, height, width = self.rule.input
        return resize_array(with_channels(image, channels), (height, width))

    def evaluate(self, images: Sequence[PreparedImage[NDArray[np.uint8]]]) -> list[Evaluation]:
        """What the network computes for prepared images. Raises: InputError if ONNX Runtime cannot run the file."""
        rows = self._outputs(np.stack([image.pixels for image in images]))
        originals = [(image.channels, image.shorter_side) for image in images]
        return compare_with_training(self._probabilities(rows), None, originals, self.rule)

    def _probabilities(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "logits":
            return class_probabilities(rows)
        if self.kind == "log probabilities":
            return np.exp(rows)
        return np.concatenate([1 - rows, rows], axis=1) if rows.shape[1] == 1 else rows

    def _outputs(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        """The outputs (N, classes), or (N, 1) for two classes, of images (N, H, W, C)."""
        inputs: NDArray[Any] = images
        if self._type == FLOATS:
            inputs = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32) / np.float32(255)
        parts = [inputs] if self._batched else [inputs[[place]] for place in range(len(inputs))]
        rows = np.concatenate([run_session(self._session, [self._output], part, str(self.path))[0] for part in parts])
        count = len(self.classes)
        if rows.ndim != 2 or len(rows) != len(images) or rows.shape[1] not in ((1, 2) if count == 2 else (count,)):
            raise InputError(
                f"{self.path}: returns {rows.shape} for {len(images)} images, but --labels names {count} classes; give "
                "one name per output, in its order"
            )
        return rows.astype(np.float64)

    def _kind(self) -> OutputKind:
        """The kind of the outputs, from their values for black, white and noise."""
        channels, height, width = self.rule.input
        noise = np.random.default_rng(0).integers(0, 256, (PROBES, height, width, channels), dtype=np.uint8)
        rows = self._outputs(np.concatenate([noise, np.zeros_like(noise[:1]), np.full_like(noise[:1], 255)]))
        if rows.shape[1] == 1:
            return "probabilities" if are_shares(rows) and np.ptp(rows) > 0 else "logits"
        return kind_by_values(rows)

    def _require_input(self) -> str:
        """The type of the only input. Raises: InputError if it is not a batch of images of the given size."""
        inputs, asked = self._session.get_inputs(), "x".join(map(str, self.rule.input))
        if len(inputs) != 1 or inputs[0].type not in INPUTS or len(inputs[0].shape) != 4:
            listed = ", ".join(f"{each.name}: {each.type} {each.shape}" for each in inputs)[:200]
            raise InputError(f"{self.path}: takes {listed}; only float (N, C, H, W) or uint8 (N, H, W, C) can be given")
        channels, height, width = self.rule.input
        expected = (channels, height, width) if inputs[0].type == FLOATS else (height, width, channels)
        batch, *sides = inputs[0].shape
        fits = all(not isinstance(side, int) or side == value for side, value in zip(sides, expected, strict=True))
        if not fits or (isinstance(batch, int) and batch != 1):
            shape = "×".join(str(side) if isinstance(side, int) else "?" for side in inputs[0].shape)
            order = "N×C×H×W" if inputs[0].type == FLOATS else "N×H×W×C"
            raise InputError(f"--input {asked}: {self.path} takes {order} = {shape}")
        return str(inputs[0].type)


def read_labels(path: Path) -> tuple[str, ...]:
    """The class names in a text file, one per line. Raises: InputError."""
    try:
        if path.stat().st_size > MAX_LABEL_BYTES:
            raise InputError(f"--labels {path}: has more than {MAX_LABEL_BYTES:,} bytes; give one name per line")
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise InputError(f"--labels {path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"--labels {path}: is not UTF-8; give a text file with one name per line") from None
    names = names[: len(names) - next((i for i, name in enumerate(reversed(names)) if name), len(names))]
    if len(names) < 2 or "" in names or len(set(names)) < len(names):
        raise InputError(f"--labels {path}: must name two or more different classes, one per line")
    return tuple(names)

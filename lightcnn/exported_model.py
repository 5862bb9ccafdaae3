"""A network that `lightcnn export` wrote as ONNX, which predicts with ONNX Runtime, NumPy and Pillow alone.

Decoding, EXIF, 16 bits, channels and the side-cars of the file are done as for the run that it was exported from; the
file itself resizes, normalises and computes probabilities. Nothing here loads torch, pydantic or OpenCV, except for the
side-cars that need OpenCV. Files are untrusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.preparation.resize import resize_array
from lightcnn.data.preparation.steps import equalise, require_opencv, square_object, with_channels
from lightcnn.data.stream import PreparedImage
from lightcnn.errors import InputError
from lightcnn.exported_metadata import FEATURES, INPUT_NAME, PROBABILITIES, ExportedMetadata, read_metadata
from lightcnn.onnxfiles.runtime import open_file, run_session
from lightcnn.predictor import MAX_BATCH_IMAGES, MAX_BATCH_PIXELS, Evaluation, Predictor, compare_with_training
from lightcnn.text import first_line
from lightcnn.unlikeness import Unlikeness

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ExportedRule:
    """The preprocessing and the decisions that an exported file states; `Preprocess` in `lightcnn.data` has the same.

    With `fit`, images become square here, which changes nothing if the file does it again.
    """

    size: int
    channels: int
    classes: tuple[str, ...]
    threshold: float
    scale: IntensityScale | None
    unlikeness: Unlikeness | None
    background: str
    fit: str
    clahe: float

    @classmethod
    def of(cls, metadata: ExportedMetadata) -> ExportedRule:
        """The rule in the metadata of a file. Raises: ValueError or TypeError for values that are not possible."""
        values = metadata.preprocess
        scale = values.get("scale")
        return cls(
            size=metadata.size, channels=metadata.channels, classes=metadata.labels, threshold=metadata.threshold,
            scale=None if scale is None else IntensityScale(**scale), unlikeness=_unlikeness(values.get("unlikeness")),
            background=values["background"], fit=values["fit"], clahe=float(values["clahe"]),
        )  # fmt: skip


class ExportedModel(Predictor):
    """An ONNX file that `lightcnn export` wrote, which predicts as its run does, without PyTorch.

    Args:
        path: The file.
        threads: Number of threads of one inference; 0 uses all cores that this process may use.

    Raises:
        InputError: If the file cannot be read, was not written by `lightcnn export`, or needs a package that is
            missing.

    Example:
        >>> import lightcnn
        >>> predictions = lightcnn.ExportedModel("model.onnx").predict(["photo.png"])
        >>> predictions.probabilities.shape
        (1, 3)
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        self.path = Path(path)
        self._session = open_file(self.path, threads)
        self.metadata = read_metadata(self._session.get_modelmeta().custom_metadata_map, str(self.path))
        try:
            self._rule = ExportedRule.of(self.metadata)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{self.path}: its metadata are damaged: {first_line(error)[:200]}; export the run again"
            ) from None
        self._outputs = self._require_interface()
        require_opencv(self._rule)

    @property
    def rule(self) -> ExportedRule:
        """The preprocessing and the decisions."""
        return self._rule

    def prepare(self, image: Pixels) -> Pixels:
        """A decoded image (H, W, 1 or 3) → uint8 (H, W, C), as the file reads it."""
        square = square_object(with_channels(image, self.rule.channels), self.rule)
        if self.metadata.takes_any_size:
            return square
        resized = resize_array(square, (self.rule.size, self.rule.size))
        return equalise(resized, self.rule.clahe) if self.rule.clahe else resized

    def evaluate(self, images: Sequence[PreparedImage[Pixels]]) -> list[Evaluation]:
        """What the network computes for prepared images; those of one size go through it together.

        Raises: InputError if ONNX Runtime cannot run the file.
        """
        originals = [(image.channels, image.shorter_side) for image in images]
        outputs = [self._run(batch) for batch in same_size_batches([image.pixels for image in images])]
        rows, *features = (np.concatenate(parts).astype(np.float64) for parts in zip(*outputs, strict=True))
        return compare_with_training(rows, features[0] if features else None, originals, self.rule)

    def _run(self, pixels: Pixels) -> list[NDArray[Any]]:
        """Probabilities (N, classes) and features, if any, of images (N, H, W, C)."""
        outputs = run_session(self._session, self._outputs, pixels, str(self.path))
        widths = [len(self.classes), self.rule.unlikeness.features if self.rule.unlikeness else 0]
        for name, output, width in zip(self._outputs, outputs, widths, strict=False):
            if output.shape != (len(pixels), width):
                raise InputError(
                    f"{self.path}: its output {name!r} has the shape {output.shape}, not {(len(pixels), width)}; "
                    "export the run again"
                )
        return outputs

    def _require_interface(self) -> list[str]:
        """The names of the outputs to compute. Raises: InputError if inputs or outputs differ from the metadata."""
        outputs = [PROBABILITIES, *[FEATURES] * (self.rule.unlikeness is not None)]
        inputs = [(each.name, each.type) for each in self._session.get_inputs()]
        missing = [name for name in outputs if name not in [each.name for each in self._session.get_outputs()]]
        if inputs != [(INPUT_NAME, "tensor(uint8)")] or missing:
            part = f"no output {missing[0]!r}" if missing else f"inputs other than {INPUT_NAME!r} of uint8"
            raise InputError(f"{self.path}: has {part}, so it does not fit its metadata; export the run again")
        self._require_shapes()
        return outputs

    def _require_shapes(self) -> None:
        """Raises: InputError if the channels or classes that the file declares differ from the metadata."""
        shapes = {each.name: each.shape for each in (*self._session.get_inputs(), *self._session.get_outputs())}
        rule = self.rule
        for name, count, noun in (
            (INPUT_NAME, rule.channels, "channels"), (PROBABILITIES, len(rule.classes), "classes")
        ):  # fmt: skip
            declared = shapes[name][-1] if shapes[name] else 0
            if isinstance(declared, int) and declared != count:
                raise InputError(
                    f"{self.path}: has {declared} {noun}, but its metadata state {count}; export the run again"
                )


def same_size_batches(images: Sequence[Pixels]) -> list[Pixels]:
    """Images (H, W, C) as batches (N, H, W, C) in order: consecutive ones of one size, with a limit of pixels."""
    batches = []
    for shape, group in groupby(images, key=lambda image: image.shape):
        same = list(group)
        step = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // (shape[0] * shape[1])))
        batches += [np.stack(same[start : start + step]) for start in range(0, len(same), step)]
    return batches


def _unlikeness(values: Any) -> Unlikeness | None:
    """The score of unlikeness in a preprocess.json. Raises: ValueError, TypeError or OverflowError."""
    if values is None:
        return None
    centres = tuple(tuple(map(float, centre)) for centre in values["centres"])
    deviation, precision = (tuple(map(float, values[name])) for name in ("deviation", "precision"))
    if not np.isfinite([*deviation, *precision, *(number for centre in centres for number in centre)]).all():
        raise ValueError("unlikeness holds a number that is not finite")
    return Unlikeness(**{**values, "centres": centres, "deviation": deviation, "precision": precision})

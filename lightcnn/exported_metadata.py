"""The facts in an exported file: what it takes and returns, where it comes from, and what it must not be used for.

An exported file states them twice: as one JSON document under `METADATA_KEY`, for programs, and as plain texts under
the names of `PLAIN_KEYS`, for people. Files are untrusted, so what is read is checked. No torch, and no other package.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lightcnn import operating_points
from lightcnn.errors import InputError
from lightcnn.version import __version__

METADATA_KEY = "lightcnn"
"""The key of the JSON document among the metadata of a file."""
PLAIN_KEYS = ("labels", "threshold", "input", "outputs", "notice")
"""The keys of the texts for people; `labels` is a JSON list."""
FORMAT_VERSION = 1
"""The version of the document; a file with a higher one is refused."""
FLOAT_FORMAT = "onnx"
"""The format whose probabilities are those of PyTorch, so that the scores of the run are the file's own."""
INPUT_NAME, PROBABILITIES, FEATURES = "image", "probabilities", "features"
"""The names of the input and of the outputs; a file without a score of unlikeness has no features."""
SIDE_CARS = {
    "background": "remove the background",
    "fit": "fit the image to a square",
    "resize": "resize it to the network's size (bilinear, antialiased, rounded)",
    "clahe": "equalise it with CLAHE",
}
"""Operations that a file may leave to the caller, in their order; decoding and turning upright always are its task."""
NOTICE = (
    "Not for diagnosis. This network is not a medical device and has not been evaluated clinically. Do not base "
    "decisions about a person on its predictions."
)
MAX_CHARACTERS = 20_000_000
"""Length of the longest document that is read; 100,000 classes with long names have less."""
MAX_SIZE = 4096
"""Largest side of a network's input, in pixels."""
FITS, BACKGROUNDS = ("stretch", "crop", "pad"), ("none", "grabcut", "rembg")
"""The choices of preprocess.json."""


@dataclass(frozen=True)
class ExportedMetadata:
    """The facts in an exported file.

    Args:
        format: Name of the format, as in `lightcnn list formats`.
        preprocess: The run's preprocess.json: classes, size, channels, temperature, threshold, unlikeness and so on.
        network: The spec of the network as JSON; its `baseline` names a network of timm.
        network_digest: SHA-256 of what the network computes.
        data: `source` (a name without folders), `stand_in`, `fingerprint` and `counts` of the data; empty if not known.
        side_cars: Names of SIDE_CARS: operations that the caller does, in this order, before the file reads the image.
        accuracy: `value`, `low` and `high` of the accuracy on the test set of the run in PyTorch; None if not known.
        operating: Sensitivity and specificity there, as in `operating_points.operating_document`; None if not known.
        lightcnn: The version that wrote the file.
        version: The version of this document.
    """

    format: str
    preprocess: Mapping[str, Any]
    network: Mapping[str, Any] = field(default_factory=dict)
    network_digest: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    side_cars: tuple[str, ...] = ()
    accuracy: Mapping[str, float | None] | None = None
    operating: Mapping[str, Any] | None = None
    lightcnn: str = __version__
    version: int = FORMAT_VERSION

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities."""
        return tuple(self.preprocess["classes"])

    @property
    def size(self) -> int:
        """The side of the network's input in pixels."""
        return int(self.preprocess["size"])

    @property
    def channels(self) -> int:
        """1 for grey images, 3 for RGB."""
        return int(self.preprocess["channels"])

    @property
    def temperature(self) -> float:
        """What divided the logits; the probabilities of the file contain it already."""
        return float(self.preprocess["temperature"])

    @property
    def threshold(self) -> float:
        """The probability of the second of two classes from which it is predicted."""
        return float(self.preprocess["threshold"])

    @property
    def takes_any_size(self) -> bool:
        """Whether the file resizes images; otherwise they must have the network's size."""
        return "resize" not in self.side_cars

    def input_rule(self) -> str:
        """What the file takes, and what the caller does before, as sentences."""
        colours = "grey" if self.channels == 1 else "RGB"
        size = f"of any size; the file resizes it to {self.size}×{self.size}"
        if not self.takes_any_size:
            size = f"of {self.size}×{self.size} pixels"
        before = "".join(f" Before that, {SIDE_CARS[name]}." for name in self.side_cars)
        return (
            f"Do not normalise: give the decoded, upright {colours} image as uint8 (N, H, W, {self.channels}), "
            f"values 0 to 255, {size}.{before}"
        )

    def properties(self) -> dict[str, str]:
        """The texts of the file's metadata, by key."""
        document = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), allow_nan=False)
        rule = "the most probable class"
        if len(self.labels) == 2:
            rule = f"{self.labels[1]} from a probability of {self.threshold:g}, else {self.labels[0]}"
        plain = (
            json.dumps(self.labels, ensure_ascii=False),
            f"{self.threshold:g}",
            self.input_rule(),
            f"{PROBABILITIES}: float32 (N, {len(self.labels)}), calibrated, in the order of labels; predict {rule}.",
            NOTICE,
        )
        return {METADATA_KEY: document, **dict(zip(PLAIN_KEYS, plain, strict=True))}


def is_exported(path: Path) -> bool:
    """Whether a path names an exported file, and not the folder of a run."""
    return path.suffix.lower() == ".onnx" and not path.is_dir()


def read_metadata(properties: Mapping[str, str], file: str) -> ExportedMetadata:
    """The facts in the metadata of `file`.

    Raises: InputError if they are missing, damaged, or of a later version.
    """
    text = properties.get(METADATA_KEY)
    if text is None:
        raise InputError(
            f"{file}: has no metadata of lightcnn (key {METADATA_KEY!r}), so its classes and its input are not known; "
            "give --labels FILE and --input CxHxW, or export the run with this version"
        )
    try:
        if len(text) > MAX_CHARACTERS:
            raise ValueError(f"has more than {MAX_CHARACTERS:,} characters")
        document = json.loads(text, parse_constant=_refuse_constant)
        _check_version(document)
        metadata = ExportedMetadata(**{**document, "side_cars": tuple(document["side_cars"])})
        _check(metadata)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
        fault = str(error) if type(error) is ValueError else f"a value is missing or of another type ({error})"
        raise InputError(f"{file}: its metadata are damaged: {fault[:200]}; export the run again") from None
    return metadata


def _check_version(document: Mapping[str, Any]) -> None:
    """Raises: ValueError for a document that a later version wrote."""
    version = document["version"]
    if type(version) is not int or not 1 <= version <= FORMAT_VERSION:
        raise ValueError(f"version {version!r} is not 1 to {FORMAT_VERSION}; use the version of lightcnn that wrote it")


def _check(metadata: ExportedMetadata) -> None:
    """Raises: ValueError that names the first value that is not possible; TypeError or LookupError for other types."""
    rules = metadata.preprocess
    labels, size = rules["classes"], rules["size"]
    names = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
    _require(names and 2 <= len(labels) == len(set(labels)), "classes", "are not two or more different names")
    _require(type(size) is int and 1 <= size <= MAX_SIZE, "size", f"is not 1 to {MAX_SIZE} pixels")
    _require(type(rules["shorter_side"]) is int and rules["shorter_side"] >= 1, "shorter_side", "is not above 0")
    _require(rules["channels"] in (1, 3), "channels", "are not 1 or 3")
    _require(_number(rules["temperature"]) > 0, "temperature", "is not above 0")
    _require(0 < _number(rules["threshold"]) < 1, "threshold", "is not between 0 and 1")
    _require(0 <= _number(rules["clahe"]) <= 100, "clahe", "is not 0 to 100")
    mean = rules.get("mean")
    is_mean = mean is None or (
        isinstance(mean, list) and len(mean) == rules["channels"] and min(map(_number, mean)) >= 0
    )
    _require(is_mean, "mean", "is not one number for each channel")
    _require(rules["fit"] in FITS, "fit", f"is not one of {', '.join(FITS)}")
    _require(rules["background"] in BACKGROUNDS, "background", f"is not one of {', '.join(BACKGROUNDS)}")
    _require(metadata.side_cars == side_cars(rules), "side_cars", "do not fit the preprocessing")
    texts = metadata.format, metadata.network_digest, metadata.lightcnn
    _require(all(isinstance(text, str) for text in texts), "format", "is not a text")
    documents = metadata.network, metadata.data
    _require(all(isinstance(each, dict) for each in documents), "network", "is not a JSON object")
    operating_points.check_score("accuracy", metadata.accuracy)
    if metadata.operating is not None:
        operating_points.check(metadata.operating, metadata.labels)


def side_cars(preprocess: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the operations of preprocess.json that no graph contains.

    CLAHE follows the resize, so with it the fit and the resize are the caller's too.
    """
    is_equalised = preprocess["clahe"] > 0
    needed = {
        "background": preprocess["background"] != "none",
        "fit": is_equalised and preprocess["fit"] != "stretch",
        "resize": is_equalised,
        "clahe": is_equalised,
    }
    return tuple(name for name in SIDE_CARS if needed[name])


def _require(is_met: bool, key: str, rule: str) -> None:
    if not is_met:
        raise ValueError(f"{key} {rule}")


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number")

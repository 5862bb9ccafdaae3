"""`lightcnn predict`: a trained network over files and folders of any size, written as it goes."""

from __future__ import annotations

import csv
import io
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from lightcnn.data.files.walk import Skipped, count_images, walk
from lightcnn.errors import DataError, InputError, LightcnnError, RunError
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder
from lightcnn.text import shorten, visible
from lightcnn.trained_network import ABSTAINED, TrainedNetwork, require_probability
from lightcnn.version import __version__

SHOWN = 3
"""Skipped images that an error names; and classes of an image that the table shows, where there are many."""
COLUMNS = 6
"""Classes that each have a column of their own in the table, at most."""
WIDTH = 24
"""Characters of a class name in the table, at most."""


class Sink(ABC):
    """Where predictions go, one image after the other."""

    @abstractmethod
    def begin(self, classes: Sequence[str]) -> None:
        """Called once, before the first image."""

    @abstractmethod
    def add(self, image: str, prediction: str, row: NDArray[np.float64]) -> None:
        """An image, its prediction, and its probabilities (classes,)."""


class Csv(Sink):
    """`image,prediction,p_CLASS...`, UTF-8, a line at a time. Of a file only whole lines stay, however writing ends."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def begin(self, classes: Sequence[str]) -> None:
        self._line(("image", "prediction", *(f"p_{name}" for name in classes)))

    def add(self, image: str, prediction: str, row: NDArray[np.float64]) -> None:
        self._line((image, prediction, *(f"{p:.8f}" for p in row)))

    def _line(self, values: Iterable[str]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        # Names that are no UTF-8 are written as the bytes that the file system has.
        self._write(line.getvalue().encode("utf-8", "surrogateescape"))


class LineFile:
    """A fresh file that is written in whole lines: what a stopped or failed write left of one is cut off again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._whole = 0

    def __enter__(self) -> Self:
        try:
            self._file: IO[bytes] = open(self._path, "xb", buffering=0)
        except FileExistsError:
            raise InputError(f"--csv {self._path}: exists already; give a fresh name, or remove it") from None
        except OSError as error:
            raise InputError(f"--csv {self._path}: cannot be written ({error.strerror})") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            self._file.truncate(self._whole)

    def write(self, line: bytes) -> None:
        """Raises: LightcnnError where there is no room for all of it."""
        try:
            rest = line
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise LightcnnError(f"--csv {self._path}: {error.strerror}; the lines before are whole") from None
        self._whole += len(line)


class Table(Sink):
    """Lines for people: the prediction, every class (of many the most probable), and the image last, as names vary."""

    def __init__(self, echo: Callable[[str], object]) -> None:
        self._echo = echo

    def begin(self, classes: Sequence[str]) -> None:
        self._classes = [_short(name) for name in classes]
        self._first = max(map(len, (*self._classes, "prediction", ABSTAINED)))
        self._widths = [max(len(name), 6) for name in self._classes]
        cells = [name.rjust(width) for name, width in zip(self._classes, self._widths, strict=True)]
        middle = "  ".join(cells) if len(classes) <= COLUMNS else "most probable".ljust(self._many)
        self._echo(f"{'prediction'.ljust(self._first)}  {middle}  image")

    def add(self, image: str, prediction: str, row: NDArray[np.float64]) -> None:
        if len(row) <= COLUMNS:
            middle = "  ".join(f"{p:.4f}".rjust(width) for p, width in zip(row, self._widths, strict=True))
        else:
            top = np.argsort(-row, kind="stable")[:SHOWN]
            middle = ", ".join(f"{self._classes[i]} {row[i]:.4f}" for i in top).ljust(self._many)
        self._echo(f"{_short(prediction).ljust(self._first)}  {middle}  {visible(image)}")

    @property
    def _many(self) -> int:
        """The widest that the most probable classes can be."""
        return sum(sorted(map(len, self._classes))[-SHOWN:]) + SHOWN * len(" 0.1234") + (SHOWN - 1) * len(", ")


class Document(Sink):
    """The `predictions` of the JSON document."""

    def __init__(self) -> None:
        self.predictions: list[dict[str, Any]] = []

    def begin(self, classes: Sequence[str]) -> None:
        self._classes = classes

    def add(self, image: str, prediction: str, row: NDArray[np.float64]) -> None:
        held = dict(zip(self._classes, row.tolist(), strict=True))
        self.predictions.append({"image": image, "prediction": prediction, "probabilities": held})


class Prediction:
    """One `lightcnn predict`: checked when made, done by `conduct`, told by `document`, judged by `require_whole`."""

    def __init__(self, folder: Path, inputs: Sequence[Path], *, device: str = "auto", abstain_below: float = 0.0):
        """Raises: InputError where the run or an input cannot be used."""
        self._began = time.monotonic()
        require_probability(abstain_below)
        if folder.suffix.lower() == ".onnx" and not folder.is_dir():
            raise RunError(f"run {folder}: exported models are not read yet; give the run folder it was exported from")
        self.found = count_images(inputs)
        self._inputs = inputs
        self._abstain_below = abstain_below
        self.run = RunFolder.load(folder)
        self.trained = TrainedNetwork.load(self.run, device=device)
        if abstain_below and ABSTAINED in self.trained.preprocess.classes:
            raise InputError(f"--abstain-below: the run has a class {ABSTAINED!r}, which could not be told from it")
        self.predicted = self.abstained = 0
        self.skipped: list[Skipped] = []

    def conduct(
        self, sinks: Sequence[Sink], *, skip: Callable[[Skipped], None], progress: Progress = no_progress
    ) -> None:
        """Predicts every image into every sink; `skip` is called with each that could not be."""
        for sink in sinks:
            sink.begin(self.trained.preprocess.classes)
        for image, row in self.trained.stream(walk(self._inputs)):
            name = image.image if isinstance(image, Skipped) else str(image)
            if isinstance(row, str):
                self.skipped.append(Skipped(name, row))
                skip(self.skipped[-1])
            else:
                prediction = self.trained.decide(row, self._abstain_below)
                self.predicted += 1
                self.abstained += row.max() < self._abstain_below
                for sink in sinks:
                    sink.add(name, prediction, row)
            done = self.predicted + len(self.skipped)
            progress("predicting", done, max(done, self.found.images))

    def document(self, predictions: list[dict[str, Any]]) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "lightcnn": __version__,
            "command": "predict",
            "seed": 0,
            "seconds": time.monotonic() - self._began,
            "data": None,
            "run": str(self.run.path),
            "classes": list(self.trained.preprocess.classes),
            "abstain_below": self._abstain_below,
            "counts": {
                "images": self.predicted + len(self.skipped),
                "predicted": self.predicted,
                "abstained": int(self.abstained),
                "skipped": len(self.skipped),
                "passed_over": self.found.ignored,
            },
            "predictions": predictions,
            "skipped": [{"image": one.image, "reason": one.reason} for one in self.skipped],
        }

    def require_whole(self, *, listed: bool) -> None:
        """Raises: LightcnnError where some images were skipped, and DataError where all were.

        It names the first of them, unless they are `listed` already.
        """
        if not self.skipped:
            return
        shown = "; ".join(visible(f"{one.image} {one.reason}") for one in self.skipped[:SHOWN])
        named = "" if listed else f": {shown}{'; and more' if len(self.skipped) > SHOWN else ''}"
        count = len(self.skipped) + self.predicted
        if not self.predicted:
            raise DataError(f"predict: none of {count:,} images could be read{named}")
        raise LightcnnError(f"predict: {len(self.skipped):,} of {count:,} images were skipped{named}")


def _short(name: str) -> str:
    """A class name as the table shows it."""
    return shorten(visible(name), WIDTH)

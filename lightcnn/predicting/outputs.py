"""Where predictions are written, one image after the other: CSV, a table for people, or a JSON document."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from lightcnn import csv_files
from lightcnn.errors import InputError, LightcnnError
from lightcnn.predictor import ABSTAINED
from lightcnn.text import shorten, visible

MAX_COLUMNS = 6
"""Maximum number of classes that each have their own column in the table."""
TOP_CLASSES = 3
"""Number of classes that the table shows for an image if there are more classes than columns."""
SCORE_WIDTH = len("unlikeness")
"""Width of the score of unlikeness in the table."""
MAX_NAME_LENGTH = 24
"""Maximum length of a class name in the table, in characters."""


class Sink(ABC):
    """Takes predictions, one image after the other."""

    @abstractmethod
    def begin(self, classes: Sequence[str], *, scored: bool = False) -> None:
        """Called once, before the first image; `scored`: whether images have a score of unlikeness."""

    @abstractmethod
    def add(self, image: str, prediction: str, row: NDArray[np.float64], unlikeness: float | None = None) -> None:
        """Called with each image, its prediction, its probabilities (classes,), and its score of unlikeness if any."""

    def end(self) -> None:  # noqa: B027 (most sinks have nothing to close)
        """Called once, after the last image or an error."""


class Csv(Sink):
    """`image,prediction,p_CLASS...[,unlikeness]` in UTF-8, guarded for spreadsheets; each line is written at once."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def begin(self, classes: Sequence[str], *, scored: bool = False) -> None:
        score = ("unlikeness",) * scored
        self._write_line(("image", "prediction", *(f"p_{name}" for name in classes), *score))

    def add(self, image: str, prediction: str, row: NDArray[np.float64], unlikeness: float | None = None) -> None:
        score = () if unlikeness is None else (f"{unlikeness:.4f}",)
        self._write_line((image, prediction, *(f"{p:.8f}" for p in row), *score))

    def _write_line(self, values: Iterable[str]) -> None:
        self._write(csv_files.write([tuple(values)]))


class CsvFile(Sink):
    """The same in a new file, which contains complete lines only, however writing ends."""

    def __init__(self, path: Path) -> None:
        self._file = LineFile(path)
        self._csv = Csv(self._file.write)
        self._stack = ExitStack()

    def begin(self, classes: Sequence[str], *, scored: bool = False) -> None:
        self._stack.enter_context(self._file)
        self._csv.begin(classes, scored=scored)

    def add(self, image: str, prediction: str, row: NDArray[np.float64], unlikeness: float | None = None) -> None:
        self._csv.add(image, prediction, row, unlikeness)

    def end(self) -> None:
        self._stack.close()


class LineFile:
    """A new file that is written line by line; an incomplete last line is removed when the file is closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complete_bytes = 0

    def __enter__(self) -> Self:
        try:
            self._file: IO[bytes] = open(self._path, "xb", buffering=0)
        except FileExistsError:
            raise InputError(f"--csv {self._path}: exists already; choose a new name, or remove the file") from None
        except OSError as error:
            raise InputError(f"--csv {self._path}: cannot be written ({error.strerror})") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._file:
            self._file.truncate(self._complete_bytes)

    def write(self, line: bytes) -> None:
        """Writes a line. Raises: LightcnnError if it cannot be written completely."""
        try:
            rest = line
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise LightcnnError(f"--csv {self._path}: {error.strerror}; the lines before are complete") from None
        self._complete_bytes += len(line)


class Table(Sink):
    """A line per image: the prediction, the probabilities (of many classes the highest), and the image's name."""

    def __init__(self, echo: Callable[[str], object]) -> None:
        self._echo = echo

    def begin(self, classes: Sequence[str], *, scored: bool = False) -> None:
        self._classes = [_format_class(name) for name in classes]
        self._first_width = max(map(len, (*self._classes, "prediction", ABSTAINED)))
        self._widths = [max(len(name), 6) for name in self._classes]
        cells = [name.rjust(width) for name, width in zip(self._classes, self._widths, strict=True)]
        middle = "  ".join(cells) if len(classes) <= MAX_COLUMNS else "most probable".ljust(self._top_width)
        score = f"  {'unlikeness'.rjust(SCORE_WIDTH)}" if scored else ""
        self._echo(f"{'prediction'.ljust(self._first_width)}  {middle}{score}  image")

    def add(self, image: str, prediction: str, row: NDArray[np.float64], unlikeness: float | None = None) -> None:
        if len(row) <= MAX_COLUMNS:
            middle = "  ".join(f"{p:.4f}".rjust(width) for p, width in zip(row, self._widths, strict=True))
        else:
            top = np.argsort(-row, kind="stable")[:TOP_CLASSES]
            middle = ", ".join(f"{self._classes[i]} {row[i]:.4f}" for i in top).ljust(self._top_width)
        score = "" if unlikeness is None else f"  {_format_score(unlikeness).rjust(SCORE_WIDTH)}"
        self._echo(f"{_format_class(prediction).ljust(self._first_width)}  {middle}{score}  {visible(image)}")

    @property
    def _top_width(self) -> int:
        """The largest width of the most probable classes."""
        names = sum(sorted(map(len, self._classes))[-TOP_CLASSES:])
        return names + TOP_CLASSES * len(" 0.1234") + (TOP_CLASSES - 1) * len(", ")


class Document(Sink):
    """Collects the `predictions` of the JSON document."""

    def __init__(self) -> None:
        self.predictions: list[dict[str, Any]] = []

    def begin(self, classes: Sequence[str], *, scored: bool = False) -> None:
        self._classes = classes

    def add(self, image: str, prediction: str, row: NDArray[np.float64], unlikeness: float | None = None) -> None:
        by_class = dict(zip(self._classes, row.tolist(), strict=True))
        self.predictions.append(
            {"image": image, "prediction": prediction, "probabilities": by_class, "unlikeness": unlikeness}
        )


def _format_score(unlikeness: float) -> str:
    """A score of unlikeness, marked if the image is unlike the training images."""
    return f"{unlikeness:.2f}{'!' if unlikeness > 1 else ' '}" if unlikeness < 1000 else "> 999!"


def _format_class(name: str) -> str:
    """A class name as it is in the table."""
    return shorten(visible(name), MAX_NAME_LENGTH)

"""Teachers: trained networks whose class probabilities of the training images others learn from.

The probabilities are computed once, from images without augmentation in the teacher's own input size and preprocessing,
and kept in the run folder of the network that learns, so that nothing depends on the teacher's run afterwards.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from lightcnn.data.dataset import Dataset
from lightcnn.data.files.intensity import OWN_SCALE
from lightcnn.data.preprocess import read_preprocess
from lightcnn.errors import InputError, RunError
from lightcnn.inference import probabilities
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import NETWORK_FILES, RunFolder, named_by
from lightcnn.text import first_line, visible
from lightcnn.trained_network import TrainedNetwork

TEACHER_FILE = "teacher.safetensors"
"""The predictions of the teacher, in the run folder of the network that learns from them."""
BATCH = 64
"""Images that a teacher predicts at once."""
MAX_LISTED = 20
"""Class names that an error lists."""


@dataclass(frozen=True, eq=False)
class TeacherPredictions:
    """What a teacher predicts for the training images of one data set and split.

    `indices` (N,) are the positions of these images in the data set with that `fingerprint`, `probabilities` (N,
    classes) are float32. `teacher` is the run folder of the teacher, `sha256` that of its weights, `score` its test
    accuracy in its own run, if it is known, and `note` what readers must know about it, or empty.
    """

    teacher: str
    sha256: str
    score: float | None
    fingerprint: str
    classes: tuple[str, ...]
    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    note: str = ""

    def content(self) -> bytes:
        """The content of teacher.safetensors."""
        facts = {"teacher": self.teacher, "sha256": self.sha256, "score": self.score, "note": self.note,
                 "fingerprint": self.fingerprint, "classes": list(self.classes)}  # fmt: skip
        tensors = {"indices": torch.from_numpy(self.indices), "probabilities": torch.from_numpy(self.probabilities)}
        return save(tensors, metadata={"teacher": json.dumps(facts, sort_keys=True)})

    def document(self, labels: NDArray[np.int64]) -> dict[str, Any]:
        """The teacher in report.json; `labels` are those of all images of the data set."""
        predicted = self.probabilities.argmax(axis=1)
        return {
            "run": self.teacher,
            "sha256": self.sha256,
            "test_accuracy": self.score,
            "training_accuracy": round(float(np.mean(predicted == labels[self.indices])), 4),
        }


@dataclass(frozen=True, eq=False)
class TeacherRun:
    """The trained network of a run, which can teach the classes of a data set; `note` as in its predictions.

    `expected` are the seconds that its predictions will take in a search with a time limit, else 0.
    """

    run: RunFolder
    network: TrainedNetwork
    note: str = ""
    expected: float = 0.0

    def seconds(self, dataset: Dataset, some: NDArray[np.int64]) -> float:
        """Seconds in which it predicts one image, measured on those at the indices `some`."""
        start = time.perf_counter()
        self._table(dataset, some, no_progress)
        return (time.perf_counter() - start) / len(some)

    def predict(
        self, dataset: Dataset, train: NDArray[np.int64], progress: Progress = no_progress
    ) -> TeacherPredictions:
        """Its predictions for the training images at the indices `train`."""
        return TeacherPredictions(
            str(self.run.path), self.run.sha256("weights.safetensors"), _test_accuracy(self.run), dataset.fingerprint,
            dataset.classes, train, self._table(dataset, train, progress), self.note,
        )  # fmt: skip

    def _table(self, dataset: Dataset, train: NDArray[np.int64], progress: Progress) -> NDArray[np.float32]:
        """The probabilities (N, classes) of the images at the indices `train`."""
        rule, step = self.network.preprocess, "images that the teacher predicts"
        chunks = []
        for start in range(0, len(train), BATCH):
            progress(step, start, len(train))
            pixels = [self.network.prepare(dataset.images[index]) for index in train[start : start + BATCH]]
            chunks.append(probabilities(self.network.model, torch.stack(pixels).to(self.network.device), rule))
        progress(step, len(train), len(train))
        columns = [rule.classes.index(name) for name in dataset.classes]
        return np.ascontiguousarray(np.concatenate(chunks)[:, columns], dtype=np.float32)


def require_teacher(name: str, *, key: str) -> None:
    """Checks what can be known of a teacher without the data that it teaches; `key` is what errors call it.

    Raises: InputError if it is neither the finished run of a trained network nor a file of predictions.
    """
    if Path(name).is_file():
        _read(Path(name), key)
        return
    require_file(name, key)
    with named_by(key):
        RunFolder.load(name).require(*NETWORK_FILES)


def teacher_classes(name: str, *, key: str) -> tuple[str, ...]:
    """The classes of a teacher in its order; empty if there is neither its run nor its file. Raises: InputError."""
    if Path(name).is_file():
        return _read(Path(name), key).classes
    file = Path(name) / "preprocess.json"
    return read_preprocess(file).classes if file.is_file() else ()


def require_file(name: str, key: str) -> None:
    """Raises: InputError if `name` is that of a file of predictions, and there is no such file."""
    if name.endswith(".safetensors") and not Path(name).exists():
        remedy = f"name the file, which is beside the recipe of the search that wrote it{_or_none(key)}"
        raise InputError(f"{key} {name}: no such file; {remedy}")


def open_teacher(
    name: str,
    dataset: Dataset,
    train: NDArray[np.int64],
    *,
    key: str,
    device: str = "auto",
    kept: RunFolder | None = None,
) -> TeacherRun | TeacherPredictions:
    """The teacher of a training on the images at the indices `train`; `key` is what errors call it.

    `name` is a run folder, or the file of predictions in another run folder. The predictions that are `kept` in the run
    folder of a training that is resumed take their place. Raises: InputError if it does not fit the data, or is not the
    teacher that the training was started with.
    """
    if kept is not None and (kept / TEACHER_FILE).is_file():
        predictions = _read(kept / TEACHER_FILE, key)
        _require_unchanged(name, predictions, kept)
        return _fitting(predictions, dataset, train, f"{key} {kept / TEACHER_FILE}")
    if Path(name).is_file():
        return _fitting(_read(Path(name), key), dataset, train, f"{key} {name}")
    require_file(name, key)
    with named_by(key):
        run = RunFolder.load(name)
        network = TrainedNetwork.load(run, device=device)
    _require_classes(network.preprocess.classes, dataset, f"{key} {name}")
    scale = dataset.scale or OWN_SCALE
    if not scale.agrees(network.preprocess.scale):
        raise InputError(
            f"{key} {name}: scales images with more than 8 bits per channel differently from data {dataset.source} "
            f"({scale}); train the teacher again on these data"
        )
    return TeacherRun(run, network)


def _fitting(
    predictions: TeacherPredictions, dataset: Dataset, train: NDArray[np.int64], name: str
) -> TeacherPredictions:
    """The predictions, in the order of classes of the data. Raises: InputError if they are those of other images."""
    _require_classes(predictions.classes, dataset, name)
    same = predictions.fingerprint == dataset.fingerprint and np.array_equal(predictions.indices, train)
    if not same or predictions.probabilities.shape != (len(train), len(dataset.classes)):
        raise InputError(
            f"{name}: holds predictions for other training images than those of data {dataset.source} in this split; "
            "use the data, the seed and the split that the file was written with, or name the run of the teacher"
            f"{_or_none(name)}"
        )
    return predictions


def _require_classes(classes: Sequence[str], dataset: Dataset, name: str) -> None:
    """Raises: InputError if a teacher knows other classes than the data has; their order may differ."""
    if sorted(classes) != sorted(dataset.classes):
        raise InputError(
            f"{name}: knows the classes {', '.join(classes[:MAX_LISTED])}, but data {dataset.source} has "
            f"{', '.join(dataset.classes[:MAX_LISTED])}; "
            f"choose a teacher that was trained on the same classes{_or_none(name)}"
        )


def _or_none(name: str) -> str:
    """How to train without the teacher of a recipe: a part of a message that begins with `name`."""
    return ", or train without one: --set distill=null" if name.startswith("distill.") else ""


def _require_unchanged(name: str, predictions: TeacherPredictions, kept: RunFolder) -> None:
    """Raises: RunError if the run that a training learned from has other weights now; it may be gone."""
    if not Path(name).is_dir():
        return
    run = RunFolder(Path(name))
    if (run / "weights.safetensors").is_file() and run.sha256("weights.safetensors") != predictions.sha256:
        raise RunError(
            f"--resume: {kept.path} was started with a teacher in {name} that had other weights; restore them, or "
            "choose a new --out"
        )


def _read(path: Path, key: str) -> TeacherPredictions:
    """Reads teacher.safetensors. Raises: InputError if it is damaged or something else."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["teacher"])
            indices, table = file.get_tensor("indices").numpy(), file.get_tensor("probabilities").numpy()
        predictions = TeacherPredictions(
            str(facts["teacher"]), str(facts["sha256"]), facts["score"], str(facts["fingerprint"]),
            tuple(map(str, facts["classes"])), indices, table, str(facts["note"]),
        )  # fmt: skip
        if not _is_plausible(predictions):
            raise ValueError("its tables are not probabilities")
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{key} {path}: not the predictions of a teacher ({visible(first_line(error))}); name a run folder, or the "
            f"{TEACHER_FILE} of one"
        ) from None
    return predictions


def _is_plausible(predictions: TeacherPredictions) -> bool:
    """Whether the tables have the types, the shapes and the values of predictions."""
    indices, table, score = predictions.indices, predictions.probabilities, predictions.score
    shapes = indices.ndim == 1 and table.shape == (len(indices), len(predictions.classes))
    types = indices.dtype == np.int64 and table.dtype == np.float32 and (score is None or isinstance(score, float))
    return bool(shapes and types and (table >= 0).all() and np.allclose(table.sum(axis=1), 1, atol=1e-3))


def _test_accuracy(run: RunFolder) -> float | None:
    """The test accuracy in the report of a run; None if it has none."""
    value: Any = run.report
    for key in ("metrics", "test", "accuracy", "value"):
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, (int, float)) else None

"""What second trainings learn from: the mean of what the networks predict that were trained to the end.

A second training of a network can gain by learning from first ones on the same images
(docs/decisions/0018-second-trainings-learn-from-the-first.md). The predictions are kept in the run folder, so that a
search that is resumed, and the recipe of the delivered network, use the same ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from lightcnn import interrupt
from lightcnn.data.pipeline import Pipeline
from lightcnn.errors import InputError, RunError
from lightcnn.evaluation.calibration import cross_entropy
from lightcnn.inference import probabilities
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.choice import Weights
from lightcnn.teacher import TeacherPredictions, open_teacher

MAX_NUMBERS = 10_000_000
"""Training images times classes, up to which second trainings have a teacher: each worker needs 16 bytes for each."""
FILE = re.compile(r"ensemble-(\d{1,12})\.safetensors")


def is_small_enough(images: int, classes: int) -> bool:
    """Whether the predictions for so many training images fit into the memory of workers."""
    return images * classes <= MAX_NUMBERS


def ensemble_file(steps: int) -> str:
    """The name of the predictions of networks the longest of which was trained for so many optimizer steps."""
    return f"ensemble-{steps}.safetensors"


def newest_steps(folder: RunFolder) -> int:
    """The steps of the longest trained networks whose predictions are in the run folder; 0 if there are none."""
    matches = (FILE.fullmatch(file.name) for file in folder.path.glob("ensemble-*.safetensors"))
    return max((int(match[1]) for match in matches if match), default=0)


def best_members(networks: Sequence[Weights], pipeline: Pipeline) -> list[Weights]:
    """The first of the networks, best first, whose mean prediction has the lowest log loss on the validation images."""
    labels = pipeline.dataset.labels[pipeline.split.val]
    tables = [network.probabilities for network in networks]
    losses = [cross_entropy(labels, np.mean(tables[:count], axis=0)) for count in range(1, len(tables) + 1)]
    return list(networks[: 1 + int(np.argmin(losses))])


def mean_predictions(members: Sequence[Weights], pipeline: Pipeline, folder: RunFolder) -> TeacherPredictions | None:
    """The mean of the probabilities that the members predict for the training images, without augmentation.

    Members whose predictions are not finite do not count; None if there are no others.
    """
    dataset, train = pipeline.dataset, pipeline.split.train
    total, trials = np.zeros((len(train), len(dataset.classes))), list[int]()
    for member in members:
        interrupt.check()
        size = member.finalist.candidate.spec.input[1]
        predicted = probabilities(member.model, pipeline.images(train, size), pipeline.preprocess(size))
        if np.isfinite(predicted).all():
            total += predicted
            trials.append(member.finalist.outcome.number)
    if not trials:
        return None
    table, note = (total / len(trials)).astype(np.float32), f"the mean of trials {', '.join(map(str, trials))}"
    digest = hashlib.sha256(table.tobytes()).hexdigest()
    return TeacherPredictions(str(folder.path), digest, None, dataset.fingerprint, dataset.classes, train, table, note)


def read_ensemble(folder: RunFolder, name: str, pipeline: Pipeline) -> TeacherPredictions:
    """The predictions in a file of the run folder. Raises: RunError if it is damaged, or of other images."""
    try:
        predictions = open_teacher(str(folder / name), pipeline.dataset, pipeline.split.train, key="--resume")
    except InputError:
        raise RunError(
            f"{folder / name}: has no predictions for the training images of this search; delete it, and second "
            "trainings will learn from new ones"
        ) from None
    assert isinstance(predictions, TeacherPredictions), "a file has predictions"
    return predictions

"""What second trainings learn from: the mean of what the networks predict that were trained to the end.

A second training of a network learns more if it also learns from first ones on the same images
(docs/reference/measurements.md#distillation). The predictions are kept in the run folder, so that a search that is
resumed, and the recipe of the delivered network, use the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from lightcnn.data.pipeline import Pipeline
from lightcnn.evaluation.calibration import cross_entropy
from lightcnn.inference import probabilities
from lightcnn.recipe import Distillation
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings.choice import Weights
from lightcnn.teacher import TeacherPredictions, open_teacher

ENSEMBLE_FILE = "ensemble.safetensors"
"""The mean predictions, in the run folder of the search."""
MAX_NUMBERS = 50_000_000
"""Training images times classes, up to which second trainings have a teacher: the file has four bytes for each."""


def distillation(images: int, classes: int) -> Distillation | None:
    """How second trainings learn from the first ones; None if the predictions for so many images were too large."""
    if images * classes > MAX_NUMBERS:
        return None
    return Distillation(teacher=ENSEMBLE_FILE)


def best_members(networks: Sequence[Weights], pipeline: Pipeline) -> list[Weights]:
    """The first of the networks, best first, whose mean prediction has the lowest log loss on the validation images."""
    labels = pipeline.dataset.labels[pipeline.split.val]
    tables = [network.probabilities for network in networks]
    losses = [cross_entropy(labels, np.mean(tables[:count], axis=0)) for count in range(1, len(tables) + 1)]
    return list(networks[: 1 + int(np.argmin(losses))])


def mean_predictions(members: Sequence[Weights], pipeline: Pipeline, folder: RunFolder) -> TeacherPredictions:
    """The mean of the probabilities that the members predict for the training images, without augmentation."""
    dataset, train = pipeline.dataset, pipeline.split.train
    total = np.zeros((len(train), len(dataset.classes)))
    for member in members:
        size = member.finalist.candidate.spec.input[1]
        total += probabilities(member.model, pipeline.images(train, size), pipeline.preprocess(size))
    table = (total / len(members)).astype(np.float32)
    digest = hashlib.sha256(table.tobytes()).hexdigest()
    trials = ", ".join(str(member.finalist.outcome.number) for member in members)
    return TeacherPredictions(
        str(folder.path),
        digest,
        None,
        dataset.fingerprint,
        dataset.classes,
        train,
        table,
        f"the mean of trials {trials}",
    )


def read_ensemble(folder: RunFolder, pipeline: Pipeline) -> TeacherPredictions:
    """The predictions in the run folder. Raises: InputError if the file is damaged, or of other images."""
    name = str(folder / ENSEMBLE_FILE)
    predictions = open_teacher(name, pipeline.dataset, pipeline.split.train, key="--resume")
    assert isinstance(predictions, TeacherPredictions), "a file has predictions"
    return predictions

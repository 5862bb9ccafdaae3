"""The predictions of a finished training, and their calibration on the validation set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from lightcnn.data.pipeline import Pipeline
from lightcnn.engine.history import History
from lightcnn.evaluation.calibration import Temperature, apply_temperature, fit_temperature
from lightcnn.evaluation.thresholds import best_threshold, operating_points
from lightcnn.recipe import Recipe


@dataclass(frozen=True)
class FinishedTraining:
    """A finished training: the network of the best epoch, and uncalibrated probabilities (N, classes) by set."""

    recipe: Recipe
    model: nn.Module
    history: History
    probabilities: Mapping[str, NDArray[np.float64]]
    seconds: float


@dataclass(frozen=True)
class CalibratedPredictions:
    """Probabilities (N, classes) by set, with the temperature and thresholds that were chosen on the validation set."""

    temperature: Temperature
    probabilities: Mapping[str, NDArray[np.float64]]
    threshold: float
    operating: Mapping[str, Mapping[str, float | None]]


def calibrate(pipeline: Pipeline, raw: Mapping[str, NDArray[np.float64]]) -> CalibratedPredictions:
    """Chooses temperature and thresholds on the validation set, and calibrates the probabilities (N, classes)."""
    indices, dataset = pipeline.split.val, pipeline.dataset
    labels = dataset.labels[indices]
    temperature = fit_temperature(labels, raw["val"], dataset.groups[indices])
    calibrated = {name: apply_temperature(predicted, temperature.value) for name, predicted in raw.items()}
    if len(dataset.classes) > 2:
        return CalibratedPredictions(temperature, calibrated, 0.5, {})
    positive = calibrated["val"][:, 1]
    threshold, operating = best_threshold(labels, positive), operating_points(labels, positive)
    return CalibratedPredictions(temperature, calibrated, threshold, operating)

"""Untrained networks as `lightcnn export` reads them, with random images and a score of unlikeness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.onnx_files import randomise_statistics

from lightcnn.baselines import build_network
from lightcnn.data.preprocess import Preprocess
from lightcnn.exporting.subject import ExportSubject, ImageSet
from lightcnn.inference import evaluate
from lightcnn.network import fold
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.trained_network import TrainedNetwork
from lightcnn.unlikeness import fit_unlikeness

REPORT = {
    "data": {"source": "/somewhere/photographs.npz", "stand_in": False, "fingerprint": "f" * 64},
    "metrics": {"test": {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.875, "interval": "Wilson"}}},
}


def image_set(spec: Any, count: int, seed: int) -> ImageSet:
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (count, *spec.input), dtype=np.uint8))
    return ImageSet(images, random.integers(0, spec.classes, count), np.arange(count))


def export_subject(spec: Any, folder: Path, **changes: Any) -> ExportSubject:
    """A subject whose run is written into `folder`; `changes` are those of its preprocessing."""
    channels, size, _ = spec.input
    preprocess = Preprocess(
        size=size, channels=channels, shorter_side=256, mean=(0.4, 0.5, 0.6)[:channels],
        deviation=(0.2, 0.3, 0.4)[:channels], classes=tuple(f"class {index}" for index in range(spec.classes)),
        temperature=1.7, **changes,
    )  # fmt: skip
    model = randomise_statistics(build_network(spec, 0, pretrained=False))
    training, validation = image_set(spec, 70, 1), image_set(spec, 70, 2)
    features = [evaluate(model, each.images, preprocess)[1] for each in (training, validation)]
    unlikeness = fit_unlikeness(features[0], training.labels, features[1])
    preprocess = preprocess.model_copy(update={"unlikeness": unlikeness})
    run = RunFolder.create(folder, "train", {"report.json": json_bytes(REPORT)})
    return ExportSubject(run, TrainedNetwork(spec, model, preprocess), fold(model), training, validation)

"""What `lightcnn export` exports: an earlier run without its data, or untrained networks, with images of noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from helpers.onnx_files import randomise_statistics
from helpers.paths import TESTS
from numpy.typing import NDArray

from lightcnn.baselines import build_network
from lightcnn.data.preprocess import Preprocess
from lightcnn.exporting.subject import ExportSubject, ImageSet
from lightcnn.inference import evaluate
from lightcnn.network import build, fold
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork
from lightcnn.unlikeness import fit_unlikeness

CALIBRATION_IMAGES = 32
REPORT = {
    "data": {"source": "/somewhere/photographs.npz", "stand_in": False, "fingerprint": "f" * 64},
    "metrics": {"test": {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.875, "interval": "Wilson"}}},
}


def extract_training(folder: Path) -> Path:
    """Writes the run folder of a training of an earlier version below `folder`; returns its path."""
    with ZipFile(TESTS / "fixtures" / "runs-before-the-move.zip") as file:
        file.extractall(folder, [name for name in file.namelist() if name.startswith("train/")])
    return folder / "train"


def export_subject(run: Path) -> ExportSubject:
    """The subject of a run folder, whose training images are random."""
    network = TrainedNetwork.load(run, device="cpu")
    subject = ExportSubject(RunFolder.load(run), network, fold(network.model))
    images = torch.from_numpy(noise(subject, CALIBRATION_IMAGES)).permute(0, 3, 1, 2).contiguous()
    labels = np.arange(CALIBRATION_IMAGES) % len(subject.preprocess.classes)
    return replace(subject, training=ImageSet(images, labels, np.arange(CALIBRATION_IMAGES)))


def subject_of(subject: ExportSubject, spec: NetworkSpec) -> ExportSubject:
    """The subject with another network, whose weights are random."""
    model = build(spec, seed=0).eval()
    return replace(subject, network=replace(subject.network, spec=spec, model=model), deployed=fold(model))


def noise(subject: ExportSubject, count: int) -> NDArray[np.uint8]:
    """Images uint8 (N, S, S, C) of the subject's size, of random pixels."""
    preprocess = subject.preprocess
    shape = (count, preprocess.size, preprocess.size, preprocess.channels)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def image_set(spec: Any, count: int, seed: int) -> ImageSet:
    """Images of random pixels for the network of a spec, with random labels."""
    random = np.random.default_rng(seed)
    images = torch.from_numpy(random.integers(0, 256, (count, *spec.input), dtype=np.uint8))
    return ImageSet(images, random.integers(0, spec.classes, count), np.arange(count))


def untrained_subject(spec: Any, folder: Path, **changes: Any) -> ExportSubject:
    """A network with random weights, images and a score of unlikeness; its run is written into `folder`.

    `changes` are those of its preprocessing.
    """
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

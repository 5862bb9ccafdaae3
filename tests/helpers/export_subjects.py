"""What `lightcnn export` exports, made from a run without its data, with images of random pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch
from helpers.paths import TESTS
from numpy.typing import NDArray

from lightcnn.exporting.subject import ExportSubject, ImageSet
from lightcnn.network import build, fold
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.trained_network import TrainedNetwork

CALIBRATION_IMAGES = 32


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

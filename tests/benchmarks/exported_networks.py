"""The networks of the benchmarks of `lightcnn export`: runs, and MicroMPoxNet with random weights."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import lightcnn
from lightcnn import Recipe
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.tensors import network_pixels
from lightcnn.exporting.c.generate import quantized
from lightcnn.exporting.subject import load_subject
from lightcnn.integer.network import IntegerNetwork
from lightcnn.integer.post_training import quantize_network
from lightcnn.network import build, fold
from lightcnn.program import program
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec

IMAGES = 200
EPOCHS = 5
"""Epochs of the training of the recipe `quick` (mbconv blocks, one with squeeze-and-excitation) on digits."""


@dataclass(frozen=True)
class ExportedNetwork:
    """A folded network in float and in integers, and images uint8 (N, H, W, C) that it was not calibrated on."""

    name: str
    spec: NetworkSpec
    deployed: nn.Module
    integer: IntegerNetwork
    images: NDArray[np.uint8]


def given_runs(runs: list[Path], folder: Path) -> list[Path]:
    """The runs, or one that is trained in `folder` if none is given."""
    if not runs:
        recipe = Recipe.load("quick")
        training = recipe.training.model_copy(update={"epochs": EPOCHS})
        runs = [lightcnn.train(recipe.model_copy(update={"training": training}), out=folder / "quick").path]
    return runs


def of_run(path: Path) -> ExportedNetwork:
    """The network of a run whose data can be read."""
    subject = load_subject(RunFolder.load(path))
    spec, test = subject.network.spec, subject.test
    assert isinstance(spec, NetworkSpec) and test is not None
    images = np.ascontiguousarray(test.images.movedim(1, 3).numpy())
    return ExportedNetwork(path.name, spec, subject.deployed, quantized(subject), images)


def any_preprocess(spec: NetworkSpec) -> Preprocess:
    """Preprocessing for a network whose weights are random."""
    channels, size, _ = spec.input
    return Preprocess(
        size=size, channels=channels, shorter_side=size, mean=(0.5,) * channels, deviation=(0.25,) * channels,
        classes=tuple(map(str, range(spec.classes))),
    )  # fmt: skip


def with_relu(network: ExportedNetwork) -> IntegerNetwork:
    """The same shapes with ReLU in place of all activations, and random weights."""
    text = re.sub(r'"act":"\w+"', '"act":"relu"', network.spec.model_dump_json())
    spec = NetworkSpec.model_validate_json(text)
    images = torch.from_numpy(network.images[:16]).movedim(3, 1).contiguous()
    return quantize_network(program(spec), fold(build(spec, seed=0)).state_dict(), images, any_preprocess(spec))


def micrompoxnet() -> ExportedNetwork:
    """MicroMPoxNet with random weights, calibrated on 16 images of synthetic lesions."""
    spec = Recipe.load("micrompoxnet").network
    assert isinstance(spec, NetworkSpec)
    size, preprocess = spec.input[1], any_preprocess(spec)
    dataset = load(f"synthetic-lesions:count={IMAGES + 16},size={size}")
    images = torch.stack([network_pixels(image, preprocess) for image in dataset.images])
    deployed = fold(build(spec, seed=0))
    integer = quantize_network(program(spec), deployed.state_dict(), images[IMAGES:], preprocess)
    pixels = np.ascontiguousarray(images[:IMAGES].movedim(1, 3).numpy())
    return ExportedNetwork("micrompoxnet", spec, deployed, integer, pixels)

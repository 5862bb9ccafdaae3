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
from lightcnn.recipe import PRESETS, Preparation
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


LESIONS = "synthetic-lesions:count=1000"
LESION_EPOCHS, QUICK_EPOCHS = 8, 4
"""Epochs in which the two networks of `trained_runs` are trained: 13 and 5 minutes of one core of an AMD EPYC."""


def trained_runs(folder: Path, source: str) -> dict[str, Path]:
    """Runs of `quick` and of MicroMPoxNet in `folder`, by what they were trained on; finished ones are not repeated.

    `quick` is trained on the data `source`. MicroMPoxNet is trained on synthetic lesions, a stand-in, without the
    preprocessing of its recipe: too few images for what it can reach, but enough for an accuracy that 8 bits can harm.
    """
    quick, lesions = Recipe.load("quick"), Recipe.load("micrompoxnet")
    one_cycle = {
        "optimizer": "adamw", "schedule": "one-cycle", "warmup": 0.2, "learning_rate": 0.003, "patience": 0,
        "epochs": LESION_EPOCHS,
    }  # fmt: skip
    longer = quick.training.model_copy(update={"epochs": QUICK_EPOCHS})
    shorter = lesions.training.model_copy(update=one_cycle)
    plain = {"preprocess": Preparation(), "augment": PRESETS["light"], "training": shorter}
    runs = {
        f"`quick`, {QUICK_EPOCHS} epochs of {Path(source).stem}": (
            quick.model_copy(update={"training": longer}), source, folder / "quick",
        ),
        f"MicroMPoxNet, {LESION_EPOCHS} epochs of 680 synthetic lesions": (
            lesions.model_copy(update=plain), LESIONS, folder / "micrompoxnet",
        ),
    }  # fmt: skip
    for recipe, data, out in runs.values():
        if not (out / "report.json").is_file():
            lightcnn.train(recipe, data=data, out=out, resume=out.is_dir(), progress=True)
    return {title: out for title, (_, _, out) in runs.items()}


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

"""A trained network, read from its run folder, which predicts, is explained and exported, and teaches other networks.

A run folder is untrusted input: its network must be a valid spec, its weights must be safetensors that fit the network
exactly, and nothing large is allocated before that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.baseline_spec import AnySpec, load_network
from lightcnn.data.preprocess import Preprocess, read_preprocess
from lightcnn.data.stream import PreparedImage
from lightcnn.data.tensors import network_pixels
from lightcnn.devices import pick_device
from lightcnn.errors import LightcnnError, RunError
from lightcnn.inference import evaluate
from lightcnn.own_module import given_module
from lightcnn.predictor import Evaluation, Predictor, compare_with_training
from lightcnn.run_folder import NETWORK_FILES, RunFolder
from lightcnn.weights import read_network


@dataclass(frozen=True, eq=False)
class TrainedNetwork(Predictor):
    """A network with its weights, in eval mode on its device, and the preprocessing it was trained with."""

    spec: AnySpec
    model: nn.Module
    preprocess: Preprocess

    @classmethod
    def load(cls, run: RunFolder | str | Path, *, device: str = "auto") -> TrainedNetwork:
        """The network of a finished run. Raises: InputError if a file is missing, damaged, or of another run."""
        run = run if isinstance(run, RunFolder) else RunFolder.load(run)
        run.require(*NETWORK_FILES)
        target = pick_device(device)
        preprocess = read_preprocess(run / "preprocess.json")
        spec = load_network(run / "spec.yaml")
        _require_agreement(run, spec, preprocess)
        with given_module(run.module):
            model = read_network(run / "weights.safetensors", spec).eval().requires_grad_(False)
        return cls(spec, model.to(target).to(memory_format=torch.channels_last), preprocess)

    @property
    def device(self) -> torch.device:
        """The device that the network is on."""
        return next(self.model.parameters()).device

    @property
    def rule(self) -> Preprocess:
        """The preprocessing."""
        return self.preprocess

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        """A decoded image (H, W, 1 or 3) → uint8 (C, S, S)."""
        return network_pixels(image, self.preprocess)

    def evaluate(self, images: Sequence[PreparedImage[Tensor]]) -> list[Evaluation]:
        """What the network computes for prepared images. Raises: LightcnnError if the memory does not suffice."""
        pixels = torch.stack([image.pixels for image in images]).to(self.device)
        originals = [(image.channels, image.shorter_side) for image in images]
        try:
            return evaluate_images(self.model, pixels, originals, self.preprocess)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise LightcnnError(
                f"predict: out of memory on {self.device} with {len(images)} images; use --device cpu"
            ) from error


def evaluate_images(
    model: nn.Module, pixels: Tensor, originals: Sequence[tuple[int, int]], preprocess: Preprocess
) -> list[Evaluation]:
    """Evaluates images uint8 (N, C, S, S) and compares them with the training images.

    `originals` are the channels and the shorter side in pixels of each image before it was prepared. Raises: RunError.
    """
    rows, features = evaluate(model, pixels, preprocess)
    return compare_with_training(rows, features, originals, preprocess)


def _require_agreement(run: RunFolder, spec: AnySpec, preprocess: Preprocess) -> None:
    """Raises: RunError if preprocessing and network do not fit together."""
    if len(preprocess.classes) != spec.classes:
        raise RunError(
            f"run {run.path}: preprocess.json names {len(preprocess.classes)} classes, the network has {spec.classes}"
        )
    prepared_shape = (preprocess.channels, preprocess.size, preprocess.size)
    if prepared_shape != spec.input:
        raise RunError(f"run {run.path}: preprocess.json makes images {prepared_shape}, the network reads {spec.input}")

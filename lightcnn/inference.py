"""From images to class probabilities, with torch. All of lightcnn predicts through these functions.

`decisions` has the NumPy half: from probabilities to classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lightcnn.data.images import Images
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.tensors import normalise
from lightcnn.unlikeness import Unlikeness, fit_unlikeness

MAX_DENSE_FEATURES = 64
"""Maximum number of features of an image that are taken from the network; more are averaged in groups."""
TRAINING_IMAGES = 4000
"""Maximum number of training images whose features are measured."""
SIZED_IMAGES = 64
"""Number of training images whose sizes are measured."""
PIXEL_STATISTICS = 4
"""Numbers per channel that are computed from the pixels of an image."""
BATCH_PIXELS, BATCH_IMAGES = 2_097_152, (16, 512)
"""Pixels of a forward pass, so that it takes about as much memory for images of every size; its fewest and its most
images: 512 of 64×64 pixels, 41 of 224×224."""


def probabilities(
    model: nn.Module, images: Images, preprocess: Preprocess, batch: int | None = None
) -> NDArray[np.float64]:
    """Class probabilities (N, classes) of uint8 images (N, C, H, W), with the temperature of `preprocess`.

    `batch` is the number of images per forward pass; by default it follows from their size. The training modes of the
    model are restored afterwards.
    """
    return _in_batches(model, images, batch, lambda chunk: _probabilities(model, chunk, preprocess))


def evaluate(
    model: nn.Module, images: Images, preprocess: Preprocess, batch: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same, and features (N, features): the input of the last dense layer, and statistics of the pixels.

    An own module may have a last dense layer that sees parts of an image one by one; then there are statistics only.
    """
    with dense_inputs(model) as dense:

        def work(chunk: Tensor) -> Tensor:
            dense.clear()
            predicted = _probabilities(model, chunk, preprocess)
            last = [_dense_features(inputs) for inputs in dense[-1:] if len(inputs) == len(chunk)]
            return torch.cat([predicted, *last, pixel_statistics(chunk)], 1)

        rows = _in_batches(model, images, batch, work)
    classes = len(preprocess.classes)
    return rows[:, :classes], rows[:, classes:]


@contextmanager
def dense_inputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """The inputs of the dense layers of a model, which are appended to the list while it runs."""
    dense: list[Tensor] = []
    hooks = [
        part.register_forward_pre_hook(
            lambda _, inputs, named: dense.append([*inputs, *named.values()][0]), with_kwargs=True
        )
        for part in model.modules()
        if isinstance(part, nn.Linear)
    ]
    try:
        yield dense
    finally:
        for hook in hooks:
            hook.remove()


def measure_unlikeness(model: nn.Module, pipeline: Pipeline, preprocess: Preprocess) -> Unlikeness:
    """The score of unlikeness of a network, from its training and validation images."""
    split, images = pipeline.split, pipeline.dataset.images
    train = split.train[:: -(-len(split.train) // TRAINING_IMAGES)]
    training, validation = (
        evaluate(model, pipeline.images(indices, preprocess.size), preprocess)[1] for indices in (train, split.val)
    )
    sides = [min(images[index].shape[:2]) for index in train[:: -(-len(train) // SIZED_IMAGES)]]
    return fit_unlikeness(training, pipeline.dataset.labels[train], validation, smallest_side=min(sides))


def pixel_statistics(images: Tensor) -> Tensor:
    """For uint8 images (N, C, H, W), per channel on the scale 0..1: mean step to the pixel below and to the right, mean
    and deviation; float64 (N, PIXEL_STATISTICS * C) on the CPU."""
    scaled = images.float() / 255
    steps = [scaled.diff(dim=axis).abs().sum((2, 3)) / scaled[0, 0].numel() for axis in (2, 3)]
    return torch.cat([*steps, scaled.mean((2, 3)), scaled.std((2, 3), correction=0)], 1).double().cpu()


def _dense_features(inputs: Tensor) -> Tensor:
    """The input (N, ..., features) of a dense layer → (N, at most MAX_DENSE_FEATURES)."""
    rows = inputs.double().cpu().flatten(1, -2).mean(1) if inputs.ndim > 2 else inputs.double().cpu()
    return functional.adaptive_avg_pool1d(rows[:, None], min(rows.shape[1], MAX_DENSE_FEATURES))[:, 0]


def _probabilities(model: nn.Module, chunk: Tensor, preprocess: Preprocess) -> Tensor:
    logits = model(normalise(chunk, preprocess).contiguous(memory_format=torch.channels_last))
    # On the CPU, because not every device has float64.
    return class_probabilities(logits.cpu(), preprocess.temperature)


def _in_batches(
    model: nn.Module, images: Images, batch: int | None, work: Callable[[Tensor], Tensor]
) -> NDArray[np.float64]:
    """The rows that `work` returns for consecutive images, with the model in eval mode."""
    if batch is None:
        fewest, most = BATCH_IMAGES
        batch = max(fewest, min(most, BATCH_PIXELS // (images.shape[2] * images.shape[3])))
    modes = {part: part.training for part in model.modules()}
    model.eval()
    try:
        with torch.inference_mode():
            return torch.cat([work(images[start : start + batch]) for start in range(0, len(images), batch)]).numpy()
    finally:
        for part, training in modes.items():
            part.training = training


def class_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Class probabilities (N, classes) in float64 of logits (N, classes), or of logits (N, 1) of a sigmoid head.

    The logits are divided by the temperature (arXiv:1706.04599): above 1 it makes predictions less confident; it never
    changes their order.
    """
    wide = logits.double() / temperature
    if wide.shape[1] == 1:
        # Not 1 - sigmoid, which is 0 for logits of 37 and more: a temperature needs the exact small probability.
        return torch.cat([-wide, wide], dim=1).sigmoid()
    return wide.softmax(dim=1)

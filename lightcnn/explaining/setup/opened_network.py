"""Opens a run, or any module of torch, for `lightcnn.explain`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightcnn.counting.passes import fixed_randomness, instabilities
from lightcnn.data.preprocess import Preprocess
from lightcnn.errors import DataError, InputError, LightcnnError
from lightcnn.explaining.explained_network import ExplainedNetwork
from lightcnn.explaining.images.image import ImageReading
from lightcnn.explaining.setup.opened_model import Mask, OpenedModel, Subject
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line
from lightcnn.trained_network import TrainedNetwork


@dataclass(frozen=True, eq=False)
class OpenedNetwork(OpenedModel):
    """A copy of a network; without `preprocess`, images are given as the network reads them, float (C, H, W)."""

    network: ExplainedNetwork
    preprocess: Preprocess | None

    @property
    def note(self) -> str:
        """A sentence if the network does not return logits."""
        return self.network.note

    @property
    def batch_note(self) -> str:
        """A sentence if the memory did not suffice for all images at once."""
        return self.network.batch.note

    @property
    def takes_pixels(self) -> bool:
        """Whether the preprocessing is known."""
        return self.preprocess is not None

    def instabilities(self, inputs: Tensor) -> list[str]:
        """Why the outputs for an image (1, C, H, W) are not always the same."""
        return instabilities(self.network.model, torch.cat([inputs, inputs.flip(-1) / 2]))

    def fixed_randomness(self, seed: int) -> AbstractContextManager[Any]:
        """Seeds the global random numbers, and restores their states at the end."""
        return fixed_randomness(seed)

    def subject(self, name: str, image: Any, mask: Mask | None) -> Subject:
        """An image, prepared. Raises: DataError if it or its mask cannot be used."""
        if self.preprocess is None:
            return _tensor_subject(name, self.network, image, mask)
        return self._subject_of_pixels(name, image, mask, ImageReading.of(self.preprocess))


def open_network(
    model: Any,
    images: Any,
    *,
    preprocess: Preprocess | None,
    classes: Sequence[str] | None,
    batch: int | None,
    device: str,
) -> OpenedNetwork:
    """Copies the network of a run, or a module. Raises: InputError if it cannot be used, or cannot read `images`."""
    if isinstance(model, str | Path | RunFolder):
        model = TrainedNetwork.load(model, device=device)
    if isinstance(model, TrainedNetwork):
        return OpenedNetwork(ExplainedNetwork.of(model.model, model.preprocess, batch=batch), model.preprocess)
    if not isinstance(model, nn.Module):
        raise InputError(
            f"explain: model has type {type(model).__name__}; give a run folder, an ONNX file or a torch.nn.Module"
        )
    if preprocess is not None:
        network = ExplainedNetwork.of(model, preprocess, batch=batch)
        blank = torch.zeros(1, preprocess.channels, preprocess.size, preprocess.size)
        _require_class_count(network, blank, preprocess.classes)
        pixels = torch.linspace(0, 255, blank.numel()).view(blank.shape)
        return OpenedNetwork(network.with_kind_of_outputs(network.inputs(pixels)), preprocess)
    return OpenedNetwork(_bare(model, images, classes, batch), None)


def _bare(model: nn.Module, images: Any, classes: Sequence[str] | None, batch: int | None) -> ExplainedNetwork:
    """A copy of a module whose images are given as it reads them."""
    if not (isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point() and len(images)):
        raise InputError(
            "explain: images of a module without `preprocess` must be a float tensor (N, C, H, W); "
            "give `preprocess` for paths and uint8 arrays"
        )
    bare = ExplainedNetwork.bare(model, images.shape[1], (), batch=batch)
    classes = [str(number) for number in range(_class_count(bare, images[:1]))] if classes is None else classes
    _require_class_count(bare, images[:1], classes)
    return replace(bare.with_kind_of_outputs(images), classes=tuple(classes))


def _class_count(network: ExplainedNetwork, inputs: Tensor) -> int:
    """The number of classes that the network distinguishes; 2 for a sigmoid head.

    Raises: InputError if the network cannot read `inputs`.
    """
    try:
        with torch.inference_mode():
            return max(2, network.logits(inputs.to(network.device).float()).shape[1])
    except LightcnnError:
        raise
    except Exception as error:  # any network may raise anything
        raise InputError(
            f"explain: the network cannot read images of {tuple(inputs.shape[1:])}: {first_line(error)}"
        ) from None


def _require_class_count(network: ExplainedNetwork, inputs: Tensor, classes: Sequence[str]) -> None:
    """Raises: InputError if `classes` are not as many as the network distinguishes."""
    count = _class_count(network, inputs)
    if len(classes) != count:
        raise InputError(
            f"explain: {len(classes)} class names are given, but the network distinguishes {count} classes"
        )


def _tensor_subject(name: str, network: ExplainedNetwork, image: Tensor, mask: Mask | None) -> Subject:
    """An image (C, H, W) as the network reads it; people see its smallest value black and its largest white."""
    if mask is not None and mask.shape != image.shape[1:]:
        raise DataError(f"has {image.shape[2]}×{image.shape[1]} pixels, but its mask has the shape {mask.shape}")
    values = np.nan_to_num(image.detach().float().cpu().numpy())
    grey = values if len(values) in (1, 3) else values.mean(axis=0, keepdims=True)
    scaled = (grey - grey.min()) / max(float(np.ptp(grey)), 1e-12)
    seen = np.rint(255 * np.moveaxis(scaled, 0, 2)).astype(np.uint8)
    return Subject(name, image[None].to(network.device).float(), seen, mask)

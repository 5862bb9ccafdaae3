"""The inputs and targets of a training step: images are augmented, mixed if the recipe says so, and normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lightcnn.data.augmentation.augment import augment
from lightcnn.data.augmentation.filters import inside
from lightcnn.data.images import Images
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.randomness import Draws
from lightcnn.data.tensors import normalise
from lightcnn.recipe import Augment


@dataclass(frozen=True)
class Mix:
    """For each image of a batch: its partner's index, its own share of the mixture, and the box with the partner.

    `boxes` (N, 4) are top, bottom, left and right; the box of an image that is blended as a whole is empty.
    """

    partners: NDArray[np.int64]
    weights: NDArray[np.float64]
    boxes: NDArray[np.int64]


def training_batch(
    images: Images,
    labels: Tensor,
    indices: NDArray[np.int64],
    *,
    settings: Augment,
    seed: int,
    epoch: int,
    preprocess: Preprocess,
) -> tuple[Tensor, Tensor]:
    """Normalised inputs (N, C, H, W), and targets: labels (N,), or probabilities (N, classes) if images are mixed.

    `images` and `labels` are the whole training set, `indices` (N,) the batch's positions in it.
    """
    inputs, mix = training_images(images, indices, settings=settings, seed=seed, epoch=epoch)
    targets = labels[torch.from_numpy(indices).to(labels.device)]
    if mix is not None:
        partner_labels = labels[torch.from_numpy(mix.partners).to(labels.device)]
        targets = soften(targets, partner_labels, mix.weights, len(preprocess.classes))
    return normalise(inputs, preprocess), targets


def training_images(
    images: Images, indices: NDArray[np.int64], *, settings: Augment, seed: int, epoch: int
) -> tuple[Tensor, Mix | None]:
    """The images at `indices`, augmented and mixed, float32 on the scale 0..255, and how they were mixed."""

    def augmented(chosen: NDArray[np.int64]) -> Tensor:
        return augment(images[torch.from_numpy(chosen).to(images.device)], settings, seed, epoch, chosen)

    if not settings.mixes:
        return augmented(indices), None
    height, width = images.shape[2:]
    mix = draw_mix(settings, seed, epoch, indices, count=len(images), size=(height, width))
    return blend(augmented(indices), augmented(mix.partners), mix), mix


def draw_mix(
    settings: Augment, seed: int, epoch: int, indices: NDArray[np.int64], *, count: int, size: tuple[int, int]
) -> Mix:
    """Partners among `count` images of `size` (H, W), and shares drawn from Beta(alpha, alpha).

    Mixup (arXiv:1710.09412) or CutMix (arXiv:1905.04899); if both are set, each for half of the images.
    """
    # Imported late: only recipes that mix images need it.
    from scipy.special import betaincinv

    draws = Draws.of(seed, epoch, indices)
    cut = draws["cut"] < bool(settings.cutmix) / (bool(settings.cutmix) + bool(settings.mixup) or 1)
    alpha = np.where(cut, settings.cutmix, settings.mixup)
    weights = betaincinv(alpha, alpha, draws["weight"])
    boxes = _boxes(np.where(cut, 1 - weights, 0), draws, size)
    box_shares = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2]) / (size[0] * size[1])
    partners = np.floor(count * draws["partner"]).astype(np.int64)
    return Mix(partners, np.where(cut, 1 - box_shares, weights), boxes)


def blend(images: Tensor, partners: Tensor, mix: Mix) -> Tensor:
    """Blends augmented images with their partners, both (N, C, H, W): as a whole by weight, or only inside the box."""
    cut = mix.boxes.any(axis=1)
    share = np.where(cut, 1.0, mix.weights).astype(np.float32)
    weights = torch.from_numpy(share).to(images.device).view(-1, 1, 1, 1)
    mixed = images * weights + partners * (1 - weights)
    return torch.where(inside(mix.boxes, images), partners, mixed) if cut.any() else mixed


def soften(labels: Tensor, partners: Tensor, weights: NDArray[np.float64], classes: int) -> Tensor:
    """Probabilities (N, classes): `weights` (N,) for the images' labels (N,), the rest for their partners' labels."""
    targets, partner_targets = (functional.one_hot(numbers, classes).float() for numbers in (labels, partners))
    share = torch.from_numpy(weights.astype(np.float32)).to(labels.device)[:, None]
    return targets * share + partner_targets * (1 - share)


def mixed_rows(
    table: Tensor, indices: NDArray[np.int64], *, settings: Augment, seed: int, epoch: int, size: tuple[int, int]
) -> Tensor:
    """The rows of `table` (N, classes) of a batch; if its images of `size` (H, W) are mixed, their rows are, too.

    `table` has a row for every training image; the shares are those of `training_batch`.
    """
    rows = table[torch.from_numpy(indices).to(table.device)]
    if not settings.mixes:
        return rows
    mix = draw_mix(settings, seed, epoch, indices, count=len(table), size=size)
    partners = table[torch.from_numpy(mix.partners).to(table.device)]
    share = torch.from_numpy(mix.weights.astype(np.float32)).to(table.device)[:, None]
    return rows * share + partners * (1 - share)


def _boxes(areas: NDArray[np.float64], draws: Draws, size: tuple[int, int]) -> NDArray[np.int64]:
    """Boxes (N, 4) of those shares of the image around uniform centres, cut off at the border as in CutMix's paper."""
    edges = []
    for pixels, name in ((size[0], "cut_y"), (size[1], "cut_x")):
        side, centre = np.floor(pixels * np.sqrt(areas)), np.floor(pixels * draws[name])
        low = centre - np.floor(side / 2)
        edges += [np.clip(low, 0, pixels), np.clip(low + side, 0, pixels)]
    boxes = np.stack(edges, axis=1).astype(np.int64)
    return boxes * ((boxes[:, 1] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 2]))[:, None]

"""From decoded pixels to what a network reads: one rule for training, evaluation, prediction and export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor
from torch.nn import functional

from lightcnn.data.background import remove
from lightcnn.data.dataset import as_channels
from lightcnn.data.images import Images
from lightcnn.recipe import Preparation

TILES = (8, 8)
Pixel = TypeVar("Pixel", bound=np.generic)


class Preprocess(Preparation):
    """The preparation of a recipe, then bilinear and antialiased to size × size, to 0..1, minus mean, over deviation.

    `mean` and `deviation` are per channel, of the training side or as pretrained weights expect them. `classes` names
    the outputs in order.
    """

    size: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3]
    resize: Literal["bilinear-antialiased"] = "bilinear-antialiased"
    shorter_side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: Annotated[float, Field(gt=0, description="logits are divided by it; 1 is not calibrated")] = 1.0
    threshold: Annotated[float, Field(gt=0, lt=1, description="of the second of two classes")] = 0.5
    stand_in: Annotated[bool, Field(description="whether the statistics are those of a stand-in's images")] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.mean) == len(self.deviation) == self.channels:
            raise _fault(f"{self.channels} channels need as many values of mean and deviation")
        if min(self.deviation) <= 0:
            raise _fault(f"deviations must be above 0, not {min(self.deviation):g}")
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise _fault("classes must be two or more different names")
        return self

    def prepare(self, image: NDArray[np.uint8]) -> Tensor:
        """A decoded image (H, W, 1 or 3) → uint8 (C, size, size): the pixels that the network was trained on."""
        if image.shape[2] != self.channels:
            image = as_channels(image, 3) if self.channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
        return prepare(image, self, self.size)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 (N, C, H, W) → float32 of the same shape, mean 0 and deviation 1 over the training side."""
        mean, deviation = self.scale(images.device)
        return (images.float() - mean) / deviation

    def restore(self, inputs: Tensor) -> Tensor:
        """What `normalise` gave, back on the scale 0..255, float32 (N, C, H, W)."""
        mean, deviation = self.scale(inputs.device)
        return inputs.float() * deviation + mean

    def scale(self, device: torch.device) -> tuple[Tensor, ...]:
        """Mean and deviation on the scale 0..255, (1, C, 1, 1)."""
        return tuple(
            torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1) * 255
            for values in (self.mean, self.deviation)
        )


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("preprocess", "{message}", {"message": message})


def prepare(image: NDArray[np.uint8], rule: Preparation, size: int) -> Tensor:
    """A decoded image (H, W, C) as a network of that input size sees it: uint8 (C, size, size)."""
    square = squared(remove(image, rule.background), rule.fit)
    pixels = resize([square], size)[0]
    return _equalised(pixels, rule.clahe) if rule.clahe else pixels


def resize(images: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """Images (H, W, C) to one uint8 tensor (N, C, size, size)."""
    out = torch.empty(len(images), images[0].shape[2], size, size, dtype=torch.uint8)
    if isinstance(images, np.ndarray):
        for start in range(0, len(images), 1024):
            out[start : start + 1024] = _resized(
                torch.from_numpy(images[start : start + 1024].copy()).movedim(3, 1), size
            )
    else:
        for index, image in enumerate(images):
            out[index] = _resized(torch.from_numpy(image.copy()).movedim(2, 0)[None], size)[0]
    return out


def statistics(images: Images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel of uint8 images (N, C, H, W), on the scale 0..1; no deviation is under 1/255."""
    means, squares = (
        torch.zeros(images.shape[1], dtype=torch.float64),
        torch.zeros(images.shape[1], dtype=torch.float64),
    )
    for start in range(0, len(images), 256):
        scaled = images[start : start + 256].double() / 255
        means += scaled.sum(dim=(0, 2, 3)).cpu()
        squares += scaled.square().sum(dim=(0, 2, 3)).cpu()
    count = len(images) * images.shape[2] * images.shape[3]
    mean = means / count
    deviation = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1 / 255)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def squared(image: NDArray[Pixel], fit: str) -> NDArray[Pixel]:
    """The image (H, W, C) as it is, its middle square, or itself between black bars."""
    height, width = image.shape[:2]
    if fit == "stretch" or height == width:
        return image
    side = min(height, width) if fit == "crop" else max(height, width)
    top, left = abs(height - side) // 2, abs(width - side) // 2
    if fit == "crop":
        return image[top : top + side, left : left + side]
    square = np.zeros((side, side, image.shape[2]), dtype=image.dtype)
    square[top : top + height, left : left + width] = image
    return square


def _equalised(pixels: Tensor, clip: float) -> Tensor:
    """CLAHE (Zuiderveld, Graphics Gems IV, 1994) of uint8 (C, H, W): of the lightness, in CIELAB, of a colour image."""
    image = pixels.movedim(0, 2).contiguous().numpy()
    equaliser = cv2.createCLAHE(clipLimit=clip, tileGridSize=TILES)
    if image.shape[2] == 1:
        return torch.from_numpy(equaliser.apply(image[..., 0]))[None]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return torch.from_numpy(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).movedim(2, 0)


def _resized(images: Tensor, size: int) -> Tensor:
    if images.shape[2:] == (size, size):
        return images
    scaled = functional.interpolate(images.float(), (size, size), mode="bilinear", antialias=True, align_corners=False)
    return scaled.round().clamp(0, 255).to(torch.uint8)

"""The preprocessing of a network's images, saved in every run: one object for training, evaluation, prediction, export.

This module works on NumPy arrays and loads no torch; `lightcnn.data.tensors` resizes and normalises.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lightcnn import document
from lightcnn.data.background import remove
from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.image_files import as_channels
from lightcnn.errors import RunError
from lightcnn.recipe import Preparation
from lightcnn.text import first_line
from lightcnn.unlikeness import Unlikeness

TILES = (8, 8)
"""CLAHE's grid of tiles: rows and columns."""
Pixel = TypeVar("Pixel", bound=np.generic)


class Preprocess(Preparation):
    """A recipe's preparation, the resize to size × size (bilinear, antialiased), and the normalisation per channel.

    `mean` and `deviation` are on the scale 0..1: those of the training set, or those that pretrained weights expect.
    `classes` names the outputs in order.
    """

    size: Annotated[int, Field(ge=1)]
    channels: Literal[1, 3]
    resize: Literal["bilinear-antialiased"] = "bilinear-antialiased"
    shorter_side: int
    scale: Annotated[
        IntensityScale | None,
        Field(description="white in files with more than 8 bits per channel; null: 65,535, as in earlier versions"),
    ] = None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    classes: tuple[str, ...]
    temperature: Annotated[float, Field(gt=0, description="divides the logits; 1: not calibrated")] = 1.0
    threshold: Annotated[
        float, Field(gt=0, lt=1, description="probability of the second of two classes from which it is predicted")
    ] = 0.5
    stand_in: Annotated[bool, Field(description="whether mean and deviation come from synthetic images")] = False
    unlikeness: Annotated[
        Unlikeness | None, Field(description="score of how unlike the training images an image is; None: not measured")
    ] = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.mean) == len(self.deviation) == self.channels:
            raise _fault(f"{self.channels} channels need as many values of mean and deviation")
        if min(self.deviation) <= 0:
            raise _fault(f"deviations must be above 0, not {min(self.deviation):g}")
        if not all(0 <= value <= 1 for value in (*self.mean, *self.deviation)):
            raise _fault(f"mean and deviation are on the scale 0 to 1, not {[*self.mean, *self.deviation]}")
        if len(self.classes) < 2 or len(set(self.classes)) < len(self.classes):
            raise _fault("classes must be two or more different names")
        return self

    def with_channels(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A decoded image (H, W, 1 or 3) with the network's channels, (H, W, C)."""
        if image.shape[2] == self.channels:
            return image
        return as_channels(image, 3) if self.channels == 3 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]


def read_preprocess(file: Path) -> Preprocess:
    """The preprocess.json of a run, or that beside a file of weights. Raises: InputError."""
    text = document.read_text(file)
    try:
        return Preprocess.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        raise RunError(
            f"{file}: {place + ': ' if place else ''}{first_line(detail['msg'])}; put back the file that the run wrote"
        ) from None


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("preprocess", "{message}", {"message": message})


def square_object(image: NDArray[np.uint8], preparation: Preparation) -> NDArray[np.uint8]:
    """A decoded image (H, W, C) with its background removed, and fitted to a square, as the recipe says."""
    return to_square(remove(image, preparation.background), preparation.fit)


def to_square(image: NDArray[Pixel], fit: str) -> NDArray[Pixel]:
    """The image (H, W, C) unchanged (`stretch`), its middle square (`crop`), or a square with black bars (`pad`)."""
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


def equalise(image: NDArray[np.uint8], clip_limit: float) -> NDArray[np.uint8]:
    """CLAHE (Zuiderveld, Graphics Gems IV, 1994) of an image (H, W, C); in colour, of the lightness in CIELAB."""
    equaliser = cv2.createCLAHE(clipLimit=clip_limit, tileGridSize=TILES)
    if image.shape[2] == 1:
        return np.asarray(equaliser.apply(image[..., 0]))[..., None]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))

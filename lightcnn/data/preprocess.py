"""The preprocessing of a network's images, saved in every run: one object for training, evaluation, prediction, export.

The rule is read from JSON. `lightcnn.data.preparation` has its steps on arrays, `lightcnn.data.tensors` resizes and
normalises. No torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lightcnn import document
from lightcnn.data.files.intensity import IntensityScale
from lightcnn.data.preparation import steps
from lightcnn.errors import RunError
from lightcnn.recipe import Preparation
from lightcnn.text import first_line
from lightcnn.unlikeness import Unlikeness


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
        return steps.with_channels(image, self.channels)


def read_preprocess(file: Path) -> Preprocess:
    """The preprocess.json of a run, or that beside a file of weights. Raises: InputError."""
    text = document.read_text(file)
    try:
        return Preprocess.model_validate_json(text)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        place = ".".join(map(str, detail["loc"]))
        problem = first_line(detail["msg"]).removeprefix("Value error, ")
        raise RunError(
            f"{file}: {place + ': ' if place else ''}{problem}; put back the file that the run wrote"
        ) from None


def _fault(message: str) -> PydanticCustomError:
    return PydanticCustomError("preprocess", "{message}", {"message": message})

"""A recipe: a network, the data it learns from and how it is trained. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lightcnn import document
from lightcnn.spec import Frozen, NetworkSpec

Seed = Annotated[int, Field(ge=0, lt=2**32)]


class Augment(Frozen):
    """What is drawn anew for every image of the training side in every epoch; 0 leaves a step out."""

    shift: Annotated[
        float, Field(ge=0, le=0.5, description="largest shift, as a share of height and width, in whole pixels")
    ] = 0.05
    rotate: Annotated[float, Field(ge=0, le=180, description="largest rotation, degrees, of every second image")] = 5.0
    zoom: Annotated[
        float, Field(ge=0, lt=1, description="largest change of scale, as a share, of every second image")
    ] = 0.05
    shear: Annotated[float, Field(ge=0, le=45, description="largest shear, degrees, of every second image")] = 0.0
    flip: Annotated[bool, Field(description="mirror left to right half of the time")] = False


class Optimisation(Frozen):
    """One training from scratch: AdamW (arXiv:1711.05101) under a one-cycle schedule (arXiv:1708.07120)."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch: Annotated[int, Field(ge=2, le=65_536, description="images a step, at most")] = 128
    optimizer: Literal["adamw"] = "adamw"
    schedule: Literal["one-cycle"] = "one-cycle"
    learning_rate: Annotated[float, Field(gt=0, le=10, description="the highest of the cycle")] = 0.01
    weight_decay: Annotated[float, Field(ge=0, le=10, description="spares norms and biases")] = 0.05
    warmup: Annotated[float, Field(gt=0, lt=1, description="share of the steps in which the rate rises")] = 0.2
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Reading(Frozen):
    """How a source is read and split."""

    data_dir: Annotated[
        str | None, Field(description="where published data sets lie or are put; by default ~/.cache/lightcnn/data")
    ] = None
    skip_corrupt: Annotated[bool, Field(description="leave out files that cannot be read")] = False
    require_data: Annotated[bool, Field(description="refuse a stand-in where the data set is not there")] = False
    resplit: Annotated[bool, Field(description="cut the sides anew, whatever split the source gives")] = False
    allow_leak: Annotated[bool, Field(description="use a given split although groups stand on both sides")] = False


class Recipe(Frozen):
    """Everything that decides a training: rerunning it repeats the run."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    data: Annotated[
        str, Field(min_length=1, description="a SOURCE: a named data set, a folder of class folders, a .csv or a .npz")
    ]
    reading: Reading = Reading()
    seed: Seed = 0
    network: NetworkSpec
    augment: Augment = Augment()
    training: Optimisation = Optimisation()

    @classmethod
    def load(cls, name: str | Path) -> Recipe:
        """Reads a file, or the shipped recipe of that name. Raises: InputError, DocumentError."""
        return document.load(cls, document.find("recipes", str(name)))

    def save(self, path: str | Path) -> None:
        """Writes the recipe with every value in it, defaults too."""
        Path(path).write_text(document.dump(self, exclude_defaults=False), encoding="utf-8")

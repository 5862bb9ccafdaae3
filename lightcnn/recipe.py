"""A recipe: a network, the data it learns from and how it is trained. No torch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from lightcnn import document
from lightcnn.baseline_spec import AnyNetwork
from lightcnn.document import Frozen

SEED_LIMIT = 2**32
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]


class Augment(Frozen):
    """What is drawn anew for every image of the training side in every epoch; 0 and false leave a step out.

    A change is drawn uniformly up to its limit, both ways where there are two.
    """

    shift: Annotated[
        float, Field(ge=0, le=0.5, description="largest shift, as a share of height and width, in whole pixels")
    ] = 0.05
    shift_height: Annotated[
        float | None, Field(ge=0, le=0.5, description="the same up and down alone, as a share of the height")
    ] = None
    flip: Annotated[bool, Field(description="mirror left to right half of the time")] = False
    flip_vertical: Annotated[bool, Field(description="mirror top to bottom half of the time")] = False
    warped: Annotated[
        float, Field(ge=0, le=1, description="share of the images that are rotated, zoomed, sheared and cropped")
    ] = 0.5
    rotate: Annotated[float, Field(ge=0, le=180, description="largest rotation, degrees")] = 5.0
    zoom: Annotated[float, Field(ge=0, lt=1, description="largest change of scale, as a share")] = 0.05
    shear: Annotated[float, Field(ge=0, le=45, description="largest shear, degrees")] = 0.0
    crop: Annotated[
        float, Field(ge=0, le=0.95, description="largest share of the area that is cut away; the rest is enlarged")
    ] = 0.0
    filtered: Annotated[
        float,
        Field(ge=0, le=1, description="share of the images that sharpen to noise change, and of those that erase does"),
    ] = 0.5
    sharpen: Annotated[
        float,
        Field(ge=0, le=1, description="most of the sharpened image, as a share; half of the time where blur is set"),
    ] = 0.0
    blur: Annotated[
        float,
        Field(
            ge=0, le=10, description="largest deviation of a Gaussian, pixels; half of the time where sharpen is set"
        ),
    ] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1, description="largest change of brightness, as a share")] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1, description="largest change of contrast, as a share")] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1, description="largest change of colour's strength, as a share")] = 0.0
    noise: Annotated[
        float, Field(ge=0, le=1, description="largest deviation of Gaussian noise, on pixels from 0 to 1")
    ] = 0.0
    erase: Annotated[
        float, Field(ge=0, le=1, description="largest share of the area that a rectangle of one colour covers")
    ] = 0.0
    mixup: Annotated[float, Field(ge=0, le=100, description="alpha of mixup's Beta(alpha, alpha), on all images")] = 0.0
    cutmix: Annotated[
        float, Field(ge=0, le=100, description="alpha of CutMix's Beta; on half of the images where mixup is set")
    ] = 0.0

    @property
    def warps(self) -> bool:
        """Whether anything needs values between pixels."""
        return any((self.rotate, self.zoom, self.shear, self.crop))

    @property
    def filters(self) -> bool:
        """Whether anything changes the values of pixels, erasing aside."""
        return any((self.sharpen, self.blur, self.brightness, self.contrast, self.saturation, self.noise))

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, and so targets are probabilities."""
        return any((self.mixup, self.cutmix))


_NOTHING: dict[str, Any] = {"shift": 0.0, "rotate": 0.0, "zoom": 0.0}
# Rotation and shifts of the example in the documentation of Keras' ImageDataGenerator; its shear_range=0.2 is from
# when the unit was the radian (Keras 1 and 2.0), so 11.5 degrees.
_KERAS: dict[str, Any] = {"shift": 0.2, "rotate": 20.0, "zoom": 0.0, "shear": 11.5, "flip": True}
# The first example of imgaug's documentation: Sometimes(0.5, GaussianBlur((0, 0.5))), LinearContrast((0.75, 1.5)),
# AdditiveGaussianNoise(scale=(0, 0.05*255)), Multiply((0.8, 1.2)). Its second one has Sharpen(alpha=(0, 1.0)), which
# on small images turns most edges black and white; up to 0.3 they keep their colours.
_IMGAUG: dict[str, Any] = {"sharpen": 0.3, "blur": 0.5, "brightness": 0.2, "contrast": 0.25, "noise": 0.05}

PRESETS: dict[str, Augment] = {
    "none": Augment(**_NOTHING),
    "light": Augment(flip=True),
    "keras": Augment(**_KERAS),
    "imgaug": Augment(**_NOTHING | _IMGAUG),
    "paper": Augment(**_KERAS | _IMGAUG),
}
"""Augmentations by name. `keras` and `imgaug` are the two families of operations that MicroMPoxNet's paper compared,
`paper` is their mix; the ranges are those of the two libraries' own examples."""


def _preset(value: Any) -> Any:
    """The augmentation of that name; what is no name is left to be read as a mapping."""
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise PydanticKnownError("literal_error", {"expected": ", ".join(PRESETS)})
    return PRESETS[value]


Augmentation = Annotated[
    Augment,
    BeforeValidator(_preset, json_schema_input_type=Augment | Literal["none", "light", "keras", "imgaug", "paper"]),
]
"""An augmentation, or in YAML the name of one of `PRESETS`."""


def _weights(value: Any) -> Any:
    """A word that is none of the two is named with them; what is no word is left to be read as a mapping."""
    if isinstance(value, str) and value not in ("none", "balanced"):
        raise PydanticKnownError("literal_error", {"expected": "none, balanced"})
    return value


Weight = Annotated[float, Field(gt=0, le=1e6)]
ClassWeights = Annotated[
    Annotated[Literal["none", "balanced"], Tag("str")] | Annotated[dict[str, Weight], Tag("dict")],
    Discriminator(lambda value: "str" if isinstance(value, str) else "dict"),
    BeforeValidator(_weights),
]


class Optimisation(Frozen):
    """One training from scratch; by default AdamW (arXiv:1711.05101) under a one-cycle schedule (arXiv:1708.07120)."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    batch: Annotated[int, Field(ge=2, le=65_536, description="images whose gradient is taken at once, at most")] = 128
    accumulate: Annotated[int, Field(ge=1, le=1_024, description="batches whose gradients make one step")] = 1
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1, description="of sgd (Nesterov's) and rmsprop")] = 0.9
    schedule: Literal["constant", "cosine", "one-cycle", "step", "plateau"] = "one-cycle"
    learning_rate: Annotated[float, Field(gt=0, le=10, description="the highest of the schedule")] = 0.01
    warmup: Annotated[float, Field(ge=0, lt=1, description="share of the steps in which the rate rises")] = 0.2
    decay_factor: Annotated[float, Field(gt=0, lt=1, description="of step and plateau: the rate times that")] = 0.1
    decay_epochs: Annotated[
        int, Field(ge=1, le=100_000, description="of step: every so many; of plateau: after so many without a gain")
    ] = 10
    weight_decay: Annotated[float, Field(ge=0, le=10, description="spares norms and biases")] = 0.05
    clip_norm: Annotated[float, Field(ge=0, description="largest norm of a step's gradient; 0 is off")] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1, description="decay of the averaged weights; 0 is off")] = 0.0
    mixed_precision: Annotated[
        Literal["auto", "off"], Field(description="auto: bfloat16 on CUDA, where it helps; elsewhere nothing")
    ] = "auto"
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal_gamma: Annotated[float, Field(ge=0, le=10, description="of the focal loss (arXiv:1708.02002)")] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Annotated[
        ClassWeights,
        Field(description="none; balanced: one over the class's images, 1 on average; or one weight for every class"),
    ] = "none"
    monitor: Annotated[
        Literal["loss", "accuracy", "balanced_accuracy", "f1", "auc"],
        Field(description="the validation metric that says which epoch is the best; equals go to the lower loss"),
    ] = "accuracy"
    patience: Annotated[int, Field(ge=0, description="epochs without a gain after which training ends; 0: never")] = 0
    min_improvement: Annotated[float, Field(ge=0, description="what counts as a gain, for patience and plateau")] = 0.0


class Distillation(Frozen):
    """Learning from a trained network's probabilities too (arXiv:1503.02531)."""

    teacher: Annotated[str, Field(min_length=1, description="the run folder of a network with the same classes")]
    alpha: Annotated[float, Field(gt=0, le=1, description="share of the teacher in the loss")] = 0.5
    temperature: Annotated[float, Field(gt=0, le=100, description="both networks' logits are divided by it")] = 4.0


class Reading(Frozen):
    """How a source is read and split."""

    data_dir: Annotated[
        str | None, Field(description="where published data sets lie or are put; by default ~/.cache/lightcnn/data")
    ] = None
    skip_corrupt: Annotated[bool, Field(description="leave out files that cannot be read")] = False
    require_data: Annotated[bool, Field(description="refuse a stand-in where the data set is not there")] = False
    resplit: Annotated[bool, Field(description="cut the sides anew, whatever split the source gives")] = False
    allow_leak: Annotated[bool, Field(description="use a given split although groups stand on both sides")] = False
    split_seed: Annotated[Seed | None, Field(description="of the sides that are cut; by default the recipe's seed")] = (
        None
    )
    folds: Annotated[
        int, Field(ge=0, le=1000, description="parts that the images are cut into, each the test side once; 0 is off")
    ] = 0
    fold: Annotated[int, Field(ge=0, description="which of the folds is the test side, from 1")] = 0

    @model_validator(mode="after")
    def _check_fold(self) -> Self:
        if self.folds == 1:
            raise PydanticCustomError("folds", "1 fold leaves nothing to learn from; give two or more, or 0")
        if not bool(self.folds) <= self.fold <= self.folds:
            told = f"fold {self.fold} of {self.folds}; give one from 1 to {self.folds}"
            raise PydanticCustomError(
                "fold", "{told}", {"told": told if self.folds else f"fold {self.fold}, but no folds"}
            )
        return self


class Preparation(Frozen):
    """From a decoded file to the pixels a network sees: background removal, then size, then local contrast."""

    background: Annotated[
        Literal["none", "grabcut", "rembg"],
        Field(description="what is taken for background becomes black: by GrabCut, or by rembg (an extra)"),
    ] = "none"
    fit: Annotated[
        Literal["stretch", "crop", "pad"],
        Field(description="to a square: aspect not kept, the middle cut out, or black at two sides"),
    ] = "stretch"
    clahe: Annotated[
        float, Field(ge=0, le=100, description="clip limit of local histogram equalisation on 8×8 tiles; 0 is off")
    ] = 0.0


class Recipe(Frozen):
    """Everything that decides a training: rerunning it repeats the run."""

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    data: Annotated[
        str, Field(min_length=1, description="a SOURCE: a named data set, a folder of class folders, a .csv or a .npz")
    ]
    reading: Reading = Reading()
    seed: Seed = 0
    network: AnyNetwork
    preprocess: Preparation = Preparation()
    augment: Augmentation = Augment()
    training: Optimisation = Optimisation()
    distill: Distillation | None = None

    @classmethod
    def load(cls, name: str | Path) -> Recipe:
        """Reads a file, or the shipped recipe of that name. Raises: InputError, DocumentError."""
        return document.load(cls, document.find("recipes", str(name)))

    def save(self, path: str | Path) -> None:
        """Writes the recipe with every value in it, defaults too."""
        Path(path).write_text(document.dump(self, exclude_defaults=False), encoding="utf-8")


def default_augment(channels: int, images: int) -> Augment:
    """Small shifts, rotations and zooms, the smaller the more images there are: on many, a small network has no time to
    memorise, and blurs from resampling cost more than variety gives. Mirroring for colour pictures only, since grey
    ones are often characters."""
    strength = min(1.0, 4_000 / images)
    usual = Augment()
    return Augment(
        shift=round(strength * usual.shift, 4),
        rotate=round(strength * usual.rotate, 2),
        zoom=round(strength * usual.zoom, 4),
        flip=channels == 3,
    )


def default_training(epochs: int, images: int) -> Optimisation:
    """Batches of 128, smaller for small sets so that an epoch has about 20 steps; labels smoothed by a tenth."""
    batch = min(128, max(32, 2 ** round(math.log2(images / 20))))
    return Optimisation(epochs=epochs, batch=batch, label_smoothing=0.1)


def default_epochs(images: int, most: int = 100) -> int:
    """As many as meet about 600,000 images, 20 to `most`."""
    return min(most, max(20, round(600_000 / images)))

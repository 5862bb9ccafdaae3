"""A recipe: a network, the data that it is trained on, and how it is trained. No torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from lightcnn import document
from lightcnn.baseline_spec import AnyNetwork
from lightcnn.document import Frozen, rule_error

RECIPE_FILE = "recipe.yaml"
"""The recipe in a run folder."""
ARRAYS = "arrays"
"""The source of images that are given in Python."""
SEED_LIMIT = 2**32
"""Seeds are below this."""
Seed = Annotated[int, Field(ge=0, lt=SEED_LIMIT)]
DuplicatesEffort = Literal["none", "some", "all"]
"""Whether near duplicates are searched for: never, in data sets of at most 5,000 images, or of at most 50,000."""


class Augment(Frozen):
    """Random changes of every training image in every epoch; 0 and false leave a step out.

    Each amount is uniform up to its limit, in both directions if there are two.
    """

    shift: Annotated[
        float, Field(ge=0, le=0.5, description="largest shift, as a fraction of height and width, in whole pixels")
    ] = 0.05
    shift_height: Annotated[
        float | None,
        Field(ge=0, le=0.5, description="largest vertical shift, as a fraction of the height; default: as shift"),
    ] = None
    flip: Annotated[bool, Field(description="mirror half of the images left to right")] = False
    flip_vertical: Annotated[bool, Field(description="mirror half of the images top to bottom")] = False
    warped: Annotated[
        float, Field(ge=0, le=1, description="fraction of the images that are rotated, zoomed, sheared and cropped")
    ] = 0.5
    rotate: Annotated[float, Field(ge=0, le=180, description="largest rotation in degrees")] = 5.0
    zoom: Annotated[float, Field(ge=0, lt=1, description="largest change of scale, as a fraction")] = 0.05
    shear: Annotated[float, Field(ge=0, le=45, description="largest shear in degrees")] = 0.0
    crop: Annotated[
        float,
        Field(ge=0, le=0.95, description="largest fraction of the area that is cropped away; the rest is enlarged"),
    ] = 0.0
    filtered: Annotated[
        float,
        Field(ge=0, le=1, description="fraction of the images that sharpen to noise change, and that erase changes"),
    ] = 0.5
    sharpen: Annotated[
        float,
        Field(ge=0, le=1, description="largest fraction of the sharpened image; half of the time if blur is set"),
    ] = 0.0
    blur: Annotated[
        float,
        Field(
            ge=0,
            le=10,
            description="largest standard deviation of the Gaussian in pixels; half of the time if sharpen is set",
        ),
    ] = 0.0
    brightness: Annotated[float, Field(ge=0, le=1, description="largest change of brightness, as a fraction")] = 0.0
    contrast: Annotated[float, Field(ge=0, le=1, description="largest change of contrast, as a fraction")] = 0.0
    saturation: Annotated[float, Field(ge=0, le=1, description="largest change of saturation, as a fraction")] = 0.0
    noise: Annotated[
        float, Field(ge=0, le=1, description="largest standard deviation of Gaussian noise, for pixels from 0 to 1")
    ] = 0.0
    erase: Annotated[
        float, Field(ge=0, le=1, description="largest fraction of the area that a rectangle of one colour covers")
    ] = 0.0
    mixup: Annotated[float, Field(ge=0, le=100, description="alpha of mixup's Beta(alpha, alpha), for all images")] = (
        0.0
    )
    cutmix: Annotated[
        float,
        Field(ge=0, le=100, description="alpha of CutMix's Beta(alpha, alpha); for half of the images if mixup is set"),
    ] = 0.0

    @property
    def warps(self) -> bool:
        """Whether a step interpolates between pixels."""
        return any((self.rotate, self.zoom, self.shear, self.crop))

    @property
    def filters(self) -> bool:
        """Whether a step other than erasing changes the values of pixels."""
        return any((self.sharpen, self.blur, self.brightness, self.contrast, self.saturation, self.noise))

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that targets are probabilities."""
        return any((self.mixup, self.cutmix))


_WITHOUT_DEFAULTS: dict[str, Any] = {"shift": 0.0, "rotate": 0.0, "zoom": 0.0}
# Rotation and shifts are those of the example in the documentation of Keras' ImageDataGenerator. Its shear_range=0.2
# dates from when the unit was the radian (Keras 1 and 2.0), so it is 11.5 degrees.
_KERAS: dict[str, Any] = {"shift": 0.2, "rotate": 20.0, "zoom": 0.0, "shear": 11.5, "flip": True}
# The first example of imgaug's documentation: Sometimes(0.5, GaussianBlur((0, 0.5))), LinearContrast((0.75, 1.5)),
# AdditiveGaussianNoise(scale=(0, 0.05*255)), Multiply((0.8, 1.2)). The second example has Sharpen(alpha=(0, 1.0)),
# which turns most edges of small images black and white; up to 0.3 they keep their colours.
_IMGAUG: dict[str, Any] = {"sharpen": 0.3, "blur": 0.5, "brightness": 0.2, "contrast": 0.25, "noise": 0.05}

PRESETS: dict[str, Augment] = {
    "none": Augment(**_WITHOUT_DEFAULTS),
    "light": Augment(flip=True),
    "keras": Augment(**_KERAS),
    "imgaug": Augment(**_WITHOUT_DEFAULTS | _IMGAUG),
    "paper": Augment(**_KERAS | _IMGAUG),
}
"""Augmentations by name. `keras` and `imgaug` are the two families of operations that the MicroMPoxNet paper compared,
`paper` is their combination; the ranges are those of the examples of the two libraries."""


def _preset(value: Any) -> Any:
    """The augmentation of that name; values other than text are read as a mapping afterwards."""
    if not isinstance(value, str):
        return value
    if value not in PRESETS:
        raise PydanticKnownError("literal_error", {"expected": ", ".join(PRESETS)})
    return PRESETS[value]


Augmentation = Annotated[
    Augment,
    BeforeValidator(_preset, json_schema_input_type=Augment | Literal[tuple(PRESETS)]),
]
"""An augmentation, or the name of one of `PRESETS` in YAML."""


def _require_weights_name(value: Any) -> Any:
    """Refuses other names than the two; values other than text are read as a mapping afterwards."""
    if isinstance(value, str) and value not in ("none", "balanced"):
        raise PydanticKnownError("literal_error", {"expected": "none, balanced"})
    return value


Weight = Annotated[float, Field(gt=0, le=1e6)]
ClassWeights = Annotated[
    Annotated[Literal["none", "balanced"], Tag("str")] | Annotated[dict[str, Weight], Tag("dict")],
    Discriminator(lambda value: "str" if isinstance(value, str) else "dict"),
    BeforeValidator(_require_weights_name),
]


class Optimisation(Frozen):
    """Settings of a training; by default AdamW (arXiv:1711.05101) with a one-cycle schedule (arXiv:1708.07120)."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 30
    steps: Annotated[
        int | None,
        Field(
            ge=1,
            le=1_000_000_000,
            description="optimizer steps after which the training ends, also within an epoch; default: as many as the "
            "epochs have",
        ),
    ] = None
    batch: Annotated[int, Field(ge=2, le=65_536, description="largest number of images in a batch")] = 128
    accumulate: Annotated[int, Field(ge=1, le=1_024, description="number of batches whose gradients form one step")] = 1
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adamw"
    momentum: Annotated[float, Field(ge=0, lt=1, description="momentum of sgd (Nesterov's) and rmsprop")] = 0.9
    schedule: Literal["constant", "cosine", "one-cycle", "step", "plateau", "warmup-stable-decay"] = "one-cycle"
    learning_rate: Annotated[float, Field(gt=0, le=10, description="highest learning rate of the schedule")] = 0.01
    warmup: Annotated[
        float, Field(ge=0, lt=1, description="fraction of the steps in which the learning rate rises")
    ] = 0.2
    warmup_steps: Annotated[
        int | None, Field(ge=0, description="number of these steps, in place of a fraction; not for one-cycle")
    ] = None
    decay_steps: Annotated[
        int | None,
        Field(
            ge=0,
            description="warmup-stable-decay: last steps, in which the learning rate falls to zero; default: a fifth",
        ),
    ] = None
    decay_factor: Annotated[
        float, Field(gt=0, lt=1, description="factor by which step and plateau reduce the learning rate")
    ] = 0.1
    decay_epochs: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="step: epochs between reductions; plateau: epochs without improvement before one",
        ),
    ] = 10
    weight_decay: Annotated[float, Field(ge=0, le=10, description="weight decay; not applied to norms and biases")] = (
        0.05
    )
    clip_norm: Annotated[float, Field(ge=0, description="largest norm of the gradient of a step; 0: off")] = 0.0
    ema: Annotated[
        float, Field(ge=0, lt=1, description="decay of the exponential moving average of the weights; 0: off")
    ] = 0.0
    mixed_precision: Annotated[
        Literal["auto", "off"], Field(description="auto: bfloat16 on CUDA if it is faster; float32 on other devices")
    ] = "auto"
    threads: Annotated[
        int | None,
        Field(ge=1, le=1024, description="CPU threads, which decide how sums are rounded; default: all cores"),
    ] = None
    loss: Literal["cross-entropy", "focal"] = "cross-entropy"
    focal_gamma: Annotated[float, Field(ge=0, le=10, description="gamma of the focal loss (arXiv:1708.02002)")] = 2.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    class_weights: Annotated[
        ClassWeights,
        Field(description="none; balanced: inversely proportional to the images of a class, mean 1; or one per class"),
    ] = "none"
    monitor: Annotated[
        Literal["loss", "accuracy", "balanced_accuracy", "f1", "auc"],
        Field(description="validation metric that selects the best epoch; ties go to the lower loss"),
    ] = "accuracy"
    keep: Annotated[
        Literal["best", "last"], Field(description="the epoch whose weights are kept: the best by monitor, or the last")
    ] = "best"
    patience: Annotated[
        int, Field(ge=0, description="epochs without improvement after which the training stops; 0: never")
    ] = 0
    min_improvement: Annotated[
        float, Field(ge=0, description="smallest change that counts as an improvement, for patience and plateau")
    ] = 0.0

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.warmup_steps is not None and self.schedule == "one-cycle":
            raise rule_error("warmup_steps", "has no effect with the schedule one-cycle; use warmup")
        if self.decay_steps is not None and self.schedule != "warmup-stable-decay":
            raise rule_error("decay_steps", f"has no effect with the schedule {self.schedule}; use warmup-stable-decay")
        return self


class Distillation(Frozen):
    """Training on the class probabilities of a trained network as well (arXiv:1503.02531)."""

    teacher: Annotated[
        str,
        Field(
            min_length=1,
            description="run of a network with the same classes, or its predictions in a file, also beside the recipe",
        ),
    ]
    alpha: Annotated[float, Field(gt=0, le=1, description="weight of the teacher in the loss")] = 0.5
    temperature: Annotated[float, Field(gt=0, le=100, description="divisor of the logits of both networks")] = 4.0


class Reading(Frozen):
    """How the data are read and split."""

    data_dir: Annotated[
        str | None, Field(description="folder of the published data sets; default: ~/.cache/lightcnn/data")
    ] = None
    skip_corrupt: Annotated[bool, Field(description="ignore files that cannot be read")] = False
    fast: Annotated[
        bool,
        Field(description="skip the search for near duplicates; copies may then be in train and test"),
    ] = False
    thorough: Annotated[
        bool, Field(description="search for near duplicates among more than 5,000 images too (at most 50,000)")
    ] = False
    require_data: Annotated[
        bool, Field(description="fail if the data set is missing instead of using synthetic images")
    ] = False
    resplit: Annotated[bool, Field(description="ignore the split that the data set comes with and make a new one")] = (
        False
    )
    allow_leak: Annotated[
        bool, Field(description="use the given split even if images of one group are in more than one of its sets")
    ] = False
    positive: Annotated[
        str | None,
        Field(
            min_length=1,
            description="name of the positive one of two classes; default: the other of a class called normal, "
            "healthy, other, benign, negative, control, background, no_* or non-*, else the second",
        ),
    ] = None
    split_seed: Annotated[Seed | None, Field(description="seed of a new split; default: the seed of the recipe")] = None
    folds: Annotated[
        int,
        Field(
            ge=0,
            le=1000,
            description="number of folds for cross-validation, each of which is the test set once; 0: off",
        ),
    ] = 0
    fold: Annotated[int, Field(ge=0, description="number of the fold that is the test set, from 1")] = 0

    @property
    def duplicates(self) -> DuplicatesEffort:
        """In how large data sets near duplicates are searched for."""
        return "none" if self.fast else "all" if self.thorough else "some"

    @model_validator(mode="after")
    def _check_duplicates(self) -> Self:
        if self.fast and self.thorough:
            raise PydanticCustomError("duplicates", "fast and thorough exclude each other; choose one of them")
        return self

    @model_validator(mode="after")
    def _check_fold(self) -> Self:
        if self.folds == 1:
            raise PydanticCustomError("folds", "1 fold leaves nothing to learn from; use two or more, or 0")
        if not bool(self.folds) <= self.fold <= self.folds:
            rule = f"fold {self.fold} of {self.folds}; use a number from 1 to {self.folds}"
            rule = rule if self.folds else f"fold {self.fold}, but no folds; set folds too"
            raise PydanticCustomError("fold", "{rule}", {"rule": rule})
        return self


class Preparation(Frozen):
    """Steps from a decoded file to the pixels of the input: background removal, then size, then local contrast."""

    background: Annotated[
        Literal["none", "grabcut", "rembg"],
        Field(description="method that detects the background, which becomes black; rembg needs the extra background"),
    ] = "none"
    fit: Annotated[
        Literal["stretch", "crop", "pad"],
        Field(description="how an image becomes square: stretched, its centre cropped, or padded with black"),
    ] = "stretch"
    clahe: Annotated[
        float, Field(ge=0, le=100, description="clip limit of local histogram equalisation on 8×8 tiles; 0: off")
    ] = 0.0


class Recipe(Frozen):
    """Everything that a training depends on: training it again repeats the run.

    Args:
        name: A name for reports.
        data: The data SOURCE: a named data set, a folder of class folders, a `.csv`, `.tar` shards or a `.npz`.
        reading: How the data are read and split.
        seed: Seed of the training, from 0 to 2**32 - 1.
        network: A `NetworkSpec` or a `BaselineSpec`.
        preprocess: Steps from a decoded file to the pixels of the input.
        augment: Random changes of the training images.
        training: Settings of the training.
        distill: Training on the predictions of a trained network as well, or None.

    Example:
        >>> import lightcnn
        >>> lightcnn.Recipe.load("quick").training.epochs
        20
    """

    name: Annotated[str, Field(max_length=100, pattern=r"^[\w .+-]*$")] = ""
    data: Annotated[
        str,
        Field(
            min_length=1,
            description="SOURCE: a named data set, a folder of class folders, a .csv, .tar shards or a .npz",
        ),
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
        """Reads a recipe.

        Args:
            name: Path of a YAML file, or the name of a shipped recipe (`lightcnn list recipes`).

        Returns:
            The recipe.

        Raises:
            InputError: If there is neither such a file nor such a shipped recipe.
            DocumentError: If the file is not a valid recipe; it holds every problem of the file.

        Example:
            >>> import lightcnn
            >>> lightcnn.Recipe.load("quick").data
            'digits'
        """
        file = document.find("recipes", str(name))
        return with_teacher_beside(document.load(cls, file), file)

    def save(self, path: str | Path) -> None:
        """Writes the recipe with all its values, including defaults."""
        Path(path).write_text(document.dump(self, exclude_defaults=False), encoding="utf-8")


def with_teacher_beside(recipe: Recipe, file: Path) -> Recipe:
    """The recipe of a file, with the folder of the predictions of its teacher if they are beside the file."""
    if recipe.distill is None or not (beside := file.parent / recipe.distill.teacher).is_file():
        return recipe
    return recipe.model_copy(update={"distill": recipe.distill.model_copy(update={"teacher": str(beside.absolute())})})

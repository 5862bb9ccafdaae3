"""What an ablation changes in a recipe: named sets of changes, one at a time. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from lightcnn import document, overrides
from lightcnn.ablating.surgery import OPERATIONS, NotPossible, apply_operation
from lightcnn.baseline_spec import BASELINES
from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.overrides import Override
from lightcnn.recipe import PRESETS, Optimisation, Recipe
from lightcnn.spec import NetworkSpec
from lightcnn.text import nearest, shorten

UNCHANGED = "unchanged"
"""The name of the unchanged recipe, which every change is compared with."""
RATE_FACTORS = (0.1, 0.3, 3.0)
"""Factors by which the learning rate is changed."""
MAX_RATE = 10.0
"""The largest learning rate and weight decay that a recipe may have."""
SGD_RATE_FACTOR = 300.0
"""Learning rate of SGD without momentum relative to Adam's. A plain step is as long as the gradient, a step of Adam is
about one unit long: usual rates with momentum 0.9 are 10 to 100 times those of Adam (0.1 in arXiv:1512.03385, 0.001 in
arXiv:1412.6980); 30 is between them, and equals 300 × (1 - 0.9)."""
FIXED_KEYS = ("name", "data", "reading", "seed")
"""Keys that a change may not set: it is compared with the unchanged recipe on the same images and random draws."""
NAME_PATTERN = r"[A-Za-z0-9][\w.+-]{0,59}"
"""Valid names of a change: a folder of the run has that name."""
MAX_VALUE_LENGTH = 40
"""Characters of a value in the description of a change."""


def _require_folder_name(name: str) -> str:
    """The name. Raises: PydanticCustomError if it is not a valid name of a change."""
    if not re.fullmatch(NAME_PATTERN, name):
        rule = (
            "the name of a change becomes the name of a folder: begin with a letter from A to Z or a digit, then use "
            "letters, digits and . _ + - only, at most 60 characters"
        )
        raise PydanticCustomError("change", "{message}", {"message": rule})
    return name


def _require_changeable(key: str) -> str:
    """The key. Raises: PydanticCustomError if a change may not set it."""
    if overrides.split_path(key)[0] in FIXED_KEYS:
        rule = (
            "a change is compared with the unchanged recipe on the same images, so it cannot set "
            f"{', '.join(FIXED_KEYS)}; run a second ablation"
        )
        raise PydanticCustomError("change", "{message}", {"message": rule})
    return key


ChangeName = Annotated[
    str, AfterValidator(_require_folder_name), Field(json_schema_extra={"pattern": f"^{NAME_PATTERN}$"})
]
ChangeKey = Annotated[str, AfterValidator(_require_changeable)]


class Changes(Frozen):
    """Changes for `lightcnn ablate RECIPE --over FILE`: by name, the keys of a recipe and their new values."""

    changes: Annotated[
        dict[ChangeName, Annotated[dict[ChangeKey, Any], Field(min_length=1)]],
        Field(min_length=1, description="name: {key.path: value, ...}, each a change of its own"),
    ]


@dataclass(frozen=True)
class Variant:
    """A named change: its description, and the values of the recipe that differ."""

    name: str
    about: str
    changes: tuple[Override, ...]


class SkippedChange(Frozen):
    """A change that is not made, and the reason."""

    change: str
    reason: str


def variants(recipe: Recipe, over: str) -> Iterator[Variant | SkippedChange]:
    """The changes of a kind or of a file. Raises: InputError, DocumentError."""
    if over in KINDS:
        return KINDS[over](recipe)
    if Path(over).is_file():
        return _read_file(over)
    raise InputError(f"--over {over}: no such file, and not one of {', '.join(KINDS)}{nearest(over, KINDS)}")


def architecture(recipe: Recipe) -> Iterator[Variant | SkippedChange]:
    """Networks with a part removed or replaced. Raises: InputError if the network has no blocks."""
    network = recipe.network
    if not isinstance(network, NetworkSpec):
        raise InputError(
            f"--over architecture: the network {network.name} has no blocks to change; name "
            "a recipe with a network of blocks, or use --over baselines"
        )
    for name, operation in OPERATIONS.items():
        try:
            changed = apply_operation(network, operation).model_dump(mode="json")
        except NotPossible as reason:
            yield SkippedChange(change=name, reason=str(reason))
        else:
            yield Variant(name, operation.about, (_change(name, "network", changed),))


def hyperparameters(recipe: Recipe) -> Iterator[Variant | SkippedChange]:
    """Other optimizers, each with a suitable learning rate and weight decay; other learning rates and batch sizes."""
    training = recipe.training
    for optimizer in ("adam", "adamw", "sgd", "rmsprop"):
        if optimizer == training.optimizer:
            continue
        if not training.weight_decay and optimizer == ("adam" if training.optimizer == "adamw" else "adamw"):
            reason = "adam and adamw differ only in weight decay, which is 0"
            yield SkippedChange(change=f"optimizer-{optimizer}", reason=reason)
        else:
            yield _optimizer(optimizer, training)
    for factor in RATE_FACTORS:
        name, rate = f"rate-x{factor:g}", _rounded(training.learning_rate * factor)
        if rate > MAX_RATE:
            yield SkippedChange(change=name, reason=f"a learning rate of {rate:g} is above {MAX_RATE:g}")
            continue
        yield Variant(name, f"learning rate {rate:g}", (_change(name, "training.learning_rate", rate),))
    for name, batch in (("batch-half", max(2, training.batch // 2)), ("batch-double", 2 * training.batch)):
        yield Variant(name, f"batches of {batch}", (_change(name, "training.batch", batch),))


def augmentation(recipe: Recipe) -> Iterator[Variant | SkippedChange]:
    """The presets of augmentation."""
    for preset in PRESETS:
        name = f"augment-{preset}"
        yield Variant(name, f"augmentation {preset}", (_change(name, "augment", preset),))


def baselines(recipe: Recipe) -> Iterator[Variant | SkippedChange]:
    """The paper's other networks on images of the same size, with random weights unless the recipe is a baseline's."""
    for name, entry in BASELINES.items():
        changes = (_change(name, "network.baseline", name), _change(name, "network.input", list(recipe.network.input)))
        yield Variant(name, entry.title, changes)


KINDS = {
    "architecture": architecture,
    "hyperparameters": hyperparameters,
    "augmentation": augmentation,
    "baselines": baselines,
}
"""The kinds of changes that `--over` accepts, besides a file."""


def _read_file(file: str) -> Iterator[Variant]:
    """The changes of a file, in its order."""
    for name, values in document.load(Changes, file).changes.items():
        changes = tuple(
            Override(f"{file}: changes.{name}.{key}", overrides.split_path(key), value) for key, value in values.items()
        )
        about = ", ".join(f"{key}={shorten(str(value), MAX_VALUE_LENGTH)}" for key, value in values.items())
        yield Variant(name, about, changes)


def _optimizer(optimizer: str, training: Optimisation) -> Variant:
    """Another optimizer with a suitable learning rate and weight decay.

    RMSprop's momentum makes steps 1 / (1 - momentum) times longer, Adam's does not: its rate is divided by that factor.
    The weight decay keeps the share by which a step shrinks the weights if the optimizer does not rescale it with the
    gradient (adamw, sgd); for adam and rmsprop it is that share.
    """
    step_share = 1 - training.momentum
    scale = {
        "adam": 1.0,
        "adamw": 1.0,
        "rmsprop": step_share,
        "sgd": SGD_RATE_FACTOR * step_share,
    }
    rate = min(MAX_RATE, _rounded(training.learning_rate * scale[optimizer] / scale[training.optimizer]))

    def shrinkage(name: str, rate: float) -> float:
        return {"adamw": rate, "sgd": rate / step_share}.get(name, 1.0)

    share = training.weight_decay * shrinkage(training.optimizer, training.learning_rate)
    decay = min(MAX_RATE, _rounded(share / shrinkage(optimizer, rate)))
    name = f"optimizer-{optimizer}"
    return Variant(
        name,
        f"{optimizer}, learning rate {rate:g}, weight decay {decay:g}",
        (
            _change(name, "training.optimizer", optimizer),
            _change(name, "training.learning_rate", rate),
            _change(name, "training.weight_decay", decay),
        ),
    )


def _change(name: str, key: str, value: Any) -> Override:
    return Override(f"change {name}: {key}", overrides.split_path(key), value)


def _rounded(value: float) -> float:
    """The value with three significant digits."""
    return float(f"{value:.3g}")

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
from lightcnn.ablating.surgery import OPERATIONS, NotPossible, operated
from lightcnn.baseline_spec import BASELINES
from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.overrides import Override
from lightcnn.recipe import PRESETS, Optimisation, Recipe
from lightcnn.spec import NetworkSpec
from lightcnn.text import nearest

UNCHANGED = "unchanged"
"""The name of the recipe itself, which every change is held against."""
RATES = (0.1, 0.3, 3.0)
"""What the learning rate is multiplied by."""
HIGHEST = 10.0
"""Learning rate and weight decay that a recipe may have."""
SGD = 300.0
"""Of SGD over Adam, without momentum. Plain steps are as long as the gradient, Adam's about one unit: usual rates with
momentum 0.9 lie 10 to 100 times above Adam's (0.1 in arXiv:1512.03385, 0.001 in arXiv:1412.6980); 30 is their middle,
and 300 × (1 - 0.9)."""
FIXED = ("name", "data", "reading", "seed")
"""Keys that a change leaves alone: it is paired with the unchanged recipe on the same images and draws."""

NAME = r"[A-Za-z0-9][\w.+-]{0,59}"
"""What a change may be called: a folder of the run has that name."""


def _fitting(name: str) -> str:
    """Raises: PydanticCustomError where it is no name of a change."""
    if not re.fullmatch(NAME, name):
        rule = (
            "a change's name is its folder's: give a letter from A to Z or a digit first, then letters, digits and . _ "
            "+ - alone, 60 in all at most"
        )
        raise PydanticCustomError("change", "{message}", {"message": rule})
    return name


def _free(key: str) -> str:
    """Raises: PydanticCustomError where a change leaves the key alone."""
    if overrides.split_path(key)[0] in FIXED:
        rule = (
            "a change is paired with the unchanged recipe on the same images, so it leaves "
            f"{', '.join(FIXED)} alone; run a second ablation"
        )
        raise PydanticCustomError("change", "{message}", {"message": rule})
    return key


Name = Annotated[str, AfterValidator(_fitting), Field(json_schema_extra={"pattern": f"^{NAME}$"})]
Key = Annotated[str, AfterValidator(_free)]


class Changes(Frozen):
    """Changes for `lightcnn ablate RECIPE --over FILE`: by name, the keys of a recipe and their new values."""

    changes: Annotated[
        dict[Name, Annotated[dict[Key, Any], Field(min_length=1)]],
        Field(min_length=1, description="name: {key.path: value, ...}, each a change of its own"),
    ]


@dataclass(frozen=True)
class Variant:
    """One change by name: what it is in words, and the values of the recipe that differ."""

    name: str
    about: str
    changes: tuple[Override, ...]


@dataclass(frozen=True)
class LeftOut:
    """A change that is not made, and why."""

    change: str
    reason: str


def variants(recipe: Recipe, over: str) -> Iterator[Variant | LeftOut]:
    """The changes of a kind, or of a file. Raises: InputError, DocumentError."""
    if over in KINDS:
        return KINDS[over](recipe)
    if Path(over).is_file():
        return _of_file(over)
    near = nearest(over, KINDS)
    raise InputError(f"--over {over}: no such file and none of {', '.join(KINDS)}{near}")


def architecture(recipe: Recipe) -> Iterator[Variant | LeftOut]:
    """The network with something taken out or exchanged. Raises: InputError where it is a baseline."""
    network = recipe.network
    if not isinstance(network, NetworkSpec):
        raise InputError(
            f"--over architecture: the network is the baseline {network.baseline}, which has no blocks to change; give "
            "a recipe with a network of its own, or --over baselines"
        )
    for name, operation in OPERATIONS.items():
        try:
            plain = operated(network, operation).model_dump(mode="json")
        except NotPossible as reason:
            yield LeftOut(name, str(reason))
        else:
            yield Variant(name, operation.about, (_change(name, "network", plain),))


def hyperparameters(recipe: Recipe) -> Iterator[Variant | LeftOut]:
    """Other optimizers, each with a rate and a weight decay that suit it; other learning rates; other batches."""
    training = recipe.training
    for optimizer in ("adam", "adamw", "sgd", "rmsprop"):
        if optimizer == training.optimizer:
            continue
        if not training.weight_decay and optimizer == ("adam" if training.optimizer == "adamw" else "adamw"):
            yield LeftOut(f"optimizer-{optimizer}", "adam and adamw differ in their weight decay, and there is none")
        else:
            yield _optimizer(optimizer, training)
    for factor in RATES:
        name, rate = f"rate-x{factor:g}", _rounded(training.learning_rate * factor)
        if rate > HIGHEST:
            yield LeftOut(name, f"a learning rate of {rate:g} is above {HIGHEST:g}")
            continue
        yield Variant(name, f"learning rate {rate:g}", (_change(name, "training.learning_rate", rate),))
    for name, batch in (("batch-half", max(2, training.batch // 2)), ("batch-double", 2 * training.batch)):
        yield Variant(name, f"batches of {batch}", (_change(name, "training.batch", batch),))


def augmentation(recipe: Recipe) -> Iterator[Variant | LeftOut]:
    """The presets."""
    for preset in PRESETS:
        name = f"augment-{preset}"
        yield Variant(name, f"augmentation {preset}", (_change(name, "augment", preset),))


def baselines(recipe: Recipe) -> Iterator[Variant | LeftOut]:
    """The paper's other networks, on images of the same size, from random weights unless the recipe is a baseline's."""
    for name, entry in BASELINES.items():
        given = (_change(name, "network.baseline", name), _change(name, "network.input", list(recipe.network.input)))
        yield Variant(name, entry.title, given)


KINDS = {
    "architecture": architecture,
    "hyperparameters": hyperparameters,
    "augmentation": augmentation,
    "baselines": baselines,
}
"""What `--over` may name beside a file."""


def _of_file(file: str) -> Iterator[Variant | LeftOut]:
    """The changes of a file, in its order."""
    for name, values in document.load(Changes, file).changes.items():
        given = tuple(
            Override(f"{file}: changes.{name}.{key}", overrides.split_path(key), value) for key, value in values.items()
        )
        yield Variant(name, ", ".join(f"{key}={_short(value)}" for key, value in values.items()), given)


def _optimizer(optimizer: str, training: Optimisation) -> Variant:
    """Another optimizer at a rate of its own.

    RMSprop's momentum makes steps 1 / (1 - momentum) times longer, Adam's does not: its rate is lowered by as much. The
    share by which a step shrinks the weights is kept where the gradient is not rescaled (adamw, sgd); for adam and
    rmsprop the decay is that share.
    """
    still = 1 - training.momentum
    scale = {"adam": 1.0, "adamw": 1.0, "rmsprop": still, "sgd": SGD * still}
    rate = min(HIGHEST, _rounded(training.learning_rate * scale[optimizer] / scale[training.optimizer]))

    def shrunk(name: str, rate: float) -> float:
        return {"adamw": rate, "sgd": rate / still}.get(name, 1.0)

    share = training.weight_decay * shrunk(training.optimizer, training.learning_rate)
    decay = min(HIGHEST, _rounded(share / shrunk(optimizer, rate)))
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
    return float(f"{value:.3g}")


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."

"""From the RECIPE argument and the options of `lightcnn train` to a recipe. No torch.

RECIPE is a recipe file, the name of a shipped recipe, or a file with a network alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightcnn import document, overrides
from lightcnn.baseline_spec import TIMM_PREFIX, as_baseline, load_network
from lightcnn.document import Frozen, Model
from lightcnn.errors import InputError
from lightcnn.overrides import Override
from lightcnn.recipe import PRESETS, Recipe, default_augment, default_epochs, default_training


@dataclass(frozen=True)
class RecipeDraft:
    """A recipe whose data have not been read.

    `bare`: a network alone, whose training depends on its data. `classes`: those of the run that is resumed, in order.
    """

    recipe: Recipe
    bare: bool = False
    changes: Sequence[Override] = field(default=())
    classes: Sequence[str] = field(default=())

    def resolved(self, source: str, channels: int, images: int, positive: str | None = None) -> Recipe:
        """The recipe for data of `source` with `channels` channels, `images` training images and a positive class.

        Raises: DocumentError.
        """
        recipe = self.recipe
        if self.bare:
            training = default_training(default_epochs(images), images)
            data = _plain(recipe) | {
                "augment": _plain(default_augment(channels, images)),
                "training": _plain(training) | {"batch": min(training.batch, max(2, images))},
            }
            recipe = overrides.validate(Recipe, data, "spec", self.changes)
        reading = recipe.reading.model_copy(update={"positive": positive})
        return recipe.model_copy(update={"data": source, "reading": reading})


def read_recipe_argument(name: str | Path, changes: Sequence[Override] = ()) -> RecipeDraft:
    """Reads a recipe file or a shipped recipe and applies the changes; or a spec.yaml, with `--data` in the changes.

    Raises: InputError, DocumentError.
    """
    file = document.find("recipes", str(name))
    text = document.read_text(file)
    keys = document.keys(text, str(file))
    if "network" in keys or not keys & {"stages", "baseline"}:
        return RecipeDraft(_read_changed(Recipe, text, str(file), changes))
    source = next((change.value for change in changes if change.path == ("data",)), None)
    if source is None:
        raise InputError(f"{file}: a network without data; name the data set to train on, for example --data digits")
    network = load_network(file)
    bare = {"name": network.name.removeprefix(TIMM_PREFIX), "data": source, "network": _plain(network)}
    _insert_baseline(bare, changes)
    return RecipeDraft(overrides.validate(Recipe, bare, str(file), changes), bare=True, changes=tuple(changes))


def changed_recipe(recipe: Recipe, changes: Sequence[Override], file: str) -> Recipe:
    """The recipe with some values changed. Raises: InputError, DocumentError, which name the option of the value."""
    data = _plain(recipe)
    _insert_baseline(data, changes)
    return overrides.validate(Recipe, data, file, changes)


def differences(earlier: Frozen, later: Frozen) -> list[str]:
    """`key: earlier value in the run, later value given` for every value in which two recipes differ."""
    before, after = overrides.leaves(earlier), overrides.leaves(later)
    names = [*before, *(name for name in after if name not in before)]
    return [
        f"{name}: {_format_value(before, name)} in the run, {_format_value(after, name)} given"
        for name in names
        if before.get(name) != after.get(name)
    ]


def _format_value(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "nothing"


def _read_changed(model: type[Model], text: str, file: str, changes: Sequence[Override]) -> Model:
    """The document with its changes applied.

    If a change sets one value of an augmentation preset, the preset is replaced with its values first. If a change
    names a baseline, it replaces the network.
    """
    data, lines = document.plain_data(text, file)
    if isinstance(data, dict) and any(change.path[:1] == ("augment",) and len(change.path) > 1 for change in changes):
        preset = data.get("augment")
        if isinstance(preset, str) and preset in PRESETS:
            data["augment"] = _plain(PRESETS[preset])
    _insert_baseline(data, changes)
    return overrides.validate(model, data, file, changes, lines)


def _insert_baseline(data: Any, changes: Sequence[Override]) -> None:
    """Replaces a recipe's network with the baseline that a change names, so that the other changes apply to it."""
    for change in changes:
        if change.path == ("network", "baseline") and isinstance(data, dict) and isinstance(data.get("network"), dict):
            data["network"] = as_baseline(data["network"], change.value)


def _plain(model: Frozen) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json")
    return plain

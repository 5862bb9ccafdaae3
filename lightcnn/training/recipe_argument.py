"""From what people type after `lightcnn train` to a recipe: a file or a shipped name, or a bare network. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightcnn import document, overrides
from lightcnn.baseline_spec import PREFIX, as_baseline, load_network
from lightcnn.document import Frozen, Model
from lightcnn.errors import InputError
from lightcnn.overrides import Change
from lightcnn.recipe import PRESETS, Recipe, default_augment, default_epochs, default_training


@dataclass(frozen=True)
class RecipeDraft:
    """A recipe whose data have not been read; `bare`: a network alone, whose training they decide."""

    recipe: Recipe
    bare: bool = False
    changes: Sequence[Change] = field(default=())

    def resolved(self, source: str, channels: int, images: int) -> Recipe:
        """The recipe for data of `source` with so many channels and training images. Raises: DocumentError."""
        recipe = self.recipe
        if self.bare:
            training = default_training(default_epochs(images), images)
            data = _plain(recipe) | {
                "augment": _plain(default_augment(channels, images)),
                "training": _plain(training) | {"batch": min(training.batch, max(2, images))},
            }
            recipe = overrides.validate(Recipe, data, "spec", self.changes)
        return recipe.model_copy(update={"data": source})


def read_recipe_argument(name: str | Path, given: Sequence[Change] = ()) -> RecipeDraft:
    """The recipe of a file or of a shipped one's name, changed; or a spec.yaml with `--data` among the changes.

    Raises: InputError, DocumentError.
    """
    file = document.find("recipes", str(name))
    text = document.read_text(file)
    keys = document.keys(text, str(file))
    if "network" in keys or not keys & {"stages", "baseline"}:
        return RecipeDraft(_changed(Recipe, text, str(file), given))
    source = next((change.value for change in given if change.path == ("data",)), None)
    if source is None:
        raise InputError(f"{file}: a network alone; say what it learns from with --data, as in --data digits")
    network = load_network(file)
    bare = {"name": network.name.removeprefix(PREFIX), "data": source, "network": _plain(network)}
    _exchange(bare, given)
    return RecipeDraft(overrides.validate(Recipe, bare, str(file), given), bare=True, changes=tuple(given))


def changed_recipe(recipe: Recipe, given: Sequence[Change], file: str) -> Recipe:
    """The recipe with some of its values changed. Raises: InputError, DocumentError naming what gave the value."""
    data = _plain(recipe)
    _exchange(data, given)
    return overrides.validate(Recipe, data, file, given)


def differences(held: Frozen, asked: Frozen) -> list[str]:
    """`key: its value there, its value here` for everything in which two recipes differ."""
    one, two = dict(_flat(_plain(held), "")), dict(_flat(_plain(asked), ""))
    names = [*one, *(name for name in two if name not in one)]
    return [
        f"{name}: {_told(one, name)} there, {_told(two, name)} here" for name in names if one.get(name) != two.get(name)
    ]


def _told(values: dict[str, Any], name: str) -> str:
    return repr(values[name]) if name in values else "nothing"


def _changed(model: type[Model], text: str, file: str, given: Sequence[Change]) -> Model:
    """The document with its changes; a preset of augmentation is written out where one of its values is changed, and
    the network becomes a baseline where one is set."""
    data, lines = document.plain(text, file)
    if isinstance(data, dict) and any(change.path[:1] == ("augment",) and len(change.path) > 1 for change in given):
        preset = data.get("augment")
        if isinstance(preset, str) and preset in PRESETS:
            data["augment"] = _plain(PRESETS[preset])
    _exchange(data, given)
    return overrides.validate(model, data, file, given, lines)


def _exchange(data: Any, given: Sequence[Change]) -> None:
    """Puts a baseline in the place of a recipe's network, where one is set: before the other changes, which meet it."""
    for change in given:
        if change.path == ("network", "baseline") and isinstance(data, dict) and isinstance(data.get("network"), dict):
            data["network"] = as_baseline(data["network"], change.value)


def _plain(model: Frozen) -> dict[str, Any]:
    plain: dict[str, Any] = model.model_dump(mode="json")
    return plain


def _flat(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, part in pairs for leaf in _flat(part, f"{path}.{key}" if path else str(key))]
    yield from inner or [(path, value)]

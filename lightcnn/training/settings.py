"""What `lightcnn train` is asked to do, as one frozen model; new run folders keep it as train.yaml. No torch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lightcnn import document
from lightcnn.devices import DeviceName
from lightcnn.document import Frozen
from lightcnn.overrides import Override
from lightcnn.recipe import Recipe
from lightcnn.training.recipe_argument import Followed, RecipeDraft

SETTINGS_FILE = "train.yaml"
"""The settings in a new run folder. Folders of older versions have none."""
MARKER_FILE = "data.json"
"""The file by which every run folder of `lightcnn train` is recognised, also an old one."""


class RecipeOverride(Frozen):
    """A value that an option gives a key of the recipe, and the option's name."""

    option: str
    path: tuple[str | int, ...]
    value: Any


class TrainSettings(Frozen):
    """The input of `lightcnn train`: a recipe whose data have not been read, how often to train it, and where."""

    recipe: Recipe
    bare: Annotated[bool, Field(description="a network alone: its data set epochs, batch and augmentation")] = False
    overrides: Annotated[tuple[RecipeOverride, ...], Field(description="applied after the data have decided")] = ()
    follows: Annotated[tuple[Followed, ...], Field(description="what is taken from the data")] = ()
    folds: Annotated[int | None, Field(description="number of folds; none: one split")] = None
    seeds: Annotated[int | None, Field(description="number of seeds; none: one")] = None
    device: DeviceName = "auto"

    @property
    def draft(self) -> RecipeDraft:
        """The recipe before its data have been read."""
        changes = tuple(Override(override.option, override.path, override.value) for override in self.overrides)
        return RecipeDraft(self.recipe, self.bare, changes, self.follows)

    def file(self, header: str = "") -> dict[str, bytes]:
        """train.yaml; `header` becomes a comment at its top."""
        return {SETTINGS_FILE: document.dump(self, header, exclude_defaults=False).encode()}


def make_settings(
    draft: RecipeDraft, *, folds: int | None = None, seeds: int | None = None, device: str = "auto"
) -> TrainSettings:
    """The settings of a training. Raises: InputError if one of the values is invalid."""
    overrides = tuple(
        RecipeOverride(option=change.option, path=change.path, value=change.value) for change in draft.changes
    )
    values = {"recipe": draft.recipe, "bare": draft.bare, "overrides": overrides, "follows": tuple(draft.follows)}
    return document.make(TrainSettings, values | {"folds": folds, "seeds": seeds, "device": device}, "train")

"""What an ablation was asked to do. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from lightcnn import document
from lightcnn.devices import DeviceName
from lightcnn.document import Frozen
from lightcnn.overrides import Override
from lightcnn.recipe import Recipe
from lightcnn.training.recipe_argument import Followed, RecipeDraft
from lightcnn.training.settings import RecipeOverride

PLAN_FILE = "ablation.json"
"""The file of the run folder that an ablation is resumed from."""


class AblateSettings(Frozen):
    """The input of `lightcnn ablate`; a run folder holds it as ablate.yaml."""

    recipe: Annotated[Recipe | None, Field(description="the unchanged recipe; null: that of the resumed run")] = None
    bare: Annotated[bool, Field(description="a network alone: its data set epochs, batch and augmentation")] = False
    overrides: Annotated[tuple[RecipeOverride, ...], Field(description="applied after the data have decided")] = ()
    follows: Annotated[tuple[Followed, ...], Field(description="what is taken from the data")] = ()
    over: Annotated[tuple[str, ...], Field(description="kinds of changes, or files of changes")] = ()
    only: Annotated[tuple[str, ...], Field(description="names of the changes to make; empty: all")] = ()
    folds: Annotated[int, Field(description="folds of each seed; 0: a single split")] = 0
    seeds: Annotated[int, Field(description="trainings with different seeds")] = 1
    device: DeviceName = "auto"

    @property
    def draft(self) -> RecipeDraft | None:
        """The unchanged recipe, as it is before the data are read."""
        if self.recipe is None:
            return None
        changes = tuple(Override(override.option, override.path, override.value) for override in self.overrides)
        return RecipeDraft(self.recipe, self.bare, changes, self.follows)


def make_settings(
    draft: RecipeDraft,
    over: Sequence[str],
    *,
    only: Sequence[str] = (),
    folds: int = 0,
    seeds: int = 1,
    device: DeviceName = "auto",
) -> AblateSettings:
    """The settings of an ablation of the recipe `draft`. Raises: InputError if one of the values is invalid."""
    overrides = tuple(
        RecipeOverride(option=change.option, path=change.path, value=change.value) for change in draft.changes
    )
    values = {
        "recipe": draft.recipe, "bare": draft.bare, "overrides": overrides,
        "follows": tuple(draft.follows), "over": tuple(over), "only": tuple(only),
        "folds": folds, "seeds": seeds, "device": device,
    }  # fmt: skip
    return document.make(AblateSettings, values, "ablate")

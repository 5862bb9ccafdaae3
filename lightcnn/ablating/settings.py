"""What an ablation was asked to do. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from lightcnn.document import Frozen
from lightcnn.overrides import Override
from lightcnn.recipe import Recipe
from lightcnn.training.recipe_argument import RecipeDraft

PLAN_FILE = "ablation.json"
"""The file of the run folder that an ablation is resumed from."""


class RecipeChange(Frozen):
    """A value that an option changed in the recipe."""

    option: str
    path: tuple[str | int, ...]
    value: Any


class AblateSettings(Frozen):
    """The input of `lightcnn ablate`; a run folder holds it as ablate.yaml."""

    recipe: Annotated[Recipe | None, Field(description="the unchanged recipe; null: that of the resumed run")] = None
    bare: Annotated[bool, Field(description="only a network was given: the data decide how it is trained")] = False
    changes: Annotated[tuple[RecipeChange, ...], Field(description="values of a bare network's recipe")] = ()
    over: Annotated[tuple[str, ...], Field(description="kinds of changes, or files of changes")] = ()
    only: Annotated[tuple[str, ...], Field(description="names of the changes to make; empty: all")] = ()
    folds: Annotated[int, Field(description="folds of each seed; 0: a single split")] = 0
    seeds: Annotated[int, Field(description="trainings with different seeds")] = 1
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"

    @property
    def draft(self) -> RecipeDraft | None:
        """The unchanged recipe, as it is before the data are read."""
        if self.recipe is None:
            return None
        changes = tuple(Override(change.option, change.path, change.value) for change in self.changes)
        return RecipeDraft(self.recipe, self.bare, changes)


def make_settings(
    draft: RecipeDraft,
    over: Sequence[str],
    *,
    only: Sequence[str] = (),
    folds: int = 0,
    seeds: int = 1,
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
) -> AblateSettings:
    """The settings of an ablation of the recipe `draft`."""
    changes = tuple(
        RecipeChange(option=change.option, path=change.path, value=change.value) for change in draft.changes
    )
    return AblateSettings(
        recipe=draft.recipe,
        bare=draft.bare,
        changes=changes,
        over=tuple(over),
        only=tuple(only),
        folds=folds,
        seeds=seeds,
        device=device,
    )

"""What an ablation trains: the unchanged recipe, every change of it that has an effect, and how often. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field

from lightcnn.ablating.settings import PLAN_FILE
from lightcnn.ablating.variants import KINDS, UNCHANGED, ChangeName, SkippedChange, Variant, variants
from lightcnn.document import Frozen
from lightcnn.errors import DocumentError, InputError, RunError
from lightcnn.overrides import Override
from lightcnn.recipe import Recipe
from lightcnn.run_files import MAX_JSON_BYTES, parse_json, read_limited
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.text import not_one_of
from lightcnn.training.recipe_argument import changed_recipe

CHANGES_FOLDER = "changes"
"""The folder with one run folder per change, and one of the unchanged recipe."""

NO_POSITIVE = Override("plan", ("reading", "positive"), None)
"""Removes the positive class before two plans are compared, since plans of earlier versions name none."""


class Trial(Frozen):
    """A recipe to train, and what is changed in it."""

    name: ChangeName
    about: str
    recipe: Recipe


class AblationPlan(Frozen):
    """The trainings of an ablation; the first is that of the unchanged recipe."""

    over: tuple[str, ...]
    trials: Annotated[tuple[Trial, ...], Field(min_length=2)]
    left_out: tuple[SkippedChange, ...]
    folds: Annotated[int, Field(ge=0, description="0: a single split")]
    seeds: Annotated[int, Field(ge=1)]

    @property
    def trainings(self) -> int:
        """The number of trainings of each recipe."""
        return self.seeds * max(1, self.folds)

    def trains_the_same(self, other: AblationPlan) -> bool:
        """Whether two plans train the same recipes equally often, whatever words describe them."""
        return self._trained() == other._trained()

    def _trained(self) -> tuple[Any, ...]:
        # The fingerprint of the data has the order of classes; plans of earlier versions name no positive class.
        trials = [(trial.name, changed_recipe(trial.recipe, [NO_POSITIVE], "plan")) for trial in self.trials]
        return self.over, trials, [skipped.change for skipped in self.left_out], self.folds, self.seeds


def make_plan(
    recipe: Recipe, over: Sequence[str], *, only: Sequence[str] = (), folds: int = 0, seeds: int = 1
) -> AblationPlan:
    """The changes of `over` that differ from the recipe and from each other; with `only`, the named ones of them.

    Raises: InputError, DocumentError.
    """
    changes = _changes_by_name(recipe, over)
    for name in only:
        if name not in changes:
            raise InputError(f"--only: {not_one_of(name, changes)}")
    trials = [Trial(name=UNCHANGED, about="the unchanged recipe", recipe=recipe)]
    left_out: list[SkippedChange] = []
    names = {_identity(recipe): UNCHANGED}
    for name, variant in changes.items():
        if only and name not in only:
            continue
        if isinstance(variant, SkippedChange):
            left_out.append(variant)
            continue
        applied = _apply(recipe, variant)
        same = names.setdefault(_identity(applied), name)
        if same != name:
            reason = "the same as the unchanged recipe" if same == UNCHANGED else f"the same as {same}"
            left_out.append(SkippedChange(change=name, reason=reason))
        else:
            trials.append(Trial(name=name, about=variant.about, recipe=applied))
    _require_change(over, trials, left_out)
    return AblationPlan(over=tuple(over), trials=tuple(trials), left_out=tuple(left_out), folds=folds, seeds=seeds)


def without_changes(plan: AblationPlan, skipped: Sequence[SkippedChange]) -> AblationPlan:
    """The plan without some changes. Raises: InputError if no change remains."""
    names = {change.change for change in skipped}
    trials, left_out = [trial for trial in plan.trials if trial.name not in names], [*plan.left_out, *skipped]
    _require_change(plan.over, trials, left_out)
    return plan.model_copy(update={"trials": tuple(trials), "left_out": tuple(left_out)})


def load_plan(run: RunFolder) -> AblationPlan:
    """The plan of a run folder. Raises: RunError if it has none or it cannot be read."""
    try:
        content = read_limited(run.path, PLAN_FILE, MAX_JSON_BYTES)
        parse_json(content)
        return AblationPlan.model_validate_json(content)
    except ValueError:  # ValidationError is one
        raise RunError(f"run {run.path}: {PLAN_FILE} is missing or damaged; start again with a new --out") from None


def is_finished(run: RunFolder) -> bool:
    """Whether every change was trained. Raises: RunError if the plan of the run cannot be read."""
    load_plan(run)
    return (run / "report.json").is_file() and not run.report.get("failed")


def _changes_by_name(recipe: Recipe, over: Sequence[str]) -> dict[str, Variant | SkippedChange]:
    """All changes. Raises: InputError if two have the same name."""
    if not over:
        raise InputError(f"--over is missing; give {', '.join(KINDS)} or a FILE of changes")
    changes: dict[str, Variant | SkippedChange] = {}
    for kind in dict.fromkeys(over):
        for variant in variants(recipe, kind):
            name = variant.name if isinstance(variant, Variant) else variant.change
            if name.lower() in {UNCHANGED, *map(str.lower, changes)}:
                raise InputError(f"--over {kind}: the change name {name!r} is already used; choose another name")
            changes[name] = variant
    return changes


def _require_change(over: Sequence[str], trials: Sequence[Trial], left_out: Sequence[SkippedChange]) -> None:
    """Raises: InputError if only the unchanged recipe remains."""
    if len(trials) == 1:
        reasons = "; ".join(f"{skipped.change}: {skipped.reason}" for skipped in left_out)
        raise InputError(f"--over {','.join(over)}: nothing to change ({reasons}); choose other changes")


def _apply(recipe: Recipe, variant: Variant) -> Recipe:
    """The changed recipe. Raises: DocumentError, whose problems name the change."""
    try:
        return changed_recipe(recipe, variant.changes, f"change {variant.name}")
    except DocumentError:
        raise
    except InputError as error:
        raise InputError(f"change {variant.name}: {error}") from None


def _identity(recipe: Recipe) -> tuple[Any, str]:
    """Equal for recipes that train the same network in the same way."""
    network = recipe.network
    computed = network.digest() if isinstance(network, NetworkSpec) else network.model_dump_json()
    return computed, recipe.model_dump_json(exclude={"network", "name"})

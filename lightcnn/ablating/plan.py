"""What an ablation will train: the recipe as it is, every change of it that says something, and how often. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from lightcnn.ablating.variants import UNCHANGED, LeftOut, Variant, variants
from lightcnn.document import Frozen
from lightcnn.errors import DocumentError, InputError, RunError
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import NetworkSpec
from lightcnn.text import nearest
from lightcnn.training.recipe_argument import changed_recipe

FILE = "ablation.json"
"""Where a plan stands in the run folder."""
FOLDER = "changes"
"""Holds a run folder of every change and of the unchanged recipe."""


class Trial(Frozen):
    """A recipe to train, and what is changed in it."""

    name: str
    about: str
    recipe: Recipe


class SkippedChange(Frozen):
    """A change that is not made, and why."""

    change: str
    reason: str


class AblationPlan(Frozen):
    """The trainings of an ablation; the first is the unchanged recipe."""

    over: tuple[str, ...]
    trials: Annotated[tuple[Trial, ...], Field(min_length=2)]
    left_out: tuple[SkippedChange, ...]
    folds: Annotated[int, Field(ge=0, description="0: a plain split")]
    seeds: Annotated[int, Field(ge=1)]

    @property
    def trainings(self) -> int:
        """Of each recipe."""
        return self.seeds * max(1, self.folds)


def make_plan(
    recipe: Recipe, over: Sequence[str], *, only: Sequence[str] = (), folds: int = 0, seeds: int = 1
) -> AblationPlan:
    """The changes of `over`, or of these only the named ones, each held against the recipe and against each other.

    Raises: InputError, DocumentError.
    """
    found = _named(recipe, over)
    for name in only:
        if name not in found:
            raise InputError(f"--only {name}: no such change{nearest(name, found)}; there are: "
                             f"{', '.join(found)}")  # fmt: skip
    trials = [Trial(name=UNCHANGED, about="the recipe as it is", recipe=recipe)]
    left_out: list[SkippedChange] = []
    seen = {_key(recipe): UNCHANGED}
    for name, variant in found.items():
        if only and name not in only:
            continue
        if isinstance(variant, LeftOut):
            left_out.append(SkippedChange(change=name, reason=variant.reason))
            continue
        made = _made(recipe, variant)
        same = seen.setdefault(_key(made), name)
        if same != name:
            what = "the recipe as it is" if same == UNCHANGED else f"the same as {same}"
            left_out.append(SkippedChange(change=name, reason=what))
        else:
            trials.append(Trial(name=name, about=variant.about, recipe=made))
    _require_change(over, trials, left_out)
    return AblationPlan(over=tuple(over), trials=tuple(trials), left_out=tuple(left_out), folds=folds, seeds=seeds)


def reduced(plan: AblationPlan, skipped: Sequence[SkippedChange]) -> AblationPlan:
    """The plan without these changes. Raises: InputError where none remains."""
    names = {skip.change for skip in skipped}
    trials, left_out = [trial for trial in plan.trials if trial.name not in names], [*plan.left_out, *skipped]
    _require_change(plan.over, trials, left_out)
    return plan.model_copy(update={"trials": tuple(trials), "left_out": tuple(left_out)})


def load_plan(run: RunFolder) -> AblationPlan:
    """The plan of a run folder. Raises: RunError where there is none or it cannot be read."""
    try:
        return AblationPlan.model_validate_json((run / FILE).read_bytes())
    except FileNotFoundError:
        raise RunError(f"run {run.path}: not an ablation; --resume goes on with what `lightcnn ablate` began") from None
    except (OSError, ValidationError):
        raise RunError(f"run {run.path}: {FILE} is damaged; begin anew with a fresh --out") from None


def _named(recipe: Recipe, over: Sequence[str]) -> dict[str, Variant | LeftOut]:
    """All changes by name. Raises: InputError where two have one name."""
    if not over:
        raise InputError("--over is missing; give architecture, hyperparameters, augmentation, baselines or a FILE")
    found: dict[str, Variant | LeftOut] = {}
    for kind in dict.fromkeys(over):
        for variant in variants(recipe, kind):
            name = variant.name if isinstance(variant, Variant) else variant.change
            if name.lower() in {UNCHANGED, *map(str.lower, found)}:
                raise InputError(f"--over {kind}: change {name!r} has a name that is taken; give it another")
            found[name] = variant
    return found


def _require_change(over: Sequence[str], trials: Sequence[Trial], left_out: Sequence[SkippedChange]) -> None:
    """Raises: InputError where nothing but the unchanged recipe is left."""
    if len(trials) == 1:
        reasons = "; ".join(f"{skipped.change}: {skipped.reason}" for skipped in left_out)
        raise InputError(f"--over {','.join(over)}: nothing to change ({reasons})")


def _made(recipe: Recipe, variant: Variant) -> Recipe:
    """The changed recipe. Raises: DocumentError, whose problems name the change."""
    try:
        return changed_recipe(recipe, variant.changes, f"change {variant.name}")
    except DocumentError:
        raise
    except InputError as error:
        raise InputError(f"change {variant.name}: {error}") from None


def _key(recipe: Recipe) -> tuple[Any, str]:
    """Equal for recipes that train the same network in the same way."""
    network = recipe.network
    computed = network.digest() if isinstance(network, NetworkSpec) else network.model_dump_json()
    return computed, recipe.model_dump_json(exclude={"network", "name"})

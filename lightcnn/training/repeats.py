"""`lightcnn train --folds K --seeds S`: one recipe over folds and seeds. Every part is a run of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightcnn import document
from lightcnn.data.dataset import Dataset
from lightcnn.errors import InputError, RunError
from lightcnn.recipe import SEEDS, Reading, Recipe
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.training import session
from lightcnn.training.progress import TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft
from lightcnn.training.report.pooled import pooled_data, write_pooled
from lightcnn.training.session import require_same_recipe, train_one
from lightcnn.training.setup import TrainingSetup, prepare, stand_in_warning

FILE = "repeats.json"
"""How many folds and seeds a run folder was begun with."""


@dataclass(frozen=True)
class Part:
    """One training of several. `fold` is 0 where there are none."""

    seed: int
    fold: int
    reading: Reading

    @property
    def name(self) -> str:
        """Its folder's."""
        return f"seed-{self.seed}" + (f"-fold-{self.fold}" if self.fold else "")


@dataclass(frozen=True)
class Repeats:
    """So many folds (0: the split as it is) with each of so many seeds, the recipe's first.

    With folds every seed cuts its own; without, all seeds share the split of the first.
    """

    folds: int = 0
    seeds: int = 1

    def __str__(self) -> str:
        return f"--folds {self.folds} --seeds {self.seeds}"

    def __post_init__(self) -> None:
        if self.folds == 1 or self.folds < 0:
            raise InputError(f"--folds {self.folds}: a fold is tested by a network that learned from others; give 2 up")
        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: give one or more")

    def parts(self, recipe: Recipe) -> list[Part]:
        """In the order in which they are trained. Raises: InputError where there are not so many seeds."""
        if recipe.seed + self.seeds > SEEDS:
            raise InputError(
                f"--seeds {self.seeds}: from {recipe.seed} on there are fewer; the last seed is {SEEDS - 1}"
            )
        return list(self._parts(recipe))

    def _parts(self, recipe: Recipe) -> Iterator[Part]:
        own = recipe.reading.split_seed
        for seed in range(recipe.seed, recipe.seed + self.seeds):
            for fold in range(1, self.folds + 1):
                held = {
                    "folds": self.folds,
                    "fold": fold,
                    "split_seed": None if own is None else own + seed - recipe.seed,
                }
                yield Part(seed, fold, recipe.reading.model_copy(update=held))
            if not self.folds:
                held = {"split_seed": recipe.seed if own is None else own}
                yield Part(seed, recipe.reading.fold, recipe.reading.model_copy(update=held))


def train_all(
    given: RecipeDraft,
    repeats: Repeats,
    path: Path,
    held: RunFolder | None = None,
    *,
    device: str = "auto",
    progress: TrainingProgress | None = None,
    read: tuple[str, Dataset] | None = None,
) -> RunFolder:
    """Trains every part that is not finished, into a fresh folder or one that is `held`. Raises: as `job.train`."""
    progress = progress or TrainingProgress()
    if held is not None and load_repeats(held) != repeats:
        raise RunError(f"--resume: {path} was not begun with {repeats}; leave --folds and --seeds out")
    benches = prepare_parts(given, repeats, device, progress, read)
    recipe = full_recipe(given.recipe, benches)
    data = pooled_data([bench.pipeline for _, bench in benches])
    if held is not None:
        require_same_recipe(held, recipe, data)
    text = document.dump(recipe, stand_in_warning(data), exclude_defaults=False)
    counts = {"folds": repeats.folds, "seeds": repeats.seeds}
    files = {"recipe.yaml": text.encode(), "data.json": json_bytes(data), FILE: json_bytes(counts)}
    run = held or RunFolder.create(path, "train", files)
    with run.locked():
        (run / "report.json").unlink(missing_ok=True)
        for number, (part, bench) in enumerate(benches, start=1):
            path = run / "parts" / part.name
            begun = RunFolder.load(path) if path.exists() else None
            if begun is not None and (path / "report.json").is_file():
                require_same_recipe(begun, bench.recipe, bench.pipeline.document())
            else:
                progress.part(number, len(benches), part.name)
                train_one(bench, path, begun, progress=progress)
            shutil.rmtree(path / "checkpoints", ignore_errors=True)  # what is finished needs none
        progress.finishing()
        parts = [(part.seed, part.fold, RunFolder(run / "parts" / part.name)) for part, _ in benches]
        write_pooled(run, recipe, data, parts, repeats.folds)
    return run


def prepare_parts(
    given: RecipeDraft,
    repeats: Repeats,
    device: str,
    progress: TrainingProgress | None = None,
    read: tuple[str, Dataset] | None = None,
) -> list[tuple[Part, TrainingSetup]]:
    """Every part and its bench: whatever a split refuses is refused before any work. Raises: InputError."""
    _require_no_teacher(given, repeats)
    first, *others = repeats.parts(given.recipe)
    bench = prepare(replace(given, recipe=_recipe(given.recipe, first)), device, progress, read=read)
    return [(first, bench), *((part, bench.repeated(part.seed, part.reading)) for part in others)]


def full_recipe(given: Recipe, benches: list[tuple[Part, TrainingSetup]]) -> Recipe:
    """The recipe with every value, as it is without folds."""
    return benches[0][1].recipe.model_copy(update={"seed": given.seed, "reading": given.reading})


def estimate(
    given: RecipeDraft, repeats: Repeats, device: str, progress: TrainingProgress | None = None
) -> dict[str, Any]:
    """The `--dry-run` document: that of the first part, with the recipe, sizes and time of them all."""
    benches = prepare_parts(given, repeats, device, progress)
    plan, recipe = session.estimate(benches[0][1]), full_recipe(given.recipe, benches)
    seconds = round(plan["estimate"]["seconds"] * len(benches), 3)
    return plan | {
        "folds": repeats.folds,
        "seeds": repeats.seeds,
        "seed": recipe.seed,
        "data": pooled_data([bench.pipeline for _, bench in benches]),
        "estimate": plan["estimate"] | {"seconds": seconds},
        "recipe": recipe.model_dump(mode="json"),
    }


def load_repeats(run: RunFolder) -> Repeats | None:
    """The folds and seeds of a run folder; None where it holds one training. Raises: RunError."""
    if not (run / FILE).is_file():
        return None
    try:
        held = json.loads((run / FILE).read_bytes())
        return Repeats(int(held["folds"]), int(held["seeds"]))
    except (OSError, ValueError, TypeError, KeyError, InputError):
        raise RunError(f"run {run.path}: {FILE} is damaged; begin anew with a fresh --out") from None


def _recipe(recipe: Recipe, part: Part) -> Recipe:
    return recipe.model_copy(update={"seed": part.seed, "reading": part.reading})


def _require_no_teacher(given: RecipeDraft, repeats: Repeats) -> None:
    """Raises: InputError where a teacher has learned from what the folds are tested on."""
    if repeats.folds and given.recipe.distill:
        raise InputError(
            f"--folds: distill.teacher {given.recipe.distill.teacher} has learned from images on the test sides "
            "of these folds; leave --folds or distill out"
        )

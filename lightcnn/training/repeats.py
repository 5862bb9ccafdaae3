"""`lightcnn train --folds K --seeds S`: one recipe over folds and seeds. Each part is a run of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightcnn.data.dataset import Dataset
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.errors import InputError, RunError
from lightcnn.recipe import SEED_LIMIT, Reading, Recipe
from lightcnn.run_files import earlier_values
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.training import session
from lightcnn.training.progress import SILENT, TrainingProgress
from lightcnn.training.recipe_argument import RecipeDraft
from lightcnn.training.report.pooled import pooled_data, write_pooled
from lightcnn.training.resume import require_same_recipe
from lightcnn.training.session import train_one
from lightcnn.training.settings import TrainSettings
from lightcnn.training.setup import TrainingSetup, first_files, prepare

REPEATS_FILE = "repeats.json"
"""The number of folds and seeds that a run folder was started with."""


@dataclass(frozen=True)
class Part:
    """One of several trainings. `fold` is 0 without folds."""

    seed: int
    fold: int
    reading: Reading

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"seed-{self.seed}" + (f"-fold-{self.fold}" if self.fold else "")


@dataclass(frozen=True)
class Repeats:
    """A number of folds (0: the split of the recipe) and a number of seeds, starting at the recipe's seed.

    With folds each seed makes its own folds; without, all seeds share the split of the first seed.
    """

    folds: int = 0
    seeds: int = 1

    def __str__(self) -> str:
        return f"--folds {self.folds} --seeds {self.seeds}"

    def __post_init__(self) -> None:
        if self.folds == 1 or self.folds < 0:
            raise InputError(f"--folds {self.folds}: at least 2 folds are needed, one to test and others to train on")
        if self.seeds < 1:
            raise InputError(f"--seeds {self.seeds}: at least 1 seed is needed")

    def parts(self, recipe: Recipe) -> list[Part]:
        """All parts in the order of training. Raises: InputError if there are not enough seeds."""
        if recipe.seed + self.seeds > SEED_LIMIT:
            raise InputError(
                f"--seeds {self.seeds}: too many from seed {recipe.seed} on; the last seed is {SEED_LIMIT - 1}"
            )
        return list(self._parts(recipe))

    def _parts(self, recipe: Recipe) -> Iterator[Part]:
        split_seed = recipe.reading.split_seed
        for seed in range(recipe.seed, recipe.seed + self.seeds):
            for fold in range(1, self.folds + 1):
                update = {
                    "folds": self.folds,
                    "fold": fold,
                    "split_seed": None if split_seed is None else split_seed + seed - recipe.seed,
                }
                yield Part(seed, fold, recipe.reading.model_copy(update=update))
            if not self.folds:
                update = {"split_seed": recipe.seed if split_seed is None else split_seed}
                yield Part(seed, recipe.reading.fold, recipe.reading.model_copy(update=update))


def train_all(
    draft: RecipeDraft,
    repeats: Repeats,
    path: Path,
    resumed: RunFolder | None = None,
    *,
    device: str = "auto",
    progress: TrainingProgress = SILENT,
    read: tuple[str, Dataset] | None = None,
    settings: TrainSettings | None = None,
) -> RunFolder:
    """Trains every part that is not finished, into the new folder `path` or in the run `resumed`.

    `read`: the source and its data set, if they have been read. `settings` are written into a new folder.

    Raises: InputError before any work is done; TrainingError if the loss diverged or memory or disk space ran out.
    """
    _require_same_repeats(repeats, resumed)
    setups = prepare_parts(draft, repeats, device, progress, read)
    recipe = full_recipe(draft.recipe, setups)
    data = pooled_data([setup.pipeline for _, setup in setups])
    if resumed is not None:
        require_same_recipe(resumed, recipe, data)
    counts = {"folds": repeats.folds, "seeds": repeats.seeds}
    files = first_files(recipe, data, settings) | {REPEATS_FILE: json_bytes(counts)}
    run = resumed or RunFolder.create(path, "train", files)
    with run.locked():
        run.remove("report.json")
        progress.several(run, recipe)
        for number, (part, setup) in enumerate(setups, start=1):
            _train_part(run, part, setup, (number, len(setups)), progress)
        progress.finishing()
        parts = [(part.seed, part.fold, RunFolder(run / f"parts/{part.name}")) for part, _ in setups]
        with earlier_values(run.path, "report.json of a finished part") if resumed else nullcontext():
            write_pooled(run, recipe, data, parts, repeats.folds)
        progress.reported(run)
    return run


def _train_part(
    run: RunFolder, part: Part, setup: TrainingSetup, number: tuple[int, int], progress: TrainingProgress
) -> None:
    """Trains a part unless it is finished. `number`: its number from 1, and the number of parts."""
    path = run / f"parts/{part.name}"
    resumed = RunFolder.load(path) if path.exists() else None
    if resumed is not None and (resumed / "report.json").is_file():
        require_same_recipe(resumed, setup.recipe, setup.pipeline.document())
    else:
        progress.part(*number, part.name)
        train_one(setup, path, resumed, progress=progress)
    Checkpoints(RunFolder(path) / "checkpoints").remove()  # a finished part does not need them


def prepare_parts(
    draft: RecipeDraft,
    repeats: Repeats,
    device: str,
    progress: TrainingProgress | None = None,
    read: tuple[str, Dataset] | None = None,
) -> list[tuple[Part, TrainingSetup]]:
    """Every part and its setup: all splits are checked before any work is done. Raises: InputError."""
    _require_no_teacher(draft, repeats)
    first, *others = repeats.parts(draft.recipe)
    setup = prepare(replace(draft, recipe=_part_recipe(draft.recipe, first)), device, progress or SILENT, read=read)
    return [(first, setup), *((part, setup.repeated(part.seed, part.reading)) for part in others)]


def full_recipe(recipe: Recipe, setups: list[tuple[Part, TrainingSetup]]) -> Recipe:
    """The complete recipe with the seed and split of `recipe`, as it was before it was repeated."""
    full = setups[0][1].recipe
    reading = recipe.reading.model_copy(update={"positive": full.reading.positive})
    return full.model_copy(update={"seed": recipe.seed, "reading": reading})


def estimate(
    draft: RecipeDraft,
    repeats: Repeats,
    device: str,
    progress: TrainingProgress = SILENT,
    resumed: RunFolder | None = None,
) -> dict[str, Any]:
    """The document of `--dry-run`: that of the first part, with recipe, data and time of all parts.

    Raises: InputError, as `train_all`.
    """
    _require_same_repeats(repeats, resumed)
    setups = prepare_parts(draft, repeats, device, progress)
    recipe, data = full_recipe(draft.recipe, setups), pooled_data([setup.pipeline for _, setup in setups])
    if resumed is not None:
        require_same_recipe(resumed, recipe, data)
    plan = session.estimate(setups[0][1])
    seconds = round(plan["estimate"]["seconds"] * len(setups), 3)
    return plan | {
        "folds": repeats.folds,
        "seeds": repeats.seeds,
        "seed": recipe.seed,
        "data": data,
        "estimate": plan["estimate"] | {"seconds": seconds},
        "recipe": recipe.model_dump(mode="json"),
    }


def load_repeats(run: RunFolder) -> Repeats | None:
    """The folds and seeds of a run folder; None for one training. Raises: RunError."""
    if not (run / REPEATS_FILE).is_file():
        return None
    counts = run.read_json(REPEATS_FILE)
    try:
        return Repeats(int(counts["folds"]), int(counts["seeds"]))
    except (ValueError, TypeError, KeyError, OverflowError, InputError):
        raise RunError(f"run {run.path}: {REPEATS_FILE} is damaged; start again with a new --out") from None


def _require_same_repeats(repeats: Repeats, resumed: RunFolder | None) -> None:
    """Raises: RunError if a run was started with other folds or seeds."""
    if resumed is not None and load_repeats(resumed) != repeats:
        raise RunError(f"--resume: {resumed.path} was not started with {repeats}; leave --folds and --seeds out")


def _part_recipe(recipe: Recipe, part: Part) -> Recipe:
    return recipe.model_copy(update={"seed": part.seed, "reading": part.reading})


def _require_no_teacher(draft: RecipeDraft, repeats: Repeats) -> None:
    """Raises: InputError if a teacher was trained on images that the folds are tested on."""
    if repeats.folds and draft.recipe.distill:
        raise InputError(
            f"--folds: distill.teacher {draft.recipe.distill.teacher} was trained on images of the test sets of these "
            "folds; leave --folds out, or train without it by --set distill=null"
        )

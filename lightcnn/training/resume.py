"""Whether a run folder may be resumed: it must have been started with the same recipe and the same data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn import document
from lightcnn.errors import RunError
from lightcnn.module_spec import ModuleSpec
from lightcnn.recipe import RECIPE_FILE, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.recipe_argument import differences
from lightcnn.training.settings import MARKER_FILE

MAX_LISTED = 3
"""Differences between recipes that an error lists."""


def require_same_recipe(run: RunFolder, recipe: Recipe, data: Mapping[str, Any]) -> None:
    """Raises: RunError if a run was started with another recipe or other data; `data` is that of report.json."""
    if not (run / MARKER_FILE).is_file():
        raise RunError(f"run {run.path}: not a training; --resume continues a run of `lightcnn train`")
    started = document.load(Recipe, run / RECIPE_FILE)
    # Runs of earlier versions have no positive class: the order of their classes is in the fingerprint.
    if started.reading.positive is None:
        reading = started.reading.model_copy(update={"positive": recipe.reading.positive})
        started = started.model_copy(update={"reading": reading})
    if isinstance(started.network, ModuleSpec) and not isinstance(recipe.network, ModuleSpec):
        name = started.network.module
        raise RunError(f"--resume: {run.path} was started with the module {name}; give it again with network={name}()")
    other = differences(started, recipe)
    if other:
        more = f" and {len(other) - MAX_LISTED} more" if len(other) > MAX_LISTED else ""
        raise RunError(
            f"--resume: {run.path} was started with another recipe ({'; '.join(other[:MAX_LISTED])}{more}); leave "
            "RECIPE and the options out, or choose a new --out"
        )
    earlier = run.read_json(MARKER_FILE)
    if earlier.get("fingerprint") != data["fingerprint"]:
        changes = [f"{name} {earlier.get(name)} in the run, {data[name]} now" for name in ("counts", "classes")
                   if earlier.get(name) != data[name]]  # fmt: skip
        raise RunError(
            f"--resume: the data of {run.path} have changed since it was started (fingerprint "
            f"{str(earlier.get('fingerprint'))[:12]} in the run, {data['fingerprint'][:12]} now"
            f"{''.join(f'; {change}' for change in changes)}); restore the data, or choose a new --out"
        )

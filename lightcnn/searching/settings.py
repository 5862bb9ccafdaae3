"""What a search was asked to do: kept in its run folder, so that resuming needs nothing but the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from lightcnn import document
from lightcnn.errors import RunError
from lightcnn.recipe import Augment, Seed
from lightcnn.run import Run
from lightcnn.space import SearchSpace
from lightcnn.spec import Frozen


class SearchSettings(Frozen):
    """The resolved input of `lightcnn search`; `trials`, `seconds`: stop at whichever comes first."""

    budget: str
    data: str
    space: SearchSpace
    strategy: Literal["evolution", "tpe", "random"] = "evolution"
    trials: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    seconds: Annotated[float | None, Field(gt=0)] = None
    epochs: Annotated[int | None, Field(ge=1, le=100_000, description="of the final training")] = None
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    augment: Augment | None = None


class PlanSettings(Frozen):
    """What the first session decided from its data and its machine's speed; later sessions keep to it."""

    fingerprint: str
    images: Annotated[int, Field(ge=1)]
    epochs: tuple[int, ...]
    keep: int
    final_epochs: int
    search_seconds: float | None = None
    spent: Annotated[float, Field(ge=0, description="seconds before the first trial")]


def load_settings(folder: str | Path) -> SearchSettings:
    """The settings of a search's run folder. Raises: RunError where it holds none."""
    run = Run.load(folder)
    if not (run / "search.yaml").is_file():
        raise RunError(f"run {folder}: not a search; --resume goes on with searches only")
    return document.load(SearchSettings, run / "search.yaml")

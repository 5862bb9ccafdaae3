"""What a search was asked to do: kept in its run folder, so that resuming needs nothing but the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from lightcnn import document
from lightcnn.document import Frozen
from lightcnn.errors import InputError, RunError
from lightcnn.recipe import Augmentation, Reading, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.space import SearchSpace


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
    augment: Augmentation | None = None
    reading: Reading = Reading()


class PlanSettings(Frozen):
    """What the first session decided from its data and its machine's speed; later sessions keep to it."""

    fingerprint: str
    images: Annotated[int, Field(ge=1)]
    epochs: tuple[int, ...]
    keep: int
    final_epochs: int
    final_seconds: float | None = None
    spent: Annotated[float, Field(ge=0, description="seconds before the first trial")]


def make_settings(**values: Any) -> SearchSettings:
    """Settings from plain values. Raises: InputError with one line where one of them is out of range."""
    try:
        return SearchSettings(**values)
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        rule = detail["msg"][0].lower() + detail["msg"][1:]
        raise InputError(f"search: {detail['loc'][0]}: {rule}, not {detail['input']!r}") from None


def load_settings(folder: str | Path) -> SearchSettings:
    """The settings of a search's run folder. Raises: RunError where it holds none."""
    run = RunFolder.load(folder)
    if not (run / "search.yaml").is_file():
        raise RunError(f"run {folder}: not a search; --resume goes on with searches only")
    return document.load(SearchSettings, run / "search.yaml")

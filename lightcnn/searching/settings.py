"""The settings of a search, kept in its run folder, so that the folder is all that resuming needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lightcnn import document
from lightcnn.devices import MAX_WORKERS, DeviceName
from lightcnn.document import Frozen
from lightcnn.recipe import Augmentation, Reading, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.deployment.names import DeployName
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.space import SearchSpace

DEFAULT_SECONDS = 120.0
"""The time limit of a search with neither a time limit nor a number of trials."""
SETTINGS_FILE = "search.yaml"


class SearchSettings(Frozen):
    """The resolved input of `lightcnn search`. It stops at `trials` trials or after `seconds`, whichever is first."""

    budget: str
    data: str
    space: SearchSpace
    choose_space: Annotated[bool, Field(description="whether the space was chosen by budget and images")] = False
    input: Annotated[int | None, Field(ge=1, le=4_096, description="input size of all networks, in pixels")] = None
    strategy: StrategyName = "surrogate"
    metric: MetricName = "accuracy"
    trials: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    seconds: Annotated[float | None, Field(gt=0)] = None
    epochs: Annotated[int | None, Field(ge=1, le=100_000, description="maximum epochs of the final training")] = None
    finalists: Annotated[int | None, Field(ge=1, le=64, description="networks that are trained to the end")] = None
    workers: Annotated[int | None, Field(ge=1, le=MAX_WORKERS, description="processes that train")] = None
    seeds: Annotated[int | None, Field(ge=1, le=100, description="trainings of the delivered network")] = None
    seed: Seed = 0
    device: DeviceName = "auto"
    deploy: Annotated[DeployName | None, Field(description="format in 8 bits that finalists are compared in")] = None
    augment: Augmentation | None = None
    reading: Reading = Reading()

    def yaml(self) -> bytes:
        """search.yaml."""
        return document.dump(self, exclude_defaults=False).encode()


def make_settings(values: Mapping[str, Any]) -> SearchSettings:
    """Settings from plain values by name. Raises: InputError, in one line, if a value is out of range."""
    return document.make(SearchSettings, values, "search")


def load_settings(folder: str | Path | None) -> SearchSettings:
    """The settings of the search in a run folder. Raises: RunError if the folder holds no search."""
    run = RunFolder.resumed(folder, resume=True, command="search", settings=SETTINGS_FILE)
    assert run is not None
    return document.load(SearchSettings, run / SETTINGS_FILE)

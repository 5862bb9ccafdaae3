"""The settings of a search, kept in its run folder, so that the folder is all that resuming needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.devices import MAX_WORKERS, DeviceName
from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.recipe import Augmentation, Reading, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.deployment.names import DeployName
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.space import SearchSpace

DEFAULT_SECONDS = 120.0
"""The time limit of a search with neither a time limit nor a number of trials."""
SETTINGS_FILE = "search.yaml"
CONTINUING = frozenset(("trials", "seconds", "epochs", "finalists", "seeds"))
"""Settings that make a finished search continue."""
CHANGEABLE = (*sorted(CONTINUING), "workers", "device")
"""Settings that may change when a search is resumed."""


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


def given_options(values: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """The arguments of `lightcnn.search` that are not at their default, by the names of options of the command."""
    defaults = {name: field.default for name, field in (SearchSettings.model_fields | Reading.model_fields).items()}
    defaults |= {"budget": None, "space": "auto", "data": "digits"}
    return {name: value for name, value in (dict(values) | dict(reading)).items() if value != defaults[name]}


def new_settings(options: Mapping[str, Any]) -> SearchSettings:
    """The settings of a new search from options by name. Raises: InputError."""
    if "budget" not in options:
        raise InputError("search: budget is missing; state what the network may cost, as in search('1MFLOPs')")
    reading = Reading(**{name: value for name, value in options.items() if name in Reading.model_fields})
    values = {name: value for name, value in options.items() if name not in Reading.model_fields}
    is_auto = "space" not in options
    values |= {"space": SearchSpace.load(options.get("space", "micro")), "choose_space": is_auto, "reading": reading}
    if not options.keys() & {"trials", "seconds"}:
        values["seconds"] = DEFAULT_SECONDS
    return make_settings({"data": "digits"} | values)


def load_settings(folder: str | Path | None) -> SearchSettings:
    """The settings of the search in a run folder. Raises: RunError if the folder holds no search."""
    run = RunFolder.resumed(folder, resume=True, command="search", settings=SETTINGS_FILE)
    assert run is not None
    return document.load(SearchSettings, run / SETTINGS_FILE)


def resumed_settings(out: str | Path | None, options: Mapping[str, Any]) -> SearchSettings:
    """The settings in a run folder, with the options that may change. Raises: InputError if another option differs."""
    stored = load_settings(out)
    changes = {name: options[name] for name in CHANGEABLE if name in options}
    for name, value in options.items():
        if name not in changes:
            _require_same(name, value, stored, out)
    if changes.keys() & {"trials", "seconds"}:
        changes = {"trials": None, "seconds": None} | changes
    return make_settings(dict(stored) | changes)


def _require_same(name: str, value: Any, stored: SearchSettings, out: str | Path | None) -> None:
    """Raises: InputError if an option differs from the stored settings."""
    before = getattr(stored.reading if name in Reading.model_fields else stored, name)
    if name == "budget":
        same = Budget.parse(value) == Budget.parse(before)
    elif name == "space" and value == "auto":
        same, before = stored.choose_space, before.name
    elif name == "space":
        given = SearchSpace.load(value)
        same = before == (given.with_input(stored.input) if stored.input else given)
        before = before.name
    else:
        same = value == before
    if not same:
        raise InputError(
            f"--resume: {out} was started with {name} {before!r}, not {value!r}; "
            f"omit --{name.replace('_', '-')}, or choose a new --out"
        )

"""The settings of a search, kept in its run folder, so that the folder is all that resuming needs."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from lightcnn import document, overrides
from lightcnn.budget import Budget
from lightcnn.cost_range import cost_range
from lightcnn.devices import MAX_WORKERS, DeviceName
from lightcnn.document import Frozen
from lightcnn.errors import InputError
from lightcnn.overrides import Override, split_path
from lightcnn.recipe import Augment, Augmentation, Distillation, Optimisation, Reading, Seed
from lightcnn.run_folder import RunFolder
from lightcnn.searching.deployment.names import DeployName
from lightcnn.searching.metric_names import METRICS, MetricName
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.space import SearchSpace

DEFAULT_SECONDS = 120.0
"""The time limit of a search with neither a time limit nor a number of trials."""
CONTINUED_FILE = "continued.txt"
"""In the folder of a finished search while it is continued: its earlier result remains until there is a new one."""
SETTINGS_FILE = "search.yaml"
CONTINUING = frozenset(("trials", "seconds", "epochs", "finalists", "seeds"))
"""Settings that make a finished search continue."""
CHANGEABLE = (*sorted(CONTINUING), "workers", "device")
"""Settings that may change when a search is resumed."""
SETTABLE = (
    "batch", "optimizer", "momentum", "learning_rate", "weight_decay", "clip_norm", "mixed_precision", "loss",
    "focal_gamma", "label_smoothing", "class_weights", "monitor",
)  # fmt: skip
"""Values of training that `--set` may change. The others follow from how a search pauses and continues trainings."""

SETTABLE_DISTILLATION = ("alpha", "temperature")
"""The same of the distillation from a teacher."""


class TrainingValues(Frozen):
    """The parts of a recipe that the user of a search may set."""

    training: Optimisation
    augment: Augmentation
    distill: Distillation | None = None

    def taught_by(self, teacher: str) -> TrainingValues:
        """The same with another teacher, if there is one."""
        if self.distill is None:
            return self
        return self.model_copy(update={"distill": self.distill.model_copy(update={"teacher": teacher})})


class SearchSettings(Frozen):
    """The resolved input of `lightcnn search`. It stops at `trials` trials or after `seconds`, whichever is first."""

    budget: str
    pareto: Annotated[bool, Field(description="whether a Pareto front over the budget's range is searched for")] = False
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
    teacher: Annotated[
        str | None, Field(min_length=1, description="what all networks learn from: a run, or timm:NAME")
    ] = None
    augment: Augmentation | None = None
    reading: Reading = Reading()
    set: Annotated[
        dict[str, JsonValue],
        Field(default_factory=dict, description="values of training, augment and distill, by their paths"),
    ]

    @property
    def split_seed(self) -> int:
        """The seed of a new split of the data."""
        return self.seed if self.reading.split_seed is None else self.reading.split_seed

    def yaml(self) -> bytes:
        """search.yaml."""
        return document.dump(self, exclude_defaults=False).encode()

    def training_values(self, training: Optimisation, augment: Augment) -> TrainingValues:
        """The settings of a training, the augmentation and the teacher, with what the user set.

        Raises: DocumentError.
        """
        distill = Distillation(teacher=self.teacher) if self.teacher else None
        default = TrainingValues(training=training, augment=self.augment or augment, distill=distill)
        if not self.set:
            return default
        changes = [Override(f"--set {path}", split_path(path), value) for path, value in self.set.items()]
        return overrides.validate(TrainingValues, default.model_dump(mode="json"), "search", changes)

    def training(self, training: Optimisation) -> Optimisation:
        """The settings of a training with what the user set. Raises: DocumentError."""
        return self.training_values(training, Augment()).training


def make_settings(values: Mapping[str, Any]) -> SearchSettings:
    """Settings from plain values by name.

    Raises: InputError, in one line, if a value is out of range; BudgetError for a front over a budget without a range.
    """
    settings = document.make(SearchSettings, _with_monitor(values), "search")
    for path in settings.set:
        _require_settable(path, settings.teacher)
    settings.training(Optimisation())
    if settings.pareto:
        cost_range(Budget.parse(settings.budget))
    return settings


def _with_monitor(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values with the metric that `training.monitor` names. Raises: InputError if `--metric` is another one."""
    changes = values.get("set")
    monitor = changes.get("training.monitor") if isinstance(changes, Mapping) else None
    metric = "log_loss" if monitor == "loss" else monitor
    if metric not in METRICS:
        return values
    if values.get("metric", metric) != metric:
        raise InputError(
            f"--set training.monitor: {monitor}, but --metric is {values['metric']}; networks are compared by one "
            "metric: omit one of the two"
        )
    return {**values, "metric": metric}


def _require_settable(path: str, teacher: str | None) -> None:
    """Raises: InputError if a search decides the value of this path."""
    part, _, name = path.partition(".")
    first = name.partition(".")[0]
    if part not in ("training", "augment", "distill"):
        raise InputError(f"--set {path}: a search takes values of training, augment and distill only")
    if part == "distill" and (teacher is None or first not in SETTABLE_DISTILLATION):
        known = " and ".join(f"distill.{name}" for name in SETTABLE_DISTILLATION)
        raise InputError(f"--set {path}: a search takes {known}, and only with a teacher; name it with --teacher RUN")
    if path == "training.epochs":
        raise InputError("--set training.epochs: the epochs of the final training are --epochs")
    if part == "training" and first not in SETTABLE and (first in Optimisation.model_fields or not first):
        rule = f"a search trains in parts and decides it; values of training that it takes: {', '.join(SETTABLE)}"
        raise InputError(f"--set {path}: {rule}")


def given_options(values: Mapping[str, Any], reading: Reading) -> dict[str, Any]:
    """The arguments of `lightcnn.search` that are not at their default, by the names of options of the command.

    The metric has none: it follows from `training.monitor`, too, which must not differ from a metric that is given.
    Raises: InputError if `reading` is something else.
    """
    if not isinstance(reading, Reading):
        raise InputError(f"reading: must be a lightcnn.Reading, not {reading!r}")
    defaults = {name: field.default for name, field in (SearchSettings.model_fields | Reading.model_fields).items()}
    defaults |= {"budget": None, "space": "auto", "data": "digits", "metric": None, "set": {}}
    return {name: value for name, value in (dict(values) | dict(reading)).items() if value != defaults[name]}


def reading_of(options: Mapping[str, Any]) -> Reading:
    """How the data are read, from options by name. Raises: InputError."""
    return document.make(Reading, {name: options[name] for name in Reading.model_fields if name in options}, "search")


def new_settings(options: Mapping[str, Any]) -> SearchSettings:
    """The settings of a new search from options by name. Raises: InputError."""
    if "budget" not in options:
        raise InputError("search: budget is missing; state what the network may cost, as in search('1MFLOPs')")
    reading = reading_of(options)
    values = {name: value for name, value in options.items() if name not in Reading.model_fields}
    is_auto = "space" not in options
    space = options.get("space", "micro")
    space = space if isinstance(space, SearchSpace) else SearchSpace.load(space)
    values |= {"space": space, "choose_space": is_auto, "reading": reading}
    if not options.keys() & {"trials", "seconds"}:
        values["seconds"] = DEFAULT_SECONDS
    return make_settings({"data": "digits"} | values)


def load_settings(folder: str | Path | None) -> SearchSettings:
    """The settings of the search in a run folder. Raises: RunError if the folder holds no search."""
    run = RunFolder.resumed(folder, resume=True, command="search", settings=SETTINGS_FILE)
    assert run is not None
    return document.load(SearchSettings, run / SETTINGS_FILE)


def has_ended(folder: RunFolder) -> bool:
    """Whether the search in a folder has a result, and none of its sessions was interrupted since."""
    return (folder / "report.json").is_file() and not (folder / CONTINUED_FILE).is_file()


def resumed_settings(out: str | Path | None, options: Mapping[str, Any]) -> SearchSettings:
    """The settings in a run folder, with the options that may change. Raises: InputError if another option differs."""
    return changed_settings(load_settings(out), options, CHANGEABLE, f"--resume: {out}", "choose a new --out")


def lifted_limit(out: str | Path | None, settings: SearchSettings) -> str | None:
    """The option "--time" or "--trials" that limited the search in a folder and does not any more; None if none does.

    A session with one of these options has no limit by the other.
    """
    before = load_settings(out)
    limits = {"--time": (before.seconds, settings.seconds), "--trials": (before.trials, settings.trials)}
    return next((name for name, (old, new) in limits.items() if old is not None and new is None), None)


def changed_settings(
    stored: SearchSettings, options: Mapping[str, Any], changeable: Container[str], name: str, other: str
) -> SearchSettings:
    """The settings of an earlier search, which has that `name`, with the options that are `changeable`.

    `other` is how to start another search instead. Raises: InputError if another option differs.
    """
    changes = {option: value for option, value in options.items() if option in changeable}
    for option, value in options.items():
        if option not in changes:
            _require_same(option, value, stored, name, other)
    if changes.keys() & {"trials", "seconds"}:
        changes = {"trials": None, "seconds": None} | changes
    return make_settings(dict(stored) | changes)


def _require_same(option: str, value: Any, stored: SearchSettings, name: str, other: str) -> None:
    """Raises: InputError if an option differs from the stored settings."""
    before = getattr(stored.reading if option in Reading.model_fields else stored, option)
    if option == "budget":
        same = Budget.parse(value) == Budget.parse(before)
    elif option == "space" and value == "auto":
        same, before = stored.choose_space, before.name
    elif option == "space":
        given = value if isinstance(value, SearchSpace) else SearchSpace.load(value)
        same = before == (given.with_input(stored.input) if stored.input else given)
        before, value = before.name, value if isinstance(value, str) else given.name
    else:
        same = value == before
    if not same:
        raise InputError(
            f"{name} was started with {option} {before!r}, not {value!r}; omit --{option.replace('_', '-')}, or {other}"
        )

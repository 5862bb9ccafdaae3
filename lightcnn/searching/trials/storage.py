"""The Optuna study of a search: opened, protected, read back.

Everything that a search knows between two trials is in the study, so a killed search resumes as if it had never
stopped (docs/decisions/0005-one-study-on-disk.md).
"""

from __future__ import annotations

import json
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from lightcnn.errors import RunError, StudyError
from lightcnn.searching.trials.clock import Past
from lightcnn.searching.trials.place import CHECK_DISK, FREE_SPACE, StudyPlace
from lightcnn.text import first_line

DAMAGES = (
    sqlite3.DatabaseError, SQLAlchemyError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError,
    AssertionError, RuntimeError,
)  # fmt: skip
"""What SQLite, SQLAlchemy and Optuna raise for a file whose tables or values are not those of a study."""
EARLIER_FINGERPRINT = {"epochs", "images"}
"""Keys in the fingerprint of a study of the first format, whose rungs were epochs of a part of the images."""
MAX_STORED = 1e9
"""Largest number that is read from the attributes of a study."""
RungName = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,14}$")]


class TrialAttributes(BaseModel):
    """What a trial of lightcnn stores besides parameters and accuracies; a study on disk may hold anything instead.

    The keys of `utilities`, `values`, `seconds`, `reached` and `tasks` are the images of each rung, those of `off_rung`
    are other lengths.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    shape: dict[str, Any] = {}
    key: str = ""
    reason: str = ""
    utilities: dict[RungName, float] = {}
    values: dict[RungName, float] = {}
    off_rung: dict[RungName, float] = {}
    seconds: dict[RungName, Annotated[float, Field(ge=0)]] = {}
    tasks: dict[RungName, Annotated[int, Field(ge=0)]] = {}
    elapsed: Annotated[float, Field(ge=0)] = 0.0
    reached: dict[RungName, Annotated[float, Field(ge=0)]] = {}
    twin: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Outcome:
    """What is known about a trial. `state` is running, complete, pruned, duplicate or failed.

    `scores` maps the images of each rung to the validation accuracy there, `utilities` to the number by which networks
    are compared, `values` to the metric of the search if that is another one than accuracy (studies of earlier versions
    have none), `tasks` to the number of the task that trained it. `off_rung` are utilities at other lengths:
    halfway to the first rung, and after the parts of a final training that has a time limit.
    `seconds` were spent in its trainings; `elapsed` is the time of the whole search at its last score, `reached` that
    at each rung (studies of earlier versions have none).
    """

    number: int
    state: str
    reason: str
    key: str
    shape: Mapping[str, Any]
    scores: Mapping[int, float]
    seconds: float
    elapsed: float
    utilities: Mapping[int, float] = field(default_factory=dict)
    off_rung: Mapping[int, float] = field(default_factory=dict)
    tasks: Mapping[int, int] = field(default_factory=dict)
    values: Mapping[int, float] = field(default_factory=dict)
    reached: Mapping[int, float] = field(default_factory=dict)
    final: int = 0

    @property
    def images(self) -> int:
        """The images that its network has seen at its last rung; 0 if it was not trained."""
        return max(self.scores, default=0)

    @property
    def score(self) -> float | None:
        """Its accuracy there."""
        return self.scores[self.images] if self.scores else None

    @property
    def utility(self) -> float | None:
        """The number there by which it is compared with others."""
        return self.utilities[self.images] if self.scores else None

    @property
    def curve(self) -> Mapping[int, float]:
        """All its utilities by the images seen."""
        return {**self.off_rung, **self.utilities}

    @property
    def is_scored(self) -> bool:
        """Whether its network can be compared with others."""
        return bool(self.scores) and self.state in ("running", "complete", "pruned")

    @property
    def is_training(self) -> bool:
        """Whether its network is being trained to a rung."""
        return self.state == "running" and not self.tasks.keys() <= self.scores.keys()

    def seconds_to(self, images: int) -> float:
        """Seconds that its training is expected to need from its last rung to so many images."""
        return self.seconds / max(self.images, 1) * (images - self.images)

    def settled(self, longest: int) -> Outcome:
        """The same when the search has ended: complete at the longest rung or after a final training, else pruned."""
        if self.state != "running":
            return self
        if self.images >= longest or self.final > self.images:
            return replace(self, state="complete")
        return replace(self, state="pruned", reason=f"not continued after {self.images} images")

    def within_rungs(self) -> Outcome:
        """What its trainings to the rungs have shown, without its final training."""
        return replace(self, off_rung={n: value for n, value in self.off_rung.items() if n < self.images})

    def as_of(self, task: int) -> Outcome:
        """What was known when only the tasks with numbers up to `task` had ended."""
        known = [images for images, number in self.tasks.items() if number <= task and images in self.scores]
        failed = self.state == "failed" and max(self.tasks.values(), default=-1) <= task
        return replace(
            self,
            state="failed" if failed else "running" if self.state == "failed" else self.state,
            scores={images: self.scores[images] for images in known},
            utilities={images: self.utilities[images] for images in known},
            values={images: value for images, value in self.values.items() if images in known},
            off_rung=self.off_rung if known else {},
        )


@dataclass(frozen=True)
class TrialResult:
    """How a trial ends, as the study stores it: its state, the reason, and the value of a complete trial."""

    state: TrialState
    reason: str = ""
    value: float | None = None


def open_study(
    place: StudyPlace, sampler: BaseSampler, fingerprint: Mapping[str, Any]
) -> tuple[Study, list[FrozenTrial]]:
    """The study at `place`, which is created if it does not exist, and its trials, each of which is checked.

    They are read once: reading thousands from a database takes seconds. Raises: RunError if it is locked, damaged,
    cannot be reached, or is that of a search with another `fingerprint` or of an earlier version of lightcnn.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with without_warnings(), opening_errors(place), storage_errors(place, started=place.is_shared):
        study = optuna.create_study(
            storage=place.open(),
            study_name=place.study,
            direction="maximize",
            load_if_exists=True,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
        )
        stored = study.user_attrs.get("fingerprint")
        if isinstance(stored, dict) and stored.keys() >= EARLIER_FINGERPRINT:
            raise RunError(f"{place}: {place.earlier}")
        trials = _own_trials(study)
        place.check()
        _require_same_search(stored, fingerprint, place)
        if stored is None:
            study.set_user_attr("fingerprint", dict(fingerprint))
    return study, trials


def require_own_study(study: Study, place: StudyPlace) -> None:
    """Checks every trial. Raises: RunError if a value in the study is not one that lightcnn writes."""
    with without_warnings(), opening_errors(place), storage_errors(place, started=place.is_shared):
        _own_trials(study)


def past_of_study(study: Study, place: StudyPlace, limit: float | None) -> Past:
    """What a search has done so far, for a session with this time `limit`; each trial is checked.

    Raises: RunError if a value in the study is not one that lightcnn writes.
    """
    with without_warnings(), opening_errors(place), storage_errors(place, started=place.is_shared):
        return past_of(study.user_attrs, [outcome_of(trial) for trial in _own_trials(study)], limit)


def read_outcome(study: Study, trial: Trial) -> Outcome:
    """What is known about one trial. Reading all of them takes seconds if hundreds are open."""
    with without_warnings():
        return outcome_of(study._storage.get_trial(trial._trial_id))


def new_trial(study: Study, params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]) -> Trial:
    """A new trial with all its parameters, made in one transaction: no part of one is left if the process is killed.

    Unlike `Study.ask`, it does not read all open trials.
    """
    template = create_trial(state=TrialState.RUNNING, params=dict(params), distributions=dict(distributions))
    return Trial(study, study._storage.create_new_trial(study._study_id, template))


def open_trial(study: Study, number: int) -> Trial:
    """The trial with that number, which has not ended."""
    return Trial(study, study._storage.get_trial_id_from_study_id_trial_number(study._study_id, number))


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Optuna's warnings that some of its functions are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def storage_errors(place: StudyPlace, *, started: bool = False) -> Iterator[None]:
    """Turns storage errors into one line.

    Raises: RunError for values that are not JSON; otherwise the same, or StudyError once trials have `started` or if
    the disk is full.
    """
    try:
        yield
    except place.errors as error:
        reason, remedy = place.explain(error)
        is_resumable = started or remedy in (FREE_SPACE, CHECK_DISK)
        kind = StudyError if is_resumable else RunError
        resume = ", then use --resume" if is_resumable else ""
        raise kind(f"{place}: the study cannot be read or written ({reason}); {remedy}{resume}") from None
    except json.JSONDecodeError as error:
        raise RunError(f"{place}: not a study of lightcnn ({first_line(error)}); {place.other}") from None


@contextmanager
def opening_errors(place: StudyPlace) -> Iterator[None]:
    """The same while a study is opened, when it may not be a study at all. Raises: RunError."""
    try:
        with storage_errors(place):
            yield
    except DAMAGES as error:
        reason = first_line(getattr(error, "orig", error))
        raise RunError(f"{place}: not a study of lightcnn ({reason}); {place.other}") from None


def _require_same_search(stored: Mapping[str, Any] | None, requested: Mapping[str, Any], place: StudyPlace) -> None:
    """Raises: RunError with the first difference between the stored and the requested search."""
    if stored is None:
        return
    if not isinstance(stored, dict):
        raise RunError(f"{place}: not a study of lightcnn (fingerprint: not a mapping); {place.other}")
    name = next((name for name, value in requested.items() if stored.get(name) != value), None)
    if name is not None:
        raise RunError(
            f"{place}: holds another search: its {name} is {stored.get(name)!r}, not {requested[name]!r}; "
            f"resume it with its own settings, or {place.other}"
        )


def _own_trials(study: Study) -> list[FrozenTrial]:
    """All trials, by number. Raises: ValueError with the first value that lightcnn does not write."""
    if study.direction != optuna.study.StudyDirection.MAXIMIZE:
        raise ValueError("its direction is not to maximise")
    trials = study.get_trials(deepcopy=False)
    if trials and "fingerprint" not in study.user_attrs:
        raise ValueError("it has trials, but no fingerprint of a search")
    for number, trial in enumerate(trials):
        try:
            TrialAttributes.model_validate(trial.user_attrs)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            raise ValueError(f"trial {number}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None
        if trial.number != number or trial.state == TrialState.WAITING:
            raise ValueError(f"trial {number} is missing, or waits to be run")
        if trial.intermediate_values and not {"shape", "key"} <= trial.user_attrs.keys():
            raise ValueError(f"trial {number}: has scores, but no network")
        if {str(images) for images in trial.intermediate_values} - trial.user_attrs.get("utilities", {}).keys():
            raise ValueError(f"trial {number}: has scores without utilities")
        if {str(images) for images in trial.intermediate_values} - trial.user_attrs.get("tasks", {}).keys():
            raise ValueError(f"trial {number}: has scores without tasks")
        values = [*trial.intermediate_values.values(), *([trial.value] if trial.state == TrialState.COMPLETE else [])]
        if not all(isinstance(value, float) and math.isfinite(value) for value in values):
            raise ValueError(f"trial {number}: its scores are not all numbers")
    return trials


def outcome_of(trial: FrozenTrial) -> Outcome:
    """What is known about a trial of lightcnn."""
    states = {
        TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed",
        TrialState.RUNNING: "running",
    }  # fmt: skip
    attributes = trial.user_attrs
    return Outcome(
        number=trial.number,
        state="duplicate" if "twin" in attributes else states[trial.state],
        reason=attributes.get("reason", ""),
        key=attributes.get("key", ""),
        shape={name: tuple(v) if isinstance(v, list) else v for name, v in attributes.get("shape", {}).items()},
        scores=dict(sorted(trial.intermediate_values.items())),
        seconds=sum(attributes.get("seconds", {}).values()),
        elapsed=attributes.get("elapsed", 0.0),
        reached=_by_images(attributes.get("reached", {})),
        utilities=_by_images(attributes.get("utilities", {})),
        off_rung=_by_images(attributes.get("off_rung", {})),
        tasks=_by_images(attributes.get("tasks", {})),
        values=_by_images(attributes.get("values", {})),
        final=int(stored_number(attributes, "final")),
    )


def past_of(attributes: Mapping[str, Any], outcomes: Sequence[Outcome], limit: float | None) -> Past:
    """What a search has done so far, from the attributes of its study; the next session has this time `limit`."""
    seconds = max([stored_number(attributes, "seconds"), *(outcome.elapsed for outcome in outcomes)])
    is_raised = limit is not None and limit > stored_number(attributes, "limit")
    since = seconds if is_raised else stored_number(attributes, "limit_since")
    return Past(seconds, since, sum(outcome.is_scored for outcome in outcomes))


def stored_number(attributes: Mapping[str, Any], name: str) -> float:
    """A number among the attributes of a study; 0 if there is none, or one that lightcnn does not write."""
    value = attributes.get(name, 0)
    return value if isinstance(value, (int, float)) and 0 <= value < MAX_STORED else 0.0


def _by_images(values: Mapping[str, Any]) -> dict[int, Any]:
    return {int(images): value for images, value in values.items()}

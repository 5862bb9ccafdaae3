"""The Optuna study of a search on disk (SQLite): opened, protected, read back.

Everything that a search knows between two trials is in the study, so a killed search resumes as if it had never
stopped (docs/decisions/0005-one-study-on-disk.md).
"""

from __future__ import annotations

import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from lightcnn.errors import LightcnnError, RunError
from lightcnn.text import first_line

STUDY_NAME = "search"
STORAGE_ERRORS = (OperationalError, optuna.exceptions.StorageInternalError)
"""What Optuna raises if the study's file cannot be read or written."""
REMEDIES = {
    "locked": "end the process that uses it", "full": "check the free disk space", "readonly": "check its permissions",
    "unable to open": "check its permissions",
}  # fmt: skip
"""What to do about an error of SQLite, by a word of its message."""
DAMAGES = (
    sqlite3.DatabaseError, SQLAlchemyError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError,
    AssertionError, RuntimeError,
)  # fmt: skip
"""What SQLite, SQLAlchemy and Optuna raise for a file whose tables or values are not those of a study."""


class TrialAttributes(BaseModel):
    """What a trial of lightcnn stores besides parameters and scores; a study on disk may hold anything instead."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    shape: dict[str, Any] = {}
    key: str = ""
    reason: str = ""
    seconds: dict[str, Annotated[float, Field(ge=0)]] = {}
    elapsed: Annotated[float, Field(ge=0)] = 0.0
    twin: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Outcome:
    """The result of a trial. `state` is complete, pruned, duplicate or failed; `scores` maps epochs to accuracy.

    `seconds` were spent in its trainings; `elapsed` is the time of the whole search at its end.
    """

    number: int
    state: str
    reason: str
    key: str
    shape: Mapping[str, Any]
    scores: Mapping[int, float]
    seconds: float
    elapsed: float

    @property
    def epochs(self) -> int:
        """The epochs of its longest training; 0 if it was not trained."""
        return max(self.scores, default=0)

    @property
    def score(self) -> float | None:
        """Its score after that training."""
        return self.scores[self.epochs] if self.scores else None


@dataclass(frozen=True)
class TrialResult:
    """How a trial ends, as the study stores it: its state, the reason, and the value of a complete trial."""

    state: TrialState
    reason: str = ""
    value: float | None = None


def open_study(file: Path, sampler: BaseSampler, fingerprint: Mapping[str, Any]) -> Study:
    """The study in `file`, which is created if it does not exist. Every trial in it is checked.

    Raises: RunError if the file is locked, damaged, or holds a study with another `fingerprint`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with without_warnings(), _opening_errors(file):
        study = optuna.create_study(
            storage=optuna.storages.RDBStorage(f"sqlite:///{file}", engine_kwargs={"creator": lambda: _connect(file)}),
            study_name=STUDY_NAME,
            direction="maximize",
            load_if_exists=True,
            sampler=sampler,
            pruner=optuna.pruners.NopPruner(),
        )
        stored = study.user_attrs.get("fingerprint")
        if stored is None:
            study.set_user_attr("fingerprint", dict(fingerprint))
        _require_own_study(study)
    _require_same_search(stored, fingerprint, file)
    return study


def read_outcomes(study: Study) -> list[Outcome]:
    """The outcomes of all finished trials, by number."""
    with without_warnings():
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL))
    return [_outcome(trial) for trial in trials]


def unfinished_trial(study: Study, distributions: Mapping[str, BaseDistribution]) -> Trial | None:
    """The trial that an earlier session left unfinished, with its number and parameters; None if there is none."""
    with without_warnings():
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if not running:
            return None
        trial = Trial(study, running[0]._trial_id)
        for name, distribution in distributions.items():
            trial._suggest(name, distribution)
    return trial


def trial_with_key(study: Study, key: str) -> FrozenTrial | None:
    """The first finished trial that trained the network with that key; None if there is none."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return next((t for t in trials if t.user_attrs.get("key") == key and t.intermediate_values), None)


def scores_after(study: Study, epochs: int, *, except_trial: int) -> list[float]:
    """The scores that other trials reached after a training of `epochs` epochs, without duplicates."""
    return [
        trial.intermediate_values[epochs]
        for trial in study.get_trials(deepcopy=False)
        if trial.number != except_trial and epochs in trial.intermediate_values and "twin" not in trial.user_attrs
    ]


@contextmanager
def without_warnings() -> Iterator[None]:
    """Silences Optuna's warnings that some of its functions are experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def storage_errors(file: Path, *, started: bool = False) -> Iterator[None]:
    """Turns storage errors into one line. Raises: RunError, or LightcnnError once trials have `started`."""
    try:
        yield
    except STORAGE_ERRORS as error:
        cause = error if isinstance(error, OperationalError) else error.__cause__
        reason = getattr(cause, "orig", None) or cause
        remedy = next((remedy for word, remedy in REMEDIES.items() if word in str(reason)), "check the file")
        kind = LightcnnError if started else RunError
        resume = ", then use --resume" if started else ""
        raise kind(f"{file}: the study cannot be read or written ({reason}); {remedy}{resume}") from None


@contextmanager
def _opening_errors(file: Path) -> Iterator[None]:
    """The same while a study is opened, when its file may not be a study at all. Raises: RunError."""
    try:
        with storage_errors(file):
            yield
    except DAMAGES as error:
        reason = first_line(getattr(error, "orig", error))
        raise RunError(f"{file}: not a study of lightcnn ({reason}); choose a new --out") from None


def _connect(file: Path) -> sqlite3.Connection:
    """A connection that appends to a log instead of rewriting pages: as safe if the process is killed, and faster."""
    connection = sqlite3.connect(file, timeout=5, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _require_same_search(stored: Mapping[str, Any] | None, requested: Mapping[str, Any], file: Path) -> None:
    """Raises: RunError with the first difference between the stored and the requested search."""
    if stored is None:
        return
    if not isinstance(stored, dict):
        raise RunError(f"{file}: not a study of lightcnn (fingerprint: not a mapping); choose a new --out")
    name = next((name for name, value in requested.items() if stored.get(name) != value), None)
    if name is not None:
        raise RunError(
            f"{file}: holds another search: its {name} is {stored.get(name)!r}, not {requested[name]!r}; "
            "resume it with its own settings, or choose a new --out"
        )


def _require_own_study(study: Study) -> None:
    """Raises: ValueError with the first value that lightcnn does not write."""
    if study.direction != optuna.study.StudyDirection.MAXIMIZE:
        raise ValueError("its direction is not to maximise")
    for number, trial in enumerate(study.get_trials(deepcopy=False)):
        try:
            TrialAttributes.model_validate(trial.user_attrs)
        except ValidationError as error:
            detail = error.errors(include_url=False)[0]
            raise ValueError(f"trial {number}: {'.'.join(map(str, detail['loc']))}: {detail['msg']}") from None
        if trial.number != number or trial.state == TrialState.WAITING:
            raise ValueError(f"trial {number} is missing, or waits to be run")
        if trial.intermediate_values and not {"shape", "key"} <= trial.user_attrs.keys():
            raise ValueError(f"trial {number}: has scores, but no network")
        values = [*trial.intermediate_values.values(), *([trial.value] if trial.state == TrialState.COMPLETE else [])]
        if not all(isinstance(value, float) and math.isfinite(value) for value in values):
            raise ValueError(f"trial {number}: its scores are not all numbers")


def _outcome(trial: FrozenTrial) -> Outcome:
    states = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}
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
    )

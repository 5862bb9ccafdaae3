"""The search itself: ask, fit, train a little, keep the best third, train those longer; every step on disk first.

It knows nothing of networks. It works over any space that draws, mutates and makes candidates, and any objective that
scores a candidate at a fidelity; all it knows between two trials stands in the Optuna study, so that a killed search
goes on as if nothing had happened.
"""

from __future__ import annotations

import math
import sqlite3
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import DatabaseError, OperationalError

from lightcnn.errors import LightcnnError, RunError
from lightcnn.searching.strategies import SeededSampler, Shapes, decode, distributions, randomness
from lightcnn.text import first_line

STUDY = "search"
EXHAUSTED = 50
"""Duplicates in a row after which the space counts as known."""


class CandidateLike(Protocol):
    """Something to be scored: its shape, a key that is equal for equal ones, and relative violations of its limits."""

    @property
    def shape(self) -> Mapping[str, Any]: ...
    @property
    def key(self) -> str: ...
    @property
    def violations(self) -> Mapping[str, float]: ...


Found = TypeVar("Found", bound=CandidateLike, covariant=True)


class Space(Shapes, Protocol[Found]):
    """What the searcher draws from."""

    def candidate(self, shape: Mapping[str, Any], random: Random) -> Found: ...


@dataclass(frozen=True)
class Fidelity:
    """How long a candidate is trained: `epochs` of a complete schedule from scratch, from a seed of its own."""

    rung: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Rungs:
    """Successive halving (arXiv:1502.07943): every candidate is scored at the first of `epochs`; while it is among the
    best 1/`keep` of those that reached a rung so far, it goes on to the next."""

    epochs: tuple[int, ...]
    keep: int = 3


@dataclass(frozen=True)
class Outcome:
    """What became of a trial. `state` is complete, pruned, duplicate or failed; `scores` maps epochs to accuracy.

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
        """The longest training it had; 0 for none."""
        return max(self.scores, default=0)

    @property
    def score(self) -> float | None:
        """Its score after that training."""
        return self.scores[self.epochs] if self.scores else None


class Clock(Protocol):
    """Says how many seconds the search has run, over all its sessions, and whether so many more may be spent."""

    def elapsed(self) -> float: ...
    def allows(self, seconds: float) -> bool: ...


class Searcher:
    """Runs trials one after another against a study in `file` (SQLite).

    Raises: RunError where the file is locked, damaged, or holds a study with another `fingerprint`.
    """

    def __init__(
        self, space: Space[Any], file: Path, *, strategy: str, seed: int, rungs: Rungs, fingerprint: Mapping[str, Any]
    ) -> None:
        self.space = space
        self.seed = seed
        self.rungs = rungs
        self._file = file
        self._genes = tuple(space.genes())
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with _quiet(), _opened(file):
            self.study = optuna.create_study(
                storage=optuna.storages.RDBStorage(
                    f"sqlite:///{file}", engine_kwargs={"creator": lambda: _connect(file)}
                ),
                study_name=STUDY,
                direction="maximize",
                load_if_exists=True,
                sampler=SeededSampler(space, strategy, seed),
                pruner=optuna.pruners.NopPruner(),
            )
            held = self.study.user_attrs.get("fingerprint")
            if held is None:
                self.study.set_user_attr("fingerprint", dict(fingerprint))
        _same(held, fingerprint, file)

    def run(
        self,
        objective: Callable[[Any, Fidelity], float],
        *,
        trials: int | None,
        clock: Clock,
        started: Callable[[int, Any, Fidelity], None] = lambda number, candidate, fidelity: None,
        finished: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """Trials until there are `trials` of them, or the clock allows no further one; one at least. A space of which
        nothing new can be drawn ends it too.

        A trial that an earlier session left unfinished is done first, with the parameters and the number it had.
        `objective` may raise anything: the trial fails with that reason and the search goes on. KeyboardInterrupt
        passes through and leaves the trial to be resumed.
        """
        with _stored(self._file, begun=True):
            self._run(objective, trials, clock, started, finished)

    def outcomes(self) -> list[Outcome]:
        """All finished trials, by number."""
        with _quiet():
            trials = self.study.get_trials(
                deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
            )
        return [_outcome(trial) for trial in trials]

    def best(self) -> Outcome | None:
        """The best of those that were trained longest; None where no training succeeded."""
        scored = [o for o in self.outcomes() if o.scores and o.state in ("complete", "pruned")]
        return max(scored, key=lambda o: (o.epochs, o.score, -o.number), default=None)

    def _run(
        self,
        objective: Callable[[Any, Fidelity], float],
        trials: int | None,
        clock: Clock,
        started: Callable[[int, Any, Fidelity], None],
        finished: Callable[[Outcome], None],
    ) -> None:
        while True:
            trial = self._unfinished()
            if trial is None:
                done = self.outcomes()
                if (trials is not None and len(done) >= trials) or (done and not clock.allows(_typical(done))):
                    return
                if len(done) >= EXHAUSTED and all(outcome.state == "duplicate" for outcome in done[-EXHAUSTED:]):
                    return
                with _quiet():
                    trial = self.study.ask(distributions(self._genes))
            self._settle(trial, objective, clock, started)
            finished(self.outcomes()[-1])

    def _unfinished(self) -> Trial | None:
        with _quiet():
            running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if not running:
                return None
            trial = Trial(self.study, running[0]._trial_id)
            for name, distribution in distributions(self._genes).items():
                trial._suggest(name, distribution)
        return trial

    def _settle(
        self, trial: Trial, objective: Callable[[Any, Fidelity], float], clock: Clock, started: Callable[..., None]
    ) -> None:
        """One trial from its parameters to its final state."""
        state, reason, value = TrialState.FAIL, "", None
        try:
            candidate = self._candidate(trial)
            broken = [name for name, violation in candidate.violations.items() if violation > 0]
            twin = self._twin(candidate.key)
            if broken:
                state, reason = TrialState.PRUNED, f"over budget: {', '.join(broken)}"
            elif twin is not None:
                state, reason, value = self._remembered(trial, twin)
            else:
                state, reason, value = self._climb(trial, candidate, objective, clock, started)
        except (OperationalError, optuna.exceptions.StorageInternalError):
            raise
        except Exception as error:
            reason = first_line(f"{type(error).__name__}: {error}")
            trial.set_user_attr("traceback", traceback.format_exc(limit=-5))
        trial.set_user_attr("reason", reason)
        trial.set_user_attr("elapsed", clock.elapsed())
        with _quiet():
            self.study.tell(trial, value, state=state)

    def _candidate(self, trial: Trial) -> Any:
        """The candidate of a trial's parameters; a known network is exchanged for a mutation of it, if one is new."""
        shape = decode(self._genes, trial.params)
        random = randomness(self.seed, trial.number, "fit")
        candidate = self.space.candidate(shape, random)
        known = {outcome.key for outcome in self.outcomes()}
        for _ in range(10):
            if candidate.key not in known:
                break
            candidate = self.space.candidate(self.space.mutate(candidate.shape, random), random)
        with _quiet():
            trial.set_user_attr("shape", dict(candidate.shape))
            trial.set_user_attr("key", candidate.key)
            held = self.study.trials[trial.number].constraints
            for name in candidate.violations.keys() - held.keys():
                trial.set_constraint(name, candidate.violations[name])
        return candidate

    def _twin(self, key: str) -> FrozenTrial | None:
        """An earlier trial that trained the same network."""
        trials = self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
        return next((t for t in trials if t.user_attrs.get("key") == key and t.intermediate_values), None)

    def _remembered(self, trial: Trial, twin: FrozenTrial) -> tuple[TrialState, str, float | None]:
        trial.set_user_attr("twin", twin.number)
        for epochs, score in sorted(twin.intermediate_values.items()):
            trial.report(score, epochs)
        complete = twin.state == TrialState.COMPLETE
        return twin.state, f"the network of trial {twin.number}", twin.value if complete else None

    def _climb(
        self,
        trial: Trial,
        candidate: Any,
        objective: Callable[[Any, Fidelity], float],
        clock: Clock,
        started: Callable[..., None],
    ) -> tuple[TrialState, str, float | None]:
        """Rung after rung, while the candidate is among the best and the time suffices.

        Rungs that an earlier session finished are read back, with the seconds they took.
        """
        scores = dict(self.study.trials[trial.number].intermediate_values)
        seconds = dict(trial.user_attrs.get("seconds", {}))
        for rung, epochs in enumerate(self.rungs.epochs):
            if epochs not in scores:
                if rung and not clock.allows(sum(seconds.values()) / sum(scores) * epochs):
                    return TrialState.PRUNED, "no time for a longer training", None
                fidelity = Fidelity(rung, epochs, randomness(self.seed, trial.number, f"rung {rung}").getrandbits(31))
                started(trial.number, candidate, fidelity)
                begin = time.monotonic()
                scores[epochs] = float(objective(candidate, fidelity))
                if not math.isfinite(scores[epochs]):
                    raise ValueError(f"the score after {epochs} epochs is {scores[epochs]}")
                seconds[str(epochs)] = time.monotonic() - begin
                trial.set_user_attr("seconds", seconds)
                trial.set_user_attr("elapsed", clock.elapsed())
                trial.report(scores[epochs], epochs)
            if rung + 1 < len(self.rungs.epochs) and not self._promising(trial.number, epochs, scores[epochs]):
                return TrialState.PRUNED, f"not among the best 1/{self.rungs.keep} after {epochs} epochs", None
        return TrialState.COMPLETE, "", scores[self.rungs.epochs[-1]]

    def _promising(self, number: int, epochs: int, score: float) -> bool:
        """Whether a score is among the best 1/keep of all at this rung; the first few must beat all before them."""
        trials = self.study.get_trials(deepcopy=False)
        others = [
            t.intermediate_values[epochs]
            for t in trials
            if t.number != number and epochs in t.intermediate_values and "twin" not in t.user_attrs
        ]
        better = sum(other >= score for other in others)
        return better < max(1, (len(others) + 1) // self.rungs.keep)


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


def _typical(outcomes: list[Outcome]) -> float:
    """Seconds that a further trial will hardly exceed at its first rung: the median of the pruned ones."""
    seconds = sorted(o.seconds for o in outcomes if o.state == "pruned" and o.scores)
    return seconds[len(seconds) // 2] if seconds else 0.0


def _same(held: Mapping[str, Any] | None, asked: Mapping[str, Any], file: Path) -> None:
    different = [name for name in asked if held is not None and held.get(name) != asked[name]]
    if held is not None and different:
        name = different[0]
        raise RunError(
            f"{file}: holds another search: its {name} is {held.get(name)!r}, not {asked[name]!r}; "
            "resume it as it was begun, or give a fresh --out"
        )


def _connect(file: Path) -> sqlite3.Connection:
    """A connection that appends to a log instead of rewriting pages: as safe against a killed process, and quicker."""
    connection = sqlite3.connect(file, timeout=5, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


@contextmanager
def _stored(file: Path, begun: bool = False) -> Iterator[None]:
    """Turns what the storage raises into one line. Raises: RunError, once work has `begun` LightcnnError."""
    try:
        yield
    except (OperationalError, optuna.exceptions.StorageInternalError) as error:
        cause = error if isinstance(error, OperationalError) else error.__cause__
        reason = getattr(cause, "orig", None) or cause
        locked = "locked" in str(reason)
        remedy = "end the process that holds it" if locked else "see that its disk has room and may be written to"
        kind = LightcnnError if begun else RunError
        then = ", then --resume" if begun else ""
        raise kind(f"{file}: the study's storage cannot be used ({reason}); {remedy}{then}") from None


@contextmanager
def _opened(file: Path) -> Iterator[None]:
    """The same while a storage is opened, where a file may turn out to be none. Raises: RunError."""
    try:
        with _stored(file):
            yield
    except (sqlite3.DatabaseError, DatabaseError, ValueError, RuntimeError, KeyError) as error:
        reason = first_line(getattr(error, "orig", error))
        raise RunError(f"{file}: not a study of lightcnn ({reason}); give a fresh --out") from None

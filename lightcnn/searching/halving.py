"""Successive halving (arXiv:1502.07943): which candidates are trained longer.

Every candidate is scored after a short training. While its score is among the best of all scores after trainings of
that length, it is trained again, longer, from scratch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from optuna.study import Study
from optuna.trial import Trial, TrialState

from lightcnn.searching.storage import TrialResult, scores_after
from lightcnn.searching.strategies.base import randomness

if TYPE_CHECKING:
    from lightcnn.searching.scoring import Scorer


@dataclass(frozen=True)
class Fidelity:
    """How long a candidate is trained: `epochs` of a complete schedule from scratch, with its own seed."""

    rung: int
    epochs: int
    seed: int


@dataclass(frozen=True)
class Rungs:
    """The lengths of trainings, in epochs, ascending.

    A candidate is promoted from a rung to the next while it is among the best 1/`keep` of those that reached the rung.
    """

    epochs: tuple[int, ...]
    keep: int = 3

    def promotes(self, score: float, others: list[float]) -> bool:
        """Whether a score is among the best 1/`keep` of all at its rung; the first few must beat all earlier ones."""
        better = sum(other >= score for other in others)
        return better < max(1, (len(others) + 1) // self.keep)


class Clock(Protocol):
    """Seconds that the search has run, over all its sessions, and whether it may spend more."""

    def elapsed(self) -> float: ...
    def allows(self, seconds: float) -> bool: ...


class SuccessiveHalving:
    """Scores candidates rung by rung. `started` is called with trial number, candidate and fidelity before each."""

    def __init__(
        self,
        study: Study,
        rungs: Rungs,
        seed: int,
        *,
        scorer: Scorer,
        clock: Clock,
        started: Callable[[int, Any, Fidelity], None],
    ) -> None:
        self._study = study
        self._rungs = rungs
        self._seed = seed
        self._scorer = scorer
        self._clock = clock
        self._started = started

    def climb(self, trial: Trial, candidate: Any) -> TrialResult:
        """Scores the candidate at rung after rung, while it is among the best and there is time.

        Rungs that an earlier session finished are read from the study, with the seconds they took.
        Raises: whatever the scorer raises; ValueError if a score is not finite.
        """
        scores = dict(self._study.trials[trial.number].intermediate_values)
        seconds = dict(trial.user_attrs.get("seconds", {}))
        for rung, epochs in enumerate(self._rungs.epochs):
            if epochs not in scores:
                if rung and not self._clock.allows(sum(seconds.values()) / sum(scores) * epochs):
                    return TrialResult(TrialState.PRUNED, "no time for a longer training")
                scores[epochs], seconds[str(epochs)] = self._score(trial.number, candidate, rung)
                trial.set_user_attr("seconds", seconds)
                trial.set_user_attr("elapsed", self._clock.elapsed())
                trial.report(scores[epochs], epochs)
            if rung + 1 < len(self._rungs.epochs) and not self._promoted(trial.number, epochs, scores[epochs]):
                return TrialResult(TrialState.PRUNED, f"not among the best 1/{self._rungs.keep} after {epochs} epochs")
        return TrialResult(TrialState.COMPLETE, value=scores[self._rungs.epochs[-1]])

    def _score(self, number: int, candidate: Any, rung: int) -> tuple[float, float]:
        """The score at one rung and the seconds it took. Its seed is a function of seed, trial number and rung."""
        epochs = self._rungs.epochs[rung]
        fidelity = Fidelity(rung, epochs, randomness(self._seed, number, f"rung {rung}").getrandbits(31))
        self._started(number, candidate, fidelity)
        begin = time.monotonic()
        score = float(self._scorer(candidate, fidelity))
        if not math.isfinite(score):
            raise ValueError(f"the score after {epochs} epochs is {score}")
        return score, time.monotonic() - begin

    def _promoted(self, number: int, epochs: int, score: float) -> bool:
        """Whether a trial's score after `epochs` epochs is good enough for the next rung."""
        return self._rungs.promotes(score, scores_after(self._study, epochs, except_trial=number))

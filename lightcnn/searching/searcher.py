"""The search loop: propose a candidate, score it, store the result; every step is on disk before the next begins.

It knows nothing of networks: it works with any space that draws, mutates and makes candidates, and with any scorer.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, Trial

from lightcnn import interrupt
from lightcnn.errors import RunError
from lightcnn.searching.halving import Clock, Fidelity, Rungs, SuccessiveHalving
from lightcnn.searching.storage import (
    STORAGE_ERRORS,
    Outcome,
    TrialResult,
    open_study,
    read_outcomes,
    storage_errors,
    trial_with_key,
    unfinished_trial,
    without_warnings,
)
from lightcnn.searching.strategies.base import SeededSampler, Shapes, decode, distributions, randomness
from lightcnn.searching.strategies.table import strategy_by_name
from lightcnn.text import first_line

if TYPE_CHECKING:
    from lightcnn.searching.scoring import Scorer

MAX_DUPLICATES = 50
"""Duplicates in a row after which nothing new is expected from the space, and the search ends."""
MAX_MUTATIONS = 10
"""Mutations of a network that was already trained, until the trial is a duplicate."""


class Searcher:
    """Runs trials one after another against a study in `file` (SQLite).

    Raises: RunError if the file is locked, damaged, or holds a study with another `fingerprint`; InputError if the
    strategy is unknown.
    """

    def __init__(
        self, space: Shapes, file: Path, *, strategy: str, seed: int, rungs: Rungs, fingerprint: Mapping[str, Any]
    ) -> None:
        self.space = space
        self.seed = seed
        self.rungs = rungs
        self._file = file
        self._genes = tuple(space.genes())
        self.study = open_study(file, SeededSampler(space, strategy_by_name(strategy), seed), fingerprint)
        self._require_own_parameters()

    def run(
        self,
        scorer: Scorer,
        *,
        trials: int | None,
        clock: Clock,
        started: Callable[[int, Any, Fidelity], None] = lambda number, candidate, fidelity: None,
        finished: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        """Runs at least one trial, until there are `trials` of them, or the clock allows no other.

        The search also ends when the space has no new candidate. A trial that an earlier session left unfinished is
        finished first, with its parameters and its number. `scorer` may raise anything: the trial fails with that
        reason and the search continues. KeyboardInterrupt passes through and leaves the trial to be resumed.
        Raises: LightcnnError if the study cannot be read or written.
        """
        with storage_errors(self._file, started=True):
            halving = SuccessiveHalving(
                self.study, self.rungs, self.seed, scorer=scorer, clock=clock, started=started
            )  # fmt: skip
            while (trial := self._next_trial(trials, clock)) is not None:
                self._finish(trial, halving, clock)
                finished(self.outcomes()[-1])

    def _require_own_parameters(self) -> None:
        """Raises: RunError if a trial on disk has other parameters than the genes of this space."""
        expected = distributions(self._genes)
        for trial in self.study.get_trials(deepcopy=False):
            shape = trial.user_attrs.get("shape")
            known = all(expected.get(name) == distribution for name, distribution in trial.distributions.items())
            if not known or (shape is not None and not expected.keys() <= shape.keys()):
                raise RunError(
                    f"{self._file}: not the study of this search (trial {trial.number} has other parameters than the "
                    "space); choose a new --out"
                )

    def outcomes(self) -> list[Outcome]:
        """The outcomes of all finished trials, by number."""
        return read_outcomes(self.study)

    def best(self) -> Outcome | None:
        """The best of those that were trained longest; None if no training succeeded."""
        scored = [o for o in self.outcomes() if o.scores and o.state in ("complete", "pruned")]
        return max(scored, key=lambda o: (o.epochs, o.score, -o.number), default=None)

    def _next_trial(self, trials: int | None, clock: Clock) -> Trial | None:
        """The unfinished trial of an earlier session, else a new one; None if the search ends."""
        trial = unfinished_trial(self.study, distributions(self._genes))
        if trial is not None:
            return trial
        outcomes = self.outcomes()
        if trials is not None and len(outcomes) >= trials:
            return None
        if outcomes and not clock.allows(_typical_seconds(outcomes)):
            return None
        recent = outcomes[-MAX_DUPLICATES:]
        if len(recent) == MAX_DUPLICATES and all(outcome.state == "duplicate" for outcome in recent):
            return None
        with without_warnings():
            return self.study.ask(distributions(self._genes))

    def _finish(self, trial: Trial, halving: SuccessiveHalving, clock: Clock) -> None:
        """One trial from its parameters to its final state."""
        try:
            result = self._result(trial, halving)
        except STORAGE_ERRORS:
            raise
        except Exception as error:
            interrupt.check()  # a library may have turned the signal into this error
            result = TrialResult(optuna.trial.TrialState.FAIL, first_line(f"{type(error).__name__}: {error}"))
            trial.set_user_attr("traceback", traceback.format_exc(limit=-5))
        trial.set_user_attr("reason", result.reason)
        trial.set_user_attr("elapsed", clock.elapsed())
        with without_warnings():
            self.study.tell(trial, result.value, state=result.state)

    def _result(self, trial: Trial, halving: SuccessiveHalving) -> TrialResult:
        """Trains the candidate of a trial, unless it breaks the budget or was trained before."""
        candidate = self._candidate(trial)
        broken = [name for name, violation in candidate.violations.items() if violation > 0]
        twin = trial_with_key(self.study, candidate.key)
        if broken:
            return TrialResult(optuna.trial.TrialState.PRUNED, f"over budget: {', '.join(broken)}")
        return halving.climb(trial, candidate) if twin is None else _copied_result(trial, twin)

    def _candidate(self, trial: Trial) -> Any:
        """The candidate of a trial's parameters; a network that was already proposed is replaced by a mutation."""
        shape = decode(self._genes, trial.params)
        random = randomness(self.seed, trial.number, "fit")
        candidate = self.space.candidate(shape, random)
        known = {outcome.key for outcome in self.outcomes()}
        for _ in range(MAX_MUTATIONS):
            if candidate.key not in known:
                break
            candidate = self.space.candidate(self.space.mutate(candidate.shape, random), random)
        self._store_candidate(trial, candidate)
        return candidate

    def _store_candidate(self, trial: Trial, candidate: Any) -> None:
        with without_warnings():
            trial.set_user_attr("shape", dict(candidate.shape))
            trial.set_user_attr("key", candidate.key)
            stored = self.study.trials[trial.number].constraints
            for name in candidate.violations.keys() - stored.keys():
                trial.set_constraint(name, candidate.violations[name])


def _copied_result(trial: Trial, twin: FrozenTrial) -> TrialResult:
    """The result of an earlier trial with the same network, whose scores are copied."""
    trial.set_user_attr("twin", twin.number)
    for epochs, score in sorted(twin.intermediate_values.items()):
        trial.report(score, epochs)
    value = twin.value if twin.state == optuna.trial.TrialState.COMPLETE else None
    return TrialResult(twin.state, f"the same network as trial {twin.number}", value)


def _typical_seconds(outcomes: list[Outcome]) -> float:
    """Seconds that another trial will hardly exceed at its first rung: the median of the pruned trials."""
    seconds = sorted(o.seconds for o in outcomes if o.state == "pruned" and o.scores)
    return seconds[len(seconds) // 2] if seconds else 0.0

"""The search loop: a sequence of tasks, each of which trains one network to one rung.

What task number t does is decided by the results of the tasks up to t - `lag`, so that several workers find the same
networks as one: it continues the most promising network that is due, or trains a new one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from optuna.trial import TrialState

from lightcnn.searching.trials.clock import Clock
from lightcnn.searching.trials.halving import Evaluator, Fidelity, Score, Standing
from lightcnn.searching.trials.searcher import LAG, Searcher
from lightcnn.searching.trials.storage import Outcome, TrialResult

MAX_DUPLICATES = 50
"""Duplicates in a row after which nothing new is expected from the space, and the search ends."""
MAX_FAILED = 20
"""Failed networks after which the search ends if none has a score: it is not the networks that are wrong then."""


def run_trials(
    searcher: Searcher,
    evaluator: Evaluator,
    *,
    trials: int | None,
    clock: Clock,
    started: Callable[[Any, Fidelity], None] = lambda candidate, fidelity: None,
    finished: Callable[[Outcome, str], None] = lambda outcome, error: None,
    first_ended: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Runs at least one trial, until there are `trials` of them and none is to be continued, or the clock ends it.

    The search also ends when the space has no new candidate, or `MAX_FAILED` networks have failed and none has a score.
    Tasks that an earlier session left unfinished are run first. A score that is not finite or an error of the
    evaluator fails the trial, and the search continues.
    `first_ended` gets the first trial when no rung is left for it, once; it may take a worker.
    KeyboardInterrupt passes through; trials can then be resumed. Raises: LightcnnError if the study cannot be read or
    written.
    """
    with searcher.guarded():
        loop = _Loop(searcher, evaluator, trials, clock, started, finished, first_ended)
        loop.resume()
        while loop.fill() or loop.running or loop.is_waiting:
            loop.take()


class _Loop:
    """One session of a search."""

    def __init__(
        self,
        searcher: Searcher,
        evaluator: Evaluator,
        trials: int | None,
        clock: Clock,
        started: Callable[[Any, Fidelity], None],
        finished: Callable[[Outcome, str], None],
        first_ended: Callable[[Outcome], None],
    ) -> None:
        self._searcher = searcher
        self._evaluator = evaluator
        self._trials = trials
        self._clock = clock
        self._started = started
        self._finished = finished
        self._first_ended = first_ended
        self._has_first_ended = False
        self.running = 0
        self.is_waiting = False
        self._next = 0
        self._idle = 0

    def resume(self) -> None:
        """Runs the unfinished tasks of an earlier session."""
        for outcome in self._searcher.outcomes():
            self._next = max([self._next, *(number + 1 for number in outcome.tasks.values())])
            if outcome.state == "running" and not outcome.tasks:
                self._begin_new(outcome.number)
            elif outcome.state == "running" and (left := [i for i in outcome.tasks if i not in outcome.scores]):
                self._begin(outcome.number, self._searcher.rungs.images.index(min(left)))

    def fill(self) -> bool:
        """Begins tasks until all workers are busy; returns whether any began.

        It `is_waiting` if there was no worker, since all are lent.
        """
        self._end_first()
        began, self.is_waiting = False, self._evaluator.workers < 1 and self._evaluator.lends_workers
        while self.running < self._evaluator.workers and self._begin_next():
            began = True
        return began

    def _end_first(self) -> None:
        """Reports that no rung is left for the first trial."""
        first = next(iter(self._searcher.outcomes()), None)
        if self._has_first_ended or first is None or not first.is_scored or first.is_training:
            return
        if self._searcher.next_rung(first, self._clock) is None:
            self._has_first_ended = True
            self._first_ended(first)

    def take(self) -> None:
        """Waits for the next score and stores it; or returns because the number of workers has changed."""
        answer = self._evaluator.wait()
        if answer is None:
            return
        fidelity, score = answer
        self.running -= 1
        if isinstance(score, Score) and not math.isfinite(score.utility + score.accuracy):
            score = f"the score after {fidelity.images} images is not finite"
        if isinstance(score, str):
            self._searcher.end(fidelity.trial, TrialResult(TrialState.FAIL, score))
        else:
            self._store(fidelity, score)
        self._finished(self._searcher.outcomes()[fidelity.trial], score if isinstance(score, str) else "")

    def _store(self, fidelity: Fidelity, score: Score) -> None:
        trial = self._searcher.trial(fidelity.trial)
        name = str(fidelity.images)
        trial.set_user_attr("seconds", {**trial.user_attrs.get("seconds", {}), name: score.seconds})
        if score.off_rung:
            trial.set_user_attr("off_rung", {str(images): value for images, value in score.off_rung.items()})
        if score.value is not None:
            trial.set_user_attr("values", {**trial.user_attrs.get("values", {}), name: score.value})
        trial.set_user_attr("utilities", {**trial.user_attrs.get("utilities", {}), name: score.utility})
        elapsed = self._clock.elapsed()
        trial.set_user_attr("reached", {**trial.user_attrs.get("reached", {}), name: elapsed})
        trial.set_user_attr("elapsed", elapsed)
        trial.report(score.accuracy, fidelity.images)
        self._searcher.refresh(fidelity.trial)

    def _begin_next(self) -> bool:
        """Begins the next task; False if there is none now."""
        while (visible := self._searcher.visible(self._next)) is not None:
            outcomes = self._searcher.outcomes()
            if promotion := self._promotion(visible, outcomes):
                self._begin(*promotion)
                return True
            if self._wants_new(visible, outcomes):
                trial, _ = self._searcher.ask(visible, self._clock)
                if self._begin_new(trial.number):
                    return True
                continue
            if self._searcher.lag is None or self._idle > LAG:
                return False
            self._next, self._idle = self._next + 1, self._idle + 1
        return False

    def _promotion(self, visible: Sequence[Outcome], outcomes: Sequence[Outcome]) -> tuple[int, int] | None:
        promises = self._searcher.promises(visible)
        standings = [
            Standing(
                outcome.number,
                len(outcome.scores),
                len(outcomes[outcome.number].tasks),
                promises[outcome.number],
                is_open=self._searcher.is_open(outcome),
                turn=self._searcher.bands.turn(outcome.number),
            )
            for outcome in visible
            if outcome.number in promises
        ]
        due = self._searcher.rungs.promotions(standings)
        return next(
            (pair for pair in due if self._searcher.next_rung(outcomes[pair[0]], self._clock) is not None), None
        )

    def _wants_new(self, visible: Sequence[Outcome], outcomes: Sequence[Outcome]) -> bool:
        if self._trials is not None and len(outcomes) >= self._trials:
            return False
        recent = outcomes[-MAX_DUPLICATES:]
        if len(recent) == MAX_DUPLICATES and all(outcome.state == "duplicate" for outcome in recent):
            return False
        failed = sum(outcome.state == "failed" for outcome in visible)
        if failed >= MAX_FAILED and not any(outcome.is_scored for outcome in visible):
            return False
        first = self._searcher.rungs.images[0]
        seconds = sorted(o.seconds / o.images * first for o in outcomes if o.is_scored)
        return not outcomes or self._clock.allows(seconds[len(seconds) // 2] if seconds else 0.0)

    def _begin_new(self, number: int) -> bool:
        """Begins the training of a new trial; False if its network breaks the budget or was proposed before."""
        searcher = self._searcher
        candidate = searcher.candidate(number, self._clock)
        twin = next((o for o in searcher.outcomes()[:number] if o.key == candidate.key), None)
        broken = [name for name, violation in candidate.violations.items() if violation > 0]
        if broken:
            searcher.end(number, TrialResult(TrialState.PRUNED, f"over budget: {', '.join(broken)}"))
        elif twin is not None:
            searcher.trial(number).set_user_attr("twin", twin.number)
            searcher.end(number, TrialResult(TrialState.PRUNED, f"the same network as trial {twin.number}"))
        else:
            self._begin(number, 0)
            return True
        self._finished(searcher.outcomes()[number], "")
        return False

    def _begin(self, number: int, rung: int) -> None:
        """Stores and begins a task."""
        images = self._searcher.rungs.images[rung]
        trial = self._searcher.trial(number)
        tasks = trial.user_attrs.get("tasks", {})
        if str(images) not in tasks:
            trial.set_user_attr("tasks", {**tasks, str(images): self._next})
            self._searcher.refresh(number)
            self._next += 1
        self._idle = 0
        candidate = self._searcher.candidate(number, self._clock)
        fidelity = Fidelity(number, rung, images, self._searcher.seed_of(number))
        self._started(candidate, fidelity)
        self._evaluator.begin(candidate, fidelity)
        self.running += 1

"""The trials of a search: how they are proposed, what is known about them, and how they end.

It knows nothing of networks: it works with any space that draws, mutates and makes candidates. Every step is on disk
before the next begins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from copy import copy
from typing import Any, Protocol

import optuna
from optuna.trial import FrozenTrial, Trial

from lightcnn.errors import RunError, StudyError
from lightcnn.searching.strategies.base import (
    Bands,
    SeededSampler,
    Shapes,
    decode,
    distributions,
    randomness,
    visible_study,
)
from lightcnn.searching.strategies.table import READ_SHAPES, strategy_by_name
from lightcnn.searching.trials.clock import Clock, Past
from lightcnn.searching.trials.halving import Rungs
from lightcnn.searching.trials.place import StudyPlace, close_connections
from lightcnn.searching.trials.storage import (
    Outcome,
    TrialResult,
    new_trial,
    open_study,
    open_trial,
    outcome_of,
    past_of,
    read_outcome,
    storage_errors,
    stored_number,
    without_warnings,
)

LAG = 8
"""A task knows the results of the tasks up to so many before it, if the search must not depend on its workers; the
largest number of workers."""
MAX_MUTATIONS = 10
"""Mutations of a network that was already proposed, until the trial is a duplicate."""


class UtilityPredictor(Protocol):
    """Predicts utilities at the end of a training of `images` images, one for each of the scored outcomes."""

    def __call__(self, outcomes: Sequence[Outcome], images: int, /) -> Sequence[float]: ...


def last_utility(outcomes: Sequence[Outcome], images: int, /) -> list[float]:
    """The simplest `UtilityPredictor`: the utility at the last rung."""
    return [outcome.utilities[outcome.images] for outcome in outcomes]


class Searcher:
    """Runs trials against the study at `place`.

    `lag` is None if a task may know whatever has ended when it begins. `bands` are the parts of the space in which
    trials propose in turn, if it is not proposed from as a whole. Raises: RunError if it is locked, damaged, cannot
    be reached, or is that of a search with another `fingerprint`; InputError if the strategy is unknown.
    """

    def __init__(
        self,
        space: Shapes,
        place: StudyPlace,
        *,
        strategy: str,
        seed: int,
        rungs: Rungs,
        fingerprint: Mapping[str, Any],
        predictor: UtilityPredictor = last_utility,
        final_images: int = 0,
        lag: int | None = LAG,
        bands: Sequence[Shapes] = (),
    ) -> None:
        self.space = space
        self.bands = Bands(tuple(bands) or (space,))
        self.seed = seed
        self.rungs = rungs
        self.predictor = predictor
        self.final_images = final_images or rungs.images[-1]
        self.lag = lag
        self._place = place
        self._genes = tuple(space.genes())
        self._reads_params = strategy not in READ_SHAPES
        self._sampler = SeededSampler(self.bands, strategy_by_name(strategy), seed)
        self.study, trials = open_study(place, optuna.samplers.RandomSampler(), fingerprint)
        self._require_own_parameters(trials)
        self._outcomes = [outcome_of(trial) for trial in trials]
        self._trials: dict[int, Trial] = {}
        self._closed: set[int] = set()
        self._promised: tuple[tuple[tuple[int, int, int], ...], list[float]] = ((), [])

    def outcomes(self) -> list[Outcome]:
        """What is known about all trials, by number, as it is on disk."""
        return list(self._outcomes)

    def trial(self, number: int) -> Trial:
        """The open trial with that number. After a change, `refresh` it."""
        if number not in self._trials:
            self._trials[number] = open_trial(self.study, number)
        return self._trials[number]

    def refresh(self, number: int) -> None:
        """Reads a trial again after it was changed."""
        outcome = read_outcome(self.study, self.trial(number))
        self._outcomes[number:] = [outcome, *self._outcomes[number + 1 :]]

    def disconnect(self) -> None:
        """Closes the study's file; a later use opens it again."""
        close_connections(self.study._storage)

    def close(self, number: int) -> None:
        """Continues a trial no more in this session: its final training is under way."""
        self._closed.add(number)

    def is_open(self, outcome: Outcome) -> bool:
        """Whether a trial may be continued."""
        return outcome.state == "running" and outcome.number not in self._closed

    def next_rung(self, outcome: Outcome, clock: Clock) -> int | None:
        """The rung to which a trial can be continued now; None if it is at its end, or there is no time.

        This is the only rule by which the clock ends trainings, so the final training of the first network begins
        exactly when no rung is left for it.
        """
        rung = len(outcome.tasks)
        if not self.is_open(outcome) or not len(outcome.scores) == rung < len(self.rungs.images):
            return None
        return rung if clock.allows(outcome.seconds_to(self.rungs.images[rung])) else None

    def guarded(self) -> AbstractContextManager[None]:
        """Within this context, an error of the study's file is a LightcnnError with what to do about it."""
        return storage_errors(self._place, started=True)

    def settled(self) -> list[Outcome]:
        """What is known about all trials at the end; in the study they stay open, for a search that is resumed."""
        return [outcome.settled(self.rungs.images[-1]) for outcome in self.outcomes()]

    def count_test_evaluation(self) -> int:
        """Stores a further evaluation on the test set, and returns their number over all sessions."""
        with self.guarded():
            count = 1 + int(stored_number(self.study.user_attrs, "test_evaluations"))
            self.study.set_user_attr("test_evaluations", count)
        return count

    def past(self, limit: float | None) -> Past:
        """What earlier sessions have done, for one with this time `limit`."""
        with self.guarded():
            return past_of(self.study.user_attrs, self.outcomes(), limit)

    def store_limit(self, limit: float, since: float) -> None:
        """Stores the time limit, and the seconds that the search had run when it was last raised."""
        with self.guarded():
            self.study.set_user_attr("limit_since", since)
            self.study.set_user_attr("limit", limit)  # last: without it, the limit counts as raised once more

    def store_seconds(self, seconds: float) -> None:
        """Stores the seconds that the search has run, over all its sessions."""
        with self.guarded():
            self.study.set_user_attr("seconds", seconds)

    def end(self, number: int, result: TrialResult) -> None:
        """Stores how a trial has ended."""
        with without_warnings():
            trial = self.trial(number)
            trial.set_user_attr("reason", result.reason)
            self.study.tell(trial, result.value, state=result.state)
        self.refresh(number)

    def store_part(self, number: int, images: int, utility: float) -> None:
        """Stores the utility of a network after a part of its final training, from which others are predicted."""
        with self.guarded():
            trial = self.trial(number)
            trial.set_user_attr("off_rung", {**trial.user_attrs.get("off_rung", {}), str(images): utility})
            self.refresh(number)

    def store_final(self, number: int, images: int) -> None:
        """Stores how many images a network has seen at the end of its final training."""
        with self.guarded():
            self.trial(number).set_user_attr("final", images)
            self.refresh(number)

    def promises(self, outcomes: Sequence[Outcome]) -> dict[int, float]:
        """The predicted utility at the end of the final training, by the number of a scored trial."""
        scored = [outcome for outcome in outcomes if outcome.is_scored]
        key = tuple((outcome.number, outcome.images, len(outcome.off_rung)) for outcome in scored)
        if key != self._promised[0]:
            predicted = self.predictor(scored, self.final_images) if scored else []
            self._promised = key, [float(value) for value in predicted]
        return dict(zip((outcome.number for outcome in scored), self._promised[1], strict=True))

    def seed_of(self, number: int, repeat: int = 0) -> int:
        """The seed of the training of a trial, or of its repetition with that number."""
        purpose = f"training {repeat}" if repeat else "training"
        return randomness(self.seed, number, purpose).getrandbits(31)

    def ask(self, visible: Sequence[Outcome], clock: Clock) -> tuple[Trial, Any]:
        """A new trial and its candidate, from what is visible."""
        outcomes = self.outcomes()
        number = len(outcomes)
        study = visible_study(self._genes, visible, self.promises(visible), params=self._reads_params)
        with without_warnings():
            asked = study.ask()
            proposal = copy(study.get_trials(deepcopy=False)[asked.number])
            proposal.number = number
            params = self._sampler.sample_relative(study, proposal, distributions(self._genes))
            trial = new_trial(self.study, params, distributions(self._genes))
        if trial.number != number:
            raise StudyError(f"{self._place}: another process added a trial; use --resume")
        self._trials[trial.number] = trial
        self.refresh(trial.number)
        return trial, self.candidate(trial.number, clock)

    def candidate(self, number: int, clock: Clock) -> Any:
        """The candidate of a trial, stored with it; a network that was proposed before is replaced by a mutation."""
        outcomes = self._outcomes
        if outcomes[number].key:
            return self.space.inspect(outcomes[number].shape)
        trial = self.trial(number)
        shape, space = decode(self._genes, trial.params), self.bands.space(number)
        random = randomness(self.seed, number, "fit")
        candidate = space.candidate(shape, random)
        known = {outcome.key for outcome in outcomes[:number]}
        for _ in range(MAX_MUTATIONS):
            if candidate.key not in known:
                break
            candidate = space.candidate(space.mutate(candidate.shape, random), random)
        with without_warnings():
            for name in candidate.violations.keys() - trial.constraints.keys():
                trial.set_constraint(name, candidate.violations[name])
            trial.set_user_attr("elapsed", clock.elapsed())
            trial.set_user_attr("shape", dict(candidate.shape))
            trial.set_user_attr("key", candidate.key)  # last: a trial with a key has a candidate
        self.refresh(number)
        return candidate

    def visible(self, task: int) -> list[Outcome] | None:
        """What a task may know; None if it must wait for other tasks first."""
        outcomes = self.outcomes()
        if self.lag is None:
            return outcomes
        horizon = task - self.lag
        waiting = any(
            number <= horizon and images not in outcome.scores and outcome.state == "running"
            for outcome in outcomes
            for images, number in outcome.tasks.items()
        )
        return None if waiting else [outcome.as_of(horizon) for outcome in outcomes]

    def _require_own_parameters(self, trials: Sequence[FrozenTrial]) -> None:
        """Raises: RunError if a trial on disk has other parameters than the genes, or other lengths than the rungs."""
        expected, rungs = distributions(self._genes), {str(images) for images in self.rungs.images}
        for trial in trials:
            lengths = {*map(str, trial.intermediate_values), *trial.user_attrs.get("tasks", {})}
            if not lengths <= rungs:
                raise RunError(
                    f"{self._place}: not the study of this search (trial {trial.number} was trained to other lengths "
                    f"than the rungs of plan.yaml); {self._place.other}"
                )
            shape = trial.user_attrs.get("shape")
            known = all(expected.get(name) == distribution for name, distribution in trial.distributions.items())
            if not known or (shape is not None and not expected.keys() <= shape.keys()):
                raise RunError(
                    f"{self._place}: not the study of this search (trial {trial.number} has other parameters than the "
                    f"space); {self._place.other}"
                )

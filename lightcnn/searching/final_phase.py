"""The end of a search: which networks are trained to the end, a second seed of the best, and what time is left for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

from lightcnn.engine.loop import limited_threads
from lightcnn.errors import NoNetworkError
from lightcnn.searching.ensemble import (
    best_members,
    ensemble_file,
    is_small_enough,
    mean_predictions,
    newest_steps,
    read_ensemble,
)
from lightcnn.searching.latency.models import measure_latencies
from lightcnn.searching.preparation import SessionParts
from lightcnn.searching.trainings.choice import Weights, all_weights, choose, contenders
from lightcnn.searching.trainings.evaluator import utility
from lightcnn.searching.trainings.finals import LONGER, Finalist, FinalProgress, FinalTrainings, progress_file
from lightcnn.searching.trials.clock import SearchClock
from lightcnn.searching.trials.finalists import choose_finalists
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.searching.trials.storage import Outcome

MAX_CHECKS = 3
"""How often networks are timed before they are trained to the end, and others chosen in the place of slow ones."""
MAX_REASONS = 3
"""Reasons that an error states, if all trials have failed."""


@dataclass
class TrainedFinals:
    """The finalists with their trainings, those with a second seed, and the weights of all that may be delivered."""

    finalists: list[Finalist]
    progress: list[FinalProgress]
    weights: list[Weights]
    second: list[tuple[Finalist, FinalProgress]] = field(default_factory=list)

    @property
    def deliverable(self) -> list[Finalist]:
        """The finalists that have weights, which predict finite numbers."""
        known = {weights.finalist.outcome.number for weights in self.weights}
        return [finalist for finalist in self.finalists if finalist.outcome.number in known]

    @property
    def steps(self) -> int:
        """The optimizer steps of the longest training."""
        return max(progress.last_step for progress in self.progress)


class FinalPhase:
    """The final trainings of a search. That of the first network may `begin` while the search still runs."""

    def __init__(self, parts: SessionParts, searcher: Searcher, clock: SearchClock) -> None:
        self._parts = parts
        self._searcher = searcher
        self._clock = clock
        self.trainings = self._trainings()
        if name := self._newest_ensemble():
            self._teach(name)

    def begin(self, outcome: Outcome) -> None:
        """Begins the final training of a network beside the search."""
        self.trainings.begin(self._finalist(outcome))

    def spare_seconds(self) -> float:
        """Seconds that the search may take from the final trainings, which continue those of the present finalists.

        None of a shared search: other machines have other speeds, and the states may be missing on this one.
        """
        parts, limit = self._parts, self._parts.settings.seconds
        if limit is None or parts.is_shared:
            return 0.0
        present = [each for each in self._outcomes_to_train() if not self.trainings.has_started(each.number)]
        return parts.plan.spare_seconds(limit, parts.settings.epochs, present)

    def run(self) -> TrainedFinals:
        """Trains the finalists, then a second seed of the best, then others for which there is time.

        Raises: NoNetworkError with all reasons if no trial succeeded, or if no network predicts finite numbers.
        """
        parts = self._parts
        finalists = self._finalists()
        parts.executor.release()
        progress = self.trainings.run(finalists)
        trained = TrainedFinals(finalists, progress, self._weights(finalists, progress))
        if not trained.weights:
            raise NoNetworkError(f"run {parts.folder.path}: no network of the final training predicts finite numbers")
        self._train_second(trained)
        self._add_earlier(trained)
        while parts.settings.seconds is not None and self._train_further(trained):
            pass
        return trained

    def _train_second(self, trained: TrainedFinals) -> None:
        """Trains the best networks with a second seed, if there is time; they also learn from the first ones."""
        trainings = self._trainings(self._newest_ensemble())
        for best in self._best(trained):
            second = [self._second(finalist.outcome) for finalist in best]
            if not trainings.have_time(second, trained.steps):
                continue
            trainings = self._trainings(self._ensemble(trained))
            if trainings.have_time(second, trained.steps):  # predictions for many images take a while
                progress = trainings.run(second)
                trained.weights += self._weights(second, progress)
                trained.second += zip(second, progress, strict=True)
            return

    def _best(self, trained: TrainedFinals) -> list[list[Finalist]]:
        """The networks to train with a second seed, and others in their place if there is no time for them.

        These are the best within noise, if there are several; with a time limit, then the best ones, one a worker, and
        fewer of them.
        """
        if self._parts.plan.bands > 1:  # of a front, the time is for networks of other costs
            return []
        near = contenders(trained.weights, self._parts.judge)
        ranked = choose(trained.weights, self._parts.judge).networks
        best = [weights.finalist for weights in ranked[: self.trainings.workers]]
        fewer = [best[:count] for count in range(len(best), 0, -1)] if self._clock.left() is not None else []
        return [finalists for finalists in (near, *fewer) if finalists]

    def _ensemble(self, trained: TrainedFinals) -> str:
        """The file of predictions that second trainings learn from; empty if they learn from none.

        Those of an earlier session are used again, unless these networks were trained longer.
        """
        if not self._has_ensemble:
            return ""
        parts, pipeline, steps = self._parts, self._parts.data.pipeline, trained.steps
        if steps <= LONGER * newest_steps(parts.folder):
            return self._newest_ensemble()
        members = best_members(choose(trained.weights, parts.judge).networks, pipeline)
        with self.same_rounding():
            predictions = mean_predictions(members, pipeline, parts.folder)
        if predictions is None:
            return ""
        parts.folder.write_bytes(ensemble_file(steps), predictions.content())
        self._teach(ensemble_file(steps))
        return ensemble_file(steps)

    @property
    def _has_ensemble(self) -> bool:
        """Whether second trainings learn from the first ones: none do with a teacher, or several machines."""
        parts, pipeline = self._parts, self._parts.data.pipeline
        is_small = is_small_enough(len(pipeline.split.train), len(pipeline.dataset.classes))
        return is_small and parts.values.distill is None and not parts.is_shared

    def _newest_ensemble(self) -> str:
        """The newest file of predictions in the run folder; empty if there is none."""
        steps = newest_steps(self._parts.folder)
        return ensemble_file(steps) if steps and self._has_ensemble else ""

    def _teach(self, name: str) -> None:
        """Lets trainings learn from the predictions in a file of the run folder."""
        parts = self._parts
        parts.data.teach(read_ensemble(parts.folder, name, parts.data.pipeline), parts.folder)

    def same_rounding(self) -> AbstractContextManager[None]:
        """Without a clock, one thread: the choice is then the same for every number of cores."""
        return limited_threads(1 if self._clock.left() is None else None)

    def teach_as(self, progress: FinalProgress) -> None:
        """Lets trainings with other seeds learn from what this one has learned from."""
        if progress.taught_by:
            self._teach(progress.taught_by)

    def _train_further(self, trained: TrainedFinals) -> bool:
        """Trains the next networks, one a worker, if there is time to train them as long; returns whether it did."""
        taken = [finalist.outcome for finalist in trained.finalists]
        known = {outcome.number for outcome in taken}
        outcomes = [outcome for outcome in self._searcher.outcomes() if outcome.number not in known]
        further = [self._finalist(outcome) for outcome in self._chosen(outcomes, self.trainings.workers, taken)]
        if not further or not self.trainings.have_time(further, trained.steps):
            return False
        progress = self.trainings.run(further)
        trained.finalists += further
        trained.progress += progress
        trained.weights += self._weights(further, progress)
        return True

    def _add_earlier(self, trained: TrainedFinals) -> None:
        """Adds what earlier sessions have trained to its end: the best network may be among it."""
        known = {(item.outcome.number, item.second) for item in (*trained.finalists, *(f for f, _ in trained.second))}
        for outcome in self._searcher.outcomes():
            for finalist in (self._finalist(outcome), self._second(outcome)):
                if (outcome.number, finalist.second) in known or not outcome.is_scored:
                    continue
                if (progress := self.trainings.ended_before(finalist)) is None:
                    continue
                if finalist.second:
                    trained.second.append((finalist, progress))
                else:
                    trained.finalists.append(finalist)
                    trained.progress.append(progress)
                trained.weights += self._weights([finalist], [progress])

    def _weights(self, finalists: Sequence[Finalist], progress: Sequence[FinalProgress]) -> list[Weights]:
        parts = self._parts
        with self.same_rounding():
            return all_weights(parts.data.pipeline, parts.folder, parts.judge, finalists, progress)

    def _finalists(self) -> list[Finalist]:
        """The networks to train to the end. Raises: NoNetworkError with all reasons if no trial succeeded."""
        parts = self._parts
        chosen = self._fast_enough(self._outcomes_to_train())
        if not chosen:
            reasons = list(dict.fromkeys(each.reason for each in self._searcher.outcomes() if each.reason))
            listed = "; ".join(reasons[:MAX_REASONS]) or "no time for any"
            more = f"; and {len(reasons) - MAX_REASONS} more" if len(reasons) > MAX_REASONS else ""
            raise NoNetworkError(f"run {parts.folder.path}: no trial succeeded; the reasons: {listed}{more}")
        return [self._finalist(outcome) for outcome in chosen]

    def _outcomes_to_train(self, without: frozenset[int] = frozenset()) -> list[Outcome]:
        """The trials, `without` some, whose networks would be trained to the end if the search ended now."""
        outcomes = [outcome for outcome in self._searcher.outcomes() if outcome.number not in without]
        plan = self._parts.plan
        # A network that was trained to its end beside the search leaves its worker to another one.
        further = self.trainings.ended if plan.workers > 1 else 0
        return self._chosen(outcomes, plan.finalists + further)

    def _fast_enough(self, chosen: list[Outcome]) -> list[Outcome]:
        """The same, or others in the place of those that break a limit of latency when they are timed now.

        Predictions have errors, and a network may be trained for nothing. None is timed whose final training has
        started, and none if the first network is trained beside the search, which leaves no time without other work;
        that network was timed before. If all are too slow, the first choice stays: other programs may be the reason.
        """
        parts, choice, slow, known = self._parts, chosen, frozenset[int](), set[int]()
        seconds, plan = parts.settings.seconds, parts.plan
        is_beside = plan.first_has_worker(seconds) and not plan.first_is_before(seconds)
        if not parts.space.budget.latencies or is_beside:
            return chosen
        known |= {each.number for each in chosen if (parts.folder / progress_file(each.number)).is_file()}
        for _ in range(MAX_CHECKS):
            new = [outcome for outcome in choice if outcome.number not in known]
            if not new:
                break
            specs = [parts.space.inspect(outcome.shape).spec for outcome in new]
            with self._clock.paused():
                measured = measure_latencies(specs, parts.space.budget, parts.progress.timing)
            known |= {outcome.number for outcome in new}
            slow |= {
                outcome.number
                for outcome, times in zip(new, measured, strict=True)
                if not all(each.is_met for each in times)
            }
            choice = self._outcomes_to_train(slow)
        parts.progress.searched()
        return choice or chosen

    def _chosen(self, outcomes: Sequence[Outcome], count: int, taken: Sequence[Outcome] = ()) -> list[Outcome]:
        parts = self._parts
        promises = self._searcher.promises(self._searcher.outcomes())
        return choose_finalists(
            outcomes, promises, count, longest=parts.plan.rungs[-1], validation=parts.data.validation_groups,
            metric=parts.settings.metric, always_first=parts.plan.first_has_worker(parts.settings.seconds),
            turns=parts.plan.bands, taken=taken,
        )  # fmt: skip

    def _finalist(self, outcome: Outcome) -> Finalist:
        seed = self._searcher.seed_of(outcome.number)
        return Finalist(outcome, self._parts.space.inspect(outcome.shape), seed)

    def _store_part(self, progress: FinalProgress) -> None:
        """Stores the score of the last part, if there is a time limit: without one, trials depend on rungs alone."""
        part = progress.parts[-1] if progress.parts else None
        if part is not None and part.images > self._parts.plan.longest_images(self._parts.settings.epochs):
            return  # predictions are for shorter trainings
        if part is not None and part.averaged is not None and not progress.second and self._clock.left() is not None:
            self._searcher.store_part(progress.trial, part.images, utility(part.averaged))

    def _second(self, outcome: Outcome) -> Finalist:
        """The same with the second seed."""
        seed = self._searcher.seed_of(outcome.number, 1)
        return replace(self._finalist(outcome), seed=seed, second=True)

    def _trainings(self, taught_by: str = "") -> FinalTrainings:
        """Final trainings, whose time is stored part by part; they learn from a file of predictions if it is named."""
        parts = self._parts
        settings, plan = parts.settings, parts.plan

        def on_part(finalist: Finalist, progress: FinalProgress, end: int) -> None:
            self._searcher.store_seconds(self._clock.elapsed())
            self._store_part(progress)
            parts.progress.retraining(finalist, progress, end)

        images, most = plan.final_images(settings.seconds, settings.epochs), 0
        if settings.seconds is not None:  # the clock decides, up to the largest number of epochs
            images = plan.longest_images(settings.epochs)
            most = images if plan.bands > 1 else plan.most_images(settings.epochs)  # a front has other networks instead
        return FinalTrainings(
            parts.executor, parts.folder, plan, parts.values, self._clock,
            plan.steps(images), on_part, parts.progress.retrained, settings.metric,
            taught_by, plan.steps(most),
        )  # fmt: skip

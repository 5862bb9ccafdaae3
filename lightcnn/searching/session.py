"""One session of a search: its trials, its final trainings, and its report."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from lightcnn.cost_range import cost_range
from lightcnn.errors import LightcnnError, RunError
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.comparison import SearchResult
from lightcnn.searching.final_phase import FinalPhase, TrainedFinals
from lightcnn.searching.latency.models import MeasuredLatency, measure_latencies, nearest_latency
from lightcnn.searching.preparation import SessionParts
from lightcnn.searching.progress import PlannedSearch
from lightcnn.searching.report.front import front_cost_of, front_points
from lightcnn.searching.report.report import delivered_recipe, write_report
from lightcnn.searching.report.trial_table import write_trials
from lightcnn.searching.report.warnings import early_warnings
from lightcnn.searching.settings import CONTINUED_FILE, SETTINGS_FILE
from lightcnn.searching.strategies.predictor import CurvePredictor
from lightcnn.searching.trainings.choice import Choice, Weights, choose, quantize_all
from lightcnn.searching.trainings.evaluator import NetworkEvaluator
from lightcnn.searching.trainings.files import remove_states, state_file
from lightcnn.searching.trainings.finals import Finalist, progress_file
from lightcnn.searching.trainings.jobs import paused_file
from lightcnn.searching.trainings.repeats import repeat_training
from lightcnn.searching.trials.clock import SearchClock
from lightcnn.searching.trials.halving import in_turns
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.place import StudyPlace
from lightcnn.searching.trials.searcher import LAG, Searcher
from lightcnn.searching.trials.storage import Outcome
from lightcnn.text import first_line

KEPT_STATES = 16
"""Most promising networks whose states are kept: a search that is resumed continues a third of them at most."""


class SearchSession:
    """One session of a search in a run folder, which it has locked.

    `spent` are the seconds of earlier sessions before the first trial. Raises: RunError if the study on disk cannot be
    used or holds another search.
    """

    def __init__(self, parts: SessionParts, spent: float) -> None:
        self._parts = parts
        settings, space = parts.settings, parts.space
        self._trials, self._networks = space.limited(settings.trials), space.most_networks(settings.trials)
        self._warnings = [
            *early_warnings(settings.metric, parts.inputs.chosen, parts.data.pipeline),
            *parts.warnings,
        ]
        self._searcher = self._open_searcher()
        self._earlier = self._searcher.outcomes()
        for outcome in self._earlier:
            if (parts.folder / progress_file(outcome.number)).is_file():  # its training is beyond the rungs
                self._searcher.close(outcome.number)
        limit, epochs = settings.seconds, settings.epochs
        past = self._searcher.past(limit)
        self._limit_since, spent = past.since, max(spent, past.seconds)
        if past.networks:
            past = replace(past, seconds=spent + time.monotonic() - parts.inputs.began)
        plan = parts.plan.after(past, limit, epochs, self._networks)
        self._parts = replace(parts, plan=plan)
        search = plan.search_seconds(limit, epochs)
        self._clock = SearchClock(limit, search, spent, parts.inputs.began, lambda: self._final_phase.spare_seconds())
        self._final_phase = FinalPhase(self._parts, self._searcher, self._clock)

    def run(self) -> None:
        """Runs the trials and the final trainings, and writes the report."""
        parts = self._parts
        # Nothing can be refused from here on: these are now the settings.
        had_result = (parts.folder / "report.json").is_file()
        if had_result:
            parts.folder.write_bytes(CONTINUED_FILE, b"the search is continued; this result is of an earlier session\n")
        parts.folder.write_bytes(SETTINGS_FILE, parts.settings.yaml())
        if parts.settings.seconds is not None:
            self._searcher.store_limit(parts.settings.seconds, self._limit_since)
        self._begin_progress(had_result=had_result)
        self._search()
        parts.progress.searched()
        trained = self._final_phase.run()
        self._write(trained)
        parts.progress.reported(parts.folder)
        self.store_seconds()
        promises = self._searcher.promises(self._searcher.outcomes())
        ranked = sorted(promises, key=lambda number: -promises[number])
        promising = in_turns(ranked, self._searcher.bands.turn)[:KEPT_STATES]
        remove_states(parts.folder, keep=[*promising, *(finalist.outcome.number for finalist in trained.finalists)])

    def store_seconds(self) -> None:
        """Stores the seconds that the search has run: those of an interrupted training count when it is continued."""
        self._searcher.store_seconds(self._clock.elapsed())

    def close(self) -> None:
        """Closes the study's file."""
        self._searcher.disconnect()

    def _begin_progress(self, *, had_result: bool) -> None:
        """Reports the plan, and what earlier sessions have scored or ended."""
        parts = self._parts
        parts.progress.planned(
            PlannedSearch(
                parts.folder, parts.space, parts.plan, self._clock, parts.settings, parts.data.validation_groups,
                parts.inputs.chosen, self._warnings, self._is_over(), had_result,
            )
        )  # fmt: skip
        for outcome in self._earlier:
            if outcome.scores or outcome.state != "running":
                parts.progress.finished(outcome, "")

    def _is_over(self) -> bool:
        """Whether earlier sessions have used the time, and left no training to the next rung unfinished."""
        left, running = self._clock.left(), [outcome for outcome in self._earlier if outcome.state == "running"]
        if left is None or left > self._parts.plan.evaluation or any(each.is_training for each in running):
            return False
        return any(outcome.is_scored for outcome in self._earlier) and all(outcome.tasks for outcome in running)

    def _search(self) -> None:
        """Trains and compares networks; only the first one if there is no time to compare any."""
        parts = self._parts
        settings, plan = parts.settings, parts.plan
        alone = plan.trains_one(settings.seconds, settings.epochs, self._networks)
        run_trials(
            self._searcher,
            NetworkEvaluator(
                parts.executor,
                parts.folder,
                plan,
                parts.values,
                self._final_phase.trainings,
                settings.metric,
            ),
            trials=1 if alone else self._trials,
            clock=self._clock,
            started=parts.progress.started,
            finished=self._finished,
            first_ended=self._begin_first,
        )

    def _finished(self, outcome: Outcome, error: str) -> None:
        """Logs a score or the end of a trial, and reports it."""
        parts = [error or outcome.reason or outcome.state]
        if outcome.score is not None:
            parts.append(f"validation accuracy {outcome.score:.4f} after {outcome.images} images")
        self._parts.folder.log(f"trial {outcome.number}: {', '.join(parts)}")
        self._remove_used_states(outcome)
        self._parts.progress.finished(outcome, error)

    def _remove_used_states(self, outcome: Outcome) -> None:
        """Removes the states from which a trial was continued to its last rung, whose score is now stored."""
        for images in (images for images in self._parts.plan.rungs if images <= outcome.images):
            state = state_file(outcome.number, images)
            self._parts.folder.remove(paused_file(state))
            if images < outcome.images:
                self._parts.folder.remove(state)

    def _begin_first(self, outcome: Outcome) -> None:
        """Begins the final training of the first network beside the search, if it has a worker.

        When the search is over, a single worker shares its time among all finalists.
        """
        seconds, plan = self._parts.settings.seconds, self._parts.plan
        if plan.first_has_worker(seconds) and (self._clock.allows(0.0) or not plan.first_is_before(seconds)):
            self._searcher.close(outcome.number)
            self._final_phase.begin(outcome)

    def _write(self, trained: TrainedFinals) -> None:
        """Chooses the weights, trains them with other seeds if asked to, and writes trials.csv and the report."""
        parts = self._parts
        searcher = self._searcher
        for progress in trained.progress:
            searcher.store_final(progress.trial, parts.plan.images_at(progress.last_step))
        outcomes = searcher.settled()
        write_trials(parts.folder, parts.space, outcomes)
        parts.progress.choosing()
        latencies = self._latencies(trained.deliverable)
        in_time = {trial for trial, measured in latencies.items() if all(each.is_met for each in measured)}
        choice = self._choose([item for item in trained.weights if item.finalist.outcome.number in in_time], latencies)
        if parts.settings.deploy:
            write_trials(parts.folder, parts.space, outcomes, choice)
        repeats = self._repeats(choice)
        parts.executor.stop()  # nothing is trained any more, and networks beside a front may be timed
        result = SearchResult(
            outcomes, searcher.promises(outcomes), trained.finalists, trained.progress, choice,
            searcher.count_test_evaluation(), repeats, trained.second, latencies,
            front_points(choice, cost_range(parts.space.budget).resource, latencies) if parts.settings.pareto else (),
            parts.data.teacher, parts.executor.machines(sum(progress.is_repeated for progress in trained.progress)),
        )  # fmt: skip
        write_report(
            parts.folder, parts.settings, parts.data, parts.space, parts.plan, result, self._clock, parts.values,
            self._warnings, parts.progress.timing,
        )  # fmt: skip
        parts.folder.remove(CONTINUED_FILE)

    def _latencies(self, finalists: list[Finalist]) -> dict[int, tuple[MeasuredLatency, ...]]:
        """By trial, the latencies that the budget limits. Raises: LightcnnError if no finalist is fast enough."""
        parts = self._parts
        budget, trials = parts.space.budget, [finalist.outcome.number for finalist in finalists]
        if not budget.latencies:
            return dict.fromkeys(trials, ())
        with self._clock.paused():
            parts.executor.stop()
            specs = [finalist.candidate.spec for finalist in finalists]
            latencies = measure_latencies(specs, budget, parts.progress.timing)
        if not any(all(each.is_met for each in measured) for measured in latencies):
            raise LightcnnError(f"run {parts.folder.path}: {nearest_latency(latencies, budget)}")
        return dict(zip(trials, latencies, strict=True))

    def _choose(self, weights: list[Weights], latencies: dict[int, tuple[MeasuredLatency, ...]]) -> Choice:
        """The weights to deliver, of a front the cheapest of equal scores.

        The networks are compared after quantization if they are deployed in 8 bits.
        """
        parts = self._parts
        pipeline, folder, judge, deploy = (parts.data.pipeline, parts.folder, parts.judge, parts.settings.deploy)

        def expense(item: Weights) -> float:
            resource = parts.settings.pareto and cost_range(parts.space.budget).resource
            return front_cost_of(item, resource, latencies) if resource else 0.0

        if deploy is None:
            return choose(weights, judge, expense=expense)
        parts.progress.quantizing(deploy)
        with self._clock.paused(), self._final_phase.same_rounding():
            return choose(
                weights, judge, partial(quantize_all, pipeline=pipeline, folder=folder, judge=judge, deploy=deploy),
                expense,
            )  # fmt: skip

    def _repeats(self, choice: Choice) -> list[float]:
        """The test accuracies of the delivered training with other seeds."""
        parts = self._parts
        trial = choice.best.finalist.outcome.number
        recipe = delivered_recipe(parts.settings, parts.plan, choice.best, parts.values)
        count, seeds = parts.settings.seeds or 1, [self._searcher.seed_of(trial, repeat) for repeat in range(100)]
        seeds = [seed for seed in seeds if seed != recipe.seed][: count - 1]
        with self._clock.paused():
            if seeds:
                self._final_phase.teach_as(choice.best.progress)
            return repeat_training(
                parts.executor, parts.folder, parts.data.pipeline, recipe, trial, seeds,
                workers=parts.plan.workers,
                started=lambda done, count: parts.progress.repeating(trial, done, count),
                evaluating=self._searcher.count_test_evaluation,
            )  # fmt: skip

    def _open_searcher(self) -> Searcher:
        """The searcher over the study."""
        parts = self._parts
        settings, plan = parts.settings, parts.plan
        models = [model.model_dump() for model in parts.space.latencies]
        fingerprint = {
            "budget": parts.space.budget.document(),
            "space": parts.space.space.model_dump(mode="json"),
            "data": parts.data.pipeline.dataset.fingerprint,
            "seed": settings.seed,
            "strategy": settings.strategy,
            **({"pareto": True} if settings.pareto else {}),
            **({} if settings.metric == "accuracy" else {"metric": settings.metric}),
            "rungs": list(plan.rungs),
            **({"latency": models} if models else {}),
        }
        searcher = Searcher(
            parts.space,
            parts.place,
            strategy=settings.strategy,
            seed=settings.seed,
            rungs=plan.halving(settings.seconds),
            fingerprint=fingerprint,
            predictor=CurvePredictor(parts.space),
            final_images=plan.final_images(settings.seconds, settings.epochs),
            lag=LAG if settings.seconds is None and not parts.is_shared else None,
            bands=parts.space.bands,
        )
        _require_networks(parts.place, parts.space, searcher.outcomes())
        return searcher


def _require_networks(place: StudyPlace, space: BudgetedSpace, outcomes: list[Outcome]) -> None:
    """Raises: RunError if the shape of a trial on disk is not a network of the space."""
    for outcome in outcomes:
        try:
            candidate = space.inspect(outcome.shape) if outcome.key else None
            if candidate and outcome.scores and any(excess > 0 for excess in candidate.violations.values()):
                raise ValueError("it has scores, but breaks the budget")
        except (LightcnnError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
            raise RunError(
                f"{place}: not the study of this search (the shape of trial {outcome.number} is not a network: "
                f"{first_line(error)}); {place.other}"
            ) from None

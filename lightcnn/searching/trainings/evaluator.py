"""How candidates are scored: by their networks' validation scores after a training that continues at every rung."""

from __future__ import annotations

import math

from lightcnn.run_folder import RunFolder
from lightcnn.searching.budgeted_space import Candidate
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.plan import Plan
from lightcnn.searching.settings import TrainingValues
from lightcnn.searching.trainings.executors import Executor, next_result, trainings_at_once
from lightcnn.searching.trainings.files import state_file, write_epochs
from lightcnn.searching.trainings.finals import FinalTrainings
from lightcnn.searching.trainings.jobs import FINAL, TrainingJob, WeightScore
from lightcnn.searching.trials.halving import Fidelity, Score


class NetworkEvaluator:
    """The `Evaluator` of a search: trains networks by an executor.

    The utility of a network is minus the logarithm of its calibrated log loss on validation, with averaged weights. For
    a metric in which classes count alike, they are weighted equally in it.
    Workers that are busy with `finals` are not its own; what they return is handed on.
    """

    def __init__(
        self,
        executor: Executor,
        folder: RunFolder,
        plan: Plan,
        values: TrainingValues,
        finals: FinalTrainings,
        metric: MetricName = "accuracy",
    ) -> None:
        self._executor = executor
        self._folder = folder
        self._plan = plan
        self._values = values
        self._finals = finals
        self._metric = metric
        self._running: dict[tuple[int, int], Fidelity] = {}

    @property
    def workers(self) -> int:
        """Trainings that run at once."""
        return trainings_at_once(self._plan, self._executor.workers) - self._finals.running

    @property
    def lends_workers(self) -> bool:
        """Whether final trainings have some of the workers."""
        return self._finals.running > 0

    def begin(self, candidate: Candidate, fidelity: Fidelity) -> None:
        """Starts or continues the training of a candidate."""
        job = TrainingJob(
            trial=fidelity.trial,
            rung=fidelity.rung,
            spec=candidate.spec,
            seed=fidelity.seed,
            training=self._values.training,
            augment=self._values.augment,
            distill=self._values.distill,
            until=self._plan.steps(fidelity.images),
            source=state_file(fidelity.trial, self._plan.rungs[fidelity.rung - 1]) if fidelity.rung else "",
            target=state_file(fidelity.trial, fidelity.images),
            metric=self._metric,
        )
        self._running[fidelity.trial, fidelity.rung] = fidelity
        self._executor.submit(job)

    def wait(self) -> tuple[Fidelity, Score | str] | None:
        """The next trial with its score, or its error; None if there are more or fewer workers than before."""
        while (result := next_result(self._executor)) is not None and result.rung == FINAL:
            workers = self.workers
            self._finals.take(result)
            if self.workers != workers:
                return None
        if result is None:
            return None
        fidelity = self._running.pop((result.trial, result.rung))
        if result.averaged is None:
            self._folder.log(f"trial {fidelity.trial} failed: {result.traceback or result.error}")
            return fidelity, result.error
        write_epochs(self._folder, result)
        halfway = {} if result.halfway is None else {fidelity.images // 2: utility(result.halfway)}
        value = None if self._metric == "accuracy" else result.averaged.value(self._metric)
        return fidelity, Score(result.averaged.accuracy, utility(result.averaged), result.seconds, halfway, value)


def utility(score: WeightScore) -> float:
    """Minus the logarithm of the calibrated log loss: equal differences are equal factors of the loss."""
    return -math.log(max(score.loss, 1e-6))

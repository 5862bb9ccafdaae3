"""What a search reports while it runs. No torch: the terminal is ready before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightcnn.progress import Progress, forwarded
from lightcnn.tracking.tracker import RunPart, Value
from lightcnn.tracking.trackers import Trackers
from lightcnn.tracking.values import final_scores, parameters

if TYPE_CHECKING:
    from lightcnn.output.warnings import ReportWarning
    from lightcnn.run_folder import RunFolder
    from lightcnn.searching.budgeted_space import BudgetedSpace, Candidate
    from lightcnn.searching.plan import Plan
    from lightcnn.searching.settings import SearchSettings
    from lightcnn.searching.trainings.finals import Finalist, FinalProgress
    from lightcnn.searching.trainings.jobs import TrainingResult
    from lightcnn.searching.trials.clock import SearchClock
    from lightcnn.searching.trials.halving import Fidelity
    from lightcnn.searching.trials.storage import Outcome
    from lightcnn.space_choice import SpaceChoice


@dataclass(frozen=True)
class PlannedSearch:
    """A search that starts or resumes; it compares networks on validation images of so many `groups`.

    `chosen` is why the space was chosen, None if the user gave it. `warnings` are those that are known before any
    training. `is_over` if earlier sessions have used the time, `had_result` if the last of them ended with a network.
    """

    run: RunFolder
    space: BudgetedSpace
    plan: Plan
    clock: SearchClock
    settings: SearchSettings
    groups: int
    chosen: SpaceChoice | None
    warnings: Sequence[ReportWarning]
    is_over: bool
    had_result: bool = False


class SearchProgress:
    """Receives what a search reports; this one is silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """Called while images are read and compared: the step, how many images are done, how many there are."""

    def read(self, images: int, seconds: float) -> None:
        """Called when so many images have been read and their groups are known; the time limit counts from here."""

    def timing(self, what: str, done: int, total: int) -> None:
        """Called while networks are timed: the step, how many networks are done, how many there are."""

    def teaching(self, done: int, total: int) -> None:
        """Called while a teacher is trained: how many epochs are done, how many there are."""

    def timed(self, seconds: float, networks: int, error: float) -> None:
        """Called when so many networks have been timed; nine in ten predictions have at most that relative error."""

    def planned(self, search: PlannedSearch) -> None:
        """Called when the search starts or resumes."""

    def joined(self, machines: int, workers: int) -> None:
        """Called in a search of several machines when others have joined or left: how many there are now."""

    def noted(self, message: str) -> None:
        """Called with what the user should know of a search of several machines."""

    def started(self, candidate: Candidate, fidelity: Fidelity) -> None:
        """Called when a training of a trial starts or continues."""

    def stepped(self, trial: int, step: int) -> None:
        """Called often during a training: the trial, and the optimizer steps of its network."""

    def finished(self, outcome: Outcome, error: str) -> None:
        """Called when a trial has a new score, fails or ends, and for every trial of earlier sessions on a resume."""

    def searched(self) -> None:
        """Called when no more networks are compared."""

    def retraining(self, finalist: Finalist, progress: FinalProgress, end: int) -> None:
        """Called when a part of a final training starts, with its last step as planned now."""

    def retrained(self, finalist: Finalist, progress: FinalProgress) -> None:
        """Called when a final training has ended or failed."""

    def repeating(self, trial: int, done: int, count: int) -> None:
        """Called before each training of the delivered network with another seed: how many of `count` are done."""

    def quantizing(self, deploy: str) -> None:
        """Called before the best networks are quantized and compared as they are deployed."""

    def choosing(self) -> None:
        """Called when all trainings are done and the best weights are chosen."""

    def reported(self, run: RunFolder) -> None:
        """Called when the report is on disk."""


class CalledSearchProgress(SearchProgress):
    """Calls a function with the name of a step, how much of it is done, and its total.

    These are images while data are read, networks or (with a time limit) seconds while networks are compared, and
    optimizer steps of the final training. Nothing is called within a training, whose errors are those of its network.
    """

    def __init__(self, call: Progress) -> None:
        self._call = call
        self._search: tuple[SearchClock, SearchSettings, int] | None = None
        self._networks: set[int] = set()
        self._steps: dict[int, tuple[int, int]] = {}
        self._is_searched = False

    def reading(self, what: str, done: int, total: int) -> None:
        """Reports the images of a step that are done."""
        self._call(what, done, total)

    def timing(self, what: str, done: int, total: int) -> None:
        """Reports the networks of a step that are done."""
        self._call(what, done, total)

    def teaching(self, done: int, total: int) -> None:
        """Reports the epochs of the teacher that are done."""
        self._call("training of the teacher", done, total)

    def planned(self, search: PlannedSearch) -> None:
        """Keeps the clock and the limits."""
        self._search = search.clock, search.settings, search.space.limited(search.settings.trials) or 0
        self._searching()

    def finished(self, outcome: Outcome, error: str) -> None:
        """Reports a network."""
        self._networks.add(outcome.number)
        self._searching()

    def searched(self) -> None:
        """Reports the final trainings from here on."""
        self._is_searched = True
        self._final()

    def retraining(self, finalist: Finalist, progress: FinalProgress, end: int) -> None:
        """Reports the steps of a final training that are done."""
        self._steps[finalist.outcome.number] = progress.step, end
        self._final()

    def retrained(self, finalist: Finalist, progress: FinalProgress) -> None:
        """Reports that all steps of a final training are done."""
        trial = finalist.outcome.number
        if trial in self._steps:
            self._steps[trial] = (self._steps[trial][1],) * 2
        self._final()

    def _searching(self) -> None:
        if self._search is None or self._is_searched:
            return
        clock, settings, networks = self._search
        if settings.seconds is None:
            self._call("comparing networks", len(self._networks), networks)
        else:
            limit = round(settings.seconds)
            self._call("searching", min(round(clock.elapsed()), limit), limit)

    def _final(self) -> None:
        if self._is_searched and self._steps:
            done, ends = zip(*self._steps.values(), strict=True)
            self._call("final training", sum(done), sum(ends))


class TrackedSearch(SearchProgress):
    """Sends the settings, the scores of all trials and final trainings, and the final scores to trackers."""

    def __init__(self, trackers: Trackers) -> None:
        self._trackers = trackers
        self._space: BudgetedSpace | None = None
        self._run = RunPart("", "images", dict)

    def planned(self, search: PlannedSearch) -> None:
        """Opens the run in the trackers."""
        settings = search.settings.model_dump(mode="json", exclude={"space"})
        values = parameters(settings) | {"space": search.space.space.name}
        self._space, self._run = search.space, RunPart("", "images", lambda: values)
        self._trackers.open(search.run, self._run)

    def finished(self, outcome: Outcome, error: str) -> None:
        """Sends the scores of a trial by the images that its network has seen."""
        for images, accuracy in outcome.scores.items():
            scores = {"accuracy": accuracy, "utility": outcome.utilities[images]}
            self._trackers.scores(self._part(outcome), images, scores)

    def retraining(self, finalist: Finalist, progress: FinalProgress, end: int) -> None:
        """Sends the scores of the parts that are done."""
        self._send(finalist, progress)

    def retrained(self, finalist: Finalist, progress: FinalProgress) -> None:
        """Sends the scores of all parts and of the end."""
        self._send(finalist, progress)

    def reported(self, run: RunFolder) -> None:
        """Sends the final scores."""
        self._trackers.summary(self._run, final_scores(run.report))

    def _send(self, finalist: Finalist, progress: FinalProgress) -> None:
        part = self._part(finalist.outcome, "-second-seed" if finalist.second else "")
        for result in (*progress.parts, *filter(None, [progress.end])):
            self._trackers.scores(part, result.images, _scores(result))

    def _part(self, outcome: Outcome, ending: str = "") -> RunPart:
        return RunPart(f"trial-{outcome.number:04}{ending}", "images", lambda: self._parameters(outcome))

    def _parameters(self, outcome: Outcome) -> dict[str, Value]:
        """Shape and cost of a network."""
        assert self._space is not None
        cost = self._space.inspect(outcome.shape).cost.document()
        return parameters({"trial": outcome.number, "shape": outcome.shape, "cost": cost})


def _scores(result: TrainingResult) -> dict[str, float]:
    """Validation accuracy and log loss of the averaged weights of a final training, else of the live ones."""
    score = result.averaged or result.live
    return {} if score is None else {"accuracy": score.accuracy, "log_loss": score.log_loss}


def tracked(progress: SearchProgress, trackers: Trackers) -> SearchProgress:
    """The same progress, which also goes to trackers, if there are any."""
    return forwarded(SearchProgress, [progress, TrackedSearch(trackers)]) if trackers.names else progress


SILENT = SearchProgress()

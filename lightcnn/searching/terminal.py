"""What people see of a search: the live view and the dry run."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.text import Text

from lightcnn import interrupt
from lightcnn.budget import LATENCIES, Budget, Cost, human
from lightcnn.output.console import CommandConsole
from lightcnn.output.terminal import LiveView, format_duration, key_value_grid
from lightcnn.searching.metric_names import metric_label
from lightcnn.searching.progress import SearchProgress
from lightcnn.searching.report.wording import about, ended_line, longer_command, longer_time, plan_lines
from lightcnn.searching.settings import SearchSettings

BUSY_ERROR = 0.3
"""Predicted times that are worse were measured while other programs ran: 11 % is usual."""

TEACHING, COMPARING, FINAL_TRAINING = "training the teacher", "comparing networks", "final training"
"""Phases of a search."""


class _Best(NamedTuple):
    """The score with the lowest log loss so far: its accuracy, after so many images, and its trial."""

    log_loss: float
    accuracy: float
    images: int
    trial: int


class SearchView(LiveView, SearchProgress):
    """Shows a search: live on a terminal, elsewhere one line per score, nothing when quiet."""

    def __init__(self, console: CommandConsole, quiet: bool) -> None:
        super().__init__(console, quiet)
        self._budget: Budget | None = None
        self._clock: Any = None
        self._settings: Any = None
        self._trials: int | None = None
        self._plan: Any = None
        self._phase, self._current, self._read, self._timed = "reading images", "", "", ""
        self._is_timing = self._is_shared = False
        self._running: dict[int, _Running] = {}
        self._best: _Best | None = None
        self._states: dict[int, str] = {}
        self._reached: dict[int, tuple[int, ...]] = {}
        self._groups, self._images, self._began = 1, 0.0, 0.0
        self._busy, self._counted = 0.0, 0.0

    def reading(self, what: str, done: int, total: int) -> None:
        """Shows the step and how many images are done."""
        interrupt.check()
        self.announce(what, done, total)
        if self._plan is None:
            self._phase, self._current = what, f"{done:,} of {total:,} images"

    def read(self, images: int, seconds: float) -> None:
        """Keeps how long reading took, for when nothing can be refused any more."""
        self._read = f"{images:,} images were read in {seconds:.1f} s, which --time does not include"

    def timing(self, what: str, done: int, total: int) -> None:
        """Shows the step and how many networks are done; without a live view, announces those before the search."""
        interrupt.check()
        if not (self.is_live or self._is_timing or self._plan is not None):
            self.line("timing networks for the limit on latency, which is part of --time if it is given")
        self._is_timing = True
        self._phase, self._current = what, f"{done:,} of {total:,} networks"

    def teaching(self, done: int, total: int) -> None:
        """Shows how many epochs of the teacher are done; without a live view, announces its training."""
        interrupt.check()
        if not self.is_live and self._phase != TEACHING:
            epochs = "one epoch" if total == 1 else f"{total} epochs"
            self.line(f"the teacher is trained first, for at most {epochs}, which is part of --time if it is given")
        self._phase, self._current = TEACHING, f"{done} of {total} epochs"

    def timed(self, seconds: float, networks: int, error: float) -> None:
        """Keeps how long timing took, and how far predictions can be trusted."""
        self._timed = (
            f"{networks} networks were timed in {seconds:.1f} s; nine in ten predicted times are within {error:.0%}"
        )
        if error > BUSY_ERROR:
            self._timed += (
                " (other programs may be running; times in ONNX Runtime are harder to predict); a network fits if "
                f"{1 + error:.2f} times its predicted time is within the limit"
            )

    def planned(self, search: Any) -> None:
        """Shows what is searched, and the plan; of a search whose time is used, how to search longer."""
        space, plan, settings = search.space, search.plan, search.settings
        self._budget, self._clock, self._settings, self._plan = space.budget, search.clock, settings, plan
        self._groups, self._began, self._trials = search.groups, time.monotonic(), space.limited(settings.trials)
        self._counted = self._began
        self._phase, self._current = COMPARING, ""
        if search.is_over:
            longer = longer_command(
                search.run.path, longer_time(settings.seconds, search.clock.elapsed()), settings.data
            )
            self.line(ended_line(settings.seconds, longer, has_result=search.had_result))
            return
        for line in filter(None, (self._read, self._timed)):
            self.line(line)
        workers = f"{plan.workers} workers" if plan.workers > 1 else "one process"
        name = space.space.name or "the given space"
        if search.chosen is not None:
            name += f" (chosen since {search.chosen.reason})"
        self.line(f"searching {name} within {space.budget} on {settings.data}, {workers}, into {search.run.path}")
        for line in plan_lines(plan.document(settings.seconds, settings.epochs, space.most_networks(settings.trials))):
            self.line(line)
        if space.covered:
            self.line("the budget admits the largest network of the space, so networks are not scaled up to it")
        for warning in search.warnings:
            self.warn(warning.message)

    def joined(self, machines: int, workers: int) -> None:
        """Shows how many processes work."""
        self._is_shared = True
        processes = "one process trains" if machines == 1 else f"{machines} processes train"
        self.line(f"{processes} with {'one worker' if workers == 1 else f'{workers} workers'}")

    def noted(self, message: str) -> None:
        """Shows the message, and that this machine trains for another one if it has no search of its own."""
        self.line(message)
        if self._plan is None:
            self._phase, self._current = "training for the leader", ""

    def started(self, candidate: Any, fidelity: Any) -> None:
        """Shows the network that is trained."""
        size = candidate.spec.input[1]
        network = f"{size}×{size} input, {len(candidate.spec.stages)} stages"
        self._count_busy()
        before = self._plan.steps(self._plan.rungs[fidelity.rung - 1]) if fidelity.rung else 0
        self._running[fidelity.trial] = _Running(network, candidate.cost, self._plan.steps(fidelity.images), before)

    def stepped(self, trial: int, step: int) -> None:
        """Shows how far a training is."""
        if (running := self._running.get(trial)) and step > running.step:
            self._images += self._plan.images_at(step - running.step)
            running.step = step

    def finished(self, outcome: Any, error: str) -> None:
        """Shows a score or the end of a trial: as a line if there is no live view or the trial failed."""
        self._count_busy()
        if outcome.number in self._running and not error:
            self.stepped(outcome.number, self._running[outcome.number].steps)
        self._running.pop(outcome.number, None)
        self._states[outcome.number] = "trained" if outcome.is_scored else outcome.state
        self._reached[outcome.number] = tuple(outcome.scores)
        score = "" if outcome.score is None else f" {outcome.score:.2%} after {human(outcome.images)} images"
        if outcome.is_scored:
            self._compare(_Best(math.exp(-outcome.utility), outcome.score, outcome.images, outcome.number))
        if not self.is_live:
            state = "" if outcome.is_scored else f" {outcome.state}"
            self.line(f"trial {outcome.number}:{state}{score} {error or outcome.reason}".rstrip())
        elif error:
            self.line(f"trial {outcome.number} failed: {error}")

    def searched(self) -> None:
        """Shows that the final training begins."""
        self._phase, self._current = FINAL_TRAINING, ""

    def retraining(self, finalist: Any, progress: Any, end: int) -> None:
        """Shows a part of a final training."""
        number, size = finalist.outcome.number, finalist.candidate.spec.input[1]
        self._count_busy()
        self.stepped(number, progress.step)
        self._running[number] = _Running(f"{size}×{size} input", finalist.candidate.cost, end, progress.step)
        if not progress.parts:
            taught = ", and learns from the first trainings" if progress.taught_by else ""
            how = f"again with a second seed{taught}" if finalist.second else "to the end"
            self.line(f"trial {number} is trained {how}: {human(self._plan.images_at(end))} images")
        elif (part := progress.parts[-1]).averaged is not None:
            self._compare(_Best(part.averaged.loss, part.averaged.accuracy, part.images, number))
            if not self.is_live:
                self.line(f"trial {number}: {part.averaged.accuracy:.2%} after {human(part.images)} images")

    def retrained(self, finalist: Any, progress: Any) -> None:
        """Removes the bar of a final training."""
        self._count_busy()
        self._running.pop(finalist.outcome.number, None)
        if (end := progress.end) is not None and end.averaged is not None:
            self._compare(_Best(end.averaged.loss, end.averaged.accuracy, end.images, finalist.outcome.number))

    def _compare(self, new: _Best) -> None:
        """Takes a score if its log loss is the lowest so far."""
        self._best = min(filter(None, (self._best, new)), key=lambda score: score.log_loss)

    def repeating(self, trial: int, done: int, count: int) -> None:
        """Shows that the delivered network is trained with other seeds."""
        phase = "training with other seeds"
        is_first, self._phase, self._current = self._phase != phase, phase, f"{done} of {count} are done"
        if is_first:
            others = "another seed" if count == 1 else f"{count} other seeds"
            self.line(f"trial {trial} is trained again with {others}, which --time does not include")

    def choosing(self) -> None:
        """Shows that all trainings are done."""
        self._count_busy()
        self._running.clear()
        self._phase, self._current = "evaluating the best networks", ""

    def quantizing(self, deploy: str) -> None:
        """Shows that the best networks are quantized."""
        self._phase, self._current = f"evaluating the best networks in 8 bits, as in {deploy}", ""
        self.line(f"the best networks are compared in 8 bits, as in {deploy}, which --time does not include")

    def render(self) -> RenderableType:
        """The current state of the search."""
        rows = key_value_grid()
        rows.add_row(self._phase, Text(self._current))
        for trial, running in sorted(self._running.items()):
            bar = ProgressBar(total=max(1, running.steps), completed=running.step, width=30)
            rows.add_row(f"trial {trial}", Group(Text(f"{running.network}, {self._used(running.cost)}"), bar))
        if self._best is not None:
            rows.add_row("best so far", Text(self._format_best()))
        if rungs := self._format_rungs():
            rows.add_row("rungs", Text(rungs))
        counted = ", ".join(f"{count} {state}" for state, count in Counter(self._states.values()).items())
        rows.add_row("networks", Text(counted or "none yet"))
        rows.add_row("time", Text(self._format_time()))
        if speed := self._format_speed():
            rows.add_row("speed", Text(speed))
        return Group(rows)

    def _format_best(self) -> str:
        """The accuracy of the network with the lowest log loss so far, with its interval."""
        from lightcnn.evaluation.intervals import wilson  # numpy is not needed before there is a score

        assert self._best is not None
        score, images = self._best.accuracy, human(self._best.images)
        low, high = wilson(score * self._groups, self._groups)
        return f"{score:.2%} (95 % interval {low:.2%} to {high:.2%}) after {images} images (trial {self._best.trial})"

    def _format_rungs(self) -> str:
        """How many networks have reached each rung."""
        if self._plan is None:
            return ""
        networks = list(self._reached.values())  # at once, since the view is drawn by another thread
        counts = [sum(images in reached for reached in networks) for images in self._plan.rungs]
        pairs = zip(self._plan.rungs, counts, strict=True)
        return ", ".join(f"{count} at {human(images)} images" for images, count in pairs if count)

    def _format_speed(self) -> str:
        """Images that all workers have trained in a second, since this session began."""
        if not self._images:
            return ""
        return f"{human(round(self._images / max(time.monotonic() - self._began, 1e-9)))} images/s"

    def _used(self, cost: Any) -> str:
        """How much of the budget a network uses."""
        limits = self._budget.limits if self._budget is not None else ()
        used = ((limit, limit.resource.largest_count(cost)) for limit in limits)
        return ", ".join(
            f"{human(count)} of {human(limit.upper)} {limit.resource.label} ({count / limit.upper:.1%})"
            for limit, count in used
        )

    def _format_time(self) -> str:
        """Time spent, and what is left; without a time limit, of the trials, and about how long they take."""
        if self._clock is None:
            return ""
        left = self._clock.left()
        spent = format_duration(self._clock.elapsed())
        if left is None:
            return f"{spent} spent, {len(self._states)} of {self._trials} trials{self._format_rest()}"
        return f"{spent} spent, {format_duration(max(left, 0))} left"

    def _format_rest(self) -> str:
        """About how long the trials and their final trainings take that are left, at the speed of this session."""
        is_training = self._phase in (COMPARING, FINAL_TRAINING) and not self._is_shared
        if not is_training or not self._images or self._trials is None:
            return ""
        speed_of_worker = self._images / max(self._busy_seconds(), 1e-9)
        rest = self._plan.fixed_seconds(self._settings.epochs, self._trials, speed_of_worker)
        rest -= time.monotonic() - self._began
        return f", {about(rest)} left without second trainings" if rest > 0 else ""

    def _count_busy(self) -> None:
        """Counts the seconds that workers have trained, before another training begins or ends."""
        self._busy, self._counted = self._busy_seconds(), time.monotonic()

    def _busy_seconds(self) -> float:
        """Seconds that all workers have trained in this session."""
        if not self._running:
            return self._busy
        workers: int = min(len(self._running), self._plan.workers)  # some final trainings may be waiting
        return self._busy + workers * (time.monotonic() - self._counted)


@dataclass
class _Running:
    """A training that runs: the network in words, its cost, its last step, and the steps that are done."""

    network: str
    cost: Any
    steps: int
    step: int = 0


def format_estimate(document: Mapping[str, Any], settings: SearchSettings) -> list[str]:
    """The lines of a dry run, from its document."""
    space, first = document["space"], document["first"]
    counts = ", ".join(f"{count} {name}" for name, count in document["data"]["counts"].items())
    name = space["name"] or "the given space"
    chosen = f" (chosen since {space['chosen']})" if space["chosen"] else ""
    trials = document["trials"]
    limits = [f"{trials} trial{'s' if trials > 1 else ''}"] if trials else []
    limits += [f"{settings.seconds:g} seconds"] if settings.seconds else []
    return [
        f"data    {settings.data}: {counts}",
        f"space   {name}{chosen}: {space['genes']} genes, "
        f"{human(space['smallest']['macs'])} to {human(space['largest']['macs'])} FLOPs",
        f"budget  {Budget.parse(settings.budget)}",
        f"metric  {metric_label(settings.metric)} on validation",
        f"first   {_cost(first) if first else 'a random network: the start of the space does not fit the budget'}",
        *_teacher_line(document),
        f"ends    after {' or '.join(limits)}{_expected(document)}; nothing was trained",
        *plan_lines(document["plan"]),
    ]


def _expected(document: Mapping[str, Any]) -> str:
    """How long the trials of a dry run are expected to take."""
    seconds, others = document["expected_seconds"], "trainings with other seeds"
    if "teacher" in document:
        others += " and the teacher"
    return "" if seconds is None else f", {about(seconds)} without {others}"


def _teacher_line(document: Mapping[str, Any]) -> list[str]:
    """The teacher of a dry run, if there is one, and how long it is trained first."""
    if "teacher" not in document:
        return []
    name, epochs, seconds = (document["teacher"][key] for key in ("name", "epochs", "seconds"))
    if epochs is None:
        return [f"teacher {name}" + (f": its predictions take about {seconds:.0f} s" if seconds else "")]
    about = f", in about {seconds:.0f} s" if seconds else ""
    return [f"teacher {name}: it is trained first, for {epochs} {'epoch' if epochs == 1 else 'epochs'}{about}"]


def _cost(document: Mapping[str, Any]) -> Cost:
    """The part of a cost that people read, from the document of a cost."""
    return Cost(
        macs=document["macs"],
        params=document["params"],
        weight_bytes_int8=document["weight_bytes"]["int8"],
        peak_activations=document["peak_activations"],
        flash_bytes=document["flash_bytes"],
        arena_bytes=document["arena_bytes"],
        **{name: document[name] for name in LATENCIES if name in document},
    )

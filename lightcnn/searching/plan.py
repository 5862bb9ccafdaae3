"""How a search spends its time: the lengths of the trainings, and the shares of the search and the final training."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lightcnn import document
from lightcnn.devices import MAX_WORKERS
from lightcnn.document import Frozen, rule_error
from lightcnn.errors import RunError
from lightcnn.recipe import Optimisation
from lightcnn.recipe_defaults import default_epochs, default_training
from lightcnn.run_folder import RunFolder, version_of
from lightcnn.searching.trials.clock import Past
from lightcnn.searching.trials.halving import Rungs
from lightcnn.version import __version__

if TYPE_CHECKING:
    from lightcnn.searching.trials.storage import Outcome

FINAL_SHARES = (0.75, 0.6)
"""Largest shares of the time that are kept for the final training. The smaller one is for small data, of which a
network alone would see all that it needs. With 0.6 on Fashion-MNIST, ten minutes ended after 0.73 million images, with
92.15 % on test."""
MAX_FINAL_EPOCHS, MOST_EPOCHS = 100, 400
"""Maximum epochs of a final training, and of one that is still learning then (decision 0019). If networks are compared,
time is kept for the default epochs, and the rest is for comparing: on Fashion-MNIST, the start of `micro` gained
nothing from 0.6 to 2 million images (docs/reference/measurements.md)."""
SAFETY_SHARE = 0.93
"""Share of the remaining time that the final training is planned to use: the speed of two shared cores varies."""
SECOND_SHARE = 0.5
"""Time is kept for a second training of the best networks, which learns from the first one, if both together need no
larger share of it. With two thirds, no gain was shown (decision 0018)."""
RUNG_FACTOR = 3
"""Each rung has so many times the images of the one before, and the best 1/RUNG_FACTOR of its candidates. Made-up
searches with the curves of 33 trainings prefer 3 at 0.3 MFLOPs and 2 at 1 MFLOPs, if the first rung is short
(docs/reference/measurements.md)."""
RUNG_COST = 1 + 2 / 3 + 6 / 9
"""Images of all rungs for each network, in those of the first rung: nothing is trained twice."""
NETWORKS = 30
"""Networks that a search with enough time compares; with more time, the first rung gets longer. In made-up searches
that may compare for as long as four final trainings take, 38 and 44 networks are best, and 15 to 30, at longer rungs,
are worse by 0.1 to 0.3 standard deviations of the log loss (docs/reference/measurements.md)."""
MIN_NETWORKS, MIN_BESIDE = 4, 3
"""With fewer networks than that, the first one is trained alone instead; the second number counts if it has a worker of
its own, and loses little by the search."""
MIN_STEPS, GOOD_STEPS = 100, 250
"""Optimizer steps of the shortest first rung, unless the final training has fewer than three times as many, and of one
that is worth its time: the scores of 13 networks at 1 MFLOPs correlate with the end by 0.31 after 94 steps, and by 0.72
after 188. In made-up searches, first rungs of 47 steps are better by 0.2 to 0.5 standard deviations at 0.3 MFLOPs, and
at 1 MFLOPs with little time; that was not tried in whole searches (docs/reference/measurements.md)."""
WARMUP_STEPS = 200
"""Steps in which the learning rate rises; fewer if the first rung is shorter. No other number was compared."""
AVERAGING = 0.995
"""Decay of the averaged weights, by which networks are judged while the learning rate is high. Their log loss at the
end is lower than with 0.98 in all of five schedules, by 0.002 to 0.008 (decision 0011)."""
PLAN_FILE = "plan.yaml"
FORMAT = re.compile(r"^version: *(\d+)", re.MULTILINE)
"""The version of the format of a file of a search. The first plan.yaml did not state it: trainings began again at each
rung then."""


class Beside(Frozen):
    """How networks would be trained side by side in a search that has time for it, at so many images per second."""

    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)]
    finalists: Annotated[int, Field(ge=1, le=64)]
    images_per_second: Annotated[float, Field(gt=0, le=1e9)]


class Plan(Frozen):
    """What the first session derived from its data and the speed of its machine; later sessions use the same.

    Rungs are numbers of images. `spent` are the seconds before the first trial, `evaluation` those for the evaluation
    of the final networks and the report.
    """

    version: Literal[2] = 2
    fingerprint: str
    images: Annotated[int, Field(ge=1, description="training images")]
    batch: Annotated[int, Field(ge=2, le=65_536)]
    rungs: Annotated[tuple[Annotated[int, Field(ge=1, le=10**12)], ...], Field(min_length=1, max_length=10)]
    warmup_steps: Annotated[int, Field(ge=1, le=10**6)]
    workers: Annotated[int, Field(ge=1, le=MAX_WORKERS)]
    finalists: Annotated[int, Field(ge=1, le=64)]
    threads: Annotated[int | None, Field(ge=1, le=1_024, description="CPU threads of one training")] = None
    alone: Annotated[bool, Field(description="whether there is no time to compare networks")] = False
    beside: Annotated[Beside | None, Field(description="of a network alone: how others would be compared")] = None
    bands: Annotated[int, Field(ge=1, le=64, description="bands of costs that share the search")] = 1
    images_per_second: Annotated[
        float | None, Field(gt=0, le=1e9, description="of one worker; measured if there is a time limit")
    ] = None
    final_share: Annotated[float, Field(gt=0, lt=1)] = FINAL_SHARES[0]
    evaluation: Annotated[float, Field(ge=0, le=1e9)] = 0.0
    spent: Annotated[float, Field(ge=0, le=1e9, description="seconds before the first trial")] = 0.0
    teaching: Annotated[float, Field(ge=0, le=1e9, description="those in which the teacher was trained")] = 0.0
    _past: Past = Past()  # of this session only, so that it is not in plan.yaml

    @model_validator(mode="after")
    def _check(self) -> Self:
        if list(self.rungs) != sorted(set(self.rungs)):
            raise rule_error("rungs", "must be ascending; choose a new --out")
        return self

    def after(self, past: Past, limit: float | None, epochs: int | None, trials: int | None) -> Plan:
        """The plan of a session after what earlier ones have done.

        If the limit was raised, the first network is trained alone if there still is no time to compare it with others.
        """
        is_raised = limit is not None and past.since > 0
        plan = self.model_copy(update={"alone": self.alone and not is_raised})
        plan._past = past
        is_alone = plan.alone or (is_raised and self.bands == 1 and plan.trains_one(limit, epochs, trials))
        return plan.model_copy(update={"alone": is_alone})

    @property
    def speed(self) -> float:
        """Images per second of one worker; 1 if it was not measured, since nothing then depends on it."""
        return self.images_per_second or 1.0

    def first_has_worker(self, limit: float | None) -> bool:
        """Whether one worker trains the first network from the beginning to the end, while the others search.

        Then a search is not worse than the first network alone, except for the speed that workers take from each other.
        A single worker searches when that network is trained.
        """
        return limit is not None and self.finalists > 1 and self.bands == 1 and not self.alone

    def first_is_before(self, limit: float | None) -> bool:
        """Whether a single worker trains the first network to the end before it compares others."""
        return self.workers == 1 and self.first_has_worker(limit)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of one epoch."""
        return math.ceil(self.images / self.batch)

    def steps(self, images: int) -> int:
        """The optimizer step after which a training has seen so many images."""
        return max(1, round(images * self.steps_per_epoch / self.images))

    def images_at(self, step: int) -> int:
        """Images that a training has seen after an optimizer step, each as often as it was seen."""
        return round(step * self.images / self.steps_per_epoch)

    def training(self) -> Optimisation:
        """The settings of all trainings, which have no end until the final training has one."""
        return default_training(100_000, self.images).model_copy(
            update={
                "batch": self.batch, "schedule": "warmup-stable-decay", "warmup_steps": self.warmup_steps,
                "decay_steps": 0, "ema": AVERAGING, "threads": self.threads, "keep": "last",
            }
        )  # fmt: skip

    def final_images(self, limit: float | None, epochs: int | None) -> int:
        """Images of the final training: by the time `limit`, which is all for a network alone; at most the longest.

        They are those of a network whose final training every session continues.
        """
        return self.longest_images(epochs) if limit is None else self._final_images(limit, epochs)

    def least_final_images(self, limit: float | None, epochs: int | None) -> int:
        """The same, or those of a network whose final training this session begins, if that is less."""
        final = self.final_images(limit, epochs)
        return final if limit is None else min(final, self._final_images(limit, epochs, self._past.since))

    def _final_images(self, limit: float, epochs: int | None, since: float = 0.0) -> int:
        """Images of a final training in its share of the time from the second `since` until the limit."""
        share, before = (1.0, self.spent) if self.alone else (self.final_share, self.teaching)
        seconds = share * (limit - max(before, since)) - self.evaluation
        return max(1, min(self.longest_images(epochs), int(SAFETY_SHARE * seconds * self.speed / self._turns(limit))))

    def longest_images(self, epochs: int | None) -> int:
        """The images of a final training that time is kept for."""
        most = MAX_FINAL_EPOCHS if self.alone else default_epochs(self.images, MAX_FINAL_EPOCHS)
        return self.images * (epochs or most)

    def most_images(self, epochs: int | None) -> int:
        """The most images of a final training, as long as the network is learning and there is time."""
        return self.images * (epochs or MOST_EPOCHS)

    def _turns(self, limit: float) -> float:
        """Final trainings that one worker runs after the search, a part of each in turn."""
        finalists = self.finalists - self.first_is_before(limit)
        return 1.0 if self.alone else max(1.0, finalists / self.workers)

    def search_seconds(self, limit: float | None, epochs: int | None) -> float | None:
        """The time by which the last rung must end, for `limit` seconds in total; None without a limit.

        Final trainings get their share of the time since the limit was last raised; those of the sessions before took
        none of it.
        """
        if limit is None:
            return None
        since = self._past.since
        left, final = max(0.0, limit - since), self._final_seconds(limit, epochs)
        if self._keeps_second(final, left):
            final *= 2
        return since + left - min(final, left)

    def _keeps_second(self, final: float, left: float) -> bool:
        """Whether time is kept for second trainings, if first ones need `final` of the seconds that are `left`."""
        return self.finalists > 1 and self.bands == 1 and not self.alone and 2 * final <= SECOND_SHARE * left

    def _final_seconds(self, limit: float, epochs: int | None) -> float:
        """Seconds of final trainings of networks that were not trained before, and of the evaluation."""
        return self._seconds_of(self._final_images(limit, epochs, self._past.since) / self.speed, limit)

    def _seconds_of(self, training: float, limit: float) -> float:
        """Seconds of final trainings, each of which takes so many, and of the evaluation."""
        return self._turns(limit) * training / SAFETY_SHARE + self.evaluation

    def spare_seconds(self, limit: float, epochs: int | None, finalists: Sequence[Outcome]) -> float:
        """Seconds after `search_seconds` without which these networks still could be trained to the longest length.

        Their trainings continue, at their own speeds. None without networks.
        """
        needed = [max(0.0, outcome.seconds_to(self.longest_images(epochs))) for outcome in finalists]
        return max(0.0, self._final_seconds(limit, epochs) - self._seconds_of(max(needed), limit)) if needed else 0.0

    def comparing_seconds(self, limit: float, epochs: int | None, since: float = 0.0) -> float:
        """Seconds of all workers together in which networks are compared, those of the first network excepted.

        Those before the second `since` do not count; the first network was trained in them as well.
        """
        began = max(self.spent, since)
        seconds = max(0.0, (self.search_seconds(limit, epochs) or 0.0) - began)
        first = self._first_images(limit, epochs) / self.speed
        return self.workers * seconds - min(max(0.0, first - (began - self.spent)), seconds)

    def _first_images(self, limit: float, epochs: int | None) -> int:
        """Images of the first network, if it has a worker: all that it needs if others are compared after it."""
        if self.first_is_before(limit):
            return self.longest_images(epochs)
        return self.final_images(limit, epochs) if self.first_has_worker(limit) else 0

    def networks(self, limit: float | None, epochs: int | None, trials: int | None) -> int:
        """About how many networks will be compared, with those of earlier sessions; 1 if there is no time for any."""
        if limit is None:
            return max(self._past.networks, trials or 1)
        if self.trains_one(limit, epochs, trials):
            return 1
        known = self._past.networks
        if known < 2 and not self.compares(limit, epochs, trials):
            return 2
        possible = (known or self.first_has_worker(limit)) + self._others(limit, epochs, self._past.seconds)
        return max(known, min(possible, trials or NETWORKS * 1_000))

    def trains_one(self, limit: float | None, epochs: int | None, trials: int | None) -> bool:
        """Whether only one network is trained: `trials` is 1, or there is no time to compare it with others."""
        if limit is None:
            return (trials or 1) == 1 and self._past.networks < 2
        has_others = self.bands > 1 and trials != 1  # a front is not of the first network alone
        return self._past.networks < 2 and not has_others and not self.compares(limit, epochs, trials)

    def compares(self, limit: float, epochs: int | None, trials: int | None) -> bool:
        """Whether a search of `limit` seconds, or of `trials` if that is less, has time to compare networks.

        That does not change until the limit is raised; then the first network has been trained before.
        """
        least = MIN_BESIDE if self.first_has_worker(limit) else MIN_NETWORKS
        least, since = max(least, self.bands), self._past.since
        possible = self._others(limit, epochs, since) + (self.first_has_worker(limit) or since > 0)
        return not self.alone and trials != 1 and possible >= min(least, trials or least)

    def _others(self, limit: float, epochs: int | None, since: float) -> int:
        """Networks that there is time to compare after the second `since`, without a first one that has a worker."""
        return int(self.comparing_seconds(limit, epochs, since) * self.speed / (RUNG_COST * self.rungs[0]))

    def worthwhile_seconds(self, limit: float, epochs: int | None, networks: int) -> int:
        """The seconds in which so many networks could be compared at rungs of `GOOD_STEPS` and more.

        Of a search that is resumed, they are all its seconds, and its rungs keep their length.
        """
        if self.alone and self.beside is not None:
            compared = self.model_copy(update={"alone": False, "beside": None, **self.beside.model_dump()})
            compared._past = self._past
            return compared.worthwhile_seconds(limit, epochs, networks)
        past, rung = self._past, GOOD_STEPS * self.images / self.steps_per_epoch
        images = max(0, networks - past.networks) * RUNG_COST * (self.rungs[0] if past.networks else rung)
        search = images / (max(1, self.workers - self.first_has_worker(limit)) * self.speed)
        search += min(past.seconds, self.search_seconds(limit, epochs) or 0.0) - past.since
        if self.first_is_before(limit) and not past.networks:
            search += self._first_images(limit, epochs) / self.speed
        longest = self._turns(limit) * self.longest_images(epochs) / self.speed / SAFETY_SHARE
        training = min(search / (1 - FINAL_SHARES[0]) - search, longest)
        if self._keeps_second(training, search + 2 * training):
            training *= 2
        return round(past.since + search + training + self.evaluation)

    def fixed_seconds(self, epochs: int | None, trials: int, images_per_second: float) -> float:
        """About how long a search of so many trials takes without a time limit, at that speed of one worker.

        Neither a teacher nor trainings with other seeds are part of it. Of a search that is resumed, it is what is left
        of comparing, and the final trainings.
        """
        count, before, images = max(0, trials - self._past.networks), 0, 0
        finalists, searched = min(self.finalists, trials), self.rungs[0]
        for place, rung in enumerate(self.rungs):
            images += count // RUNG_FACTOR**place * (rung - before)
            before = rung
            if trials // RUNG_FACTOR**place >= finalists:
                searched = rung
        final = math.ceil(finalists / self.workers) * max(0, self.longest_images(epochs) - searched)
        return (images / min(self.workers, max(1, count)) + final) / images_per_second + self.evaluation

    def halving(self, limit: float | None) -> Rungs:
        """The rungs. A single finalist is compared with the first network, which must then reach the last of them."""
        first_always = self.first_has_worker(limit) or (self.finalists == 1 and self.bands == 1)
        return Rungs(self.rungs, RUNG_FACTOR, first_always=first_always)

    def document(self, limit: float | None, epochs: int | None, trials: int | None) -> dict[str, Any]:
        """The plan in report.json and in a dry run."""
        final, worthwhile = self.final_images(limit, epochs), min(trials or NETWORKS, NETWORKS)
        return {
            "networks": self.networks(limit, epochs, trials),
            **({"compared_before": self._past.networks} if self._past.networks else {}),
            "rungs": list(self.rungs),
            "finalists": self.finalists,
            **({"bands": self.bands} if self.bands > 1 else {}),
            "workers": self.workers,
            "threads": self.threads,
            "first_has_worker": self.first_has_worker(limit),
            "images_per_second": round(self.speed, 1) if limit is not None else None,
            "time_seconds": limit,
            "evaluation_seconds": round(self.evaluation, 1) if limit is not None else None,
            "final": {"images": final, "steps": self.steps(final), "epochs": round(final / self.images, 1)},
            "worthwhile_networks": worthwhile,
            "worthwhile_seconds": None
            if limit is None or worthwhile == 1
            else self.worthwhile_seconds(limit, epochs, worthwhile),
        }


def make_plan(
    *,
    fingerprint: str,
    images: int,
    workers: int,
    finalists: int,
    limit: float | None,
    epochs: int | None,
    threads: int | None = None,
    images_per_second: float | None = None,
    evaluation: float = 0.0,
    spent: float = 0.0,
    teaching: float = 0.0,
    batch: int | None = None,
    alone: bool = False,
    final_share: float = FINAL_SHARES[0],
    bands: int = 1,
    networks: int = NETWORKS,
) -> Plan:
    """The plan for a training set of so many images, in batches of the default size without `batch`.

    Without a time `limit` nothing depends on the machine. `alone` if only the first network is trained. The networks
    of a Pareto front are in several `bands` of costs. The time is for so many `networks` at most.
    """
    batch = batch or default_training(1, images).batch
    draft = Plan(
        fingerprint=fingerprint, images=images, batch=batch, rungs=(1,), warmup_steps=1, workers=workers,
        finalists=finalists, threads=threads, images_per_second=images_per_second, evaluation=evaluation, spent=spent,
        teaching=teaching, alone=alone, final_share=final_share, bands=bands,
    )  # fmt: skip
    final, steps = draft.final_images(limit, epochs), draft.steps_per_epoch
    if limit is None:
        first = final / RUNG_FACTOR**3
    else:
        first = draft.comparing_seconds(limit, epochs) * draft.speed / (RUNG_COST * networks)
        first = min(first, final / RUNG_FACTOR**2)  # more networks rather than a single rung
    first = max(1, min(final / RUNG_FACTOR, max(first, MIN_STEPS * images / steps)))
    shortest = draft.steps(round(first))  # a training pauses after whole steps
    rungs = [draft.images_at(shortest)]
    while len(rungs) < 3 and 2 * RUNG_FACTOR * rungs[-1] <= final:
        rungs.append(draft.images_at(RUNG_FACTOR ** len(rungs) * shortest))
    warmup = max(1, min(WARMUP_STEPS, shortest // 2))
    return draft.model_copy(update={"rungs": tuple(rungs), "warmup_steps": warmup})


def read_plan(run: RunFolder, fingerprint: str) -> Plan | None:
    """The plan of an earlier session; None if there is none.

    Raises: RunError if the data have another `fingerprint` than they had then, or another version of lightcnn
    made the plan.
    """
    if not (run / PLAN_FILE).is_file():
        return None
    require_continuable(run)
    plan = document.load(Plan, run / PLAN_FILE)
    if plan.fingerprint != fingerprint:
        raise RunError(
            f"run {run.path}: the data have changed since the search started (fingerprint {fingerprint[:12]}, was "
            f"{plan.fingerprint[:12]}); choose a new --out"
        )
    return plan


def require_continuable(run: RunFolder) -> None:
    """Raises: RunError if a version of lightcnn with another format of plan.yaml began the search."""
    require_format(run, PLAN_FILE, Plan.model_fields["version"].default)


def require_format(run: RunFolder, name: str, known: int) -> None:
    """Raises: RunError if a file of the search, which may be missing, has another format than the one that is known."""
    if not (run / name).is_file():
        return
    with open(run / name, encoding="utf-8", errors="replace") as file:
        stated = FORMAT.search(file.read(1_000))
    number = int(stated[1]) if stated else 1
    if number != known:
        raise RunError(f"run {run.path}: {other_version(run, 'an earlier' if number < known else 'a later')}")


def other_version(run: RunFolder, age: Literal["an earlier", "a later"] = "an earlier") -> str:
    """Why a search of a version with other formats is not continued, and what to do: a part of a message."""
    made_by, remedy = version_of(run), "choose a new --out"
    if made_by is None:
        maker = f"{age} version of lightcnn"
    elif made_by == __version__:
        maker = f"{age} state of lightcnn {made_by}"
    else:
        maker, remedy = f"lightcnn {made_by}", f"{remedy}, or continue it with lightcnn {made_by}"
    return f"the search is of {maker} and cannot be continued by this version, {__version__}; {remedy}"


def write_plan(run: RunFolder, plan: Plan) -> None:
    """Writes plan.yaml."""
    run.write_bytes(PLAN_FILE, document.dump(plan, exclude_defaults=False).encode())

"""The job of `lightcnn search`: data, workers, plan, run folder. What a session does in it is in `session`."""

from __future__ import annotations

import time as clock
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import torch

from lightcnn import interrupt
from lightcnn.budget import Budget
from lightcnn.data.pipeline import Pipeline
from lightcnn.data.sources.arrays import are_given, given
from lightcnn.data.split import data_document
from lightcnn.devices import DeviceName, pick_device, require_workers
from lightcnn.duration import seconds_of
from lightcnn.errors import InputError, RunError
from lightcnn.output.report import report_head
from lightcnn.output.terminal import receiver
from lightcnn.output.warnings import ReportWarning
from lightcnn.own_module import given_module
from lightcnn.progress import Progress
from lightcnn.python_calls import python_call
from lightcnn.recipe import Reading
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder
from lightcnn.searching.deployment.names import DeployName
from lightcnn.searching.latency.models import LATENCY_FILE
from lightcnn.searching.metric_names import MetricName
from lightcnn.searching.plan import Plan, read_plan, write_plan
from lightcnn.searching.preparation import SearchInputs, SessionParts, prepare, read_data, study_file
from lightcnn.searching.progress import SILENT, CalledSearchProgress, SearchProgress, tracked
from lightcnn.searching.report.warnings import early_warnings, not_shared
from lightcnn.searching.session import SearchSession
from lightcnn.searching.settings import (
    CONTINUING,
    SETTINGS_FILE,
    SearchSettings,
    given_options,
    has_ended,
    new_settings,
    resumed_settings,
)
from lightcnn.searching.shared.executor import SharedExecutor
from lightcnn.searching.shared.job import SharedEnd, SharedParts, earlier_sessions, take_part
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SHARED_FILE, SharedSettings, read_note
from lightcnn.searching.strategies.names import StrategyName
from lightcnn.searching.teaching import (
    expected_training,
    predictions_of,
    teacher_estimate,
    teacher_seconds,
    teaching_seconds,
)
from lightcnn.searching.terminal import SearchView
from lightcnn.searching.trainings.data import PipelineData
from lightcnn.searching.trainings.executors import Executor, InProcess
from lightcnn.searching.trainings.jobs import DeviceType
from lightcnn.searching.trainings.pool import WorkerPool
from lightcnn.searching.trainings.speed import expected_seconds, plans
from lightcnn.searching.trials.clock import Past
from lightcnn.searching.trials.shown_study import read_past
from lightcnn.space import SearchSpace
from lightcnn.tracking.names import require_trackers
from lightcnn.tracking.trackers import Trackers

START_SHARE = 0.05
"""Share of the time of a search in which it waits at most for its workers to start before the speed is measured."""


@python_call
def search(
    budget: str | Budget | None = None,
    *,
    pareto: bool = False,
    space: str | Path | SearchSpace = "auto",
    data: Any = "digits",
    groups: Any = None,
    trials: int | None = None,
    time: str | float | None = None,
    strategy: StrategyName = "surrogate",
    epochs: int | None = None,
    metric: MetricName | None = None,
    input: int | None = None,
    set: Mapping[str, Any] | None = None,
    finalists: int | None = None,
    workers: int | None = None,
    seeds: int | None = None,
    seed: int = 0,
    device: DeviceName = "auto",
    deploy: DeployName | None = None,
    teacher: Run | str | Path | None = None,
    reading: Reading | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | Progress = False,
    log: str | Sequence[str] = (),
) -> Run:
    """Searches for the best network within a budget and trains it, as `lightcnn search` does but without output.

    Without `trials` and `time`, the search takes two minutes. With `resume`, arguments that are left out or equal to
    their default are those of the search in `out`; only `data` must be given again if they are arrays. A finished
    search continues with larger limits; without any, it is returned as it is, but not for other arrays.

    Args:
        budget: Limits with units, joined by commas, as in "1MFLOPs,50kparams". Needed unless `resume` is set.
        pareto: Whether to search for a Pareto front over the range in `budget`, as in "0.2..4MFLOPs". `front` of the
            report has its networks, the folder `front` of the run their specs and weights; the run predicts with the
            one that is best on validation.
        space: A search space, the name of a shipped one, the path of a YAML file, or "auto": by budget and size of the
            images.
        data: Name of a data set, folder of class folders, or path of a .csv, .tar or .npz file; or arrays (X, y): uint8
            images (N, H, W), (N, H, W, 1) or (N, H, W, 3) and labels (N,), integers or texts; or a PyTorch data set of
            (image, label), which is read once.
        groups: For arrays, the patient or photograph of each image (N,); groups are never split.
        trials: Number of trials; the same seed then gives the same search on the same machine.
        time: Time limit for everything after reading the data, including the final training: seconds, or a text such
            as "90s", "10m" or "1h30m". If the budget limits a latency, timing 30 networks is part of it;
            a time of which that would take more than two thirds is refused.
        strategy: How networks are proposed: "surrogate", "evolution", "tpe" or "random".
        epochs: Epochs of the final training, with `time` at most (default: 20 to 100 by the number of images; with
            `time` up to 400 while a network is learning).
        metric: What is maximised on the validation set: "accuracy", "balanced_accuracy", "auc", "f1" or "log_loss"
            (default: that of `training.monitor` in `set`, else "accuracy").
        input: Input size of all networks in pixels (default: the sizes of the space compete).
        set: Values of `training` and `augment` of all trainings, by their paths in a recipe, as in
            {"training.learning_rate": 0.005, "training.class_weights": "balanced", "augment": "light"}; also
            `distill.alpha` and `distill.temperature` with a teacher.
        finalists: Number of networks that are trained to the end (default: one for each worker; 2 without `time`, and
            with one worker; of a Pareto front one for each band of costs).
        workers: Processes that train (default: one for each core of a CPU, at most 8; one for each GPU).
        seeds: Number of trainings of the delivered network, each with another seed (default: one). All but the first
            take time beyond `time`.
        seed: Seed of the split, the proposals and the trainings.
        device: Where networks are trained.
        deploy: "c" or "onnx-int8": the final networks are quantized to 8 bits as for this format, and the best of them
            after that is delivered. This takes time beyond `time`.
        teacher: The run of a trained network with the same classes, or its folder: all networks learn from its
            predictions for the training images, too. It must not have been trained on images of the validation or the
            test set. Or "timm:NAME", or "timm:NAME=FILE.safetensors" for weights in a file: this pretrained network is
            first trained by the recipe "finetune", in at most a third of `time`.
        reading: How the data are read and split (default: `Reading()`).
        out: The new run folder (default: a new folder in runs/).
        resume: Whether to resume the search in `out`.
        progress: True for the live view of the command; or a function of (step, done, total): images, networks or (with
            `time`) seconds, and optimizer steps of the final training. What it raises ends the search.
        log: "tensorboard", "mlflow" or "wandb", or several: also sends parameters and scores to these trackers.

    Returns:
        The finished run, which predicts with the network that was found.

    Raises:
        InputError: If an argument is wrong or the budget cannot be met; no run folder is left then.
        LightcnnError: If no network could be trained.

    Example:
        >>> from lightcnn import search
        >>> search("100kFLOPs", time="3s").report["best"]["cost"]["macs"] <= 100_000
        True
    """
    reported = receiver(progress, SILENT, CalledSearchProgress, SearchView)
    trackers = Trackers(require_trackers(log), warnings.warn)
    taught_by = given_module(teacher.module if isinstance(teacher, Run) else None)
    with given(data, groups) as source, reported as view, taught_by, trackers:
        values = {
            "budget": str(budget) if isinstance(budget, Budget) else budget, "pareto": pareto,
            "space": space, "input": input, "data": source, "strategy": strategy, "metric": metric,
            "set": dict(set) if isinstance(set, Mapping) else set or {}, "trials": trials,
            "seconds": seconds_of(time), "epochs": epochs,
            "finalists": finalists, "workers": workers, "seeds": seeds, "seed": seed, "device": device,
            "deploy": deploy, "teacher": teacher and str(teacher.path if isinstance(teacher, Run) else teacher),
        }  # fmt: skip
        options = given_options(values, reading or Reading())
        if not resume:
            return Run(run(new_settings(options), out=out, progress=tracked(view, trackers)).path)
        settings, folder = resumed_settings(out, options), Run.load(str(out))
        if options.keys() & CONTINUING or not has_ended(folder):
            run(settings, out=out, resume=True, progress=tracked(view, trackers))
        elif are_given():
            read_plan(folder, read_data(settings, view).fingerprint)  # which refuses other arrays
        return folder


def run(
    settings: SearchSettings,
    *,
    out: str | Path | None,
    resume: bool = False,
    progress: SearchProgress = SILENT,
) -> RunFolder:
    """Runs a search and returns its finished run folder: `out`, or a new folder in runs/.

    With `resume`, continues the search in `out` under these settings. The time limit counts from when the data have
    been read. Raises: as `search`.
    """
    existing = RunFolder.resumed(out, resume=resume, command="search", settings=SETTINGS_FILE)
    if existing is not None and (shared := read_note(existing)) is not None:
        raise RunError(f"--resume: the study of {existing.path} is shared; resume it with {shared.options}")
    device = pick_device(settings.device)
    with _workers(settings, device, progress) as pool:
        inputs = prepare(
            settings, device, pool.workers if pool else 1, progress, existing=existing,
            wait_until_idle=pool.wait_until_idle if pool else lambda: None,
        )  # fmt: skip
        with _opened(out, existing, inputs, device, progress) as (folder, data):
            executor: Executor = InProcess(data, folder, progress.stepped)
            warned: tuple[ReportWarning, ...] = ()
            if pool and _share_images(data, inputs):
                pool.open(data, folder)
                executor = pool
            elif pool:
                pool.close()
                warned = (not_shared(pool.workers),)
            if pool and settings.seconds is not None:  # the speed is measured next
                pool.wait_until_idle(START_SHARE * settings.seconds)
            inputs, _, plan, spent = _planned(folder, inputs, data, executor.workers)
            parts = SessionParts(folder, study_file(folder), inputs, data, plan, executor, progress, warned)
            session = SearchSession(parts, spent)
            try:
                session.run()
            except KeyboardInterrupt:
                with interrupt.deferred():
                    if pool:
                        pool.pause()
                    session.store_seconds()
                raise
            finally:
                session.close()
    return folder


def run_shared(
    settings: SearchSettings,
    shared: SharedSettings,
    *,
    out: str | Path | None,
    resume: bool = False,
    progress: SearchProgress = SILENT,
) -> tuple[RunFolder | None, SharedEnd]:
    """Takes part in a search of several machines; returns its run folder if it led, and where the result is.

    Other machines end with the last trial. With `resume`, the limits may be others than those of the study, and `out`
    an earlier run of it. Raises: as `search`; RunError if the storage cannot be used, or its study is another search.
    """
    again = resume and out is not None and Path(out).exists()
    existing = RunFolder.resumed(out, resume=again, command="search", settings=SETTINGS_FILE)
    if existing is not None and read_note(existing) is None:
        raise RunError(
            f"--resume: the study of {existing.path} is in its folder; omit --storage, or choose a new --out"
        )
    device = pick_device(settings.device)
    count = require_workers(settings.workers, device)
    kind = cast(DeviceType, device.type)
    with closing(SharedPlace(shared)) as place, WorkerPool(count, progress.stepped, kind, shared.trial_timeout) as pool:
        inputs = prepare(settings, device, count, progress, existing=existing)
        with _opened(out, existing, inputs, device, progress, {SHARED_FILE: shared.yaml()}) as (folder, data):
            if not _share_images(data, inputs):
                raise InputError("--storage: the images cannot be written to the cache folder; free some space there")
            pool.open(data, folder)

            def lead(executor: SharedExecutor, stored: Plan | None, store: Callable[[Plan], None]) -> None:
                folder.write_bytes(SHARED_FILE, shared.yaml())  # an earlier session may have ended without leading
                now = replace(inputs, began=clock.monotonic())  # earlier leaders have stored the time that they took
                if stored is not None and read_plan(folder, inputs.dataset.fingerprint) is None:
                    write_plan(folder, stored)
                now, kept, plan, spent = _planned(folder, now, data, count, is_shared=True)
                store(kept)
                parts = SessionParts(folder, place, now, data, plan, executor, progress)
                SearchSession(parts, spent).run()

            end, has_led = take_part(
                place, SharedParts(inputs.settings, inputs.dataset.fingerprint, pool, folder, progress, lead, resume)
            )
            if not has_led:
                folder.write_bytes(SHARED_FILE, shared.yaml(result=end.place))
    return folder if has_led else None, end


@contextmanager
def _opened(
    out: str | Path | None,
    existing: RunFolder | None,
    inputs: SearchInputs,
    device: torch.device,
    progress: SearchProgress,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> Iterator[tuple[RunFolder, PipelineData]]:
    """The run folder, which is locked, and the images that trainings need; a new folder begins with these `files`."""
    times = {LATENCY_FILE: inputs.latencies.yaml()} if inputs.latencies else {}
    folder = existing or RunFolder.create(out, "search", {SETTINGS_FILE: inputs.settings.yaml(), **times, **files})
    with folder.locked():
        pipeline = Pipeline(inputs.dataset, inputs.sets, device, progress=progress.reading)
        teacher = predictions_of(inputs.teacher, pipeline, folder, progress)
        yield folder, PipelineData(pipeline, inputs.settings.seed, teacher)


def _share_images(data: PipelineData, inputs: SearchInputs) -> bool:
    """Whether the images are in a file that worker processes can read."""
    first = inputs.space.inspect(inputs.space.first())
    return data.pipeline.shared(first.spec.input[1]) is not None


def _planned(
    folder: RunFolder, inputs: SearchInputs, data: PipelineData, workers: int, *, is_shared: bool = False
) -> tuple[SearchInputs, Plan, Plan, float]:
    """The inputs with the start of the time, the plan to keep and that of this session, and the seconds spent before.

    The plan of earlier sessions is read, that of a new search is made and written.
    """
    stored = read_plan(folder, inputs.dataset.fingerprint)
    teaching = teaching_seconds(folder)
    # A teacher may have been trained in an earlier session, before there was a plan.
    began = min(inputs.began, clock.monotonic() - teaching) if stored is None else inputs.began
    kept, plan = plans(stored, inputs.settings, data, inputs.space, workers, began, teaching, is_shared=is_shared)
    if kept != stored:
        write_plan(folder, kept)
    return replace(inputs, began=began), kept, plan, 0.0 if stored is None else stored.spent


def estimate(
    settings: SearchSettings,
    progress: SearchProgress = SILENT,
    *,
    resumed: str | Path | None = None,
    shared: SharedSettings | None = None,
) -> dict[str, Any]:
    """What a search would do and what its networks may cost: the JSON document of `--dry-run`.

    The speed is measured on a few batches of the first network, also for how long trials are expected to take; nothing
    else is trained. Of a search that would be `resumed` in that folder, or whose study is `shared`, the plan is the one
    that it has. `first` is the cost of the space's first network, None if it cannot be fitted to the budget.
    """
    folder = RunFolder.resumed(resumed, resume=resumed is not None, command="search", settings=SETTINGS_FILE)
    device = pick_device(settings.device)
    workers = require_workers(settings.workers, device)
    inputs = prepare(settings, device, workers, progress, existing=folder)
    settings, space = inputs.settings, inputs.space
    pipeline = Pipeline(inputs.dataset, inputs.sets, device)
    stored, past = _earlier(folder, shared, inputs.dataset.fingerprint, settings.seconds)
    data, began = PipelineData(pipeline, settings.seed), inputs.began - teacher_seconds(inputs.teacher)
    teaching = expected_training(inputs.teacher)
    _, plan = plans(stored, settings, data, space, workers, began, teaching, is_shared=shared is not None)
    limits = (settings.seconds, settings.epochs, space.most_networks(settings.trials))
    plan = plan.after(past, *limits)
    first = space.first_network()
    ends = {"smallest": space.space.smallest(), "largest": space.space.largest()}
    sets = data_document(pipeline.dataset, inputs.sets)
    warned = early_warnings(settings.metric, inputs.chosen, pipeline)
    seconds = expected_seconds(settings, plan, data, space)
    return {
        **report_head("search", seed=settings.seed, data=sets, warnings=warned),
        "dry_run": True,
        "budget": space.budget.document(),
        "space": {
            "name": space.space.name,
            "genes": len(space.genes()),
            "chosen": inputs.chosen and inputs.chosen.reason,
        }
        | {name: space.cost_of(shape).document() for name, shape in ends.items()},
        "first": first and first.cost.document(),
        **teacher_estimate(inputs.teacher, settings.teacher),
        "trials": space.limited(settings.trials),
        "time_limit_seconds": settings.seconds,
        "expected_seconds": None if seconds is None else round(seconds, 1),
        "plan": plan.document(*limits),
    }


def _earlier(
    folder: RunFolder | None, shared: SharedSettings | None, fingerprint: str, limit: float | None
) -> tuple[Plan | None, Past]:
    """The plan of earlier sessions, if there is one, and what they have done, in a run folder or in a shared study."""
    if shared is not None:
        return earlier_sessions(shared, fingerprint, limit)
    if folder is None:
        return None, Past()
    return read_plan(folder, fingerprint), read_past(study_file(folder), limit)


@contextmanager
def _workers(settings: SearchSettings, device: torch.device, progress: SearchProgress) -> Iterator[WorkerPool | None]:
    """Worker processes, which load PyTorch while the data are read; None if one process is enough.

    Raises: InputError for more workers than GPUs.
    """
    workers, kind = require_workers(settings.workers, device), cast(DeviceType, device.type)
    with ExitStack() as stack:
        yield stack.enter_context(WorkerPool(workers, progress.stepped, kind)) if workers > 1 else None

"""Counts and times all targets of `lightcnn profile`, and writes the run folder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from lightcnn.counting.passes import keep_random_state
from lightcnn.devices import pick_device
from lightcnn.errors import InputError, LightcnnError
from lightcnn.measurement.latency import TimedModel, measure, torch_threads
from lightcnn.measurement.runtimes import require_runtimes
from lightcnn.profiling.profile import Profile
from lightcnn.profiling.report import Failure, report_document, run_folder_files
from lightcnn.profiling.settings import DEFAULT_SETTINGS, ProfileSettings
from lightcnn.profiling.targets import Target, find_targets, read_accuracies
from lightcnn.progress import Progress, no_progress
from lightcnn.run_folder import RunFolder
from lightcnn.text import first_line


def run(
    targets: Sequence[str],
    settings: ProfileSettings = DEFAULT_SETTINGS,
    *,
    out: str | Path | None = None,
    progress: Progress = no_progress,
) -> RunFolder:
    """Profiles all targets and returns the run folder, which is written atomically.

    A target that fails is listed in `failures` of report.json. Raises: InputError before any work if a target, a
    runtime, the device or the file of accuracies is wrong, and if no network fits into memory.
    """
    started = time.monotonic()
    path = RunFolder.new_path(out, "profile")
    settings = replace(settings, runtimes=require_runtimes(settings.runtimes))
    device = pick_device(settings.device)
    accuracies = read_accuracies(settings.accuracy) if settings.accuracy else {}
    networks = find_targets(targets, baselines=settings.baselines, input=settings.input, accuracies=accuracies)
    failures: list[Failure] = []
    with keep_random_state():
        profiles = _count(networks, progress, failures)
        measured = _fitting(profiles, settings, device, failures)
        if settings.latency:
            measured = _time(measured, networks, settings, device, progress, failures)
        if settings.memory:
            measured = _measure_memory(measured, networks, settings, progress, failures)
    by_name = {profile.name: profile for profile in measured}
    profiles = [by_name.get(profile.name, profile) for profile in profiles]
    report = report_document(profiles, failures, threads=settings.threads, started=started)
    return RunFolder.create(path, "profile", run_folder_files(report, profiles))


def _count(targets: Sequence[Target], progress: Progress, failures: list[Failure]) -> list[Profile]:
    """A profile of each target that can be counted; the others become failures.

    Raises: InputError if none can be counted because of the input.
    """
    profiles, errors = [], []
    for number, target in enumerate(targets):
        progress("counting", number, len(targets))
        try:
            profiles.append(target.profile())
        except LightcnnError as error:
            errors.append(error)
            failures.append({"name": target.name, "error": _message(target, error)})
    if errors and not profiles and isinstance(errors[0], InputError):
        raise errors[0]
    progress("counting", len(targets), len(targets))
    return profiles


def _fitting(
    profiles: Sequence[Profile], settings: ProfileSettings, device: torch.device, failures: list[Failure]
) -> list[Profile]:
    """The networks that can be measured; the others become failures. Raises: InputError if none fits into memory."""
    uses = [(device, settings.batch)] * settings.latency + [(torch.device("cpu"), 1)] * settings.memory
    fitting: list[Profile] = []
    errors: list[InputError] = []
    for profile in profiles:
        try:
            for used_device, batch in uses:
                profile.require_memory(used_device, batch)
            fitting.append(profile)
        except InputError as error:
            errors.append(error)
            failures.append({"name": profile.name, "error": str(error)})
    if errors and len(errors) == len(profiles) == len(failures):
        raise errors[0]
    return fitting


def _time(
    profiles: Sequence[Profile],
    targets: Sequence[Target],
    settings: ProfileSettings,
    device: torch.device,
    progress: Progress,
    failures: list[Failure],
) -> list[Profile]:
    """The profiles with the latency in each runtime; all networks are timed in the same rounds."""
    models = _warm_models(profiles, targets, settings, device, progress, failures)
    latencies = measure(
        [model for _, model in models], seconds=settings.seconds, threads=settings.threads, progress=progress
    )
    times = [(name, latency, model.note) for (name, model), latency in zip(models, latencies, strict=True)]
    return [
        replace(
            profile,
            latencies=tuple(latency for name, latency, _ in times if name == profile.name),
            notes=(*profile.notes, *(note for name, _, note in times if name == profile.name and note)),
        )
        for profile in profiles
    ]


def _warm_models(
    profiles: Sequence[Profile],
    targets: Sequence[Target],
    settings: ProfileSettings,
    device: torch.device,
    progress: Progress,
    failures: list[Failure],
) -> list[tuple[str, TimedModel]]:
    """Each network in each runtime, warmed up, with its name; what cannot be timed becomes a failure."""
    by_name = {target.name: target for target in targets}
    models: list[tuple[str, TimedModel]] = []
    with torch_threads(settings.threads):
        for number, profile in enumerate(profiles):
            progress("warming up", number, len(profiles))
            target = by_name[profile.name]
            try:
                in_runtimes = target.timed_models(
                    profile.count, runtimes=settings.runtimes, device=device,
                    batch=settings.batch, threads=settings.threads,
                )  # fmt: skip
            except (LightcnnError, RuntimeError, MemoryError) as error:
                failures.append({"name": profile.name, "error": _message(target, error)})
                continue
            models += [(profile.name, model) for model in in_runtimes]
    return models


def _measure_memory(
    profiles: Sequence[Profile],
    targets: Sequence[Target],
    settings: ProfileSettings,
    progress: Progress,
    failures: list[Failure],
) -> list[Profile]:
    """The profiles with the peak memory of a new process."""
    by_name = {target.name: target for target in targets}
    measured = []
    for number, profile in enumerate(profiles):
        progress("measuring memory", number, len(profiles))
        try:
            memory = by_name[profile.name].memory(settings.threads)
        except LightcnnError as error:
            failures.append({"name": profile.name, "error": str(error)})
            measured.append(profile)
            continue
        measured.append(replace(profile, resident=memory))
    return measured


def _message(target: Target, error: BaseException) -> str:
    """The first line of an error, with the target's name."""
    text = first_line(error)
    return text if target.name in text else f"{target.name}: {text}"

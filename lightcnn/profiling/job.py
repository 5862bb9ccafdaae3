"""`lightcnn profile`: every subject counted and timed, and the run folder with table, layers, charts and page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from lightcnn.counting.count import CONVENTION
from lightcnn.counting.layers import LAYER_COLUMNS
from lightcnn.devices import pick_device
from lightcnn.errors import LightcnnError
from lightcnn.measurement.latency import TimedModel, describe_machine, measure, torch_threads
from lightcnn.measurement.runtimes import require_runtimes
from lightcnn.profiling import columns
from lightcnn.profiling.figures import draw_figures
from lightcnn.profiling.page import profile_page
from lightcnn.profiling.profile import Profile, keep_random_state
from lightcnn.profiling.targets import Target, find_targets, read_accuracies
from lightcnn.progress import Progress
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.spec import Shape
from lightcnn.text import first_line
from lightcnn.version import __version__

TIMING_SECONDS = 45.0
"""Of the rounds of timing, for all networks together."""


@dataclass(frozen=True)
class Settings:
    """What is to be done with each network. An `input` of None: each at its own size."""

    input: Shape | None = None
    baselines: bool = False
    latency: bool = True
    memory: bool = False
    threads: int = 1
    batch: int = 4
    runtimes: tuple[str, ...] = ("folded",)
    device: str = "auto"
    accuracy: Path | None = None
    seconds: float = TIMING_SECONDS


def run(
    targets: Sequence[str],
    settings: Settings = Settings(),
    *,
    out: str | Path | None = None,
    progress: Progress = lambda *_: None,
) -> RunFolder:
    """Profiles all targets and returns the run folder, which is there whole or not at all.

    What failed stands in `failures` of its report.json. Raises: InputError where nothing can be done.
    """
    began, path = (
        time.monotonic(),
        RunFolder.require_free(Path(out)) if out is not None else RunFolder.default_path("profile"),
    )
    settings = replace(settings, runtimes=require_runtimes(settings.runtimes))
    device = pick_device(settings.device)
    accuracies = read_accuracies(settings.accuracy) if settings.accuracy else {}
    named = find_targets(targets, baselines=settings.baselines, input=settings.input, accuracies=accuracies)
    with keep_random_state():
        profiles, failures = _counted(named, progress)
        if settings.latency:
            profiles = _clocked(profiles, named, settings, device, progress, failures)
        if settings.memory:
            profiles = _resident(profiles, named, settings, progress, failures)
    report = _report(profiles, failures, settings, began)
    pictures = draw_figures(report["rows"])
    files = {
        "report.html": profile_page(report, pictures),
        "profile.csv": columns.csv_table(report["rows"], tuple(columns.COLUMNS)).encode(),
        "layers.csv": _layers(profiles),
        **{f"plots/{name}.png": picture.png for name, picture in pictures.items()},
        "report.json": json_bytes(report),
    }
    return RunFolder.create(path, "profile", files)


def _counted(named: Sequence[Target], progress: Progress) -> tuple[list[Profile], list[dict[str, str]]]:
    """A profile of every subject that can be counted, and what is wrong with the others."""
    profiles, failures = [], []
    for number, one in enumerate(named):
        progress("counting", number, len(named))
        try:
            profiles.append(one.profile())
        except LightcnnError as error:
            failures.append({"name": one.name, "error": _told(one, error)})
    progress("counting", len(named), len(named))
    return profiles, failures


def _clocked(
    profiles: Sequence[Profile],
    named: Sequence[Target],
    settings: Settings,
    device: torch.device,
    progress: Progress,
    failures: list[dict[str, str]],
) -> list[Profile]:
    """The profiles with the latency of every runtime, all networks in the same rounds."""
    ready = _ready(profiles, named, settings, device, progress, failures)
    times = measure([one for _, one in ready], seconds=settings.seconds, threads=settings.threads, progress=progress)
    found = [(name, latency, one.note) for (name, one), latency in zip(ready, times, strict=True)]
    return [
        replace(
            held,
            latencies=tuple(latency for name, latency, _ in found if name == held.name),
            notes=tuple(note for name, _, note in found if name == held.name and note),
        )
        for held in profiles
    ]


def _ready(
    profiles: Sequence[Profile],
    named: Sequence[Target],
    settings: Settings,
    device: torch.device,
    progress: Progress,
    failures: list[dict[str, str]],
) -> list[tuple[str, TimedModel]]:
    """Every network in every runtime, warmed up, under its name; what cannot be timed is a failure."""
    by_name = {one.name: one for one in named}
    ready: list[tuple[str, TimedModel]] = []
    with torch_threads(settings.threads):
        for number, held in enumerate(profiles):
            progress("warming up", number, len(profiles))
            one = by_name[held.name]
            try:
                made = one.candidates(
                    held.count, runtimes=settings.runtimes, device=device,
                    batch=settings.batch, threads=settings.threads,
                )  # fmt: skip
            except (LightcnnError, RuntimeError, MemoryError) as error:
                failures.append({"name": held.name, "error": _told(one, error)})
                continue
            ready += [(held.name, candidate) for candidate in made]
    return ready


def _resident(
    profiles: Sequence[Profile],
    named: Sequence[Target],
    settings: Settings,
    progress: Progress,
    failures: list[dict[str, str]],
) -> list[Profile]:
    """The profiles with the memory that a fresh process held."""
    by_name = {one.name: one for one in named}
    found = []
    for number, held in enumerate(profiles):
        progress("measuring memory", number, len(profiles))
        try:
            found.append(replace(held, resident=by_name[held.name].resident(settings.threads)))
        except LightcnnError as error:
            failures.append({"name": held.name, "error": str(error)})
            found.append(held)
    return found


def _report(
    profiles: Sequence[Profile], failures: Sequence[dict[str, str]], settings: Settings, began: float
) -> dict[str, Any]:
    return {
        "lightcnn": __version__,
        "command": "profile",
        "seed": 0,
        "seconds": round(time.monotonic() - began, 2),
        "data": None,
        "convention": CONVENTION,
        "machine": describe_machine() | {"threads": settings.threads},
        "rows": [one.document() for one in profiles],
        "failures": list(failures),
        "layers": {one.name: [layer.document() for layer in one.layers] for one in profiles},
    }


def _layers(profiles: Sequence[Profile]) -> bytes:
    rows = [[one.name, *layer.cells()] for one in profiles for layer in one.layers]
    return columns.to_csv(("network", *LAYER_COLUMNS), rows).encode()


def _told(one: Target, error: BaseException) -> str:
    """One line that begins with the subject's name."""
    text = first_line(error)
    return text if one.name in text else f"{one.name}: {text}"

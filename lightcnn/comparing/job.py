"""`lightcnn compare`: reads finished runs, compares every pair of them and writes the run folder of the comparison."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from lightcnn import document
from lightcnn.comparing.figures import difference_chart, score_chart
from lightcnn.comparing.matching import aligned
from lightcnn.comparing.page import compare_page
from lightcnn.comparing.pairs import all_pairs, require_same_images, scores_of
from lightcnn.comparing.report import compare_report
from lightcnn.comparing.run_predictions import RunPredictions, read_run
from lightcnn.comparing.settings import ALL_METRICS, CompareSettings
from lightcnn.errors import InputError
from lightcnn.output.caveats import STAND_IN
from lightcnn.progress import Progress, no_progress
from lightcnn.python_calls import python_call
from lightcnn.run import Run
from lightcnn.run_folder import RunFolder, json_bytes
from lightcnn.text import in_one_line

MAX_RUNS = 50
"""Runs that are compared at once: 1,225 pairs."""


@python_call
def compare(
    runs: Sequence[RunFolder | str | Path], *, metric: str = ALL_METRICS, seed: int = 0, out: str | Path | None = None
) -> Run:
    """Compares finished runs on the same test images, pair by pair.

    Args:
        runs: 2 to 50 finished runs, or their folders.
        metric: Metric to compare by: `accuracy`, `balanced_accuracy`, `auc` or `all`.
        seed: Random seed of the sign flips, used if there are too many to try all of them.
        out: Run folder to write, which must not exist; a new folder under `runs/` by default.

    Returns:
        The run folder of the comparison; `report["pairs"]` holds one entry per pair and metric.

    Raises:
        InputError: Fewer than two runs are given, a run is unfinished or was edited, or the runs were not tested on the
            same images.

    Example:
        >>> run = lightcnn.compare(["runs/short", "runs/long"], metric="accuracy")
        >>> print(run.report["pairs"][0]["sentence"])
        short and long: no difference in accuracy could be shown (...
    """
    several = (runs,) if isinstance(runs, RunFolder | str | Path) else runs
    if not isinstance(several, Iterable):
        raise InputError(f"runs={in_one_line(runs)}: not a list of run folders; give two or more of them")
    folders = tuple(str(run.path if isinstance(run, RunFolder) else run) for run in several)
    values = {"runs": folders, "metric": metric, "seed": seed}
    return Run(run(document.make(CompareSettings, values, "compare"), out=out).path)


def run(settings: CompareSettings, *, out: str | Path | None = None, progress: Progress = no_progress) -> RunFolder:
    """Compares the runs of `settings` and writes the run folder atomically.

    A comparison takes seconds, so it cannot be resumed. Raises: InputError, as `compare`.
    """
    started, clock = time.strftime("%Y-%m-%d %H:%M:%S"), time.monotonic()
    path = RunFolder.new_path(out, "compare")
    runs = _read_runs(settings.runs, progress)
    pairs = all_pairs(runs, settings.metrics, settings.seed)
    if not pairs:
        raise InputError("--metric auc: a class has no test image, so the AUC is undefined; compare by accuracy")
    scores = {run.name: scores_of(run) for run in runs}
    report = compare_report(settings, runs, scores, pairs, seconds=time.monotonic() - clock)
    warning = STAND_IN if runs[0].report.data.stand_in else ""
    metrics = list(dict.fromkeys(pair.metric for pair in pairs))
    charts = {"differences": difference_chart(pairs), "scores": score_chart(scores, metrics)}
    log = f"{started} compare started\n{time.strftime('%Y-%m-%d %H:%M:%S')} {len(runs)} runs compared\n"
    files = {
        "compare.yaml": document.dump(settings, exclude_defaults=False).encode(),
        "report.html": compare_page(report, charts),
        **{f"plots/{name}.png": chart.with_warning(warning).png for name, chart in charts.items()},
        "log.txt": log.encode(),
        "report.json": json_bytes(report),
    }
    return RunFolder.create(path, "compare", files)


def _read_runs(folders: Sequence[str], progress: Progress) -> list[RunPredictions]:
    """The predictions of runs that may be compared, each under a unique name. Raises: InputError."""
    if len(folders) < 2:
        raise InputError("compare: at least two runs are required; add a run folder with the same test images")
    if len(folders) > MAX_RUNS:
        raise InputError(f"compare: {len(folders)} runs, but at most {MAX_RUNS} can be compared at once; give fewer")
    places = Counter(Path(folder).resolve() for folder in folders)
    if repeated := next((str(place) for place, times in places.items() if times > 1), None):
        raise InputError(f"compare: {repeated} is given twice; give each run once")
    runs = []
    for number, folder in enumerate(folders):
        progress("reading runs", number, len(folders))
        runs.append(read_run(folder))
    runs = aligned(runs)
    for run in runs[1:]:
        require_same_images(runs[0], run)
    names = Counter(run.name for run in runs)
    return [run if names[run.name] == 1 else replace(run, name=str(run.path)) for run in runs]

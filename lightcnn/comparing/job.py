"""Finished runs in, a comparison out: `lightcnn compare`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightcnn.comparing.figures import Scores, forest
from lightcnn.comparing.page import compare_page
from lightcnn.comparing.pairs import METRICS, Pair, all_pairs, require_same_images, scores_of
from lightcnn.comparing.run_predictions import RunPredictions, read
from lightcnn.comparing.wording import notes, sentence
from lightcnn.errors import InputError
from lightcnn.output.caveats import STAND_IN
from lightcnn.output.figures import add_warning_bar
from lightcnn.run import Run
from lightcnn.run_folder import json_bytes
from lightcnn.text import nearest
from lightcnn.version import __version__

MOST = 50
"""Runs that are compared at once: 1,225 pairs."""


def compare(runs: Sequence[str | Path], *, metric: str = "all", seed: int = 0, out: str | Path | None = None) -> Run:
    """Compares finished runs on the same test images, pair by pair, and returns the run folder of the comparison.

    `metric` is accuracy, balanced_accuracy, auc or all; `seed` that of the sign flips. Raises: InputError where there
    are not two runs, one of them is not finished or was edited, or they were not asked the same.
    """
    began, clock = time.strftime("%Y-%m-%d %H:%M:%S"), time.monotonic()
    metrics = _metrics(metric)
    path = Run.require_free(Path(out)) if out is not None else Run.default_path("compare")
    answers = _read(runs)
    pairs = all_pairs(answers, metrics, seed)
    if not pairs:
        raise InputError("--metric auc: a class has no test image, so no AUC is defined; compare by accuracy")
    scores = {run.name: scores_of(run) for run in answers}
    report = _document(answers, scores, pairs, metrics, seed) | {"seconds": round(time.monotonic() - clock, 3)}
    picture = forest(scores, pairs)
    picture = add_warning_bar(picture, STAND_IN) if answers[0].report.data.stand_in else picture
    said = f"{began} compare begins\n{time.strftime('%Y-%m-%d %H:%M:%S')} {len(answers)} runs compared\n"
    files = {
        "report.html": compare_page(report, picture),
        "plots/differences.png": picture,
        "log.txt": said.encode(),
        "report.json": json_bytes(report),
    }
    return Run.create(path, "compare", files)


def _metrics(metric: str) -> tuple[str, ...]:
    """Raises: InputError."""
    if metric == "all":
        return METRICS
    if metric not in METRICS:
        raise InputError(
            f"--metric {metric}: no such metric{nearest(metric, METRICS)}; there are: {', '.join((*METRICS, 'all'))}"
        )
    return (metric,)


def _read(folders: Sequence[str | Path]) -> list[RunPredictions]:
    """The answers of runs that may be compared, each under a name of its own. Raises: InputError."""
    if isinstance(folders, str | Path) or len(folders) < 2:
        raise InputError("compare: two runs or more are needed; give another run folder on the same test images")
    if len(folders) > MOST:
        raise InputError(f"compare: {len(folders)} runs, and {MOST} are the most; compare fewer at a time")
    places = Counter(Path(folder).resolve() for folder in folders)
    if twice := next((str(place) for place, times in places.items() if times > 1), None):
        raise InputError(f"compare: {twice} is given twice; give each run once")
    runs = [read(folder) for folder in folders]
    for run in runs[1:]:
        require_same_images(runs[0], run)
    named = Counter(run.name for run in runs)
    return [run if named[run.name] == 1 else replace(run, name=str(run.path)) for run in runs]


def _document(
    runs: Sequence[RunPredictions],
    scores: Mapping[str, Scores],
    pairs: Sequence[Pair],
    metrics: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """report.json, but for the seconds."""
    undefined = "auc" in metrics and all(pair.metric != "auc" for pair in pairs)
    return {
        "lightcnn": __version__,
        "command": "compare",
        "seed": seed,
        "data": runs[0].report.data.model_dump(),
        "runs": [_of_run(run, scores[run.name]) for run in runs],
        "pairs": [pair.document() | {"sentence": sentence(pair)} for pair in pairs],
        "notes": notes(runs, metrics, undefined),
    }


def _of_run(run: RunPredictions, scores: Scores) -> dict[str, Any]:
    """One of the `runs` of report.json."""
    report = run.report
    return {
        "name": run.name,
        "path": str(run.path),
        "command": report.command,
        "images": len(run.images),
        "seeds": run.seeds.tolist(),
        "folds": run.fold_count,
        "checked": report.predictions is not None,
        "cost": report.network and report.network.cost.model_dump(),
        "scores": {
            metric: score and dict(zip(("value", "low", "high"), score, strict=True))
            for metric, score in scores.items()
        },
        "accuracies": run.right.mean(axis=1).tolist(),
    }

"""report.json of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.comparing.figures import Scores
from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.comparing.settings import CompareSettings
from lightcnn.comparing.wording import notes, sentence
from lightcnn.output.report import report_head


def compare_report(
    settings: CompareSettings,
    runs: Sequence[RunPredictions],
    scores: Mapping[str, Scores],
    pairs: Sequence[Pair],
    *,
    seconds: float,
) -> dict[str, Any]:
    """The whole document. `scores`: those of each run by its name; `seconds`: how long the comparison took."""
    auc_undefined = "auc" in settings.metrics and all(pair.metric != "auc" for pair in pairs)
    return {
        **report_head("compare", seed=settings.seed, seconds=seconds, data=runs[0].report.data.model_dump()),
        "runs": [_run_entry(run, scores[run.name]) for run in runs],
        "pairs": [pair.document() | {"sentence": sentence(pair)} for pair in pairs],
        "notes": notes(runs, settings.metrics, auc_undefined),
    }


def _run_entry(run: RunPredictions, scores: Scores) -> dict[str, Any]:
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
        "accuracies": run.correct.mean(axis=1).tolist(),
    }

"""report.json of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from lightcnn.comparing.figures import Scores
from lightcnn.comparing.pairs import Pair
from lightcnn.comparing.run_differences import RunDifferences, run_differences
from lightcnn.comparing.run_predictions import RunPredictions
from lightcnn.comparing.settings import CompareSettings
from lightcnn.comparing.wording import difference_sentence, notes, sentence, unequal_warnings
from lightcnn.output.largest_class import KEY, is_shown_better, names_warnings
from lightcnn.output.report import report_head
from lightcnn.output.warnings import ReportWarning


def compare_report(
    settings: CompareSettings,
    runs: Sequence[RunPredictions],
    scores: Mapping[str, Scores],
    pairs: Sequence[Pair],
    *,
    seconds: float,
) -> dict[str, Any]:
    """The whole document. `scores`: those of each run by its name; `seconds`: how long the comparison took."""
    entries = [_run_entry(run, scores[run.name]) for run in runs]
    differences = {(a.name, b.name): run_differences(a, b) for a, b in combinations(runs, 2)}
    auc_undefined = "auc" in settings.metrics and all(pair.metric != "auc" for pair in pairs)
    return {
        **report_head(
            "compare",
            seed=settings.seed,
            seconds=seconds,
            data=runs[0].report.data.model_dump(),
            warnings=[*unequal_warnings(list(differences.values())), *_largest_class_warnings(entries)],
        ),
        "runs": entries,
        "pairs": [_pair_entry(pair, differences[pair.a, pair.b]) for pair in pairs],
        "differences": [entry.document() | {"sentence": difference_sentence(entry)} for entry in differences.values()],
        "notes": notes(runs, settings.metrics, auc_undefined),
    }


def _pair_entry(pair: Pair, differences: RunDifferences) -> dict[str, Any]:
    """One of the `pairs` of report.json."""
    return pair.document() | {"equal_training": not differences.unequal, "sentence": sentence(pair)}


def _largest_class_warnings(entries: Sequence[Mapping[str, Any]]) -> list[ReportWarning]:
    """A warning that names the runs whose accuracy is not shown to be above that of the largest class."""
    names = [entry["name"] for entry in entries if not is_shown_better({**entry["scores"], KEY: entry[KEY]})]
    return names_warnings(names, len(entries), "runs")


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
        KEY: report.largest_class and report.largest_class.document(),
        "accuracies": run.correct.mean(axis=1).tolist(),
    }

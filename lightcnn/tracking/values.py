"""Parameters and scores from documents: nested mappings become flat ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lightcnn.tracking.tracker import Value


def parameters(document: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """The values of a document by their paths: `training.epochs`. Lists are JSON texts, what is None is left out.

    Example:
        >>> parameters({"seed": 0, "training": {"epochs": 5}, "input": [1, 8, 8], "data": None})
        {'seed': 0, 'training.epochs': 5, 'input': '[1, 8, 8]'}
    """
    values: dict[str, Value] = {}
    for key, value in document.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            values |= parameters(value, f"{name}.")
        elif isinstance(value, str | int | float):
            values[name] = value
        elif value is not None:
            values[name] = json.dumps(value)
    return values


def final_scores(report: Mapping[str, Any]) -> dict[str, float]:
    """The scores of a report with their intervals, and the cost of the network.

    Example:
        >>> final_scores({"metrics": {"test": {"auc": {"value": 0.9, "low": 0.8, "high": None}}}})
        {'final/test/auc': 0.9, 'final/test/auc_low': 0.8}
    """
    scores = {
        f"final/{split}/{metric}{ending}": score[key]
        for split, metrics in report["metrics"].items()
        for metric, score in metrics.items()
        if isinstance(score, Mapping)
        for key, ending in (("value", ""), ("low", "_low"), ("high", "_high"))
        if isinstance(score.get(key), int | float)
    }
    cost = parameters(report.get("network", {}).get("cost", {}), "final/cost/")
    return scores | {name: value for name, value in cost.items() if isinstance(value, int | float)}

"""What a comparison compares."""

from __future__ import annotations

TITLES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}

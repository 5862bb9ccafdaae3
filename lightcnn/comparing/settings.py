"""What a comparison was asked to do. No torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_core import PydanticKnownError

from lightcnn.document import Frozen

METRICS = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "auc": "AUC"}
"""Every metric that runs are compared by, with its name in sentences and tables."""
ALL_METRICS = "all"
METRIC_CHOICES = (*METRICS, ALL_METRICS)
"""What `--metric` accepts."""


class CompareSettings(Frozen):
    """The input of `lightcnn compare`; a run folder holds it as compare.yaml."""

    runs: Annotated[tuple[str, ...], Field(description="folders of finished runs")]
    metric: Annotated[str, Field(description=f"one of {', '.join(METRIC_CHOICES)}")] = ALL_METRICS
    seed: Annotated[int, Field(ge=0, description="random seed of the sign flips")] = 0

    @field_validator("metric")
    @classmethod
    def _require_known(cls, metric: str) -> str:
        """Raises: PydanticKnownError if there is no such metric."""
        if metric not in METRIC_CHOICES:
            raise PydanticKnownError("literal_error", {"expected": ", ".join(METRIC_CHOICES)})
        return metric

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics to compare by."""
        return tuple(METRICS) if self.metric == ALL_METRICS else (self.metric,)

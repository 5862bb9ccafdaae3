"""Which epoch is the best so far, and when a training has nothing more to gain. What it knows can be written down."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lightcnn.document import Frozen
from lightcnn.recipe import Optimisation

Count = Annotated[int, Field(ge=0)]


class Row(Frozen):
    """One epoch, as metrics.csv has it; what is undefined on the validation side is None."""

    epoch: Annotated[int, Field(ge=1)]
    loss: float
    learning_rate: float
    seconds: float
    val_loss: float
    val_accuracy: float
    val_balanced_accuracy: float | None
    val_f1: float | None
    val_auc: float | None

    def value(self, metric: str) -> float:
        """That validation metric, more being better; what is undefined is worse than anything."""
        value: float | None = getattr(self, f"val_{metric}")
        return float("-inf") if value is None else -value if metric == "loss" else value


class History(Frozen):
    """The epochs so far. `since`: epochs without a gain; `gained`: the epoch of the last one."""

    first_weights: Annotated[str, Field(description="where the training began")] = ""
    rows: tuple[Row, ...] = ()
    best: Count = 0
    gained: Count = 0
    seconds: Annotated[float, Field(ge=0, description="spent in all sessions")] = 0.0

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return len(self.rows)

    @property
    def since(self) -> int:
        """Epochs since the last gain."""
        return self.epoch - self.gained

    def after(self, row: Row, settings: Optimisation, seconds: float) -> History:
        """With one more epoch: the best is the highest metric, the lower loss among equals, the earlier among those."""
        best, gained = self.best, self.gained
        if not best or _rank(row, settings) > _rank(self.rows[best - 1], settings):
            best = row.epoch
        metric = settings.monitor
        if not gained or row.value(metric) > self.rows[gained - 1].value(metric) + settings.min_improvement:
            gained = row.epoch
        later = {"rows": (*self.rows, row), "best": best, "gained": gained, "seconds": seconds}
        return self.model_copy(update=later)

    def ended(self, settings: Optimisation) -> bool:
        """Whether nothing more is to be trained."""
        return self.epoch >= settings.epochs or 0 < settings.patience <= self.since

    def whole(self) -> bool:
        """Whether the numbers can be those of one training."""
        numbered = all(row.epoch == number for number, row in enumerate(self.rows, start=1))
        held = (self.best, self.gained)
        return numbered and all(bool(self.rows) <= number <= len(self.rows) for number in held)


def _rank(row: Row, settings: Optimisation) -> tuple[Any, ...]:
    return row.value(settings.monitor), -row.val_loss

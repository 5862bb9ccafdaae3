"""The epochs of a training so far: which one is the best, and whether training ends."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from lightcnn.document import Frozen
from lightcnn.recipe import Optimisation

Count = Annotated[int, Field(ge=0)]


class Row(Frozen):
    """One epoch, as in metrics.csv; metrics that are undefined on the validation set are None."""

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
        """The validation metric, negated if lower is better; an undefined one is below every other value."""
        value: float | None = getattr(self, f"val_{metric}")
        return float("-inf") if value is None else -value if metric == "loss" else value


class History(Frozen):
    """The epochs so far. `best`: the epoch to keep; `gained`: the last epoch that improved by `min_improvement`."""

    first_weights: Annotated[str, Field(description="the weights that training started from")] = ""
    rows: tuple[Row, ...] = ()
    best: Count = 0
    gained: Count = 0
    seconds: Annotated[float, Field(ge=0, description="spent in all sessions")] = 0.0

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.rows)

    @property
    def since(self) -> int:
        """Number of epochs since the last improvement."""
        return self.epoch - self.gained

    def after(self, row: Row, settings: Optimisation, seconds: float) -> History:
        """With one more epoch. The best has the highest metric, then the lowest loss, then the lowest number.

        If the settings keep the last epoch, that is the best.
        """
        best, gained = self.best, self.gained
        if settings.keep == "last" or not best or _rank(row, settings) > _rank(self.rows[best - 1], settings):
            best = row.epoch
        metric = settings.monitor
        if not gained or row.value(metric) > self.rows[gained - 1].value(metric) + settings.min_improvement:
            gained = row.epoch
        update = {"rows": (*self.rows, row), "best": best, "gained": gained, "seconds": seconds}
        return self.model_copy(update=update)

    def ended(self, settings: Optimisation) -> bool:
        """Whether training ends here: all epochs are done, or `patience` is used up."""
        return self.epoch >= settings.epochs or 0 < settings.patience <= self.since

    def consistent(self) -> bool:
        """Whether the epochs are numbered from 1 and the best and last improved ones are among them."""
        numbered = all(row.epoch == number for number, row in enumerate(self.rows, start=1))
        return numbered and all(bool(self.rows) <= epoch <= len(self.rows) for epoch in (self.best, self.gained))


def _rank(row: Row, settings: Optimisation) -> tuple[Any, ...]:
    return row.value(settings.monitor), -row.val_loss

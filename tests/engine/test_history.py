"""The history of a training: which epoch is the best, and when it ends."""

from __future__ import annotations

from lightcnn.engine.history import History, Row
from lightcnn.recipe import Optimisation


def test_the_best_epoch_has_the_best_metric_then_the_lowest_loss():
    settings = Optimisation(epochs=9, patience=2, min_improvement=0.05)
    history = History()
    for epoch, (accuracy, loss) in enumerate([(0.5, 1.0), (0.9, 0.5), (0.9, 0.4), (0.92, 0.3)], start=1):
        row = Row(
            epoch=epoch, loss=1, learning_rate=1, seconds=1, val_loss=loss, val_accuracy=accuracy,
            val_balanced_accuracy=None, val_f1=None, val_auc=None,
        )  # fmt: skip
        history = history.after(row, settings, 1.0)
    assert (history.best, history.gained, history.since) == (4, 2, 2)
    assert history.ended(settings)
    assert not history.ended(settings.model_copy(update={"patience": 3}))
    assert history.rows[0].value("auc") == float("-inf")
    worse = history.rows[0].model_copy(update={"epoch": 5})
    assert history.after(worse, settings, 1.0).best == 4
    assert history.after(worse, settings.model_copy(update={"keep": "last"}), 1.0).best == 5

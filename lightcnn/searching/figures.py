"""Figures of a search, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.budget import human
from lightcnn.output.charts.figures import BLUE, COLOURS, GREY, ORANGE, blank, count_ticks, epoch_ticks, percent, png
from lightcnn.output.charts.plotting import PercentFormatter

MAX_GENES = 10
"""Genes in the figure of importance."""
MIN_LOGARITHMIC_RATIO = 20
"""Smallest ratio of the largest and the smallest loss that are drawn on a logarithmic axis."""


def history(points: Sequence[tuple[float, float]], end: float) -> bytes:
    """The best validation accuracy so far over the seconds of the search, up to its `end`."""
    figure, axes = blank("seconds of search", "best validation accuracy so far")
    seconds, accuracy = zip(*points, strict=True)
    axes.step([*seconds, end], [*accuracy, accuracy[-1]], where="post", color=BLUE)
    axes.plot(seconds, accuracy, "o", color=BLUE, markersize=4)
    axes.set_xlim(left=0)
    percent(axes)
    return png(figure)


def front(
    trials: Sequence[tuple[float, float, int]], best: Sequence[tuple[float, float]], limit: int | None, label: str
) -> bytes:
    """Accuracy over cost of all trained networks, with the Pareto front and the budget.

    `trials` are (cost, accuracy, images), `best` the front as (cost, accuracy), `label` names the cost.
    """
    figure, axes = blank(label, "validation accuracy")
    lengths = sorted({images for _, _, images in trials})
    for index, length in enumerate(lengths):
        costs, accuracies = zip(*[trial[:2] for trial in trials if trial[2] == length], strict=True)
        shade = str(0.75 - 0.75 * index / max(1, len(lengths) - 1))
        axes.scatter(costs, accuracies, s=18, color=shade, label=f"{human(length)} images", zorder=2)
    axes.plot(*zip(*best, strict=True), "-", color=BLUE, label="front", zorder=1)
    if limit is not None:
        axes.axvline(limit, color=ORANGE, linestyle="--", label="budget")
    count_ticks(axes.xaxis)
    percent(axes)
    axes.legend(loc="best", frameon=False)
    return png(figure)


def learning_curves(trials: Sequence[Mapping[str, Any]], finals: Sequence[Mapping[str, Any]], end: int) -> bytes:
    """The validation log loss of all trials over images seen, what is predicted for `end` images, and final trainings.

    `trials` and `finals` are those of report.json.
    """
    figure, axes = blank("images seen", "log loss on validation")
    names = {trial["trial"]: trial for trial in trials}
    for index, trial in enumerate(trials):
        points = [(point["images"], point["log_loss"]) for point in trial["curve"]]
        axes.plot(*zip(*points, strict=True), "-o", color=GREY, linewidth=0.7, markersize=2.5, alpha=0.6,
                  label="networks of the search" if index == 0 else None)  # fmt: skip
    predicted = [trial["predicted"] for trial in trials if trial["predicted"] is not None]
    if predicted:
        label = "predicted for the end, before the learning rate falls"
        axes.plot([end] * len(predicted), predicted, "_", color=GREY, markersize=9, label=label)
    for number, final in enumerate(finals):
        before = names[final["trial"]]["curve"] if final["trial"] in names else []
        points = [(point["images"], point["log_loss"]) for point in [*before, *final["curve"]]]
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(*zip(*points, strict=True), "-", color=colour, label=f"trial {final['trial']}, trained to the end")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.legend(loc="best", frameon=False, fontsize="small")
    return png(figure)


def importance(shares: Mapping[str, float]) -> bytes:
    """The genes that explain most of the predicted scores, as bars."""
    genes = list(shares)[:MAX_GENES]
    figure, axes = blank(
        "share of the variance of the predicted scores, each gene alone", "", size=(6.4, 0.8 + 0.28 * len(genes))
    )
    axes.barh(range(len(genes)), [shares[gene] for gene in genes], color=BLUE)
    axes.set_yticks(range(len(genes)), genes)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    return png(figure)


def curves(losses: Sequence[float], rates: Sequence[float]) -> bytes:
    """The training loss and the learning rate of each epoch."""
    figure, axes = blank("epoch", "training loss")
    epochs = range(1, len(losses) + 1)
    marker = "o" if len(losses) < 3 else ""
    axes.plot(epochs, losses, color=BLUE, marker=marker)
    if max(losses) > MIN_LOGARITHMIC_RATIO * min(losses) > 0:
        axes.set_yscale("log")
    rate_axes = axes.twinx()
    rate_axes.plot(epochs, rates, color=ORANGE, linestyle=":", marker=marker)
    epoch_ticks(axes, len(losses))
    rate_axes.set_ylim(0, 1.4 * max(rates) or 1)  # so that it does not hide a loss that falls in the same way
    rate_axes.set_ylabel("learning rate (dotted)")
    return png(figure)

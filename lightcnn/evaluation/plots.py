"""Figures as PNG bytes. Colours keep apart for colour-blind readers (Okabe and Ito)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

BLUE, ORANGE = "#0072B2", "#D55E00"


def history(points: Sequence[tuple[float, float]], end: float) -> bytes:
    """Best validation accuracy so far over seconds of search, to its end."""
    figure, axes = _figure("seconds of search", "best validation accuracy so far")
    seconds, accuracy = zip(*points, strict=True)
    axes.step([*seconds, end], [*accuracy, accuracy[-1]], where="post", color=BLUE)
    axes.plot(seconds, accuracy, "o", color=BLUE, markersize=4)
    axes.set_xlim(left=0)
    _percent(axes)
    return _png(figure)


def front(
    trials: Sequence[tuple[int, float, int]], best: Sequence[tuple[int, float]], limit: int | None, label: str
) -> bytes:
    """Accuracy over cost of all trained networks (cost, accuracy, epochs), with the front and the budget."""
    figure, axes = _figure(label, "validation accuracy")
    lengths = sorted({epochs for _, _, epochs in trials})
    for index, length in enumerate(lengths):
        costs, accuracies = zip(*[trial[:2] for trial in trials if trial[2] == length], strict=True)
        shade = str(0.75 - 0.75 * index / max(1, len(lengths) - 1))
        axes.scatter(costs, accuracies, s=18, color=shade, label=f"{length} epochs", zorder=2)
    axes.plot(*zip(*best, strict=True), "-", color=BLUE, label="front", zorder=1)
    if limit is not None:
        axes.axvline(limit, color=ORANGE, linestyle="--", label="budget")
    axes.xaxis.set_major_formatter(EngFormatter(places=3, sep=""))
    axes.tick_params(axis="x", rotation=20)
    _percent(axes)
    axes.legend(loc="best", frameon=False)
    return _png(figure)


def sizes(sides: Sequence[int]) -> bytes:
    """How many images have longer sides of so many pixels."""
    figure, axes = _figure("longer side, pixels", "images")
    axes.hist(sides, bins=min(40, max(1, len(set(sides)))), color=BLUE)
    return _png(figure)


def curves(losses: Sequence[float], rates: Sequence[float]) -> bytes:
    """Training loss and learning rate of every epoch."""
    figure, axes = _figure("epoch", "training loss")
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, color=BLUE)
    axes.set_yscale("log")
    other = axes.twinx()
    other.plot(epochs, rates, color=ORANGE, linestyle=":")
    other.set_ylabel("learning rate (dotted)")
    return _png(figure)


def confusion(matrix: Sequence[Sequence[int]], classes: Sequence[str]) -> bytes:
    """Counts of labels (rows) and predictions (columns), shaded by the share of the row."""
    counts = np.asarray(matrix)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(4.0, 0.45 * len(classes) + 2)
    figure, axes = _figure("predicted", "actual", (side, side))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45, ha="right")
    axes.set_yticks(ticks, classes)
    axes.grid(False)
    if len(classes) <= 30:
        for row, column in np.ndindex(counts.shape):
            shade = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=shade, fontsize=8)
    return _png(figure)


def _figure(x: str, y: str, size: tuple[float, float] = (6.4, 4.0)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _percent(axes: Axes) -> None:
    """A vertical axis of shares as percentages, with a little room above 100 %."""
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    low, high = axes.get_ylim()
    if high > 1:
        axes.set_ylim(min(low, 0.98), 1 + 0.03 * (1 - min(low, 0.98)))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()

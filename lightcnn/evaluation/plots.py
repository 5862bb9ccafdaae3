"""Figures as PNG bytes. Colours keep apart for colour-blind readers (Okabe and Ito)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

BLUE, ORANGE = "#0072B2", "#D55E00"
COLOURS = (ORANGE, BLUE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LISTED = 14
"""Classes that a legend names."""


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
    axes.hist(sides, bins=50, range=(0, 1.1 * max(sides)), color=BLUE)
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


def learning(losses: Sequence[float], val_losses: Sequence[float], accuracies: Sequence[float], best: int) -> bytes:
    """Loss on the training and the validation side, and validation accuracy, of every epoch; the best is marked."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(losses) + 1)
    marker = "o" if len(losses) < 3 else ""
    left.plot(epochs, losses, color=BLUE, marker=marker, label="training (augmented, as the recipe weighs it)")
    left.plot(epochs, val_losses, color=ORANGE, marker=marker, label="validation (cross-entropy)")
    right.plot(epochs, accuracies, color=ORANGE, marker=marker)
    for axes, name in ((left, "loss"), (right, "validation accuracy")):
        axes.axvline(best, color="#888888", linestyle=":", label=f"best epoch, {best}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(color="#dddddd", linewidth=0.6)
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    _percent(right)
    return _png(figure)


def roc(labels: NDArray[np.int64], probabilities: NDArray[np.float64], classes: Sequence[str]) -> bytes | None:
    """ROC curve of the second of two classes, of each class against the rest for more; None where none is defined."""
    from sklearn.metrics import auc, roc_curve

    shown = [1] if len(classes) == 2 else range(len(classes))
    defined = [c for c in shown if 0 < (labels == c).sum() < len(labels)]
    if not defined:
        return None
    figure, axes = _figure("share of the others that are taken for it", "share of the class that is found", (5.2, 5.0))
    for place, label in enumerate(defined):
        false, true, _ = roc_curve(labels == label, probabilities[:, label])
        colour = COLOURS[place % len(COLOURS)]
        named = f"{classes[label]}: area {auc(false, true):.3f}" if place < LISTED else None
        axes.plot(false, true, color=colour, label=named, linestyle="-" if place < len(COLOURS) else "--")
    axes.plot([0, 1], [0, 1], color="#888888", linestyle=":")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _png(figure)


def parts(names: Sequence[str], accuracies: Sequence[float], pooled: tuple[float, float, float]) -> bytes:
    """Test accuracy of every part of a repeated training, and of all together: value, low, high."""
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    value, low, high = pooled
    axes.axvspan(low, high, color=BLUE, alpha=0.15, label="95 % interval of all")
    axes.axvline(value, color=BLUE, label=f"all together, {value:.2%}")
    axes.plot(accuracies, range(len(names)), "o", color=ORANGE, label="one part")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return _png(figure)


def stages(names: Sequence[str], macs: Sequence[int], params: Sequence[int]) -> bytes:
    """The network from its input (top) to its head: what share of the operations and of the parameters stands where."""
    figure = Figure(figsize=(9.6, 0.9 + 0.36 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, colour, label in ((left, macs, BLUE, "multiply-adds"), (right, params, ORANGE, "parameters")):
        bars = axes.barh(range(len(names)), values, color=colour)
        total = max(1, sum(values))
        axes.bar_label(bars, [f"{value / total:.1%}" for value in values], padding=3, fontsize=8)
        axes.set_xlabel(label)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlim(right=max(1, *values) * 1.18)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    return _png(figure)


def stamped(png: bytes, text: str) -> bytes:
    """A picture with a red bar of text above it, for what must not be taken for something else."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    font = ImageFont.load_default(size=14)
    width = max(picture.width, int(font.getlength(text)) + 16)
    sheet = Image.new("RGB", (width, picture.height + 26), "white")
    sheet.paste(picture, (0, 26))
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((0, 0, width, 25), fill="#b00020")
    draw.text((8, 4), text, fill="white", font=font)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


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

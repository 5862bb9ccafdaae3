"""Figures of a training as PNG bytes: its curves, its parts, and its network stage by stage."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.output.charts.figures import BLUE, GREY, ORANGE, count_ticks, epoch_ticks, name_axes, percent, png
from lightcnn.output.charts.plotting import Figure, PercentFormatter


def learning_curves(
    losses: Sequence[float], val_losses: Sequence[float], accuracies: Sequence[float], best: int
) -> bytes:
    """Training loss, validation loss and validation accuracy over the epochs; the best epoch is marked."""
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = range(1, len(losses) + 1)
    marker = "o" if len(losses) < 3 else ""
    left.plot(epochs, losses, color=BLUE, marker=marker, label="training (augmented images, loss of the recipe)")
    left.plot(epochs, val_losses, color=ORANGE, marker=marker, label="validation (cross-entropy)")
    right.plot(epochs, accuracies, color=ORANGE, marker=marker)
    for axes, name in ((left, "loss"), (right, "validation accuracy")):
        axes.axvline(best, color=GREY, linestyle=":", label=f"best epoch, {best}")
        name_axes(axes, "epoch", name)
        epoch_ticks(axes, len(losses))
    left.set_ylim(0, 1.08 * max(*losses, *val_losses))
    left.legend(frameon=False, fontsize=8)
    percent(right)
    return png(figure)


def part_accuracies(names: Sequence[str], accuracies: Sequence[float], pooled: Sequence[float]) -> bytes:
    """Test accuracy of each part of a repeated training. `pooled`: that of all parts, and both ends of its interval."""
    figure = Figure(figsize=(6.4, 1.2 + 0.3 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    value, low, high = pooled
    axes.axvspan(low, high, color=BLUE, alpha=0.15, label="95 % interval of all parts")
    axes.axvline(value, color=BLUE, label=f"all parts, {value:.2%}")
    axes.plot(accuracies, range(len(names)), "o", color=ORANGE, label="one part")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    return png(figure)


def stage_costs(names: Sequence[str], macs: Sequence[int], params: Sequence[int]) -> bytes:
    """Operations and parameters of each stage of a network, from its input (top) to its head."""
    figure = Figure(figsize=(9.6, 0.9 + 0.36 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, colour, label in ((left, macs, BLUE, "multiply-adds"), (right, params, ORANGE, "parameters")):
        bars = axes.barh(range(len(names)), values, color=colour)
        total = max(1, sum(values))
        axes.bar_label(bars, [f"{value / total:.1%}" for value in values], padding=3, fontsize=8)
        axes.set_xlabel(label)
        count_ticks(axes.xaxis)
        axes.set_xlim(right=max(1, *values) * 1.18)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    return png(figure)

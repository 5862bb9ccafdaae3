"""Charts of a training: its curves, parts, thresholds, calibration and probabilities, and its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.evaluation.calibration import BINS, ConfidenceBin, calibration_error, confidence_bins
from lightcnn.output.charts.figures import (
    BLUE,
    GREY,
    INK,
    LABEL_POINTS,
    ORANGE,
    SIZE,
    SQUARE,
    blank,
    count_ticks,
    epoch_ticks,
    label_text,
    name_axes,
    percent,
    percent_ticks,
)
from lightcnn.output.charts.plotting import Axes, Figure, MaxNLocator
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.text import visible

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def learning_curves(
    losses: Sequence[float], val_losses: Sequence[float], accuracies: Sequence[float], best: int
) -> Chart:
    """Training loss, validation loss and validation accuracy over the epochs; the best epoch is marked."""
    figure = Figure(figsize=SQUARE, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    epochs, marker = range(1, len(losses) + 1), "o" if len(losses) < 3 else ""
    lower.plot(epochs, losses, color=BLUE, marker=marker, label="training loss (augmented images, loss of the recipe)")
    lower.plot(epochs, val_losses, color=ORANGE, marker=marker, label="validation loss (cross-entropy)")
    upper.plot(epochs, accuracies, color=ORANGE, marker=marker)
    for axes, x, y in ((upper, "", "validation accuracy"), (lower, "epoch", "loss")):
        label = f"best epoch, {best}" if axes is upper else None
        axes.axvline(best, color=GREY, linestyle=":", label=label)
        name_axes(axes, x, y)
    epoch_ticks(lower, len(losses))
    lower.set_ylim(0, 1.08 * max(*losses, *val_losses))
    percent(upper)
    figure.legend(loc="outside upper left", frameon=False, fontsize=LABEL_POINTS)
    reached = f"validation accuracy {accuracies[best - 1]:.2%}, validation loss {val_losses[best - 1]:.4f}"
    return chart(
        figure, f"Loss and validation accuracy over {len(losses)} epochs. The best epoch, {best}, has {reached}."
    )


def part_accuracies(names: Sequence[str], parts: Sequence[Mapping[str, Any]], pooled: Mapping[str, Any]) -> Chart:
    """Test accuracy and interval (`value`, `low`, `high`) of each part of a repeated training, and of all parts."""
    figure, axes = blank("test accuracy", "", (SIZE[0], 1.2 + 0.3 * len(names)))
    axes.axvspan(pooled["low"], pooled["high"], color=BLUE, alpha=0.15, linewidth=0)
    axes.axvline(pooled["value"], color=BLUE, label=f"all parts  {_interval_text(pooled)}")
    tips = []
    for place, (name, part) in enumerate(zip(names, parts, strict=True)):
        axes.plot([part["low"], part["high"]], [place, place], color=ORANGE, linewidth=2)
        point = axes.plot([part["value"]], [place], "o", color=ORANGE, label=None if place else "a part")[0]
        tips.append((point, f"{name}: {_interval_text(part)}"))
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    percent_ticks(axes.xaxis)
    axes.grid(axis="y", visible=False)
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=LABEL_POINTS)
    return chart(figure, f"Test accuracy of {len(names)} parts; all together {_interval_text(pooled)}.", tips)


def threshold_rates(
    steps: Sequence[Mapping[str, Any]], rates: Mapping[str, str], x: str, chosen: float | None = None
) -> Chart:
    """Rates with their intervals over the threshold; the chosen threshold is marked.

    `steps` are in ascending order; each has `threshold`, and a score as in report.json for each of `rates`, which are
    keys and titles.
    """
    figure, axes = blank(x, "", SQUARE)
    for (key, title), colour in zip(rates.items(), (ORANGE, BLUE), strict=True):
        _draw_rate(axes, [(step["threshold"], step[key]) for step in steps if step[key]["value"] is not None], colour)
        axes.plot([], [], color=colour, linewidth=2, label=title)
    if chosen is not None:
        axes.axvline(chosen, color=GREY, linestyle=":", label=f"chosen  {chosen:.3f}")
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.02, 1.02)
    percent_ticks(axes.yaxis)
    figure.legend(loc="outside upper left", frameon=False, fontsize=LABEL_POINTS)
    marked = "" if chosen is None else f"; {chosen:.3f} was chosen"
    return chart(figure, f"{' and '.join(rates.values())} over the threshold{marked}.")


def _draw_rate(axes: Axes, points: Sequence[tuple[float, Mapping[str, Any]]], colour: str) -> None:
    """Draws the scores over their thresholds, and a band of their intervals."""
    x = [threshold for threshold, _ in points]
    lows, values, highs = ([score[key] for _, score in points] for key in ("low", "value", "high"))
    axes.fill_between(x, lows, highs, color=colour, alpha=0.15, linewidth=0)
    axes.plot(x, values, "o-" if len(x) == 1 else "-", color=colour, linewidth=2)


def reliability(labels: Labels, before: Probabilities, after: Probabilities, groups: NDArray[np.str_]) -> Chart:
    """Accuracy over confidence before and after calibration, and the number of images in each bin.

    The bins after calibration have the intervals of `confidence_bins`, from groups (N,).
    """
    figure = Figure(figsize=SQUARE, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    errors = calibration_error(labels, before), calibration_error(labels, after)
    unscaled, scaled = (confidence_bins(labels, values, groups) for values in (before, after))
    label = f"before calibration, error {errors[0]:.3f}"
    upper.plot(*_points(unscaled), "s-", color=ORANGE, linewidth=1, markersize=4, alpha=0.7, label=label)
    upper.plot(*_points(scaled), color=BLUE, linewidth=1, label=f"after calibration, error {errors[1]:.3f}")
    tips = [(_draw_bin(upper, part), _bin_text(part)) for part in scaled]
    for parts, colour in ((unscaled, ORANGE), (scaled, BLUE)):
        counts = {round(part.start * BINS): part.images for part in parts}
        lower.stairs([counts.get(place, 0) for place in range(BINS)], np.linspace(0, 1, BINS + 1), color=colour)
    name_axes(upper, "", "accuracy")
    name_axes(lower, "probability of the predicted class", "images")
    lower.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    upper.set_xlim(min(part.start for part in (*unscaled, *scaled)) - 0.02, 1.02)
    upper.set_ylim(-0.02, 1.02)
    figure.legend(loc="outside upper left", frameon=False, fontsize=LABEL_POINTS)
    return chart(figure, f"Calibration: expected calibration error {errors[0]:.3f} before and {errors[1]:.3f} after "
                 "temperature scaling.", tips)  # fmt: skip


def _points(bins: Sequence[ConfidenceBin]) -> tuple[list[float], list[float]]:
    return [part.confidence for part in bins], [part.accuracy for part in bins]


def _draw_bin(axes: Axes, part: ConfidenceBin) -> Any:
    """Draws the accuracy of a bin with its interval. Returns the point."""
    axes.plot([part.confidence] * 2, [part.low, part.high], color=BLUE, linewidth=1.5)
    return axes.plot([part.confidence], [part.accuracy], "o", color=BLUE, markersize=6)[0]


def _bin_text(part: ConfidenceBin) -> str:
    return (f"{part.images:,} images predicted with {part.confidence:.1%} on average: {part.accuracy:.1%} correct "
            f"({part.low:.1%} to {part.high:.1%})")  # fmt: skip


def probabilities_by_class(
    labels: Labels, probabilities: Probabilities, classes: Sequence[str], threshold: float
) -> Chart:
    """Histograms of the probability: of the second of two classes, by true class; of more, of the true class."""
    edges = np.linspace(0, 1, 21).tolist()
    if len(classes) == 2:
        figure, axes = blank(f"probability of {label_text(classes[1])}", "images", SQUARE)
        parts = [(f"is {label_text(name)}", probabilities[labels == c, 1]) for c, name in enumerate(classes)]
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1, label=f"threshold {threshold:.3f}")
    else:
        figure, axes = blank("probability of the true class", "images", SQUARE)
        true_class = probabilities[np.arange(len(labels)), labels]
        correct = probabilities.argmax(axis=1) == labels
        parts = [("prediction is wrong", true_class[~correct]), ("prediction is correct", true_class[correct])]
    for (name, values), colour in zip(parts, (BLUE, ORANGE) if len(classes) == 2 else (ORANGE, BLUE), strict=True):
        label = f"{name}: {len(values):,}"
        axes.hist(values, edges, color=colour, alpha=0.35)
        axes.hist(values, edges, color=colour, histtype="step", linewidth=1.5, label=label)
    axes.set_xlim(-0.02, 1.02)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    figure.legend(loc="outside upper left", frameon=False, fontsize=LABEL_POINTS)
    of = f"of {visible(classes[1])} by true class" if len(classes) == 2 else "of the true class"
    return chart(figure, f"Histogram of the probability {of}, for {len(labels):,} images.")


def stage_costs(names: Sequence[str], macs: Sequence[int], params: Sequence[int]) -> Chart:
    """Operations and parameters of each stage of a network, from its input (top) to its head."""
    figure = Figure(figsize=(9.6, 0.9 + 0.36 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, values, colour, label in ((left, macs, BLUE, "multiply-adds"), (right, params, ORANGE, "parameters")):
        name_axes(axes, label, "")
        bars = axes.barh(range(len(names)), values, color=colour)
        total = max(1, sum(values))
        axes.bar_label(bars, [f"{value / total:.1%}" for value in values], padding=3, fontsize=8)
        count_ticks(axes.xaxis)
        axes.set_xlim(right=max(1, *values) * 1.18)
        axes.grid(axis="y", visible=False)
    left.set_yticks(range(len(names)), names)
    left.invert_yaxis()
    return chart(figure, f"{sum(macs):,} multiply-adds and {sum(params):,} parameters in {len(names)} stages.")


def _interval_text(score: Mapping[str, Any]) -> str:
    return f"{score['value']:.2%} ({score['low']:.2%} to {score['high']:.2%})"

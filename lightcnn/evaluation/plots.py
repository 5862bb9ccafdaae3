"""Figures of a search, a training and a network, and of several runs, as PNG bytes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from matplotlib.transforms import ScaledTranslation

from lightcnn.output.figures import BLUE, COLOURS, GREY, ORANGE, blank, name_axes, percent, png, shown

MARKERS = ("o", "s", "^", "D")
"""With the colours they tell 28 runs apart."""


def history(points: Sequence[tuple[float, float]], end: float) -> bytes:
    """Best validation accuracy so far over seconds of search, to its end."""
    figure, axes = blank("seconds of search", "best validation accuracy so far")
    seconds, accuracy = zip(*points, strict=True)
    axes.step([*seconds, end], [*accuracy, accuracy[-1]], where="post", color=BLUE)
    axes.plot(seconds, accuracy, "o", color=BLUE, markersize=4)
    axes.set_xlim(left=0)
    percent(axes)
    return png(figure)


def front(
    trials: Sequence[tuple[int, float, int]], best: Sequence[tuple[int, float]], limit: int | None, label: str
) -> bytes:
    """Accuracy over cost of all trained networks (cost, accuracy, epochs), with the front and the budget."""
    figure, axes = blank(label, "validation accuracy")
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
    percent(axes)
    axes.legend(loc="best", frameon=False)
    return png(figure)


def sizes(sides: Sequence[int]) -> bytes:
    """How many images have longer sides of so many pixels."""
    figure, axes = blank("longer side, pixels", "images")
    axes.hist(sides, bins=50, range=(0, 1.1 * max(sides)), color=BLUE)
    return png(figure)


def curves(losses: Sequence[float], rates: Sequence[float]) -> bytes:
    """Training loss and learning rate of every epoch."""
    figure, axes = blank("epoch", "training loss")
    epochs = range(1, len(losses) + 1)
    axes.plot(epochs, losses, color=BLUE)
    axes.set_yscale("log")
    other = axes.twinx()
    other.plot(epochs, rates, color=ORANGE, linestyle=":")
    other.set_ylabel("learning rate (dotted)")
    return png(figure)


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
        axes.axvline(best, color=GREY, linestyle=":", label=f"best epoch, {best}")
        name_axes(axes, "epoch", name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_ylim(bottom=0)
    left.legend(frameon=False, fontsize=8)
    percent(right)
    return png(figure)


def parts(names: Sequence[str], accuracies: Sequence[float], pooled: Sequence[float]) -> bytes:
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
    return png(figure)


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
    return png(figure)


def score_against_cost(
    points: Sequence[tuple[str, int, float, float | None, float | None]],
    score: str,
    cost: str = "multiply-adds, one image",
) -> bytes:
    """Runs as (name, cost, score, low, high), their 95 % intervals where known, and the front of the best.

    Runs of one cost stand side by side, and the axis says so. `score` and `cost` name the axes.
    """
    costs = [spent for _, spent, *_ in points]
    beside = " (runs of one cost stand side by side)" if len(set(costs)) < len(costs) else ""
    figure, axes = blank(cost + beside, score, (8.6, 4.6))
    ends = [(spent, end) for _, spent, *values in points for end in values if end is not None]
    axes.plot(*zip(*ends, strict=True), linestyle="none")  # what is shifted aside does not count for the limits
    for place, (name, spent, value, low, high) in enumerate(points):
        same = [other for other, cost_of in enumerate(costs) if cost_of == spent]
        aside = ScaledTranslation((same.index(place) - (len(same) - 1) / 2) * 7 / 72, 0, figure.dpi_scale_trans)
        bars = None if low is None or high is None else [[max(0.0, value - low)], [max(0.0, high - value)]]
        axes.errorbar(
            [spent], [value], yerr=bars, fmt=MARKERS[place // len(COLOURS) % len(MARKERS)], label=shown(name),
            color=COLOURS[place % len(COLOURS)], markersize=6, linewidth=1.2, capsize=2,
            transform=axes.transData + aside,
        )  # fmt: skip
    best = pareto([(spent, value) for _, spent, value, *_ in points])
    if len(best) > 1:
        named = "front: none is both\ncheaper and better"
        axes.plot(*zip(*best, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label=named)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    _few_ticks(axes)
    percent(axes)
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _few_ticks(axes: Axes) -> None:
    """Labels of a horizontal log axis that keep apart: even steps on a short one, 1, 2 and 5 or 1 alone on a long one.

    To be called when everything is drawn, since it looks at the axis's ends.
    """
    low, high = axes.get_xlim()
    even = MaxNLocator(5, steps=[1, 2, 5, 10]) if high < 5 * low else None
    axes.xaxis.set_major_locator(even or LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def pareto(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The (cost, score) of a list than which none is both cheaper and better, by rising cost."""
    best: list[tuple[float, float]] = []
    for cost, score in sorted(points, key=lambda point: (point[0], -point[1])):
        if not best or score > best[-1][1]:
            best.append((cost, score))
    return best

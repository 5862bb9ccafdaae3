"""The charts of a search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lightcnn.budget import human
from lightcnn.evaluation.intervals import Z
from lightcnn.output.charts.figures import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    MUTED,
    ORANGE,
    SIZE,
    blank,
    count_ticks,
    epoch_ticks,
    logarithmic,
    percent,
    percent_ticks,
)
from lightcnn.output.charts.forest import ROW_INCHES, ForestRow, draw_forest
from lightcnn.output.charts.labels import LineEnd, label_ends
from lightcnn.output.charts.plotting import MaxNLocator
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.output.terminal import format_duration
from lightcnn.searching.metric_names import format_value, metric_label

MAX_GENES = 10
"""Genes in the chart of importance."""
MAX_LABELLED = 6
"""Final trainings with a colour and a label of their own, the winner first."""
MIN_LOGARITHMIC_RATIO = 20
"""Smallest ratio of the largest and the smallest loss that are drawn on a logarithmic axis."""
MIN_LOSS = 1e-6
"""Smallest log loss that is drawn: a logarithmic axis has no 0."""
MARKER_POINTS = (3.0, 7.0)
"""Diameter of the points of the shortest and of the longest trainings."""


class Trained(NamedTuple):
    """A network of the search: its cost, its validation score, and the images of its longest training.

    `interval` is the 95 % interval of the score, if it is known.
    """

    trial: int
    cost: float
    score: float
    images: int
    interval: tuple[float, float] | None = None


def history(points: Sequence[tuple[float, float]], end: float, metric: str = "accuracy") -> Chart:
    """The best validation score so far, by a metric, over the time of the search, up to its `end` in seconds."""
    unit, name = (60, "minutes") if end >= 300 else (1, "seconds")
    score = f"validation {metric_label(metric)} so far"
    figure, axes = blank(f"{name} of search", f"best {score}")
    times, scores = [seconds / unit for seconds, _ in points], [value for _, value in points]
    axes.step([*times, end / unit], [*scores, scores[-1]], where="post", color=BLUE)
    marks = [axes.plot([x], [y], "o", color=BLUE, markersize=5)[0] for x, y in zip(times, scores, strict=True)]
    axes.set_xlim(0, 1.04 * end / unit)
    if metric != "log_loss":
        percent(axes)
    texts = [f"{format_value(metric, value)} after {format_duration(seconds)}" for seconds, value in points]
    description = f"Best {score}: {texts[0]}, {texts[-1]} in the end."
    return chart(figure, description, list(zip(marks, texts, strict=True)))


def front(trained: Sequence[Trained], best: Sequence[tuple[float, float]], limit: int | None, label: str,
          delivered: Trained, metric: str = "accuracy") -> Chart:  # fmt: skip
    """Validation scores by a metric over cost, with their intervals, the Pareto front, and the budget.

    `best` is the front as (cost, score), `label` names the cost; `delivered` is the network after its final
    training.
    """
    name = metric_label(metric)
    figure, axes = blank(label, f"validation {name}")
    tips = []
    for network in trained:
        _draw_interval(axes, network, GREY, 0.3)
        mark = axes.plot(
            [network.cost], [network.score], "o", color=GREY, markersize=_marker_size(network, trained), alpha=0.8
        )[0]
        tips.append((mark, _format_trained(network, label, metric)))
    axes.plot(*zip(*best, strict=True), color=BLUE, drawstyle="steps-post", linewidth=1.5, zorder=1)
    _draw_interval(axes, delivered, ORANGE, 1)
    winner = axes.plot([delivered.cost], [delivered.score], "D", color=ORANGE, markersize=7, zorder=4)[0]
    tips.append((winner, f"delivered: {_format_trained(delivered, label, metric)}"))
    if limit is not None:
        axes.axvline(limit, color=INK, linestyle="--", linewidth=1)
    axes.margins(x=0.08)
    count_ticks(axes.xaxis)
    if metric != "log_loss":
        percent(axes)
    _name_winner(axes, delivered)
    budget = "" if limit is None else f" The budget is {human(limit)} {label}."
    return chart(
        figure,
        f"Validation {name} over {label} of {len(trained)} networks. The delivered network, trial {delivered.trial}, "
        f"has {format_value(metric, delivered.score)} at {human(delivered.cost)}.{budget}",
        tips,
    )


def _name_winner(axes: Any, delivered: Trained) -> None:
    """Writes the trial of the delivered network on the side of its point that has more space."""
    is_right = delivered.cost > sum(axes.get_xlim()) / 2
    axes.annotate(
        f"trial {delivered.trial}", (delivered.cost, delivered.score), (-8 if is_right else 8, 0), va="center",
        ha="right" if is_right else "left", textcoords="offset points", fontsize=9, color=ORANGE,
    )  # fmt: skip


def _draw_interval(axes: Any, network: Trained, colour: str, alpha: float) -> None:
    if network.interval:
        axes.plot([network.cost] * 2, network.interval, color=colour, linewidth=1.2, alpha=alpha, zorder=1)


def _marker_size(network: Trained, trained: Sequence[Trained]) -> float:
    """Longer trainings have larger points."""
    lengths = sorted({other.images for other in trained})
    share = lengths.index(network.images) / (len(lengths) - 1) if len(lengths) > 1 else 0.5
    return MARKER_POINTS[0] + (MARKER_POINTS[1] - MARKER_POINTS[0]) * share


def _format_trained(network: Trained, label: str, metric: str) -> str:
    return (
        f"trial {network.trial}: {format_value(metric, network.score)} after {human(network.images)} images, "
        f"{human(network.cost)} {label}"
    )


def learning_curves(
    trials: Sequence[Mapping[str, Any]],
    finals: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    winner: int,
    end: int,
) -> Chart:
    """The validation log loss of all trials over images seen, with the winner in front and labelled.

    `trials`, `finals` and `second`, which is dotted, are those of report.json; only the first final trainings have
    colours. What is predicted for `end` images is drawn as dashes.
    """
    figure, axes = blank("training images seen", "validation log loss")
    ahead = sorted(finals, key=lambda final: final["trial"] != winner)[:MAX_LABELLED]
    coloured = {final["trial"]: COLOURS[place] for place, final in enumerate(ahead)}
    tips, ends = [], []
    finished = {final["trial"]: final["curve"] for final in finals}
    for trial in [trial for trial in trials if trial["trial"] not in coloured]:
        points = [*trial["curve"], *finished.get(trial["trial"], [])]
        line = axes.plot(*_curve(points), "-o", color=GREY, linewidth=0.8, markersize=2.5, alpha=0.6)[0]
        tips.append((line, _format_curve(f"trial {trial['trial']}", points)))
    for final in [final for final in second if final["curve"]]:
        colour = coloured.get(final["trial"], GREY)
        line = axes.plot(*_curve(final["curve"]), ":o", color=colour, markersize=3, linewidth=1.4)[0]
        tips.append((line, _format_curve(f"trial {final['trial']}, second seed", final["curve"])))
    predicted = [trial["predicted"] for trial in trials if trial["predicted"] is not None]
    axes.plot([end] * len(predicted), predicted, "_", color=GREY, markersize=8)
    searched = {trial["trial"]: trial["curve"] for trial in trials}
    for final in reversed(ahead):
        points, colour = [*searched.get(final["trial"], []), *final["curve"]], coloured[final["trial"]]
        if not points:
            continue
        line = axes.plot(*_curve(points), "-o", color=colour, markersize=3, linewidth=2 if final is ahead[0] else 1.4)[
            0
        ]
        tips.append((line, _format_curve(f"trial {final['trial']}", points)))
        ends.append(LineEnd(_curve(points)[1][-1], f"trial {final['trial']}", colour))
    logarithmic(axes.xaxis, counts=True)
    logarithmic(axes.yaxis)
    label_ends(axes, ends)
    last = next((text for mark, text in reversed(tips)), "")
    return chart(figure, f"Validation log loss of {len(trials)} networks over the training images seen. {last}.", tips)


def _curve(points: Sequence[Mapping[str, Any]]) -> tuple[list[float], list[float]]:
    """Images and log losses, at least `MIN_LOSS`."""
    return [point["images"] for point in points], [max(point["log_loss"], MIN_LOSS) for point in points]


def _format_curve(name: str, points: Sequence[Mapping[str, Any]]) -> str:
    """The first and the last point of a curve in words."""
    ends = [points[0], points[-1]] if len(points) > 1 else points[:1]
    return f"{name}: " + ", ".join(
        f"log loss {point['log_loss']:.3f} after {human(point['images'])} images" for point in ends
    )


def importance(shares: Mapping[str, float]) -> Chart:
    """The genes that explain most of the predicted scores, as bars."""
    genes = list(shares)[:MAX_GENES]
    figure, axes = blank("share of the variance", "", size=(SIZE[0], 0.7 + ROW_INCHES * len(genes)))
    bars = axes.barh(range(len(genes)), [shares[gene] for gene in genes], height=0.6, color=BLUE)
    axes.bar_label(bars, [f"{shares[gene]:.0%}" for gene in genes], padding=4, fontsize=9)
    axes.set_yticks(range(len(genes)), genes)
    axes.set_ylim(len(genes) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    percent_ticks(axes.xaxis)
    texts = [f"{gene}: {shares[gene]:.1%}" for gene in genes]
    description = f"Share of the variance of the predicted scores that each gene explains: {', '.join(texts[:3])}."
    return chart(figure, description, list(zip(bars, texts, strict=True)))


def rung_correlations(rungs: Sequence[Mapping[str, Any]]) -> Chart | None:
    """The rank correlation of each rung with the longest trainings, with 95 % intervals; None if none is known.

    `rungs` are those of report.json.
    """
    known = [rung for rung in rungs if rung["rank_correlation"] is not None]
    if not known:
        return None
    figure, axes = blank(
        "rank correlation with the longest trainings", "", size=(SIZE[0], 0.9 + ROW_INCHES * len(known))
    )
    rows = [
        ForestRow(
            f"{human(rung['images'])} images", rung["rank_correlation"],
            *correlation_interval(rung["rank_correlation"], rung["pairs"]), f"{rung['rank_correlation']:.2f}",
        )
        for rung in known
    ]  # fmt: skip
    marks = draw_forest(axes, rows)
    axes.axvline(0, color=INK, linewidth=1)
    axes.set_xlim(-1.05, 1.05)
    texts = [f"{row.name}: {row.text} (95 % interval {row.low:.2f} to {row.high:.2f})" for row in rows]
    return chart(
        figure, f"Rank correlation of the scores at each rung with those of the longest trainings: {', '.join(texts)}.",
        list(zip(marks, texts, strict=True)),
    )  # fmt: skip


def correlation_interval(correlation: float, pairs: int) -> tuple[float, float]:
    """The 95 % interval of Spearman's correlation of at least 4 pairs (Bonett and Wright, Psychometrika 65, 2000).

    Correlations above 0.99 are computed as 0.99: the transformation of 1 is infinite.
    """
    bounded = max(-0.99, min(0.99, correlation))
    spread = Z * math.sqrt((1 + bounded**2 / 2) / (pairs - 3))
    low, high = (math.tanh(math.atanh(bounded) + sign * spread) for sign in (-1, 1))
    return min(low, correlation), max(high, correlation)


def curves(losses: Sequence[float], rates: Sequence[float]) -> Chart:
    """The training loss and the learning rate of each epoch of the delivered network."""
    figure, axes = blank("epoch", "training loss")
    epochs = range(1, len(losses) + 1)
    marker = "o" if len(losses) < 3 else ""
    axes.plot(epochs, losses, color=BLUE, marker=marker)
    rate_axes = axes.twinx()
    rate_axes.plot(epochs, rates, color=ORANGE, linestyle=":", marker=marker)
    epoch_ticks(axes, len(losses))
    rate_axes.set_ylim(0, 1.4 * max(rates) or 1)  # so that it does not hide a loss that falls in the same way
    rate_axes.set_ylabel("learning rate (dotted)", fontsize=9, color=ORANGE)
    rate_axes.spines[:].set_visible(False)
    rate_axes.tick_params(length=0, labelsize=9, labelcolor=MUTED)
    axes.yaxis.label.set_color(BLUE)
    if max(losses) > MIN_LOGARITHMIC_RATIO * min(losses) > 0:
        logarithmic(axes.yaxis)
    return chart(figure, f"Training loss over {len(losses)} epochs, from {losses[0]:.3f} to {losses[-1]:.3f}.")

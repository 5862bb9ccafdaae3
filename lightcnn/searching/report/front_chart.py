"""The chart of a Pareto front: validation scores over a logarithmic cost, with intervals, and MicroMPoxNet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.budget import human
from lightcnn.output.charts.figures import BLUE, COLOURS, GREY, MUTED, ORANGE, blank, logarithmic, percent
from lightcnn.output.charts.svg import Chart, chart
from lightcnn.searching.metric_names import format_score, metric_label

GREEN = COLOURS[2]
REFERENCE_NAME = "MicroMPoxNet"
FAR = 10
"""The reference is named at the edge of the chart if it costs over so many times the most expensive network."""
MARGIN = 1.25
"""The factor by which the axis of costs is longer than the front at either end."""


def draw_front(
    points: Sequence[Mapping[str, Any]],
    costs: Sequence[float],
    others: Sequence[tuple[float, float]],
    *,
    metric: str,
    label: str,
    reference: float | None,
    beside: Sequence[tuple[Mapping[str, Any], float]] = (),
) -> Chart:
    """The front of report.json over the `costs` of its networks, whose unit is `label`.

    `others` are cost and validation score of networks that were trained to the end and are not on the front.
    `reference` is the cost of MicroMPoxNet, if it is known; `beside` are other trainings and their costs.
    """
    figure, axes = blank(label, f"validation {metric_label(metric)}")
    if others:
        axes.plot(*zip(*others, strict=True), "o", color=GREY, markersize=4, zorder=1)
    values = [point["val"][metric]["value"] for point in points]
    axes.plot(costs, values, color=BLUE, drawstyle="steps-post", linewidth=1.5, zorder=2)
    tips = []
    for point, cost, value in zip(points, costs, values, strict=True):
        score, colour = point["val"][metric], ORANGE if point["delivered"] else BLUE
        if score["low"] is not None:
            axes.plot([cost] * 2, [score["low"], score["high"]], color=colour, linewidth=1.2, zorder=3)
        mark = axes.plot([cost], [value], "D" if point["delivered"] else "o", color=colour, markersize=6, zorder=4)[0]
        text = (
            f"trial {point['trial']}: {human(cost)} {label}, validation {format_score(metric, score)}, test "
            f"{format_score(metric, point['test'][metric])}"
        )
        tips.append((mark, text))
    for row, cost in beside:
        score = row["val"][metric]
        if score["low"] is not None:
            axes.plot([cost] * 2, [score["low"], score["high"]], color=GREEN, linewidth=1.2, zorder=2)
        mark = axes.plot([cost], [score["value"]], "s", color=GREEN, markersize=5, zorder=3)[0]
        text = f"run {row['run']}: {human(cost)} {label}, validation {format_score(metric, score)}, test "
        tips.append((mark, text + format_score(metric, row["test"][metric])))
    ends = [*costs, *(cost for cost, _ in others), *(cost for _, cost in beside)]
    axes.set_xlim(min(ends) / MARGIN, max(ends) * MARGIN)
    if reference is not None:
        tips += _draw_reference(axes, reference, max(ends), label)
    if metric != "log_loss":
        percent(axes)
    logarithmic(axes.xaxis, counts=True)
    return chart(figure, "Pareto front: " + "; ".join(text for _, text in tips) + ".", tips)


def _draw_reference(axes: Any, cost: float, largest: float, label: str) -> list[tuple[Any, str]]:
    """A line at the cost of MicroMPoxNet; its cost at the edge of the chart if it is far away."""
    text = f"{REFERENCE_NAME}: {human(cost)} {label}"
    is_far = cost > FAR * largest
    if not is_far:
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, cost / MARGIN), max(high, cost * MARGIN))
        line = axes.axvline(cost, color=MUTED, linestyle="--", linewidth=1)
        axes.annotate(
            REFERENCE_NAME, (cost, 0.03), xycoords=("data", "axes fraction"), xytext=(-4, 0), ha="right",
            textcoords="offset points", fontsize=9, color=MUTED,
        )  # fmt: skip
        return [(line, text)]
    mark = axes.text(
        1, 1.02, f"{REFERENCE_NAME}: {human(cost)} {label} →", transform=axes.transAxes, ha="right", fontsize=9,
        color=MUTED,
    )  # fmt: skip
    return [(mark, text)]

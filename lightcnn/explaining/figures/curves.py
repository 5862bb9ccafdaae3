"""The chart of deletion and insertion: how the probability changes while pixels are removed and shown."""

from __future__ import annotations

from collections.abc import Sequence

from lightcnn.explaining.explanation import Explanation
from lightcnn.explaining.methods.catalogue import title_of
from lightcnn.output.charts.figures import COLOURS, GREY, LABEL_POINTS, MUTED, label_text, name_axes
from lightcnn.output.charts.plotting import Axes, Figure
from lightcnn.output.charts.svg import Chart, chart

CURVES_INCHES = (6.0, 3.4)
CONTROL_STYLES = {"random": ":", "centre": "--", "edges": "-."}


def curves_chart(explanations: Sequence[Explanation]) -> Chart | None:
    """Deletion and insertion of all methods, with the controls in grey; None if no check has curves."""
    with_curves = [
        explanation
        for explanation in explanations
        if "deletion" in explanation.checks and explanation.checks["deletion"]["curves"]
    ]
    if not with_curves:
        return None
    figure = Figure(figsize=CURVES_INCHES, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2, sharey=True), ("deletion", "insertion"), strict=True):
        verb = "removed" if name == "deletion" else "shown"
        name_axes(axes, f"share of the pixels {verb}", f"probability of {label_text(explanations[0].target)}")
        axes.set_title(name, fontsize=LABEL_POINTS, loc="left")
        _draw_curves(axes, name, with_curves)
    axes.set_ylabel("")
    legend = axes.get_legend_handles_labels()
    figure.legend(*legend, loc="outside upper left", ncols=3, frameon=False, fontsize=LABEL_POINTS, labelcolor=MUTED)
    return chart(figure, _describe_curves(with_curves))


def _describe_curves(explanations: Sequence[Explanation]) -> str:
    """The areas under the curves in words."""
    areas = [
        f"{title_of(each.attribution.method)} {each.checks['deletion']['value']:.2f} and "
        f"{each.checks['insertion']['value']:.2f}"
        for each in explanations
        if "insertion" in each.checks
    ]
    return f"Probability while pixels are removed and shown; areas under the two curves: {', '.join(areas)}."


def _draw_curves(axes: Axes, name: str, explanations: Sequence[Explanation]) -> None:
    """The curves of the check `name`."""
    for place, explanation in enumerate(explanations):
        points = explanation.checks[name]["curves"]
        # Later curves are thinner, so that curves that coincide are all visible.
        width = 1.2 + 0.9 * (len(explanations) - 1 - place)
        colour, title = COLOURS[place % len(COLOURS)], title_of(explanation.attribution.method)
        axes.plot(points["fractions"], points["map"], color=colour, linewidth=width, label=title)
    for control, style in CONTROL_STYLES.items():
        axes.plot(points["fractions"], points[control], style, color=GREY, linewidth=1.2, label=f"{control} control")
    axes.set_ylim(-0.02, 1.02)

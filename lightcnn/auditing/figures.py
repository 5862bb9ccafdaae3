"""The charts of an audit: images by class and by size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lightcnn.output.charts.figures import (
    BLUE,
    COLOURS,
    INK,
    LABEL_POINTS,
    MUTED,
    SIZE,
    blank,
    count_ticks,
    label_text,
    name_axes,
)
from lightcnn.output.charts.plotting import Figure
from lightcnn.output.charts.svg import Chart, chart

MAX_CLASSES = 40
"""Classes that the chart shows, the largest first; the table has all."""
CLASS_INCHES = 0.27
"""Height of a class in the chart."""
BINS = 30


def class_bars(classes: Sequence[str], counts: Mapping[str, Sequence[int]]) -> Chart:
    """The number of images of each class; `counts` are those of the classes in each set, by its name."""
    totals = np.array(list(counts.values())).sum(axis=0)
    order = np.argsort(-totals, kind="stable")[:MAX_CLASSES]
    figure = Figure(figsize=(SIZE[0], 0.9 + CLASS_INCHES * len(order)), layout="constrained")
    axes = figure.add_subplot()
    name_axes(axes, "images", "")
    start, tips = np.zeros(len(order)), []
    colours = (BLUE, *(colour for colour in COLOURS if colour != BLUE))
    for (name, numbers), colour in zip(counts.items(), colours, strict=False):
        values = np.array(numbers)[order]
        bars = axes.barh(range(len(order)), values, left=start, height=0.7, color=colour, label=name)
        tips += [(bar, f"{classes[order[place]]}, {name}: {values[place]:,}") for place, bar in enumerate(bars.patches)]
        start = start + values
    axes.bar_label(bars, [f"{total:,}" for total in totals[order]], padding=3, fontsize=LABEL_POINTS, color=INK)
    axes.set_yticks(range(len(order)), [label_text(classes[place]) for place in order])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlim(right=1.18 * max(1, totals.max()))
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xticks([])
    if len(counts) > 1:
        figure.legend(loc="outside upper left", ncols=3, frameon=False, fontsize=LABEL_POINTS, labelcolor=MUTED)
    largest, smallest = int(totals.argmax()), int(totals.argmin())
    return chart(
        figure,
        f"Images of {len(classes)} classes: the largest, {classes[largest]}, has {totals[largest]:,}, the smallest, "
        f"{classes[smallest]}, has {totals[smallest]:,}.",
        tips,
    )


def size_histogram(longer_sides: Sequence[int]) -> Chart:
    """The number of images by the length of their longer side in pixels."""
    figure, axes = blank("longer side, pixels", "images")
    heights, edges, _ = axes.hist(longer_sides, bins=BINS, range=(0, 1.1 * max(longer_sides)), color=BLUE)
    count_ticks(axes.xaxis)
    count_ticks(axes.yaxis)
    tips = [
        (bar, f"{low:.0f} to {high:.0f} pixels: {height:,.0f} images")
        for bar, height, low, high in zip(axes.patches, heights, edges, edges[1:], strict=False)
        if height
    ]
    return chart(
        figure,
        f"The longer sides of {len(longer_sides):,} images have {min(longer_sides):,} to {max(longer_sides):,} pixels, "
        f"their median is {np.median(longer_sides):,.0f}.",
        tips,
    )

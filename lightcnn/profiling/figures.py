"""Charts of a profile: the three of the paper, accuracy over cost and time, time over cost, and a roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightcnn.budget import human
from lightcnn.output.charts.figures import (
    BLUE,
    COLOURS,
    GREY,
    INK,
    LABEL_POINTS,
    MARKERS,
    MUTED,
    ORANGE,
    SIZE,
    blank,
    label_text,
    name_axes,
    pareto,
)
from lightcnn.output.charts.labels import label_points
from lightcnn.output.charts.plotting import Axes, EngFormatter, Figure
from lightcnn.output.charts.svg import Chart, chart

Row = Mapping[str, Any]
MAX_BUBBLE_POINTS = 40
"""Diameter of the largest bubble, in points."""
MAX_MINOR_RATIO = 30
"""Largest ratio of the ends of a logarithmic axis on which 2 and 5 are labelled too."""
BARS = ("disk", "score_time")
"""The charts that show something of a single network."""
BAR_INCHES = 0.3
"""Height of a network in a chart of bars."""
NAME_POINTS = 8
"""Size of the names beside points."""
MAX_DESCRIBED = 5
"""Networks whose values the description of a chart names; a table has all."""


def draw_figures(rows: Sequence[Row]) -> dict[str, Chart]:
    """Name → chart, for all charts whose values the rows have; a single point in a plane is not drawn."""
    with_accuracy = [row for row in rows if row["accuracy"]]
    with_latency = [row for row in rows if row["latency_ms"]]
    both = [row for row in with_accuracy if row["latency_ms"]]
    drawings: dict[str, tuple[Sequence[Row], Callable[[Sequence[Row]], Chart]]] = {
        "disk": (rows, _disk),
        "params_accuracy": (with_accuracy, lambda chosen: _accuracy_over(chosen, _params, "parameters")),
        "macs_accuracy": (with_accuracy, lambda chosen: _accuracy_over(chosen, _macs, "multiply-adds of one image")),
        "latency_accuracy": (both, lambda chosen: _accuracy_over(chosen, _latency, "milliseconds of one image")),
        "efficiency": (both, _efficiency),
        "score_time": (both, _score_time),
        "macs_latency": (with_latency, _speed),
        "roofline": (with_latency, _roofline),
    }
    return {
        name: draw(chosen) for name, (chosen, draw) in drawings.items() if len(chosen) >= (1 if name in BARS else 2)
    }


def _disk(rows: Sequence[Row]) -> Chart:
    """Bars of the size on disk: as a Keras file with Adam's moments, and as lightcnn saves it."""
    figure = Figure(figsize=(SIZE[0], 0.9 + BAR_INCHES * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    name_axes(axes, "megabytes", "")
    keras = [row["keras_adam_bytes"] / 1e6 for row in rows]
    bars = _bars(axes, keras, ORANGE, "Keras file with Adam's moments (the paper's definition)")
    saved = axes.barh(
        range(len(rows)),
        [row["file_bytes"] / 1e6 for row in rows],
        height=0.3,
        color=BLUE,
        label="as lightcnn saves it",
    )
    _name_bars(axes, rows)
    figure.legend(loc="outside upper left", ncols=1, frameon=False, fontsize=LABEL_POINTS)
    texts = (f"{row['name']} {value:.3g} MB" for row, value in zip(rows, keras, strict=True))
    return _chart(
        figure, "Size of the Keras file with Adam's moments", texts, _with_texts([*bars, *saved], [*rows, *rows])
    )


def _efficiency(rows: Sequence[Row]) -> Chart:
    """Accuracy per second over accuracy per megabyte; smaller files have larger bubbles."""
    figure, axes = blank("accuracy (%) per megabyte", "accuracy (%) per second")
    smallest = min(row["keras_adam_bytes"] for row in rows)
    points = []
    for place, row in enumerate(rows):
        width = max(5.0, MAX_BUBBLE_POINTS * (smallest / row["keras_adam_bytes"]) ** 0.5)
        x, y = row["accuracy_per_megabyte"], row["accuracy_per_second"]
        points += axes.plot([x], [y], "o", markersize=width, alpha=0.7, color=COLOURS[place % len(COLOURS)])
    _set_logarithmic(axes, "xy")
    axes.margins(0.2)
    texts = (f"{row['name']} {row['accuracy_per_megabyte']:.3g} and {row['accuracy_per_second']:.3g}" for row in rows)
    return _with_names(figure, axes, points, rows, "Accuracy per megabyte and per second", texts)


def _score_time(rows: Sequence[Row]) -> Chart:
    """Bars of the accuracy on the left, and of the inference time on the right, with a line to its 95th percentile."""
    figure = Figure(figsize=(SIZE[0], 0.7 + BAR_INCHES * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    name_axes(left, "accuracy, %", "")
    name_axes(right, "ms of one image", "")
    scores = _bars(left, [100 * row["accuracy"]["value"] for row in rows], BLUE)
    times = _bars(right, [_latency(row) for row in rows], ORANGE, tails=[_tail(row) for row in rows])
    _name_bars(left, rows)
    texts = (f"{row['name']} {row['accuracy']['value']:.2%} in {_latency(row):.3g} ms" for row in rows)
    return _chart(figure, "Accuracy and time of one image", texts, _with_texts([*scores, *times], [*rows, *rows]))


def _bars(
    axes: Axes, values: Sequence[float], colour: str, label: str = "", tails: Sequence[float] | None = None
) -> Sequence[Any]:
    """Horizontal bars with their values; `tails` are lengths of lines that begin at the ends of the bars."""
    lengths = tails or [0.0] * len(values)
    errors = None if tails is None else ([0.0] * len(lengths), lengths)
    bars = axes.barh(range(len(values)), values, height=0.7, color=colour, label=label, xerr=errors, ecolor=MUTED)
    axes.bar_label(bars, [f"{value:.4g}" for value in values], padding=3, fontsize=LABEL_POINTS, color=INK)
    axes.set_xlim(
        right=1.3 * max(value + tail for value, tail in zip(values, tails or [0.0] * len(values), strict=True))
    )
    axes.grid(visible=False)
    axes.set_xticks([])
    return bars.patches


def _name_bars(axes: Axes, rows: Sequence[Row]) -> None:
    """Writes the names of the networks at their bars, the first at the top."""
    axes.set_yticks(range(len(rows)), [label_text(row["name"]) for row in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.invert_yaxis()


def _accuracy_over(rows: Sequence[Row], cost: Callable[[Row], float], label: str) -> Chart:
    """Accuracy over a cost on a logarithmic axis, with the Pareto front."""
    figure, axes = blank(label, "accuracy")
    front = pareto([(cost(row), row["accuracy"]["value"]) for row in rows])
    axes.plot(*zip(*front, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label="Pareto front")
    points = [_point(axes, place, cost(row), row["accuracy"]["value"]) for place, row in enumerate(rows)]
    _set_logarithmic(axes, "x")
    axes.margins(0.12, 0.25)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g}%" if value < 1 + 1e-9 else "")
    _legend(figure)
    best = [row for row in rows if (cost(row), row["accuracy"]["value"]) in front]
    texts = (f"{row['name']} {row['accuracy']['value']:.2%} at {human(cost(row))}" for row in best)
    return _with_names(figure, axes, points, rows, f"Accuracy over {label}; on the Pareto front", texts)


def _speed(rows: Sequence[Row]) -> Chart:
    """Latency over multiply-adds, with lines of equal speed; the lowest is that of the fastest network."""
    figure, axes = blank("multiply-adds of one image", "ms of one image, to the 95th percentile")
    fastest = max(_macs(row) / _latency(row) for row in rows)
    ends = [min(map(_macs, rows)) / 1.3, 1.3 * max(map(_macs, rows))]
    for share, style in ((1, "-"), (0.5, "--"), (0.25, ":")):
        rate = share * fastest
        label = f"{1000 * rate / 1e9:.3g} G multiply-adds/s"
        axes.plot(ends, [end / rate for end in ends], style, color=GREY, zorder=1, label=label)
    points = [_point(axes, place, _macs(row), _latency(row)) for place, row in enumerate(rows)]
    for place, row in enumerate(rows):
        axes.vlines(_macs(row), _latency(row), _latency(row) + _tail(row), color=COLOURS[place % len(COLOURS)])
    _set_logarithmic(axes, "xy")
    _legend(figure)
    texts = (f"{row['name']} {_latency(row):.3g} ms for {human(row['macs'])}" for row in rows)
    return _with_names(figure, axes, points, rows, "Time over multiply-adds of one image", texts)


def _roofline(rows: Sequence[Row]) -> Chart:
    """Speed over multiply-adds per byte moved; the roof is the best speed (flat) and the best byte rate (slanted)."""
    figure, axes = blank("multiply-adds per byte moved", "multiply-adds per second")
    speeds = [1000 * _macs(row) / _latency(row) for row in rows]
    intensities = [_macs(row) / row["moved_bytes"] for row in rows]
    fastest = max(speeds)
    byte_rate = max(speed / intensity for speed, intensity in zip(speeds, intensities, strict=True))
    corner = fastest / byte_rate
    ends = (min(*intensities, corner) / 1.5, max(*intensities, corner) * 1.5)
    roof = [min(fastest, byte_rate * end) for end in (ends[0], corner, ends[1])]
    axes.plot([ends[0], corner, ends[1]], roof, color=GREY, zorder=1, label="best of these networks")
    axes.axvspan(ends[0], corner, color=BLUE, alpha=0.06, label="limited by memory")
    points = [_point(axes, place, *position) for place, position in enumerate(zip(intensities, speeds, strict=True))]
    _set_logarithmic(axes, "xy")
    axes.set_xlim(*ends)
    _legend(figure)
    texts = (f"{row['name']} {human(speed)}" for row, speed in zip(rows, speeds, strict=True))
    return _with_names(figure, axes, points, rows, "Multiply-adds per second over multiply-adds per byte moved", texts)


def _legend(figure: Figure) -> None:
    figure.legend(loc="outside upper left", ncols=2, frameon=False, fontsize=LABEL_POINTS, labelcolor=MUTED)


def _with_names(
    figure: Figure, axes: Axes, points: Sequence[Any], rows: Sequence[Row], title: str, texts: Any
) -> Chart:
    """The chart with the network's name beside each point, without overlaps."""
    label_points(axes, points, [label_text(row["name"]) for row in rows], size=NAME_POINTS)
    return _chart(figure, title, texts, _with_texts(points, rows))


def _chart(figure: Figure, title: str, texts: Any, tips: Sequence[tuple[Any, str]]) -> Chart:
    """The chart, described by its title and the first of the texts."""
    every = list(texts)
    more = f" and {len(every) - MAX_DESCRIBED} more" if len(every) > MAX_DESCRIBED else ""
    return chart(figure, f"{title}: {', '.join(every[:MAX_DESCRIBED])}{more}.", tips)


def _with_texts(artists: Sequence[Any], rows: Sequence[Row]) -> list[tuple[Any, str]]:
    """Each artist with the text that is shown when it is pointed at."""
    return [(artist, _row_text(row)) for artist, row in zip(artists, rows, strict=True)]


def _row_text(row: Row) -> str:
    """The name of a network and its main numbers."""
    parts = [row["name"], f"{human(row['params'])} parameters", f"{human(row['macs'])} multiply-adds"]
    parts += [f"{_latency(row):.4g} ms"] if row["latency_ms"] else []
    parts += [f"accuracy {row['accuracy']['value']:.2%}"] if row["accuracy"] else []
    return ", ".join(parts)


def _point(axes: Axes, place: int, x: float, y: float) -> Any:
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place // len(COLOURS) % len(MARKERS)]
    return axes.plot([x], [y], marker, markersize=7, color=colour)[0]


def _set_logarithmic(axes: Any, which: str) -> None:
    """Makes the named axes ('x', 'y', 'xy') logarithmic, with ticks as 10k or 2M."""
    for name in which:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(lambda value, _: _format_tick(value))
        low, high = axis.get_view_interval()
        labelled = "25" if high < MAX_MINOR_RATIO * low else ""
        axis.set_minor_formatter(
            lambda value, _, digits=labelled: _format_tick(value) if f"{value:e}"[0] in digits else ""
        )


def _format_tick(value: float) -> str:
    return EngFormatter(sep="")(value) if value >= 1 else f"{value:g}"


def _macs(row: Row) -> float:
    return float(max(1, row["macs"]))


def _params(row: Row) -> float:
    return float(max(1, row["params"]))


def _latency(row: Row) -> float:
    return float(row["latency_ms"]["median"])


def _tail(row: Row) -> float:
    """Milliseconds from the median to the 95th percentile."""
    return max(0.0, float(row["latency_ms"]["p95"]) - _latency(row))

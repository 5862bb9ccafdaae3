"""Figures of a profile: the three of the paper, accuracy over cost and time, time over cost, and a roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightcnn.budget import human
from lightcnn.output.charts.figures import BLUE, COLOURS, GREY, MARKERS, ORANGE, blank, label_text, pareto
from lightcnn.output.charts.hotspots import InteractiveFigure, interactive_figure
from lightcnn.output.charts.labels import label_points
from lightcnn.output.charts.plotting import EngFormatter, Figure

Row = Mapping[str, Any]
MAX_BUBBLE_POINTS = 40
"""Diameter of the largest bubble, in points."""
MAX_MINOR_RATIO = 1000
"""Largest ratio of the ends of a logarithmic axis on which 2 and 5 are labelled too."""
BARS = ("disk", "score_time")
"""The figures that show something of a single network."""
FIGURE_INCHES = (8.6, 4.6)


def draw_figures(rows: Sequence[Row]) -> dict[str, InteractiveFigure]:
    """Name → figure, for all figures whose values the rows have; a single point in a plane is not drawn."""
    with_accuracy = [row for row in rows if row["accuracy"]]
    with_latency = [row for row in rows if row["latency_ms"]]
    both = [row for row in with_accuracy if row["latency_ms"]]
    drawings: dict[str, tuple[Sequence[Row], Callable[[Sequence[Row]], InteractiveFigure]]] = {
        "disk": (rows, _disk),
        "params_accuracy": (with_accuracy, lambda chosen: _accuracy_over(chosen, _params, "parameters")),
        "macs_accuracy": (with_accuracy, lambda chosen: _accuracy_over(chosen, _macs, "multiply-adds, one image")),
        "latency_accuracy": (both, lambda chosen: _accuracy_over(chosen, _latency, "milliseconds, one image")),
        "efficiency": (both, _efficiency),
        "score_time": (both, _score_time),
        "macs_latency": (with_latency, _speed),
        "roofline": (with_latency, _roofline),
    }
    return {
        name: draw(chosen) for name, (chosen, draw) in drawings.items() if len(chosen) >= (1 if name in BARS else 2)
    }


def _disk(rows: Sequence[Row]) -> InteractiveFigure:
    """Bars of the size on disk: as a Keras file with Adam's moments, and as lightcnn saves it."""
    figure = Figure(figsize=(8.0, 1.3 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    keras = [row["keras_adam_bytes"] / 1e6 for row in rows]
    bars = axes.barh(places, keras, color=ORANGE, label="Keras file with Adam's moments (the paper's definition)")
    axes.barh(places, [row["file_bytes"] / 1e6 for row in rows], height=0.35, color=BLUE, label="as lightcnn saves it")
    axes.bar_label(bars, [f"{value:.3g}" for value in keras], padding=3, fontsize=8)
    axes.set_yticks(places, [label_text(row["name"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("megabytes")
    axes.set_xlim(right=1.12 * max(keras))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return interactive_figure(figure, _with_texts(bars, rows))


def _efficiency(rows: Sequence[Row]) -> InteractiveFigure:
    """Accuracy per second over accuracy per megabyte; smaller files have larger bubbles."""
    figure, axes = blank("accuracy (%) per megabyte", "accuracy (%) per second of inference", FIGURE_INCHES)
    smallest = min(row["keras_adam_bytes"] for row in rows)
    points = []
    for place, row in enumerate(rows):
        width = max(5.0, MAX_BUBBLE_POINTS * (smallest / row["keras_adam_bytes"]) ** 0.5)
        x, y = row["accuracy_per_megabyte"], row["accuracy_per_second"]
        points += axes.plot([x], [y], "o", markersize=width, alpha=0.7, color=COLOURS[place % len(COLOURS)])
    _set_logarithmic(axes, "xy")
    axes.margins(0.12)
    return _with_names(figure, axes, points, rows)


def _score_time(rows: Sequence[Row]) -> InteractiveFigure:
    """Bars of the accuracy on the left, and of the inference time on the right."""
    figure = Figure(figsize=(8.6, 1.0 + 0.34 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(rows))
    scores = left.barh(places, [100 * row["accuracy"]["value"] for row in rows], color=BLUE)
    left.bar_label(scores, fmt="%.4g", fontsize=8, padding=3)
    left.set_xlabel("accuracy, %")
    left.set_xlim(right=118)
    times = right.barh(places, [_latency(row) for row in rows], color=ORANGE)
    right.bar_label(times, fmt="%.3g", fontsize=8, padding=3)
    right.set_xlabel("ms, one image")
    right.margins(x=0.18)
    left.set_yticks(places, [label_text(row["name"]) for row in rows], fontsize=8)
    left.invert_yaxis()
    return interactive_figure(figure, _with_texts([*scores, *times], [*rows, *rows]))


def _accuracy_over(rows: Sequence[Row], cost: Callable[[Row], float], label: str) -> InteractiveFigure:
    """Accuracy over a cost on a logarithmic axis, with the Pareto front."""
    figure, axes = blank(label, "accuracy", FIGURE_INCHES)
    front = pareto([(cost(row), row["accuracy"]["value"]) for row in rows])
    axes.plot(*zip(*front, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label="front")
    points = [_point(axes, place, cost(row), row["accuracy"]["value"]) for place, row in enumerate(rows)]
    _set_logarithmic(axes, "x")
    axes.margins(0.1, 0.2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g} %" if value < 1 + 1e-9 else "")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _with_names(figure, axes, points, rows)


def _speed(rows: Sequence[Row]) -> InteractiveFigure:
    """Latency over multiply-adds, with lines of equal speed; the lowest is that of the fastest network."""
    figure, axes = blank("multiply-adds, one image", "milliseconds, one image", FIGURE_INCHES)
    fastest = max(_macs(row) / _latency(row) for row in rows)
    ends = [min(map(_macs, rows)) / 1.3, 1.3 * max(map(_macs, rows))]
    for share, style in ((1, "-"), (0.5, "--"), (0.25, ":")):
        rate = share * fastest
        label = f"{1000 * rate / 1e9:.3g} G multiply-adds/s"
        axes.plot(ends, [end / rate for end in ends], style, color=GREY, zorder=1, label=label)
    points = [_point(axes, place, _macs(row), _latency(row)) for place, row in enumerate(rows)]
    _set_logarithmic(axes, "xy")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _with_names(figure, axes, points, rows)


def _roofline(rows: Sequence[Row]) -> InteractiveFigure:
    """Speed over multiply-adds per byte moved; the roof is the best speed (flat) and the best byte rate (slanted)."""
    figure, axes = blank(
        "multiply-adds per byte of weights and activations moved", "multiply-adds per second", FIGURE_INCHES
    )
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
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _with_names(figure, axes, points, rows)


def _with_names(figure: Figure, axes: Any, points: Sequence[Any], rows: Sequence[Row]) -> InteractiveFigure:
    """The figure with the network's name next to each point, without overlaps."""
    label_points(axes, points, [label_text(row["name"]) for row in rows])
    return interactive_figure(figure, _with_texts(points, rows))


def _with_texts(artists: Sequence[Any], rows: Sequence[Row]) -> list[tuple[Any, str]]:
    """Each artist with the text that is shown when it is pointed at."""
    return [(artist, _row_text(row)) for artist, row in zip(artists, rows, strict=True)]


def _row_text(row: Row) -> str:
    """The name of a network and its main numbers."""
    parts = [row["name"], f"{human(row['params'])} parameters", f"{human(row['macs'])} multiply-adds"]
    parts += [f"{_latency(row):.4g} ms"] if row["latency_ms"] else []
    parts += [f"accuracy {row['accuracy']['value']:.2%}"] if row["accuracy"] else []
    return ", ".join(parts)


def _point(axes: Any, place: int, x: float, y: float) -> Any:
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

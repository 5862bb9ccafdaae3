"""Pictures of a profile: the paper's three, cost and time against accuracy and each other, and a roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from lightcnn.budget import human
from lightcnn.output.figures import BLUE, COLOURS, GREY, MARKERS, ORANGE, blank, label_text, pareto
from lightcnn.output.hotspots import InteractiveFigure, interactive_figure, label_points

Row = Mapping[str, Any]
MAX_BUBBLE_POINTS = 40
"""Diameter of the largest bubble, in points."""
FIGURE_INCHES = (8.6, 4.6)


def draw_figures(rows: Sequence[Row]) -> dict[str, InteractiveFigure]:
    """The pictures for which there are values, by name."""
    judged = [row for row in rows if row["accuracy"]]
    timed = [row for row in rows if row["latency_ms"]]
    both = [row for row in judged if row["latency_ms"]]
    drawn: dict[str, tuple[Sequence[Row], Callable[[Sequence[Row]], InteractiveFigure]]] = {
        "disk": (rows, _disk),
        "params_accuracy": (judged, lambda held: _against(held, _params, "parameters")),
        "macs_accuracy": (judged, lambda held: _against(held, _macs, "multiply-adds, one image")),
        "latency_accuracy": (both, lambda held: _against(held, _latency, "milliseconds, one image")),
        "efficiency": (both, _efficiency),
        "score_time": (both, _score_time),
        "macs_latency": (timed, _speed),
        "roofline": (timed, _roofline),
    }
    return {name: draw(held) for name, (held, draw) in drawn.items() if held}


def _disk(rows: Sequence[Row]) -> InteractiveFigure:
    """Bars of the size on disk: as a Keras file with Adam's moments, and as lightcnn saves it."""
    figure = Figure(figsize=(8.0, 1.3 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    keras = [row["keras_adam_bytes"] / 1e6 for row in rows]
    bars = axes.barh(places, keras, color=ORANGE, label="Keras file with Adam's moments (the paper's definition)")
    axes.barh(places, [row["file_bytes"] / 1e6 for row in rows], height=0.35, color=BLUE, label="as it is saved here")
    axes.bar_label(bars, [f"{value:.3g}" for value in keras], padding=3, fontsize=8)
    axes.set_yticks(places, [label_text(row["name"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("megabytes")
    axes.set_xlim(right=1.12 * max(keras))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return interactive_figure(figure, _told(bars, rows))


def _efficiency(rows: Sequence[Row]) -> InteractiveFigure:
    """Accuracy per second over accuracy per megabyte; the smaller the file, the larger the bubble."""
    figure, axes = blank("accuracy (%) per megabyte", "accuracy (%) per second of inference", FIGURE_INCHES)
    smallest = min(row["keras_adam_bytes"] for row in rows)
    points = []
    for place, row in enumerate(rows):
        width = max(5.0, MAX_BUBBLE_POINTS * (smallest / row["keras_adam_bytes"]) ** 0.5)
        x, y = row["accuracy_per_megabyte"], row["accuracy_per_second"]
        points += axes.plot([x], [y], "o", markersize=width, alpha=0.7, color=COLOURS[place % len(COLOURS)])
    _logarithmic(axes, "xy")
    axes.margins(0.12)
    return _named(figure, axes, points, rows)


def _score_time(rows: Sequence[Row]) -> InteractiveFigure:
    """Accuracy as a bar, inference time on top of it on an axis of its own."""
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    places = range(len(rows))
    scores = lower.bar(places, [100 * row["accuracy"]["value"] for row in rows], color=BLUE)
    lower.bar_label(scores, fmt="%.4g", fontsize=7)
    lower.set_ylabel("accuracy, %")
    lower.set_ylim(top=112)
    times = upper.bar(places, [_latency(row) for row in rows], color=ORANGE)
    upper.bar_label(times, fmt="%.3g", fontsize=7)
    upper.set_ylabel("ms, one image")
    upper.margins(y=0.15)
    lower.set_xticks(places, [label_text(row["name"]) for row in rows], rotation=30, ha="right", fontsize=8)
    return interactive_figure(figure, _told([*scores, *times], [*rows, *rows]))


def _against(rows: Sequence[Row], cost: Callable[[Row], float], label: str) -> InteractiveFigure:
    """Accuracy over a cost on a logarithmic axis, and the front of those that none beats in both."""
    figure, axes = blank(label, "accuracy", FIGURE_INCHES)
    best = pareto([(cost(row), row["accuracy"]["value"]) for row in rows])
    axes.plot(*zip(*best, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label="front")
    points = [_point(axes, place, cost(row), row["accuracy"]["value"]) for place, row in enumerate(rows)]
    _logarithmic(axes, "x")
    axes.margins(0.1, 0.2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g} %" if value < 1 + 1e-9 else "")
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _named(figure, axes, points, rows)


def _speed(rows: Sequence[Row]) -> InteractiveFigure:
    """Latency over multiply-adds; lines of equal speed, the fastest network's the lowest."""
    figure, axes = blank("multiply-adds, one image", "milliseconds, one image", FIGURE_INCHES)
    fastest = max(_macs(row) / _latency(row) for row in rows)
    ends = [min(map(_macs, rows)) / 1.3, 1.3 * max(map(_macs, rows))]
    for share, style in ((1, "-"), (0.5, "--"), (0.25, ":")):
        rate = share * fastest
        label = f"{1000 * rate / 1e9:.3g} G multiply-adds/s"
        axes.plot(ends, [end / rate for end in ends], style, color=GREY, zorder=1, label=label)
    points = [_point(axes, place, _macs(row), _latency(row)) for place, row in enumerate(rows)]
    _logarithmic(axes, "xy")
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    return _named(figure, axes, points, rows)


def _roofline(rows: Sequence[Row]) -> InteractiveFigure:
    """Speed over multiply-adds a byte moved. The roof is the best seen, of speed (flat) and of bytes (slanted)."""
    figure, axes = blank(
        "multiply-adds a byte of weights and activations moved", "multiply-adds a second", FIGURE_INCHES
    )
    speeds = [1000 * _macs(row) / _latency(row) for row in rows]
    dense = [_macs(row) / row["moved_bytes"] for row in rows]
    fastest = max(speeds)
    moving = max(speed / each for speed, each in zip(speeds, dense, strict=True))
    corner = fastest / moving
    ends = (min(*dense, corner) / 1.5, max(*dense, corner) * 1.5)
    roof = [min(fastest, moving * end) for end in (ends[0], corner, ends[1])]
    axes.plot([ends[0], corner, ends[1]], roof, color=GREY, zorder=1, label="the most seen here")
    axes.axvspan(ends[0], corner, color=BLUE, alpha=0.06, label="held back by memory")
    points = [_point(axes, place, *at) for place, at in enumerate(zip(dense, speeds, strict=True))]
    _logarithmic(axes, "xy")
    axes.set_xlim(*ends)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return _named(figure, axes, points, rows)


def _named(figure: Figure, axes: Any, points: Sequence[Any], rows: Sequence[Row]) -> InteractiveFigure:
    """The figure with a name at each point that overlaps no other."""
    label_points(axes, points, [label_text(row["name"]) for row in rows])
    return interactive_figure(figure, _told(points, rows))


def _told(artists: Sequence[Any], rows: Sequence[Row]) -> list[tuple[Any, str]]:
    """What each thing drawn says when it is pointed at."""
    return [(artist, _words(row)) for artist, row in zip(artists, rows, strict=True)]


def _words(row: Row) -> str:
    parts = [row["name"], f"{human(row['params'])} parameters", f"{human(row['macs'])} multiply-adds"]
    parts += [f"{_latency(row):.4g} ms"] if row["latency_ms"] else []
    parts += [f"accuracy {row['accuracy']['value']:.2%}"] if row["accuracy"] else []
    return ", ".join(parts)


def _point(axes: Any, place: int, x: float, y: float) -> Any:
    colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place // len(COLOURS) % len(MARKERS)]
    return axes.plot([x], [y], marker, markersize=7, color=colour)[0]


def _logarithmic(axes: Any, which: str) -> None:
    for name in which:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(lambda value, _: _written(value))
        axis.set_minor_formatter(lambda value, _: _written(value) if f"{value:e}"[0] in "25" else "")


def _written(value: float) -> str:
    return EngFormatter(sep="")(value) if value >= 1 else f"{value:g}"


def _macs(row: Row) -> float:
    return float(max(1, row["macs"]))


def _params(row: Row) -> float:
    return float(max(1, row["params"]))


def _latency(row: Row) -> float:
    return float(row["latency_ms"]["median"])

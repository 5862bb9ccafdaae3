"""Pictures of a profile as PNG bytes: the paper's three, and cost and time against accuracy and each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from lightcnn.evaluation.figures import BLUE, COLOURS, GREY, ORANGE, blank, png, shown
from lightcnn.evaluation.plots import MARKERS, pareto

Row = Mapping[str, Any]
BUBBLE = 1600
"""Area of the largest bubble, in square points."""


def charts(rows: Sequence[Row]) -> dict[str, bytes]:
    """The pictures for which there are values, by name."""
    judged = [row for row in rows if row["accuracy"]]
    timed = [row for row in rows if row["latency_ms"]]
    both = [row for row in judged if row["latency_ms"]]
    drawn: dict[str, tuple[Sequence[Row], Callable[[Sequence[Row]], bytes]]] = {
        "disk": (rows, _disk),
        "params_accuracy": (judged, lambda held: _against(held, _params, "parameters")),
        "macs_accuracy": (judged, lambda held: _against(held, _macs, "multiply-adds, one image")),
        "latency_accuracy": (both, lambda held: _against(held, _latency, "milliseconds, one image")),
        "efficiency": (both, _efficiency),
        "score_time": (both, _score_time),
        "macs_latency": (timed, _roof),
    }
    return {name: draw(held) for name, (held, draw) in drawn.items() if held}


def _disk(rows: Sequence[Row]) -> bytes:
    """Bars of the size on disk: as a Keras file with Adam's moments, and as lightcnn saves it."""
    figure = Figure(figsize=(8.0, 1.3 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(rows))
    keras = [row["keras_adam_bytes"] / 1e6 for row in rows]
    bars = axes.barh(places, keras, color=ORANGE, label="Keras file with Adam's moments (the paper's definition)")
    axes.barh(places, [row["file_bytes"] / 1e6 for row in rows], height=0.35, color=BLUE, label="as lightcnn saves it")
    axes.bar_label(bars, [f"{value:.3g}" for value in keras], padding=3, fontsize=8)
    axes.set_yticks(places, [shown(row["name"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("megabytes")
    axes.set_xlim(right=1.12 * max(keras))
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    return png(figure)


def _efficiency(rows: Sequence[Row]) -> bytes:
    """Accuracy per second over accuracy per megabyte; the smaller the file, the larger the bubble."""
    figure, axes = blank("accuracy (%) per megabyte", "accuracy (%) per second of inference", (8.6, 4.8))
    smallest = min(row["keras_adam_bytes"] for row in rows)
    for place, row in enumerate(rows):
        x, y = row["accuracy_per_megabyte"], row["accuracy_per_second"]
        area = max(20.0, BUBBLE * smallest / row["keras_adam_bytes"])
        axes.scatter([x], [y], s=area, alpha=0.7, color=COLOURS[place % len(COLOURS)])
        aside = (0, 4 + area**0.5 / 2)  # points above the middle of the bubble
        axes.annotate(shown(row["name"]), (x, y), aside, textcoords="offset points", ha="center", fontsize=7)
    _logarithmic(axes, "xy")
    axes.margins(0.2)
    return png(figure)


def _score_time(rows: Sequence[Row]) -> bytes:
    """Accuracy as a bar, inference time on top of it on an axis of its own."""
    figure = Figure(figsize=(8.6, 4.4), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    places = range(len(rows))
    bars = lower.bar(places, [100 * row["accuracy"]["value"] for row in rows], color=BLUE)
    lower.bar_label(bars, fmt="%.4g", fontsize=7)
    lower.set_ylabel("accuracy, %")
    lower.set_ylim(top=112)
    bars = upper.bar(places, [_latency(row) for row in rows], color=ORANGE)
    upper.bar_label(bars, fmt="%.3g", fontsize=7)
    upper.set_ylabel("ms, one image")
    upper.margins(y=0.15)
    lower.set_xticks(places, [shown(row["name"]) for row in rows], rotation=30, ha="right", fontsize=8)
    return png(figure)


def _against(rows: Sequence[Row], cost: Callable[[Row], float], label: str) -> bytes:
    """Accuracy over a cost on a logarithmic axis, and the front of those that none beats in both."""
    figure, axes = blank(label, "accuracy", (8.6, 4.4))
    for place, row in enumerate(rows):
        _point(axes, place, row, cost(row), row["accuracy"]["value"])
    best = pareto([(cost(row), row["accuracy"]["value"]) for row in rows])
    axes.plot(*zip(*best, strict=True), color=GREY, drawstyle="steps-post", zorder=1, label="front")
    _logarithmic(axes, "x")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _roof(rows: Sequence[Row]) -> bytes:
    """Latency over multiply-adds; lines of equal speed, the fastest network's the uppermost speed seen."""
    figure, axes = blank("multiply-adds, one image", "milliseconds, one image", (8.6, 4.6))
    for place, row in enumerate(rows):
        _point(axes, place, row, _macs(row), _latency(row))
    fastest = max(_macs(row) / _latency(row) for row in rows)
    ends = [min(map(_macs, rows)), max(map(_macs, rows))]
    for share, style in ((1, "-"), (0.5, "--"), (0.25, ":")):
        rate = share * fastest
        label = f"{1000 * rate / 1e9:.3g} G multiply-adds/s"
        axes.plot(ends, [end / rate for end in ends], style, color=GREY, zorder=1, label=label)
    _logarithmic(axes, "xy")
    figure.legend(loc="outside right upper", frameon=False, fontsize=8)
    return png(figure)


def _point(axes: Any, place: int, row: Row, x: float, y: float) -> None:
    axes.plot(
        [x], [y], MARKERS[place // len(COLOURS) % len(MARKERS)], label=shown(row["name"]), markersize=7,
        color=COLOURS[place % len(COLOURS)],
    )  # fmt: skip


def _logarithmic(axes: Any, which: str) -> None:
    written = EngFormatter(sep="")
    for name in which:
        getattr(axes, f"set_{name}scale")("log")
        axis = getattr(axes, f"{name}axis")
        axis.set_major_formatter(written)
        axis.set_minor_formatter(lambda value, _: written(value) if f"{value:e}"[0] in "25" else "")


def _macs(row: Row) -> float:
    return float(max(1, row["macs"]))


def _params(row: Row) -> float:
    return float(max(1, row["params"]))


def _latency(row: Row) -> float:
    return float(row["latency_ms"]["median"])

"""report.html of a profile: the values of page.html, from report.json, the charts and the parts of the networks."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.budget import human
from lightcnn.measurement.runtime_names import ONNX_INT8
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions
from lightcnn.output.charts.network_drawing import network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, Stage, stage_rows
from lightcnn.output.charts.svg import Chart
from lightcnn.profiling import columns

TEMPLATE = "profiling/page.html"
CAPTIONS = {
    "macs_accuracy": (
        "Accuracy over multiply-adds", "No other network is both cheaper and more accurate than one on the front.",
    ),
    "latency_accuracy": (
        "Accuracy over time", "No other network is both faster and more accurate than one on the front.",
    ),
    "params_accuracy": (
        "Accuracy over parameters", "No other network is both smaller and more accurate than one on the front.",
    ),
    "macs_latency": (
        "Time over multiply-adds",
        "Networks on one line have equal speed; the lowest line is the best speed of these networks. Vertical lines "
        "reach the 95th percentile.",
    ),
    "roofline": (
        "Speed over data moved",
        "Multiply-adds per byte moved: weights once, activations written and read. The roof is the best rate of moving "
        "bytes and the best speed of computing among these networks. Networks left of its corner are limited by "
        "memory; networks far below the roof are limited by something else.",
    ),
    "efficiency": (
        "Efficiency", "Accuracy per second over accuracy per megabyte of the Keras file; smaller files have larger "
        "bubbles.",
    ),
    "score_time": (
        "Accuracy and time", "Accuracy, and the median time of one image with a line to the 95th percentile.",
    ),
    "disk": ("Size on disk", "With Adam's moments, as the paper measures it, and as lightcnn saves it."),
}  # fmt: skip
"""Name of a chart → its title and caption, in the order of the page."""
TRAINABLE = ("run", "recipe")
"""Kinds of sources of networks that `lightcnn train` takes by their name."""
MAX_TARGETS = 4
"""Maximum number of networks that a suggested command names."""
MAX_NORMS = 5
"""Maximum number of norms that the page names."""
MAX_LAYERS = 40
"""Maximum number of layers that the page shows, those with the most multiply-adds; layers.csv has all."""
BEST = {
    "fewest parameters": ("params", 1), "fewest multiply-adds": ("macs", 1), "smallest weights in int8, B": ("int8", 1),
    "fastest, ms of one image": ("latency", 1), "most accurate": ("accuracy", -1),
}  # fmt: skip
"""What the first card names the best network in → the column, and 1 if less is better."""
RUNTIME_KEYS = ("runtime", "layout", "median", "p95", "iqr", "runs", "batch", "images_per_second")
RUNTIME_HEADER = (
    "network", "runtime", "layout", "ms, median", "ms, p95", "ms, IQR", "runs", "images at once", "images/s"
)  # fmt: skip
COUNTER_HEADER = ("counter", "where", "ours", "theirs", "difference", "reason")
LAYER_HEADER = (
    "layer", "kind", "output", "parameters", "multiply-adds", "share", "activations in own types, B"
)  # fmt: skip


def profile_page(
    report: Mapping[str, Any], figures: Mapping[str, Chart], stages: Mapping[str, Sequence[Stage]]
) -> bytes:
    """The page, from report.json, the charts by name, and the parts of each network, if known, by its name."""
    rows = report["rows"]
    machine = _machine_lines(report)
    known = [name for name in columns.COLUMNS if any(columns.COLUMNS[name].value(row) is not None for row in rows)]
    several = any(len(row["latencies"]) > 1 for row in rows)
    context = {
        "heading": _heading(rows), "failures": [failure["error"] for failure in report["failures"]],
        "cautions": page_cautions(report), "facts": _facts(rows),
        "facts_title": "Best of these networks" if len(rows) > 1 else "Cost",
        "charts": [
            {"chart": figures[name], "title": title, "caption": caption}
            for name, (title, caption) in CAPTIONS.items() if name in figures
        ],
        "columns": columns.table(rows, columns.front_columns(rows)) if rows else None,
        "all_columns": columns.table(rows, known) if rows else None,
        "marks": columns.mark_lines(rows, columns.FRONT_COLUMNS), "all_marks": columns.mark_lines(rows),
        "commands": _commands(rows), "machine": machine,
        "convention": report["convention"],
        "runtimes": _runtime_rows(rows) if several else [], "runtime_header": RUNTIME_HEADER,
        "stage_header": TABLE_HEADER, "counter_header": COUNTER_HEADER, "layer_header": LAYER_HEADER,
        "networks": [_network(row, report["layers"][row["name"]], stages.get(row["name"], ())) for row in rows],
    }  # fmt: skip
    return html.render(TEMPLATE, "lightcnn profile", context)


def _heading(rows: Sequence[Mapping[str, Any]]) -> str:
    """The name of the network, or how many there are."""
    return rows[0]["name"] if len(rows) == 1 else f"{len(rows)} networks"


def _commands(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """What to do next, with the network that is cheapest to compute among those that can be trained."""
    kinds, names = zip(*(row["source"].partition(" ")[::2] for row in rows), strict=True) if rows else ((), ())
    trainable = [place for place, kind in enumerate(kinds) if kind in TRAINABLE]
    steps = []
    if trainable:
        cheapest = shlex.quote(names[min(trainable, key=lambda place: rows[place]["macs"])])
        steps.append(("Train the cheapest one on your images", f"lightcnn train {cheapest} --data photographs"))
        if all(row["latency_ms"] is None for row in rows) and len(trainable) == len(rows) <= MAX_TARGETS:
            targets = " ".join(map(shlex.quote, names))
            steps.append(("Measure the time of one image too", f"lightcnn profile {targets}"))
    return [*steps, ("Search for a cheaper network", "lightcnn search --budget 1MFLOPs --data photographs")]


def _facts(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The best network by each measure that is known, with its value; of a single network the values."""
    facts = {}
    for title, (name, sign) in BEST.items():
        column = columns.COLUMNS[name]
        values = [(column.value(row), row) for row in rows if column.value(row) is not None]
        if len(rows) == 1 and values:
            facts[column.title] = columns.row_cells(rows[0], [name])[0]
        elif values:
            best = min(values, key=lambda pair: sign * pair[0])[1]
            facts[title] = f"{best['name']}: {columns.row_cells(best, [name])[0]}"
    return facts


def footer_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines below a table: machine, threads, load and versions, and what the marks mean."""
    return [*_machine_lines(report), *columns.mark_lines(report["rows"])]


def _machine_lines(report: Mapping[str, Any]) -> list[str]:
    """Machine, threads, load and versions, and what was measured on noise."""
    machine = report["machine"]
    load = f", load {machine['load'][0]:g}" if machine["load"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} thread(s){load}; "
        f"Python {machine['python']}, {versions}"
    ]
    if machine["gpu"]:
        lines.append(f"GPU: {machine['gpu']}")
    latencies = [latency for row in report["rows"] for latency in row["latencies"]]
    if any(latency["runtime"] == ONNX_INT8 for latency in latencies):
        lines.append("int8: calibrated on noise, only to measure speed; do not use its predictions")
    return lines


def _runtime_rows(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """The latency of each network in each runtime."""
    return [(row["name"], *(latency[key] for key in RUNTIME_KEYS)) for row in rows for latency in row["latencies"]]


def _network(row: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], stages: Sequence[Stage]) -> dict[str, Any]:
    """One network: its drawing, why counters differ, what is not counted, and the largest layers."""
    largest = sorted(layers, key=lambda layer: -layer["macs"])[:MAX_LAYERS]
    return {
        "name": row["name"], "notes": row["notes"], "totals": _totals(row),
        "summary": f"{human(row['params'])} parameters, {human(row['macs'])} multiply-adds",
        "drawing": network_svg(row["name"], row["input"], stages) if stages else "",
        "stages": stage_rows(stages), "layers": [_layer_cells(layer) for layer in largest], "layer_count": len(layers),
        "counters": [tuple(item[key] for key in COUNTER_HEADER) for item in row["reconciliation"]],
    }  # fmt: skip


def _totals(row: Mapping[str, Any]) -> dict[str, str]:
    """Total multiply-adds, operators that are not counted, and norms that are not folded."""
    norms = row["unfolded"]
    unfolded = f"{len(norms)}: {', '.join(norms[:MAX_NORMS])}" + ("…" if len(norms) > MAX_NORMS else "")
    return {
        "multiply-adds as given and deployed": f"{row['macs_as_given']:,} and {row['macs']:,}",
        "operators that are not counted": ", ".join(f"{name} ×{count}" for name, count in row["uncounted"].items())
        or "none",
        "BatchNorms that are not folded": unfolded if norms else "none",
    }


def _layer_cells(layer: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        layer["name"] or "(itself)", layer["kind"], "×".join(map(str, layer["shape"])), layer["params"], layer["macs"],
        html.NumberCell(f"{layer['share']:.1%}", layer["share"]), layer["activation_bytes"],
    )  # fmt: skip

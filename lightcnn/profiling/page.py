"""report.html of a profile: the table, figures, why counters differ, and the layers of each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.measurement.runtime_names import ONNX_INT8
from lightcnn.output import html
from lightcnn.output.caveats import cautions
from lightcnn.output.charts.hotspots import InteractiveFigure
from lightcnn.output.charts.network_drawing import network_svg
from lightcnn.output.charts.network_table import TABLE_HEADER, Stage, stage_rows
from lightcnn.profiling import columns

CAPTIONS = {
    "efficiency": "Accuracy per second over accuracy per megabyte of the Keras file; smaller files have larger "
    "bubbles.",
    "disk": "Size on disk: with Adam's moments, as the paper measures it, and as lightcnn saves it.",
    "score_time": "Accuracy (left) and time of one image (right).",
    "latency_accuracy": "Accuracy over the time of one image. On the front, no other network is both faster and more "
    "accurate.",
    "macs_accuracy": "Accuracy over multiply-adds, with the front.",
    "params_accuracy": "Accuracy over parameters, with the front.",
    "macs_latency": "Time over multiply-adds. Networks on one line have equal speed; the lowest line is the best speed "
    "of these networks.",
    "roofline": "Speed over multiply-adds per byte moved (weights once, activations written and read). The roof is the "
    "best rate of moving bytes and the best speed of computing among these networks. Networks left of its corner are "
    "limited by memory; networks far below the roof are limited by something else.",
}
"""Name of a figure → its caption, in the order of the page."""
MAX_NORMS = 5
"""Maximum number of norms that the page names."""
MAX_LAYERS = 40
"""Maximum number of layers that the page shows, those with the most multiply-adds; layers.csv has all."""


def profile_page(
    report: Mapping[str, Any], figures: Mapping[str, InteractiveFigure], stages: Mapping[str, Sequence[Stage]]
) -> bytes:
    """The page, from report.json, the figures by name, and the parts of each network, if known, by its name."""
    rows = report["rows"]
    return html.page(
        "lightcnn profile",
        [
            html.paragraph(report["convention"]),
            *(html.paragraph(failure["error"], "alarm") for failure in report["failures"]),
            *(html.paragraph(text, "note") for text in cautions(report)),
            *([columns.html(rows, columns.useful_columns(rows))] if rows else []),
            *(html.paragraph(line) for line in footer_lines(report)),
            *(
                [html.heading("All runtimes"), _runtime_table(rows)]
                if any(len(row["latencies"]) > 1 for row in rows)
                else []
            ),
            *([html.heading("Size, memory and accuracy"), _more_columns(rows)] if rows else []),
            *(
                html.figure(figures[name].png, caption, figures[name].spots)
                for name, caption in CAPTIONS.items()
                if name in figures
            ),
            *(
                part
                for row in rows
                for part in _network(row, report["layers"][row["name"]], stages.get(row["name"], ()))
            ),
        ],
    )


def footer_lines(report: Mapping[str, Any]) -> list[str]:
    """The lines below a table: machine, threads, load and versions, and what the marks mean."""
    machine = report["machine"]
    load = f", load {machine['load'][0]:g}" if machine["load"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} thread(s){load}; "
        f"Python {machine['python']}, {versions}"
    ]
    if machine["gpu"]:
        lines.append(f"GPU: {machine['gpu']}")
    rows = report["rows"]
    latencies = [latency for row in rows for latency in row["latencies"]]
    if any(latency["runtime"] == ONNX_INT8 for latency in latencies):
        lines.append("int8: calibrated on noise, only to measure speed; do not use its predictions")
    return [*lines, *columns.mark_lines(rows)]


def _runtime_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The latency of each network in each runtime."""
    keys = ("runtime", "layout", "median", "p95", "iqr", "runs", "batch", "images_per_second")
    header = ("network", "runtime", "layout", "ms, median", "ms, p95", "ms, IQR", "runs", "images at once", "images/s")
    cells = [(row["name"], *(latency[key] for key in keys)) for row in rows for latency in row["latencies"]]
    return html.table(header, cells, sortable=True)


def _more_columns(rows: Sequence[Mapping[str, Any]]) -> str:
    """A second table with sizes, memory and accuracies."""
    names = (
        "name", "source", "input", "fp32", "peak_fp32", "int8", "peak_int8", "file", "keras", "resident",
        "resident_own", "accuracy", "accuracy_source", "per_megabyte", "per_second",
    )  # fmt: skip
    return columns.html(
        rows, [name for name in names if any(columns.COLUMNS[name].value(row) is not None for row in rows)]
    )


def _network(row: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], stages: Sequence[Stage]) -> list[str]:
    """The section of one network: its drawing, why counters differ, what is not counted, and the largest layers."""
    differences = [
        tuple(difference[key] for key in ("counter", "where", "ours", "theirs", "difference", "reason"))
        for difference in row["reconciliation"]
    ]
    largest = sorted(layers, key=lambda layer: -layer["macs"])[:MAX_LAYERS]
    return [
        html.heading(row["name"]),
        *([
            html.drawing(network_svg(row["name"], row["input"], stages), f"{row['name']}, part by part"),
            html.table(TABLE_HEADER, stage_rows(stages), caption=f"Parts of {row['name']}"),
        ] if stages else []),
        html.pairs(_totals(row)),
        *(html.paragraph(note, "note") for note in row["notes"]),
        *([
            html.paragraph("How other counters differ from our multiply-adds of the network as given:"),
            html.table(
                ("counter", "where", "ours", "theirs", "difference", "reason"), differences,
                caption=f"Counters of {row['name']}", sortable=True,
            ),
        ] if differences else []),
        html.paragraph(f"The {len(largest)} layers with the most multiply-adds, of {len(layers)} layers:"),
        html.table(
            ("layer", "kind", "output", "parameters", "multiply-adds", "share", "activations in own types, B"),
            [_layer_cells(layer) for layer in largest], caption=f"Layers of {row['name']}", sortable=True,
        ),
    ]  # fmt: skip


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

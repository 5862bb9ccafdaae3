"""report.html of a profile: the table, why counters differ, what each network is made of, and the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lightcnn.output import html
from lightcnn.output.hotspots import InteractiveFigure
from lightcnn.profiling import columns

CAPTIONS = {
    "efficiency": "Accuracy per second over accuracy per megabyte of the Keras file; the smaller the file, the larger "
    "the bubble.",
    "disk": "Size on disk: with Adam's moments, as the paper measures it, and as lightcnn saves it.",
    "score_time": "Accuracy, and above it the time of one image.",
    "latency_accuracy": "Accuracy over the time of one image, and the front: no other is both faster and better.",
    "macs_accuracy": "Accuracy over multiply-adds, and the front.",
    "params_accuracy": "Accuracy over parameters, and the front.",
    "macs_latency": "Time over multiply-adds: on one line, equal speed. The lowest line is the best speed seen here.",
    "roofline": "Speed over multiply-adds a byte moved (weights once, activations written and read). Left of the "
    "roof's corner moving the bytes, at the best rate seen here, takes longer than computing, at the best speed seen: "
    "such a network is held back by memory. What is far below the roof is held back by something else.",
}
MAX_NORMS = 5
"""Names of norms that the page shows."""
MAX_LAYERS = 40
"""Layers of a network that the page shows, those with the most multiply-adds; layers.csv has all."""


def profile_page(report: Mapping[str, Any], pictures: Mapping[str, InteractiveFigure]) -> bytes:
    """The whole page."""
    rows = report["rows"]
    return html.page(
        "lightcnn profile",
        [
            html.paragraph(report["convention"]),
            *(html.paragraph(one["error"], "alarm") for one in report["failures"]),
            *([columns.html(rows, columns.useful_columns(rows))] if rows else []),
            *(html.paragraph(line) for line in footer_lines(report)),
            *([html.heading("Every runtime"), _times(rows)] if any(len(row["latencies"]) > 1 for row in rows) else []),
            *([html.heading("Size, memory and what the accuracies are"), _more(rows)] if rows else []),
            *(
                html.figure(pictures[name].png, caption, pictures[name].spots)
                for name, caption in CAPTIONS.items()
                if name in pictures
            ),
            *(part for row in rows for part in _network(row, report["layers"][row["name"]])),
        ],
        script=html.SORT if rows else "",
    )


def footer_lines(report: Mapping[str, Any]) -> list[str]:
    """Machine, threads, versions and load under a table, and what its marks mean."""
    held = report["machine"]
    load = f", load {held['load'][0]:g}" if held["load"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in held["packages"].items() if version)
    lines = [
        f"{held['processor']}, {held['cores']} cores, {held['threads']} thread(s){load}; "
        f"Python {held['python']}, {versions}"
    ]
    if held["gpu"]:
        lines.append(f"GPU: {held['gpu']}")
    rows = report["rows"]
    runs = [one for row in rows for one in row["latencies"]]
    if any(one["unstable"] for one in runs):
        lines.append("~ the middle half of its times spreads over more than a fifth of their median, measured twice")
    if any(one["runtime"] == "onnx-int8" for one in runs):
        lines.append("int8: calibrated on images of noise, for its speed alone; what it answers is not to be used")
    if any(row["accuracy"] and row["accuracy"]["source"].startswith("published") for row in rows):
        lines.append("* published by the paper of MicroMPoxNet, not ours: of images augmented before they were split")
    return lines


def _times(rows: Sequence[Mapping[str, Any]]) -> str:
    """What every runtime needed for every network."""
    keys = ("runtime", "layout", "median", "p95", "iqr", "runs", "batch", "images_per_second")
    header = ("network", "run by", "layout", "ms, median", "ms, p95", "ms, IQR", "runs", "images at once", "images/s")
    told = [(row["name"], *(one[key] for key in keys)) for row in rows for one in row["latencies"]]
    return html.table(header, told, sortable=True)


def _more(rows: Sequence[Mapping[str, Any]]) -> str:
    names = (
        "name", "source", "input", "fp32", "int8", "file", "keras", "resident", "resident_own", "accuracy",
        "accuracy_source", "per_megabyte", "per_second",
    )  # fmt: skip
    return columns.html(
        rows, [name for name in names if any(columns.COLUMNS[name].value(row) is not None for row in rows)]
    )


def _network(row: Mapping[str, Any], layers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Why the counters differ, what is not counted, and the heaviest layers."""
    differences = [
        (one["counter"], one["where"], one["ours"], one["theirs"], one["difference"], one["reason"])
        for one in row["reconciliation"]
    ]
    heaviest = sorted(layers, key=lambda layer: -layer["macs"])[:MAX_LAYERS]
    return [
        html.heading(row["name"]),
        html.pairs(_left_aside(row)),
        *(html.paragraph(note, "note") for note in row["notes"]),
        *([
            html.paragraph("What other counters add to our multiply-adds of the network as given, and leave out:"),
            html.table(("counter", "where", "ours", "theirs", "difference", "why"), differences, sortable=True),
        ] if differences else []),
        html.paragraph(f"The {len(heaviest)} layers with the most multiply-adds of {len(layers)}:"),
        html.table(
            ("layer", "kind", "output", "parameters", "multiply-adds", "share", "activation bytes"),
            [_layer(layer) for layer in heaviest], sortable=True,
        ),
    ]  # fmt: skip


def _left_aside(row: Mapping[str, Any]) -> dict[str, str]:
    """The two totals, and what is neither counted nor folded."""
    norms = row["unfolded"]
    named = f"{len(norms)}: {', '.join(norms[:MAX_NORMS])}" + ("…" if len(norms) > MAX_NORMS else "")
    return {
        "multiply-adds as given and deployed": f"{row['macs_as_given']:,} and {row['macs']:,}",
        "operators that are not counted": ", ".join(f"{name} ×{count}" for name, count in row["uncounted"].items())
        or "none",
        "BatchNorms that stay when it is deployed": named if norms else "none",
    }


def _layer(layer: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        layer["name"] or "(itself)", layer["kind"], "×".join(map(str, layer["shape"])), layer["params"], layer["macs"],
        html.NumberCell(f"{layer['share']:.1%}", layer["share"]), layer["activation_bytes"],
    )  # fmt: skip

"""The cells and sentences of an export, for the page and for the terminal. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

HEADER = (
    "format", "files, B", "weights, B", "difference in p", "agreement", "accuracy", "95 % interval", "ms, median",
)  # fmt: skip
PYTORCH = "PyTorch"
NOT_MEASURED = "–"


def table_rows(report: Mapping[str, Any]) -> list[list[str]]:
    """The rows of the table as text: PyTorch, then each format of an export.json."""
    pytorch = report["pytorch"]
    first = {"format": PYTORCH, "bytes": None, "parity": None} | pytorch
    return [_row(entry) for entry in (first, *report["formats"])]


def _row(entry: Mapping[str, Any]) -> list[str]:
    parity, accuracy, latency = entry["parity"], entry["accuracy"], entry["latency_ms"]
    return [
        entry["format"],
        NOT_MEASURED if entry["bytes"] is None else f"{entry['bytes']:,}",
        f"{entry['weight_bytes']:,}",
        NOT_MEASURED if parity is None else f"{parity['max_abs_difference']:.2g}",
        NOT_MEASURED if parity is None else f"{parity['agreement']:.2%}",
        NOT_MEASURED if accuracy is None else f"{accuracy['value']:.2%}",
        NOT_MEASURED if accuracy is None else f"{accuracy['low']:.2%} to {accuracy['high']:.2%}",
        NOT_MEASURED if latency is None else f"{'~' if latency['unstable'] else ''}{latency['median']:.3g}",
    ]


def sentences(report: Mapping[str, Any]) -> list[str]:
    """What the rows of the table were measured on, and what int8 costs."""
    lines = [_parity_sentence(report["formats"])]
    lines += [_validation_sentence(entry) for entry in report["formats"] if entry["validation"]]
    lines += [device_sentence(entry) for entry in report["formats"] if entry["device"]]
    if any(latency and latency["unstable"] for latency in _latencies(report)):
        lines.append("~ marks a time that varied: the interquartile range is over a fifth of the median.")
    return [*lines, *report["notes"]]


def _latencies(report: Mapping[str, Any]) -> list[Any]:
    """The latencies of PyTorch and of all formats, None for those that are not timed."""
    return [each["latency_ms"] for each in (report["pytorch"], *report["formats"])]


def _parity_sentence(entries: Sequence[Mapping[str, Any]]) -> str:
    parity = entries[0]["parity"]
    images = "images of noise" if parity["of"] == "noise" else "images of the test set"
    return (
        f"Differences and agreement are those of probabilities and predicted classes between each file and PyTorch, on "
        f"{parity['images']:,} {images}. The time is that of one image of the network's size, from pixels to "
        "probabilities, with one thread."
    )


def _validation_sentence(entry: Mapping[str, Any]) -> str:
    validation = entry["validation"]
    return (
        f"{entry['format']}: accuracy on {validation['images']:,} validation images {validation['fp32']:.2%} in fp32, "
        f"{validation['int8']:.2%} in int8."
    )


def device_sentence(entry: Mapping[str, Any]) -> str:
    """What the emulated processor showed, in one line."""
    device = entry["device"]
    return (
        f"{entry['format']} on an emulated {device['target']}: flash {device['flash_bytes']:,} B, arena "
        f"{device['arena_bytes']:,} B, stack {device['stack_bytes']:,} B, {device['instructions']:,} instructions for "
        "one image; its outputs are equal to those of the integer reference."
    )

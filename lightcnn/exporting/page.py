"""report.html of an export: the values of page.html, from export.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightcnn.exporting.wording import device_sentence, sentences, table_rows
from lightcnn.output import html
from lightcnn.output.caveats import page_cautions

TEMPLATE = "exporting/page.html"
COLUMNS = (
    "format", "parity", "difference in p", "agreement", "accuracy, 95 % interval", "files, B", "weights, B",
    "ms, median",
)  # fmt: skip
NUMBERS = (2, 3, 5, 6, 7)
"""Columns that are aligned to the right."""
COMMANDS = {
    "model.onnx": ("Predict images without PyTorch", "lightcnn predict model.onnx IMAGE.png"),
    "model.int8.onnx": ("Serve a local page that predicts", "lightcnn serve model.int8.onnx"),
    "Makefile": ("Compile the C files for this computer", "make"),
}  # fmt: skip
"""File → what to do with it next, and the command."""
DEVICE_BARS = {"flash_bytes": "flash, B", "arena_bytes": "arena, B"}


def export_page(report: Mapping[str, Any]) -> bytes:
    """The page, from export.json."""
    entries, (measured, *others) = report["formats"], sentences(report)
    on_device = {device_sentence(entry) for entry in entries if entry["device"]}
    files = [name for entry in entries for name in entry["files"]]
    context = {
        "run": report["run"], "refused": [refusal["reason"] for refusal in report["refused"]],
        "cautions": page_cautions(report), "answer": _answer(report),
        "measured": measured, "header": COLUMNS, "numbers": NUMBERS,
        "formats": _formats(report), "largest": max(entry["bytes"] for entry in entries),
        "devices": [_device(entry) for entry in entries if entry["device"]],
        "commands": [step for name, step in COMMANDS.items() if name in files],
        "sentences": [text for text in others if text not in on_device], "sections": list(map(_section, entries)),
        "input": report["input"], "classes": list(enumerate(report["classes"])),
        "machine": _machine(report["machine"]),
    }  # fmt: skip
    return html.render(TEMPLATE, f"lightcnn export: {report['run']}", context)


def _answer(report: Mapping[str, Any]) -> str:
    """How many formats passed the comparison with PyTorch."""
    passed, refused = len(report["formats"]), len(report["refused"])
    if refused:
        return f"{passed} of {passed + refused} formats agree with PyTorch; {refused} refused."
    return "The file agrees with PyTorch." if passed == 1 else f"All {passed} formats agree with PyTorch."


def _formats(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """PyTorch, then each format: its numbers, and their texts as on the terminal."""
    first = {"format": "PyTorch", "bytes": None, "parity": None} | report["pytorch"]
    names = ("file_text", "weight_text", "difference", "agreement", "accuracy_text", "interval", "latency_text")
    return [
        {**entry, **dict(zip(names, cells[1:], strict=True)), "badge": _badge(entry)}
        for entry, cells in zip((first, *report["formats"]), table_rows(report), strict=True)
    ]


def _badge(entry: Mapping[str, Any]) -> str:
    """What a format that was not refused has passed; empty for PyTorch itself."""
    if entry["parity"] is None:
        return ""
    return "small loss" if entry["validation"] else "same probabilities"


def _device(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What a format needs on the emulated processor; what the run's budget limits is drawn as bars."""
    device, limits = entry["device"], entry["device"].get("limits") or {}
    needs = {name: (device[key], limits.get(key)) for key, name in DEVICE_BARS.items()}
    facts = {name: used for name, (used, limit) in needs.items() if limit is None}
    facts |= {"stack, B": device["stack_bytes"], "instructions for one image": device["instructions"]}
    outputs = "equal to those of the integer reference" if device["answers_equal"] else "different"
    return {
        "title": f"{entry['format']} on an emulated {device['target']}", "facts": facts | {"outputs": outputs},
        "bars": [
            {"name": name, "share": used / limit, "text": f"{used:,} of {limit:,}"}
            for name, (used, limit) in needs.items() if limit is not None
        ],
    }  # fmt: skip


def _section(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that is known about one format."""
    return dict(entry) | {
        "facts": {name.replace("_", " "): _text(value) for name, value in entry["details"].items()},
        "device": {name.replace("_", " "): _text(value) for name, value in (entry["device"] or {}).items()},
    }


def _text(value: Any) -> Any:
    """A value of export.json in a cell."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(str(_text(inner)) for inner in value)
    return value


def _machine(machine: Mapping[str, Any]) -> dict[str, Any]:
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
    return {
        "processor": machine["processor"], "cores": machine["cores"], "threads": machine["threads"],
        "Python": machine["python"], "packages": versions,
    }  # fmt: skip

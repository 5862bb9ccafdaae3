"""The sentence on the positive class of a report. No torch."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any


def positive_sentence(report: Mapping[str, Any]) -> str:
    """States the positive class of a report.json and why it is that class; empty for more than two classes.

    Reports of earlier versions have none.
    """
    entry = report.get("positive")
    if not entry:
        return ""
    other = next(name for name in report["data"]["classes"] if name != entry["class"])
    command = f"--positive {shlex.quote(other)}"
    if entry["reason"].endswith("--positive"):
        return f"The positive class is {entry['class']} ({entry['reason']}, as in {command})."
    return f"The positive class is {entry['class']} ({entry['reason']}); choose the other one with {command}."

"""What a reader of any score must know about the data first. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

STAND_IN = "STAND-IN: these images are drawn by code. What is measured on them says nothing about photographs."


def caveats(data: Mapping[str, Any]) -> list[str]:
    """Sentences for the `data` of a report.json, gravest first."""
    leak = (
        f"The given split was used although {data['groups_shared']} sources stand on more than one of its sides "
        "(--allow-leak): the scores are flattered."
    )
    skipped = f"{data['skipped']} files could not be read and were left out (--skip-corrupt)."
    said = [STAND_IN] * data["stand_in"] + [leak] * data["leak_allowed"] + [skipped] * bool(data["skipped"])
    return [*said, *filter(None, [data["note"]])]

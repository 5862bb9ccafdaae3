"""What a reader of any score must know about the data first. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def cautions(data: Mapping[str, Any]) -> list[str]:
    """Sentences for the `data` of a report.json, gravest first."""
    leak = (
        f"The given split was used although {data['groups_shared']} sources stand on more than one of its sides "
        "(--allow-leak): the scores are flattered."
    )
    stand_in = "STAND-IN: these images are drawn by code. The scores say nothing about photographs."
    skipped = f"{data['skipped']} files could not be read and were left out (--skip-corrupt)."
    said = [stand_in] * data["stand_in"] + [leak] * data["leak_allowed"] + [skipped] * bool(data["skipped"])
    return [*said, *filter(None, [data["note"]])]

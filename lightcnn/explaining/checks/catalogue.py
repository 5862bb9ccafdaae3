"""The table of checks, from which their order, their ranges and their sentences are taken. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CheckKind:
    """One row of `CHECKS`.

    `passed` completes "METHOD ... on N of M images"; `failed` says what a failure means. Values lie between `lowest`
    and `highest`. `label` is what the value is called in one line.
    """

    label: str
    passed: str
    failed: str
    lowest: float = -1.0
    highest: float = 1.0


CHECKS: dict[str, CheckKind] = {
    "map": CheckKind(
        "map",
        "gave a map without warnings",
        "its maps are empty, flat, or concentrated on the border or the background",
    ),
    "deletion": CheckKind(
        "deletion",
        "beat every control at deletion",
        "removing the pixels that it marks changes the prediction no faster than removing those of a map that ignores "
        "the network",
        lowest=0.0,
    ),
    "insertion": CheckKind(
        "insertion",
        "beat every control at insertion",
        "showing the pixels that it marks restores the prediction no faster than showing those of a map that ignores "
        "the network",
        lowest=0.0,
    ),
    "completeness": CheckKind(
        "completeness",
        "added up to the change of the score",
        "its values do not add up to the change of the score",
        lowest=0.0,
        highest=math.inf,
    ),
    "fit": CheckKind(
        "fit R²",
        "had a local model that fits",
        "its superpixels explain less than half of how the prediction varies",
        lowest=-math.inf,
    ),
    "seeds": CheckKind(
        "other seed r",
        "gave a similar map with another seed",
        "another seed gives a different map",
    ),
    "randomisation": CheckKind(
        "randomised network ρ",
        "changed when the last layers of the network were randomised",
        "its map hardly changes when the last layers of the network are randomised",
    ),
    "stability": CheckKind(
        "noise ρ",
        "stayed stable under slight noise",
        "noise that does not change the prediction changes the map",
    ),
    "mask": CheckKind(
        "mask",
        "pointed into the mask",
        "it does not lie in the mask",
        lowest=0.0,
    ),
}
"""All checks, in the order in which report.json lists them."""
DISPLAY_ORDER = (*(name for name in CHECKS if name != "map"), "map")
"""The order in which people see the checks: the warnings of a map come last."""

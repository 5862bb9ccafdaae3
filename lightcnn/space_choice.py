"""`--space auto`: which shipped space a search uses, by its budget and the size of its images.

The ranges are those that the files of the spaces state.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.budget import Budget
from lightcnn.output.warnings import ReportWarning

LARGEST_MICRO = 30_000_000
"""Multiply-adds up to which `micro` is meant."""
SMALLEST_MOBILENET = 64
"""Pixels of the smallest input of `mobilenet`."""


@dataclass(frozen=True)
class SpaceChoice:
    """The name of a shipped space and why it was chosen; `is_outside` if it is not meant for such a budget."""

    name: str
    reason: str
    is_outside: bool = False

    def warnings(self) -> list[ReportWarning]:
        """A warning if the budget is outside of the range of the space."""
        if not self.is_outside:
            return []
        message = f"The space {self.name} was chosen although it is meant for at most 30 MFLOPs: {self.reason}."
        return [ReportWarning("budget_above_space", message, 1)]


def choose_space(budget: Budget, size: int) -> SpaceChoice:
    """The space for a budget and images of so many pixels."""
    macs = next((limit.upper for limit in budget.limits if limit.resource.name == "macs"), None)
    if macs is None or macs <= LARGEST_MICRO:
        return SpaceChoice("micro", "the budget is at most 30 MFLOPs" if macs else "the budget does not limit FLOPs")
    if size >= SMALLEST_MOBILENET:
        reason = f"the budget is over 30 MFLOPs, and images have {SMALLEST_MOBILENET} pixels or more"
        return SpaceChoice("mobilenet", reason)
    reason = f"images have {size} pixels, and the smallest input of mobilenet is {SMALLEST_MOBILENET}"
    return SpaceChoice("micro", reason, is_outside=True)

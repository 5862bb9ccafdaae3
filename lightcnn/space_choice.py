"""`--space auto`: which shipped space a search uses, by its budget and the size of its images or inputs.

The ranges are those that the files of the spaces state.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.budget import Budget
from lightcnn.output.warnings import ReportWarning

LARGEST_MICRO = 30_000_000
"""Multiply-adds up to which `micro` is meant."""
LARGEST_MICRO_INPUT = 64
"""Pixels of the largest input of `micro`."""
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


def choose_space(budget: Budget, size: int, input: int | None = None) -> SpaceChoice:
    """The space for a budget and images of so many pixels, or for the `input` size that is asked for, if any."""
    macs = next((limit.upper for limit in budget.limits if limit.resource.name == "macs"), None)
    if input is not None and input > LARGEST_MICRO_INPUT:
        reason = f"inputs have {input} pixels, and the largest input of micro is {LARGEST_MICRO_INPUT}"
        return SpaceChoice("mobilenet", reason)
    if macs is None or macs <= LARGEST_MICRO:
        return SpaceChoice("micro", "the budget is at most 30 MFLOPs" if macs else "the budget does not limit FLOPs")
    pixels, what = (size, "images") if input is None else (input, "inputs")
    if pixels >= SMALLEST_MOBILENET:
        reason = f"the budget is over 30 MFLOPs, and {what} have {SMALLEST_MOBILENET} pixels or more"
        return SpaceChoice("mobilenet", reason)
    reason = f"{what} have {pixels} pixels, and the smallest input of mobilenet is {SMALLEST_MOBILENET}"
    return SpaceChoice("micro", reason, is_outside=True)

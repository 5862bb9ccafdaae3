"""`--space auto`: which shipped space a search uses, by its budget and the size of its images or inputs.

The ranges are those that the files of the spaces state.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.budget import Budget, Cost
from lightcnn.output.warnings import ReportWarning

LARGEST_MICRO = 30_000_000
"""Multiply-adds up to which `micro` is meant."""
LARGEST_MICRO_COST = Cost(
    params=538_300, weight_bytes_int8=546_800, peak_activations=165_900, flash_bytes=578_200, arena_bytes=110_700
)
"""The largest costs of the networks that a search in `micro` within 30 MFLOPs tries first."""
ROOM_SHARE = 0.5
"""Share of a budget without a limit of multiply-adds that these need at most if it is above the range of `micro`."""
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
    if macs is not None and macs <= LARGEST_MICRO:
        return SpaceChoice("micro", "the budget is at most 30 MFLOPs")
    pixels, what = (size, "images") if input is None else (input, "inputs")
    large = f"{what} have {SMALLEST_MOBILENET} pixels or more"
    small = f"{what} have {pixels} pixels, and the smallest input of mobilenet is {SMALLEST_MOBILENET}"
    if macs is None:
        return _without_macs(budget, large if pixels >= SMALLEST_MOBILENET else "", small)
    if pixels >= SMALLEST_MOBILENET:
        return SpaceChoice("mobilenet", f"the budget is over 30 MFLOPs, and {large}")
    return SpaceChoice("micro", small, is_outside=True)


def _without_macs(budget: Budget, large: str, small: str) -> SpaceChoice:
    """The space for a budget that does not limit multiply-adds, for inputs that are `large` unless that is empty.

    How long networks take is not known yet, so a limit of latency decides nothing.
    """
    unlimited, counted = "the budget does not limit FLOPs", budget.without_latencies
    if not large:
        return SpaceChoice("micro", f"{unlimited}, {small}")
    if counted is None:
        return SpaceChoice("mobilenet", f"{unlimited}, and {large}")
    networks = "networks of micro with 30 MFLOPs need"
    if counted.used_share(LARGEST_MICRO_COST) > ROOM_SHARE:
        return SpaceChoice("micro", f"{unlimited}, and {networks} more than half of it")
    return SpaceChoice("mobilenet", f"{unlimited}, {networks} at most half of it, and {large}")

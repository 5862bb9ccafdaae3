"""`--space auto`: which shipped space a search uses, by its budget and its images or inputs.

The ranges are those that the files of the spaces state.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightcnn.budget import MACS, Budget, Cost
from lightcnn.device_cost import device_cost
from lightcnn.lower_limits import find_lack
from lightcnn.output.warnings import ReportWarning
from lightcnn.space import SearchSpace

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


def choose_space(budget: Budget, images: tuple[int, int, int], input: int | None = None) -> SpaceChoice:
    """The space for a budget and images, or for the `input` size in pixels that is asked for, if any.

    `images` are their channels, classes and size in pixels. How long networks take is not known yet, so a limit of
    latency decides nothing.
    """
    if input is not None and input > LARGEST_MICRO_INPUT:
        reason = f"inputs have {input} pixels, and the largest input of micro is {LARGEST_MICRO_INPUT}"
        return SpaceChoice("mobilenet", reason)
    counted = budget.without_latencies
    is_above, why = _above_micro(counted)
    if counted is not None and not is_above:
        return SpaceChoice("micro", why)
    if counted is not None and (excess := _excess_of_mobilenet(counted, images)):
        return SpaceChoice("micro", excess)
    pixels, what = (images[2], "images") if input is None else (input, "inputs")
    if pixels < SMALLEST_MOBILENET:
        small = f"{what} have {pixels} pixels, and the smallest input of mobilenet is {SMALLEST_MOBILENET}"
        return SpaceChoice("micro", f"{why}, {small}", is_above)
    if (
        counted is not None
        and (lack := _lack_of("mobilenet", counted, images, input))
        and not _lack_of("micro", counted, images, input)
    ):
        return SpaceChoice("micro", lack, is_above)
    return SpaceChoice("mobilenet", f"{why}, and {what} have {SMALLEST_MOBILENET} pixels or more")


def possible_spaces(budget: Budget, images: tuple[int, int, int], input: int | None = None) -> tuple[str, ...]:
    """The spaces that may be chosen once the images are read, the likeliest first.

    They may then be smaller than in `images`, and have more channels and classes.
    """
    chosen = choose_space(budget, images, input).name
    is_sure = chosen == "micro" or (input is not None and input > LARGEST_MICRO_INPUT)
    return (chosen,) if is_sure else (chosen, "micro")


def _above_micro(counted: Budget | None) -> tuple[bool, str]:
    """Whether a budget is above the range of `micro`, and why; None limits latency only, of which this is not known."""
    unlimited, networks = "the budget does not limit FLOPs", "networks of micro with 30 MFLOPs need"
    if counted is None:
        return False, unlimited
    macs = next((limit.upper for limit in counted.limits if limit.resource == MACS), None)
    if macs is not None:
        is_above = macs > LARGEST_MICRO
        return is_above, f"the budget is {'over' if is_above else 'at most'} 30 MFLOPs"
    if counted.used_share(LARGEST_MICRO_COST) > ROOM_SHARE:
        return False, f"{unlimited}, and {networks} more than half of it"
    return True, f"{unlimited}, {networks} at most half of it"


def _excess_of_mobilenet(counted: Budget, images: tuple[int, int, int]) -> str:
    """Which limit the smallest network of `mobilenet` for these images exceeds; empty if it meets all.

    The network with the fewest multiply-adds has the smallest value of every other resource, too.
    """
    space = SearchSpace.load("mobilenet").for_data(*images)
    smallest = device_cost(space.spec(space.smallest()))
    for limit in counted.limits:
        count = limit.resource.largest_count(smallest)
        if count > limit.upper:
            needs = f"the smallest network of mobilenet needs {count} {limit.resource.label}"
            return f"{needs}, over the limit of {limit.upper}"
    return ""


def _lack_of(name: str, counted: Budget, images: tuple[int, int, int], input: int | None) -> str:
    """Which lower limit the largest network of a space does not reach for these images; empty if it reaches all."""
    space = SearchSpace.load(name) if input is None else SearchSpace.load(name).with_input(input)
    lack = find_lack(space.for_data(*images), counted)
    return f"the largest network of {name} {lack}" if lack else ""

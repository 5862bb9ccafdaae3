"""What a network costs on a microcontroller: the flash and the arena of the C that is generated for it. No torch.

They follow from the spec alone, as `cost` does, but take longer to compute; a search computes them if its budget limits
them.
"""

from __future__ import annotations

from dataclasses import replace

from lightcnn.budget import Cost
from lightcnn.cost import cost
from lightcnn.memory_plan import flash_bytes, plan_memory
from lightcnn.program import Program, program
from lightcnn.spec import NetworkSpec

MAX_DIMENSION = 65_535
"""Largest number of channels, rows and columns of a tensor: the generated C keeps them in 16 bits."""


def device_cost(network: NetworkSpec) -> Cost:
    """The cost of a network with the flash and the arena of its generated C; None if the C cannot hold the network.

    Args:
        network: The spec.

    Returns:
        The numbers of `cost.cost`, and `flash_bytes` and `arena_bytes`.

    Example:
        >>> from lightcnn import Recipe
        >>> from lightcnn.device_cost import device_cost
        >>> device_cost(Recipe.load("quick").network).arena_bytes
        2048
    """
    total, steps = cost(network), program(network)
    if not can_be_generated(steps):
        return total
    return replace(total, flash_bytes=flash_bytes(steps), arena_bytes=plan_memory(steps).arena_bytes)


def can_be_generated(steps: Program) -> bool:
    """Whether the generated C can hold a program."""
    return max(max(shape) for shape in steps.shapes) <= MAX_DIMENSION

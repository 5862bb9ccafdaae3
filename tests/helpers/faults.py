"""Real faults of a process that trains: it has little memory, or a block of its networks raises an error."""

from __future__ import annotations

import resource
from pathlib import Path

import scipy.optimize  # noqa: F401 - loaded before the memory is limited, since a training needs it
from torch import Tensor, nn

from lightcnn.blocks import ConvNormAct

FORWARD = ConvNormAct.forward


def limit_memory(room: int) -> tuple[int, int]:
    """Lets this process take at most so many bytes more than it has; returns the limits that it had before."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + room, before[1]))
    return before


def forward_or_error(block: ConvNormAct, x: Tensor) -> Tensor:
    """In place of `ConvNormAct.forward`: raises an error in networks with the activation `silu`."""
    if isinstance(block.act, nn.SiLU):
        raise RuntimeError("this block is broken")
    return FORWARD(block, x)


def break_blocks() -> None:
    """Lets the blocks of all such networks of this process raise that error."""
    ConvNormAct.forward = forward_or_error  # type: ignore[method-assign]

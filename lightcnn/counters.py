"""What other tools count: fvcore and thop, run on copies in eval mode, so that the caller's model stays as it was."""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lightcnn.spec import Shape


def fvcore_total(model: nn.Module, shape: Shape) -> int:
    """`fvcore.nn.FlopCountAnalysis(model, x).total()` for one image of `shape` (C, H, W)."""
    return sum(fvcore_operators(model, shape)[""].values())


def fvcore_operators(model: nn.Module, shape: Shape) -> dict[str, Counter[str]]:
    """fvcore's counts per module name and operator; the name '' is the whole model."""
    with _quiet():
        from fvcore.nn import FlopCountAnalysis

        subject, image = _copy(model, shape)
        analysis = FlopCountAnalysis(subject, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return {
            name: Counter({operator: int(count) for operator, count in counts.items()})
            for name, counts in analysis.by_module_and_operator().items()
        }


def thop_total(model: nn.Module, shape: Shape) -> int:
    """`thop.profile(model, (x,))[0]` for one image of `shape` (C, H, W)."""
    with _quiet():
        from thop import profile

        subject, image = _copy(model, shape)
        macs, _ = profile(subject, (image,), verbose=False)
    return int(macs)


def _copy(model: nn.Module, shape: Shape) -> tuple[nn.Module, torch.Tensor]:
    subject = copy.deepcopy(model).eval()
    first = next(subject.parameters(), torch.zeros(1))
    return subject, torch.zeros(1, *shape, dtype=first.dtype, device=first.device)


@contextmanager
def _quiet() -> Iterator[None]:
    """Named filters for what these libraries and torch's tracer say about their own age."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*distutils.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(thop|fvcore|torch)\b.*")
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=FutureWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)

"""What fvcore, thop and torch count, on copies in eval mode, so that the caller's model stays unchanged.

The copies have shapes but no values (torch's meta device) if model and tool can run like that; the image is all zeros.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightcnn.counting.copies import meta_copy, value_copy, zero_image
from lightcnn.spec import Shape

Counts = TypeVar("Counts")


def fvcore_total(model: nn.Module, shape: Shape) -> int:
    """`fvcore.nn.FlopCountAnalysis(model, x).total()` for one image of `shape` (C, H, W)."""
    return sum(fvcore_operators(model, shape)[""].values())


def fvcore_operators(model: nn.Module, shape: Shape) -> dict[str, Counter[str]]:
    """fvcore's counts per module name and operator; the name '' is the whole model."""
    with _quiet():  # fvcore uses torch's tracer, which needs values
        return _fvcore(subject := value_copy(model), zero_image(subject, shape))


def thop_total(model: nn.Module, shape: Shape) -> int:
    """`thop.profile(model, (x,))[0]` for one image of `shape` (C, H, W)."""
    return int(sum(thop_modules(model, shape).values()))


def thop_modules(model: nn.Module, shape: Shape) -> dict[str, float]:
    """thop's count per name of a module that it counts; a module with two names is counted under both."""
    return _count_on_copy(_thop, model, shape)


def torch_total(model: nn.Module, shape: Shape) -> int:
    """The total of `torch.utils.flop_counter.FlopCounterMode` for one image (C, H, W): 2 per multiply-add."""
    return sum(torch_operators(model, shape).values())


def torch_operators(model: nn.Module, shape: Shape) -> Counter[str]:
    """torch's count per operator, for example `convolution`."""
    return _count_on_copy(_torch, model, shape)


def _count_on_copy(count: Callable[[nn.Module, Tensor], Counts], model: nn.Module, shape: Shape) -> Counts:
    """`count` on a copy without values, or on one with values if the model or the tool needs them."""
    with _quiet():
        try:
            subject = meta_copy(model)
            return count(subject, zero_image(subject, shape))
        except Exception:
            subject = value_copy(model)
            return count(subject, zero_image(subject, shape))


def _fvcore(subject: nn.Module, image: Tensor) -> dict[str, Counter[str]]:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(subject, (image,)).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return {
        name: Counter({operator: int(count) for operator, count in counts.items()})
        for name, counts in analysis.by_module_and_operator().items()
    }


def _thop(subject: nn.Module, image: Tensor) -> dict[str, float]:
    from thop import profile

    total, _, inner = profile(subject, (image,), verbose=False, ret_layer_info=True)
    counts = dict(_leaves(inner, ""))
    outside = total - sum(counts.values())
    return counts | ({"": outside} if outside else {})


def _leaves(layers: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """Counts above 0 by dotted name, from thop's nested `name: (operations, parameters, inner)`."""
    for name, (count, _, inner) in layers.items():
        if inner:
            yield from _leaves(inner, f"{prefix}{name}.")
        elif count:
            yield f"{prefix}{name}", count


def _torch(subject: nn.Module, image: Tensor) -> Counter[str]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        subject(image)
    counts = counter.get_flop_counts().get("Global", {})
    return Counter({str(operator).rpartition(".")[2]: int(count) for operator, count in counts.items()})


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the deprecation and tracer warnings of these libraries and of torch's tracer."""
    logger = logging.getLogger("fvcore")
    level = logger.level
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*distutils.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(thop|fvcore|torch)\b.*")
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)

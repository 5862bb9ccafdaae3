"""What other tools count: fvcore, thop and torch, on copies in eval mode, so that the caller's model stays as it was.

The copies have shapes and no values (torch's meta device) where model and tool can run like that, and zeros as their
image.
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

Counted = TypeVar("Counted")


def fvcore_total(model: nn.Module, shape: Shape) -> int:
    """`fvcore.nn.FlopCountAnalysis(model, x).total()` for one image of `shape` (C, H, W)."""
    return sum(fvcore_operators(model, shape)[""].values())


def fvcore_operators(model: nn.Module, shape: Shape) -> dict[str, Counter[str]]:
    """fvcore's counts per module name and operator; the name '' is the whole model."""
    with _quiet():  # torch's tracer, on which fvcore stands, cannot do without values
        return _fvcore(subject := value_copy(model), zero_image(subject, shape))


def thop_total(model: nn.Module, shape: Shape) -> int:
    """`thop.profile(model, (x,))[0]` for one image of `shape` (C, H, W)."""
    return int(sum(thop_modules(model, shape).values()))


def thop_modules(model: nn.Module, shape: Shape) -> dict[str, float]:
    """thop's count per module name, for those that it adds up; a module under two names is counted under both."""
    return _counted(_thop, model, shape)


def torch_total(model: nn.Module, shape: Shape) -> int:
    """`torch.utils.flop_counter.FlopCounterMode`: a multiplication and an addition each, of one image (C, H, W)."""
    return sum(torch_operators(model, shape).values())


def torch_operators(model: nn.Module, shape: Shape) -> Counter[str]:
    """torch's count per operator, as in `convolution`."""
    return _counted(_torch, model, shape)


def _counted(count: Callable[[nn.Module, Tensor], Counted], model: nn.Module, shape: Shape) -> Counted:
    """`count` on a copy without values, or with them where the model or the tool needs them."""
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
    found = dict(_leaves(inner, ""))
    own = total - sum(found.values())
    return found | ({"": own} if own else {})


def _leaves(told: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    """thop's nested `name: (operations, parameters, inner)` by dotted name, where it has counted something."""
    for name, (count, _, inner) in told.items():
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
    """Named filters for what these libraries and torch's tracer say about their own age and the models' shapes."""
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

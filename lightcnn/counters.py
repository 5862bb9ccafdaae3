"""What is counted on a built network, by fvcore, thop and torch, and the cost of one that no spec describes.

All run on copies in eval mode, so that the caller's model stays as it was.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from lightcnn.cost import cost
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.transfer import BaselineSpec

UNFOLDED = 2
"""How deep the tree of a network's modules is told: `backbone`, its parts, and the blocks of those in sequence."""


@dataclass(frozen=True)
class Part:
    """A named module: its class, the shape that leaves it (C, H, W), multiply-adds at batch 1, parameters."""

    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    params: int


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


def parameters_with_buffers(model: nn.Module) -> int:
    """Parameters and BatchNorm's running statistics: the total that Keras prints (it has no `num_batches_tracked`)."""
    norms = [part for part in model.modules() if isinstance(part, _BatchNorm)]
    statistics = [norm.running_mean for norm in norms] + [norm.running_var for norm in norms]
    return sum(p.numel() for p in model.parameters()) + sum(s.numel() for s in statistics if s is not None)


def cost_document(network: NetworkSpec | BaselineSpec, model: nn.Module) -> dict[str, Any]:
    """The `cost` of report.json: exact from a spec; of a baseline what can be told from its modules, the rest null.

    A baseline's numbers are those of the network as it is built, with its norms, whether its backbone is frozen or not:
    `macs` by torch's counter, int8 bytes 1 for a weight and 4 for a bias or a norm's parameter.
    """
    if isinstance(network, NetworkSpec):
        return cost(network).document()
    sizes = [(parameter.numel(), parameter.ndim > 1) for parameter in model.parameters()]
    return {
        "params": sum(size for size, _ in sizes),
        "params_with_buffers": parameters_with_buffers(model),
        "params_deployed": None,
        "macs": sum(part.macs for part in parts(model, network.input)),
        "peak_activations": None,
        "weight_bytes": {
            "fp32": 4 * sum(size for size, _ in sizes),
            "int8": sum(size if weight else 4 * size for size, weight in sizes),
        },
    }


def parts(model: nn.Module, shape: Shape) -> list[Part]:
    """The named modules that hold parameters or multiply, by torch's counter for one image of `shape` (C, H, W).

    They add up to the whole: what is multiplied outside of any of them is a last part.
    """
    subject = copy.deepcopy(model).eval().to("meta")
    told, shapes = dict(_named(subject)), dict[str, tuple[int, ...]]()
    for name, module in told.items():
        module.register_forward_hook(partial(_note_shape, shapes, name))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = subject(torch.zeros(1, *shape, device="meta"))
    counts, root = counter.get_flop_counts(), type(subject).__name__
    found = [
        Part(
            name,
            type(module).__name__,
            shapes.get(name, ()),
            sum(counts.get(f"{root}.{name}", {}).values()) // 2,
            sum(parameter.numel() for parameter in module.parameters()),
        )
        for name, module in told.items()
    ]
    macs = counter.get_total_flops() // 2 - sum(part.macs for part in found)
    params = sum(parameter.numel() for parameter in model.parameters()) - sum(part.params for part in found)
    rest = [Part("outside of these", type(model).__name__, _shape(out), macs, params)] if macs or params else []
    return [part for part in found if part.macs or part.params] + rest


def _named(module: nn.Module, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name: those of the first level, and what is in sequence, are unfolded."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        unfolded = depth == 0 or (depth < UNFOLDED and isinstance(child, nn.Sequential))
        inner = list(_named(child, f"{path}.", depth + 1)) if unfolded else []
        yield from inner or [(path, child)]


def _note_shape(shapes: dict[str, tuple[int, ...]], name: str, module: nn.Module, inputs: Any, out: Any) -> None:
    shapes[name] = _shape(out)


def _shape(out: Any) -> tuple[int, ...]:
    """Of one image; empty for what is no tensor."""
    return tuple(out.shape[1:]) if isinstance(out, Tensor) else ()


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

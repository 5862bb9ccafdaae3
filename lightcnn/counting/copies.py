"""Copies of a model in eval mode, so that counting, exporting and explaining leave the caller's model unchanged.

A copy has no hooks, except those with which torch computes a layer's weights (weight_norm, pruning).
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lightcnn.devices import require_memory
from lightcnn.errors import InputError
from lightcnn.spec import Shape
from lightcnn.text import first_line

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PACKED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
"""Packages of modules that keep their weights in a form that only their own kernel reads."""


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode on torch's meta device: its tensors have shapes but no values, so it needs no memory.

    Raises: InputError if the model cannot be copied.
    """
    return _copy(model, lambda tensor: tensor.to("meta"))


def eval_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode with the same values and without gradients. Raises: InputError as above."""
    return _copy(model, Tensor.clone)


def value_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors all have values: the model's, or zeros on the CPU for meta tensors.

    Raises: InputError as above, or if memory is too small.
    """
    tensors = [*model.parameters(), *model.buffers()]
    device = next((tensor.device for tensor in tensors if not tensor.is_meta), torch.device("cpu"))
    require_memory("a copy with values", sum(tensor.nbytes for tensor in tensors), device)
    return _copy(model, lambda tensor: torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.clone())


def zero_image(model: nn.Module, shape: Shape, batch: int = 1) -> Tensor:
    """Images of zeros (N, C, H, W) with the model's dtype, on its device. Raises: InputError if memory is too small."""
    first = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.zeros(1))
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    if device.type != "meta":
        size = "×".join(map(str, shape))
        require_memory(f"an image of {size}", batch * math.prod(shape) * first.element_size(), device)
    return torch.zeros(batch, *shape, dtype=first.dtype, device=device)


@torch.no_grad()
def keep_computed_weights(model: nn.Module) -> bool:
    """Changes a copy: weights that torch computes before each run (pruning, weight_norm) become plain parameters.

    Returns: whether there were any.
    """
    changed = False
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            _use_own_class(module)
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name)
                changed = True
        for hook in list(module._forward_pre_hooks.values()):
            changed |= _keep_weight(module, hook)
    return changed


def _use_own_class(module: nn.Module) -> None:
    """Gives a parametrized module a class of its own, since torch removes a weight's property from the class."""
    kind = type(module)
    members = {name: member for name, member in vars(kind).items() if name not in ("__dict__", "__weakref__")}
    module.__class__ = type(kind.__name__, kind.__bases__, members)


def _keep_weight(module: nn.Module, hook: Any) -> bool:
    if isinstance(hook, prune.BasePruningMethod):
        prune.remove(module, hook._tensor_name)  # type: ignore[no-untyped-call]
    elif isinstance(hook, WeightNorm):
        remove_weight_norm(module, hook.name)
    elif isinstance(hook, SpectralNorm):
        remove_spectral_norm(module, hook.name)
    else:
        return False
    return True


def _copy(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy with `convert(tensor)` in the place of every tensor; tensors that modules share stay shared."""
    replaced: dict[int, Any] = {}
    for name, module in model.named_modules():
        _require_copyable(name, module)
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(value, nn.Parameter):
                replaced[id(value)] = nn.Parameter(convert(value.detach()), value.requires_grad)
            elif isinstance(value, Tensor):
                replaced[id(value)] = convert(value.detach())
        for kind in HOOKS:
            hooks = getattr(module, kind)
            kept = {key: hook for key, hook in hooks.items() if kind == "_forward_pre_hooks" and _is_torchs(hook)}
            replaced[id(hooks)] = OrderedDict(kept)
    try:
        twin = copy.deepcopy(model, dict(replaced))
        twin.eval()  # its own `train` may not return it
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # attributes may be of any type, and raise anything
        raise InputError(_uncopied(model, replaced) or f"cannot copy the network: {first_line(error)}") from error
    return twin


def _is_torchs(hook: Any) -> bool:
    return type(hook).__module__.startswith("torch.nn.utils.")


def _require_copyable(name: str, module: nn.Module) -> None:
    """Raises: InputError for a module whose weights cannot be read, or whose code is not Python."""
    kind, reason = type(module).__module__, ""
    if isinstance(module, torch.jit.ScriptModule):
        reason = "is compiled; give the module that torch.jit compiled"
    elif kind.startswith(PACKED):
        reason = "keeps its weights packed; give the network before it was quantized"
    elif any(isinstance(tensor, UninitializedBuffer | UninitializedParameter) for tensor in _tensors(module)):
        reason = "has no weights before its first image; run the network once on an image, then give it"
    if reason:
        raise InputError(f"cannot read the network: {_where(name, module)} {reason}")


def _uncopied(model: nn.Module, replaced: dict[int, Any]) -> str:
    """The message that names the first attribute that cannot be copied, with its module; empty if there is none."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute == "_modules":
                continue
            try:
                copy.deepcopy(value, dict(replaced))
            except Exception as error:
                kind = type(value).__name__
                return (
                    f"cannot copy the network: attribute {attribute!r} ({kind}) of {_where(name, module)}: "
                    f"{first_line(error)}; delete it before"
                )
    return ""


def _tensors(module: nn.Module) -> tuple[Tensor | None, ...]:
    return (*module._parameters.values(), *module._buffers.values())


def _where(name: str, module: nn.Module) -> str:
    return f"module {name!r} ({type(module).__name__})" if name else f"the network ({type(module).__name__})"

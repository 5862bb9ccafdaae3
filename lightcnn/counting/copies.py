"""Copies of a model in eval mode, so that counting, exporting and explaining leave the caller's model as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightcnn.spec import Shape


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors have shapes and no values, so that it costs neither memory nor arithmetic."""
    return _copied(model, lambda tensor: tensor.to("meta"))


def eval_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode with the same values and no gradients, whatever tensors its modules hold."""
    return _copied(model, Tensor.clone)


def value_copy(model: nn.Module) -> nn.Module:
    """A duplicate that has values in any case: zeros on the CPU for tensors that have none."""
    return _copied(model, lambda held: torch.zeros_like(held, device="cpu") if held.is_meta else held.clone())


def zero_image(model: nn.Module, shape: Shape, batch: int = 1) -> Tensor:
    """An image of zeros (N, C, H, W), of the model's type and on its device."""
    first = next((held for held in model.parameters() if held.is_floating_point()), torch.zeros(1))
    device = next((held.device for held in model.parameters()), torch.device("cpu"))
    return torch.zeros(batch, *shape, dtype=first.dtype, device=device)


def _copied(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy that holds `convert(tensor)` for every tensor of the model; ties between them stay."""
    tensors: dict[int, Any] = {}
    for module in model.modules():
        for held in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(held, nn.Parameter):
                tensors[id(held)] = nn.Parameter(convert(held.detach()), held.requires_grad)
            elif isinstance(held, Tensor):
                tensors[id(held)] = convert(held.detach())
    return copy.deepcopy(model, tensors).eval()

"""Copies of a model in eval mode, so that counting, exporting and explaining leave the caller's model unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightcnn.spec import Shape


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode on torch's meta device: its tensors have shapes but no values, so it needs no memory."""
    return _copy(model, lambda tensor: tensor.to("meta"))


def eval_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode with the same values and without gradients."""
    return _copy(model, Tensor.clone)


def value_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode whose tensors all have values: the model's, or zeros on the CPU for meta tensors."""
    return _copy(model, lambda tensor: torch.zeros_like(tensor, device="cpu") if tensor.is_meta else tensor.clone())


def zero_image(model: nn.Module, shape: Shape, batch: int = 1) -> Tensor:
    """Images of zeros (N, C, H, W) with the model's dtype, on its device."""
    first = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.zeros(1))
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    return torch.zeros(batch, *shape, dtype=first.dtype, device=device)


def _copy(model: nn.Module, convert: Callable[[Tensor], Tensor]) -> nn.Module:
    """A deep copy with `convert(tensor)` in the place of every tensor; tensors that modules share stay shared."""
    tensors: dict[int, Any] = {}
    for module in model.modules():
        for value in (*module._parameters.values(), *module._buffers.values(), *vars(module).values()):
            if isinstance(value, nn.Parameter):
                tensors[id(value)] = nn.Parameter(convert(value.detach()), value.requires_grad)
            elif isinstance(value, Tensor):
                tensors[id(value)] = convert(value.detach())
    return copy.deepcopy(model, tensors).eval()

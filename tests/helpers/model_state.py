"""All of a model's state that counting or profiling could change, to be compared before and after."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def full_state(model: nn.Module) -> Any:
    """All that a counter could leave behind."""
    return (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        {
            name: (module.training, *(len(getattr(module, hooks)) for hooks in HOOKS))
            for name, module in model.named_modules()
        },
        {name: sorted(vars(module)) for name, module in model.named_modules()},
        [(p.requires_grad, p.grad) for p in model.parameters()],
        torch.get_rng_state().tolist(),
        torch.is_grad_enabled(),
        logging.getLogger("fvcore").level,
    )


def same_state(one: Any, other: Any) -> bool:
    states = one[0].keys() == other[0].keys() and all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    return states and one[1:] == other[1:]

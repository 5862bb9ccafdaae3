"""The state of a model that counting or profiling could change, for comparison before and after."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def full_state(model: nn.Module) -> Any:
    """Everything that a counter could change."""
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


def same_state(first: Any, second: Any) -> bool:
    states = first[0].keys() == second[0].keys() and all(
        torch.equal(first[0][name], second[0][name]) for name in first[0]
    )
    return states and first[1:] == second[1:]

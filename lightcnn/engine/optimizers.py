"""The optimizers, and the moving average of weights."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn, optim

from lightcnn.recipe import Optimisation


class _NotCompiled:
    """Methods of torch's optimizers without their decorators for `torch.compile`, which is not used here.

    At their first call the decorators load torch's compiler, which takes nearly as long as torch itself
    (docs/reference/measurements.md).
    """

    add_param_group = inspect.unwrap(optim.Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(optim.Optimizer.load_state_dict)
    state_dict = inspect.unwrap(optim.Optimizer.state_dict)
    zero_grad = inspect.unwrap(optim.Optimizer.zero_grad)


class _Adam(_NotCompiled, optim.Adam):
    """Adam (arXiv:1412.6980): weight decay is added to the gradient."""

    step = torch.no_grad()(inspect.unwrap(optim.Adam.step))


class _AdamW(_NotCompiled, optim.AdamW):
    """AdamW (arXiv:1711.05101): weight decay is decoupled from the gradient."""

    step = torch.no_grad()(inspect.unwrap(optim.AdamW.step))


class _SGD(_NotCompiled, optim.SGD):
    """Stochastic gradient descent."""

    step = torch.no_grad()(inspect.unwrap(optim.SGD.step))


class _RMSprop(_NotCompiled, optim.RMSprop):
    """RMSprop (Tieleman and Hinton, 2012)."""

    step = torch.no_grad()(inspect.unwrap(optim.RMSprop.step))


def make_optimizer(model: nn.Module, settings: Optimisation) -> optim.Optimizer:
    """The recipe's optimizer for all trainable parameters."""
    return _OPTIMIZERS[settings.optimizer](parameter_groups(model, settings.weight_decay), settings)


def parameter_groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Weight decay on the weights of convolutions and dense layers; none on norms and biases."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}]


def state_keys(settings: Optimisation) -> set[str]:
    """The names of the state that the recipe's optimizer has for every parameter."""
    momentum = {"momentum_buffer"} if settings.momentum else set()
    return {
        "adam": {"step", "exp_avg", "exp_avg_sq"},
        "adamw": {"step", "exp_avg", "exp_avg_sq"},
        "sgd": momentum,
        "rmsprop": {"step", "square_avg"} | momentum,
    }[settings.optimizer]


def _sgd(groups: Any, settings: Optimisation) -> optim.Optimizer:
    """With Nesterov momentum unless `momentum` is 0."""
    return _SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


_OPTIMIZERS: dict[str, Callable[[Any, Optimisation], optim.Optimizer]] = {
    "adam": lambda groups, settings: _Adam(groups, lr=settings.learning_rate),
    "adamw": lambda groups, settings: _AdamW(groups, lr=settings.learning_rate),
    "sgd": _sgd,
    "rmsprop": lambda groups, settings: _RMSprop(groups, lr=settings.learning_rate, momentum=settings.momentum),
}


class Average:
    """A copy of a network whose weights and norm statistics are moving averages of the original's."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Updates the average after step `step`, from 1. Early steps weigh more, so the start is soon forgotten."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, new in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True):
            if average.is_floating_point():
                average.lerp_(new, 1 - decay)
            else:
                average.copy_(new)

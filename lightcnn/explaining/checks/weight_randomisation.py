"""A copy of the network with randomised last layers, for the randomisation test (arXiv:1810.03292)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.explaining.explained_network import ExplainedNetwork

RANDOMISED_SHARE = 1 / 3
"""Share of the modules with parameters that is randomised: the classifier and roughly the last stage."""


def randomised(explained: ExplainedNetwork, inputs: Tensor, seed: int) -> ExplainedNetwork:
    """A copy in which the third of the modules with parameters that is called last has random parameters.

    `inputs` (N, C, H, W) show the order of calls. A module that is called twice counts at its last call; a module that
    is never called is unchanged. A module uses its own `reset_parameters`, which also resets the statistics of norms,
    and then He's normal distribution (arXiv:1502.01852) for its weights: PyTorch's default shrinks a signal at every
    layer, so that maps of rounding errors would be compared. A parameter of a module without `reset_parameters` is
    drawn from a normal distribution with mean 0 and the root mean square that it had. Equal seeds give equal networks
    on every device.
    """
    model = eval_copy(explained.model).cpu()
    order = _call_order(model, inputs[:1].cpu())
    last = order[len(order) - math.ceil(RANDOMISED_SHARE * len(order)) :]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every accelerator too
        for module in last:
            _randomise(module)
    return replace(explained, model=model.eval().requires_grad_(False).to(explained.device))


def _call_order(model: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """The modules with parameters of their own, in the order in which their last calls end."""
    ended: dict[nn.Module, None] = {}

    def note(module: nn.Module, *_: object) -> None:
        ended.pop(module, None)
        ended[module] = None

    handles = [module.register_forward_hook(note) for module in _with_parameters(model.modules())]
    try:
        with torch.inference_mode():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(ended)


def _with_parameters(modules: Iterable[nn.Module]) -> list[nn.Module]:
    return [module for module in modules if any(True for _ in module.parameters(recurse=False))]


def _randomise(module: nn.Module) -> None:
    """Draws new values for a module's own parameters."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
        weight = getattr(module, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        return
    for parameter in module.parameters(recurse=False):
        parameter.normal_(0, float(parameter.double().square().mean().sqrt()))

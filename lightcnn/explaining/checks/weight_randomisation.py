"""The same network with its top forgotten, for the randomisation test (Adebayo et al., arXiv:1810.03292)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.explaining.explained_network import ExplainedNetwork

TOP = 1 / 3
"""Share of the modules with parameters of their own that is redrawn: the classifier and about the last stage."""


def redrawn(explained: ExplainedNetwork, inputs: Tensor, seed: int) -> ExplainedNetwork:
    """A copy whose top is drawn anew: of the modules that hold parameters, the third that is called last.

    `inputs` (N, C, H, W) show the order of calls; a module that is called twice counts at its last call, and one that
    is never called stays. A module draws by its own `reset_parameters`, norms with their statistics too, and its
    weights from He's normal (arXiv:1502.01852): PyTorch's default shrinks a signal at every layer, and maps of rounding
    would be compared. Where it has none, a parameter is drawn from a normal law of mean 0 with the root mean square
    that it had. The same seed draws the same on every device.
    """
    model = eval_copy(explained.model).cpu()
    order = _calls(model, inputs[:1].cpu())
    top = order[len(order) - math.ceil(TOP * len(order)) :]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every accelerator too
        for part in top:
            _redraw(part)
    return replace(explained, model=model.eval().requires_grad_(False).to(explained.device))


def _calls(model: nn.Module, inputs: Tensor) -> list[nn.Module]:
    """The modules with parameters of their own in the order in which their last calls end."""
    ended: dict[nn.Module, None] = {}

    def note(part: nn.Module, *_: object) -> None:
        ended.pop(part, None)
        ended[part] = None

    handles = [part.register_forward_hook(note) for part in _holding(model.modules())]
    try:
        with torch.inference_mode():
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return list(ended)


def _holding(parts: Iterable[nn.Module]) -> list[nn.Module]:
    return [part for part in parts if any(True for _ in part.parameters(recurse=False))]


def _redraw(part: nn.Module) -> None:
    """New values for a module's own parameters."""
    reset = getattr(part, "reset_parameters", None)
    if callable(reset):
        reset()
        weight = getattr(part, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim > 1:
            nn.init.kaiming_normal_(weight, nonlinearity="relu")
        return
    for held in part.parameters(recurse=False):
        held.normal_(0, float(held.double().square().mean().sqrt()))

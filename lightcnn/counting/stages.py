"""What a network of either sort costs, whole and part by part: specs exactly, baselines by what runs.

A baseline is counted on copies without values, so that the caller's model stays as it was.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import parameters_with_buffers
from lightcnn.cost import Layer, cost, layers
from lightcnn.counting.folding import deploy
from lightcnn.counting.liveness import liveness, peak
from lightcnn.counting.sizes import weight_bytes
from lightcnn.spec import NetworkSpec, Shape

MODULE_DEPTH = 2
"""How deep the tree of a baseline's modules is told: `backbone`, its parts, and the blocks of those in sequence."""


@dataclass(frozen=True)
class Stage:
    """A part of the network: the shape (C, H, W) that leaves it, empty where it has none, and its cost."""

    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    params: int


def network_cost(network: NetworkSpec | BaselineSpec, model: nn.Module) -> dict[str, Any]:
    """The `network.cost` of report.json: exact from a spec, of a baseline as `lightcnn profile` counts it.

    A baseline's backbone counts whether it is frozen or not. Raises: InputError where it has no one count.
    """
    if isinstance(network, NetworkSpec):
        return cost(network).document()
    deployed = deploy(model, network.input)
    return {
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "params_with_buffers": parameters_with_buffers(model),
        "params_deployed": sum(parameter.numel() for parameter in deployed.model.parameters()),
        "macs": deployed.runs.macs,
        "peak_activations": peak(liveness(deployed.runs)).elements,
        "weight_bytes": weight_bytes(deployed.model),
    }


def stages(network: NetworkSpec | BaselineSpec, model: nn.Module) -> list[Stage]:
    """The parts from the input to the head: a spec's blocks, a baseline's named modules. They add up to the whole."""
    return _blocks(network) if isinstance(network, NetworkSpec) else _modules(model, network.input)


def _blocks(network: NetworkSpec) -> list[Stage]:
    found: dict[str, list[Layer]] = {}
    for layer in layers(network):
        part = layer.name.split(".")
        found.setdefault(".".join(part[:2]) if part[0] in ("stem", "stages") else "head", []).append(layer)
    kinds = {
        f"{part}.{number}": block.kind + (f" ×{depth}" if (depth := getattr(block, "depth", 1)) > 1 else "")
        for part in ("stem", "stages")
        for number, block in enumerate(getattr(network, part))
    }
    return [
        Stage(
            name,
            kinds.get(name, "pooling and classifier"),
            held[-1].shape,
            sum(layer.cost.macs for layer in held),
            sum(layer.cost.params for layer in held),
        )
        for name, held in found.items()
    ]


def _modules(model: nn.Module, shape: Shape) -> list[Stage]:
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
        Stage(
            name,
            type(module).__name__,
            shapes.get(name, ()),
            sum(counts.get(f"{root}.{name}", {}).values()) // 2,
            sum(parameter.numel() for parameter in module.parameters()),
        )
        for name, module in told.items()
    ]
    macs = counter.get_total_flops() // 2 - sum(stage.macs for stage in found)
    params = sum(parameter.numel() for parameter in model.parameters()) - sum(stage.params for stage in found)
    rest = [Stage("outside of these", type(model).__name__, _shape(out), macs, params)] if macs or params else []
    return [stage for stage in found if stage.macs or stage.params] + rest


def _named(module: nn.Module, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name: those of the first level, and what is in sequence, are unfolded."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        unfolded = depth == 0 or (depth < MODULE_DEPTH and isinstance(child, nn.Sequential))
        inner = list(_named(child, f"{path}.", depth + 1)) if unfolded else []
        yield from inner or [(path, child)]


def _note_shape(shapes: dict[str, tuple[int, ...]], name: str, module: nn.Module, inputs: Any, out: Any) -> None:
    shapes[name] = _shape(out)


def _shape(out: Any) -> tuple[int, ...]:
    """Of one image; empty for what is no tensor."""
    return tuple(out.shape[1:]) if isinstance(out, Tensor) else ()

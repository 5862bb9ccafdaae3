"""What a network costs, in total and part by part: computed from a spec, counted for a baseline and an own module.

They are counted on copies without values, so that the caller's model stays unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lightcnn.baseline_spec import AnySpec
from lightcnn.baselines import parameters_with_buffers
from lightcnn.counting.copies import meta_copy
from lightcnn.counting.folding import deploy
from lightcnn.counting.liveness import liveness, peak
from lightcnn.counting.sizes import weight_bytes
from lightcnn.device_cost import device_cost
from lightcnn.network_stages import spec_stages
from lightcnn.output.charts.network_table import Stage
from lightcnn.spec import NetworkSpec, Shape

MODULE_DEPTH = 2
"""Depth to which a baseline's modules are split: `backbone` into its parts, and sequential parts into their blocks."""


def network_cost(network: AnySpec, model: nn.Module) -> dict[str, Any]:
    """The `network.cost` of report.json: exact for a spec; for other networks, what `lightcnn profile` counts.

    A baseline's backbone is counted whether or not it is frozen.

    Raises: InputError if the cost of the network depends on the image.
    """
    if isinstance(network, NetworkSpec):
        return device_cost(network).document()
    deployed = deploy(model, network.input)
    return {
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "params_with_buffers": parameters_with_buffers(model),
        "params_deployed": sum(parameter.numel() for parameter in deployed.model.parameters()),
        "macs": deployed.runs.macs,
        "peak_activations": peak(liveness(deployed.runs)).elements,
        "weight_bytes": weight_bytes(deployed.model),
        "flash_bytes": None,
        "arena_bytes": None,
    }


def stages(network: AnySpec, model: nn.Module) -> list[Stage]:
    """The parts from the input to the head: a spec's blocks, else named modules. They add up to the total."""
    return spec_stages(network) if isinstance(network, NetworkSpec) else _modules(model, network.input)


def _modules(model: nn.Module, shape: Shape) -> list[Stage]:
    """The named modules that have parameters or multiply, by torch's counter for one image of `shape` (C, H, W).

    They add up to the total: what is computed outside of all of them is the last part.
    """
    subject = meta_copy(model)
    modules, shapes = dict(_named(subject)), dict[str, tuple[int, ...]]()
    for name, module in modules.items():
        module.register_forward_hook(partial(_note_shape, shapes, name))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        out = subject(torch.zeros(1, *shape, device="meta"))
    counts, root = counter.get_flop_counts(), type(subject).__name__
    stages = [
        Stage(
            name,
            type(module).__name__,
            shapes.get(name, ()),
            sum(counts.get(f"{root}.{name}", {}).values()) // 2,
            sum(parameter.numel() for parameter in module.parameters()),
            detail=name.removeprefix("backbone."),
        )
        for name, module in modules.items()
    ]
    macs = counter.get_total_flops() // 2 - sum(stage.macs for stage in stages)
    params = sum(parameter.numel() for parameter in model.parameters()) - sum(stage.params for stage in stages)
    rest = [Stage("outside of these", type(model).__name__, _shape(out), macs, params)] if macs or params else []
    return [stage for stage in stages if stage.macs or stage.params] + rest


def _named(module: nn.Module, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Modules by name; the first level, and sequential modules up to `MODULE_DEPTH`, are split into children."""
    for name, child in module.named_children():
        path = f"{prefix}{name}"
        split = depth == 0 or (depth < MODULE_DEPTH and isinstance(child, nn.Sequential))
        inner = list(_named(child, f"{path}.", depth + 1)) if split else []
        yield from inner or [(path, child)]


def _note_shape(shapes: dict[str, tuple[int, ...]], name: str, module: nn.Module, inputs: Any, out: Any) -> None:
    shapes[name] = _shape(out)


def _shape(out: Any) -> tuple[int, ...]:
    """The shape of one image's output; empty if that is not a tensor."""
    return tuple(out.shape[1:]) if isinstance(out, Tensor) else ()

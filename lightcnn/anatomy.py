"""What a network of either sort costs, whole and part by part: specs exactly, baselines as fvcore counts them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from torch import nn

from lightcnn.baselines import Baseline, parameters_with_buffers
from lightcnn.cost import Layer, cost, layers
from lightcnn.counters import fvcore_operators
from lightcnn.spec import NetworkSpec, Shape
from lightcnn.transfer import BaselineSpec

COUNTED = ("conv", "linear", "addmm", "mm", "matmul", "bmm", "baddbmm")
"""fvcore's operators that are multiply-adds."""


@dataclass(frozen=True)
class Stage:
    """A part of the network: the shape that leaves it (None where nobody knows), and its cost."""

    name: str
    kind: str
    shape: Shape | None
    macs: int
    params: int


def network_cost(network: NetworkSpec | BaselineSpec, model: nn.Module) -> dict[str, Any]:
    """The `network.cost` of report.json. Of a baseline, whose norms are not folded: as it is built, no activations."""
    if isinstance(network, NetworkSpec):
        return cost(network).document()
    params = sum(p.numel() for p in model.parameters())
    vectors = sum(p.numel() for p in model.parameters() if p.ndim <= 1)
    return {
        "params": params,
        "params_with_buffers": parameters_with_buffers(model),
        "params_deployed": params,
        "macs": _macs(fvcore_operators(model, network.input)[""]),
        "peak_activations": None,
        "weight_bytes": {"fp32": 4 * params, "int8": params + 3 * vectors},
    }


def stages(network: NetworkSpec | BaselineSpec, model: nn.Module) -> list[Stage]:
    """The parts from the input to the head. Their sum is the whole, parameters that stand in no part aside."""
    return _of_spec(network) if isinstance(network, NetworkSpec) else _of_baseline(network, model)


def _of_spec(network: NetworkSpec) -> list[Stage]:
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


def _of_baseline(network: BaselineSpec, model: nn.Module) -> list[Stage]:
    """The backbone's children, the parts of its `blocks` or `stages` apart, and the head."""
    counts = fvcore_operators(model, network.input)
    names: list[str] = []
    for name, child in (model.backbone if isinstance(model, Baseline) else model).named_children():
        parts = [key for key, _ in child.named_children()] if name in ("blocks", "stages", "features") else []
        names += [f"backbone.{name}.{part}" for part in parts] or [f"backbone.{name}"]
    parts_of = {name: model.get_submodule(name) for name in (*names, "head")}
    held = {name: sum(p.numel() for p in part.parameters()) for name, part in parts_of.items()}
    return [
        Stage(name.removeprefix("backbone."), type(parts_of[name]).__name__, None, _macs(counts[name]), params)
        for name, params in held.items()
        if params
    ]


def _macs(counts: Counter[str]) -> int:
    return sum(counts[name] for name in COUNTED)

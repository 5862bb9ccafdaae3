"""The table of layers: one row a module that computes, in the order of their first calls. They add up to the whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lightcnn.counting.liveness import liveness
from lightcnn.counting.trace import Call, Trace

LAYER_COLUMNS = ("name", "kind", "operators", "shape", "params", "macs", "activation_bytes", "share")


@dataclass(frozen=True)
class LayerRow:
    """What one module did itself, its children aside, over all its calls.

    `activation_bytes` is the most that lived while it ran: their maximum is the network's peak. `share` is of the
    multiply-adds. A module of which nothing ran has no operator and no shape.
    """

    name: str
    kind: str
    operators: tuple[str, ...]
    shape: tuple[int, ...]
    params: int
    macs: int
    activation_bytes: int
    share: float

    def document(self) -> dict[str, Any]:
        """As in report.json: lists and numbers."""
        values = {name: getattr(self, name) for name in LAYER_COLUMNS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def cells(self) -> list[Any]:
        """As in layers.csv: text and numbers."""
        shape = "x".join(map(str, self.shape))
        return [*(self.document() | {"operators": " ".join(self.operators), "shape": shape}).values()]


def layer_table(model: nn.Module, trace: Trace) -> tuple[LayerRow, ...]:
    """The rows of a model, of which this is a trace."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}
    return layer_rows(trace, kinds, _params(model))


def layer_rows(trace: Trace, kinds: Mapping[str, str], params: Mapping[str, int]) -> tuple[LayerRow, ...]:
    """A row for each module of the trace and each with `params`; these and multiply-adds add up, the peak is the most.

    `kinds` are what modules are, by name.
    """
    total = max(1, trace.macs)
    calls: dict[str, list[tuple[Call, int]]] = {}
    for call, live in zip(trace.calls, liveness(trace), strict=True):
        if not call.view:
            calls.setdefault(call.module, []).append((call, live.bytes))
    found = []
    for name in dict.fromkeys((*calls, *(name for name, count in params.items() if count))):
        held = calls.get(name, [])
        macs = sum(call.macs or 0 for call, _ in held)
        found.append(
            LayerRow(
                name=name,
                kind=kinds[name],
                operators=tuple(dict.fromkeys(call.operator for call, _ in held)),
                shape=held[-1][0].shape if held else (),
                params=params.get(name, 0),
                macs=macs,
                activation_bytes=max((size for _, size in held), default=0),
                share=macs / total,
            )
        )
    return tuple(found)


def _params(model: nn.Module) -> dict[str, int]:
    """Module name → its own parameters; one that several modules share is the first's."""
    seen: set[int] = set()
    found = {}
    for name, module in model.named_modules():
        own = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(id(parameter) for parameter in own)
        found[name] = sum(parameter.numel() for parameter in own)
    return found

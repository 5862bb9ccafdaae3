"""The table of layers: one row per module that computes, in the order of first calls. Rows add up to the network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lightcnn.counting.liveness import liveness
from lightcnn.counting.recorder import Call
from lightcnn.counting.trace import Trace

LAYER_COLUMNS = ("name", "kind", "operators", "shape", "params", "macs", "activation_bytes", "share")


@dataclass(frozen=True)
class LayerRow:
    """What one module did itself, without its children, over all its calls.

    `activation_bytes` are the most that were alive while it ran; their maximum over all rows is the network's peak.
    `share` is the module's share of the multiply-adds. A module that never ran has no operators and no shape.
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
        """The row as it is in report.json: lists and numbers."""
        values = {name: getattr(self, name) for name in LAYER_COLUMNS}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def cells(self) -> list[Any]:
        """The row as it is in layers.csv: text and numbers."""
        shape = "x".join(map(str, self.shape))
        return [*(self.document() | {"operators": " ".join(self.operators), "shape": shape}).values()]


def layer_table(model: nn.Module, trace: Trace) -> tuple[LayerRow, ...]:
    """The rows of a model, whose trace this is."""
    kinds = {name: type(module).__name__ for name, module in model.named_modules(remove_duplicate=False)}
    return layer_rows(trace, kinds, _params(model))


def layer_rows(trace: Trace, kinds: Mapping[str, str], params: Mapping[str, int]) -> tuple[LayerRow, ...]:
    """One row for each module that is in the trace or has `params` (module name → number of parameters).

    Parameters and multiply-adds add up to the network's. `kinds` are the modules' types by name.
    """
    total = max(1, trace.macs)
    calls: dict[str, list[tuple[Call, int]]] = {}
    for call, live in zip(trace.calls, liveness(trace), strict=True):
        if not call.view:
            calls.setdefault(call.module, []).append((call, live.bytes))
    rows = []
    for name in dict.fromkeys((*calls, *(name for name, count in params.items() if count))):
        of_module = calls.get(name, [])
        macs = sum(call.macs or 0 for call, _ in of_module)
        rows.append(
            LayerRow(
                name=name,
                kind=kinds[name],
                operators=tuple(dict.fromkeys(call.operator for call, _ in of_module)),
                shape=of_module[-1][0].shape if of_module else (),
                params=params.get(name, 0),
                macs=macs,
                activation_bytes=max((size for _, size in of_module), default=0),
                share=macs / total,
            )
        )
    return tuple(rows)


def _params(model: nn.Module) -> dict[str, int]:
    """Module name → number of its own parameters; a parameter that modules share counts for the first of them."""
    seen: set[int] = set()
    counts = {}
    for name, module in model.named_modules():
        unseen = [parameter for parameter in module.parameters(recurse=False) if id(parameter) not in seen]
        seen.update(id(parameter) for parameter in unseen)
        counts[name] = sum(parameter.numel() for parameter in unseen)
    return counts

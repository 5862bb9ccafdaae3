"""What a network costs without a clock: parameters, multiply-adds by every counter, memory, bytes and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from lightcnn.baselines import parameters_with_buffers
from lightcnn.counting.copies import meta_copy
from lightcnn.counting.folding import FoldablePair, deploy, unfolded_norms
from lightcnn.counting.layers import LayerRow, layer_table
from lightcnn.counting.liveness import liveness, moved_bytes, peak
from lightcnn.counting.other_tools import fvcore_operators, thop_modules, torch_operators
from lightcnn.counting.passes import fixed_randomness
from lightcnn.counting.reconcile import Difference, by_fvcore, by_thop, by_torch
from lightcnn.counting.sizes import keras_bytes, saved_bytes, weight_bytes
from lightcnn.counting.trace import Trace
from lightcnn.spec import Shape
from lightcnn.text import first_line

CONVENTION = (
    "One FLOP is one multiply-add of a convolution or a matrix product, for one image, in eval mode. Other counters "
    "are shown for the network as given; MACs, bytes of weights and activations, and times are those of the deployed "
    "network, in which every BatchNorm that alone follows a convolution is folded into it. Peak activations are the "
    "most that are alive at the same time, each from when it is written to its last read; norms and activations are "
    "computed in place if their input is not read again."
)


@dataclass(frozen=True, eq=False)
class Count:
    """The costs of a network for one image. A counter that cannot read the network is None, and `notes` say why.

    `params` are all parameters, `params_with_buffers` is the number that Keras prints, `macs` are the multiply-adds of
    the deployed network. The activation peak is given in elements and in bytes of the network's own types.
    `moved_bytes` are the bytes of the weights plus those of all activations read and written. `pairs` are folded when
    the network is deployed. `unknown` are the calls per operator of which it is not known whether they multiply.
    """

    params: int
    params_with_buffers: int
    params_deployed: int
    macs: int
    macs_as_given: int
    fvcore: int | None
    thop: int | None
    torch: int | None
    weight_bytes: Mapping[str, int]
    file_bytes: int
    keras_adam_bytes: int
    peak_activations: int
    peak_activation_bytes: int
    moved_bytes: int
    differences: tuple[Difference, ...]
    uncounted: Mapping[str, int]
    unknown: Mapping[str, int]
    unfolded: tuple[str, ...]
    layers: tuple[LayerRow, ...]
    notes: tuple[str, ...]
    pairs: tuple[FoldablePair, ...]

    def document(self) -> dict[str, Any]:
        """Keys and values that counting contributes to a row of report.json."""
        return {
            "params": self.params, "params_with_buffers": self.params_with_buffers,
            "params_deployed": self.params_deployed, "macs": self.macs, "macs_as_given": self.macs_as_given,
            "fvcore": self.fvcore, "thop": self.thop, "torch": self.torch,
            "reconciliation": [difference.document() for difference in self.differences],
            "uncounted": dict(self.uncounted), "unknown": dict(self.unknown), "unfolded": list(self.unfolded),
            "weight_bytes": dict(self.weight_bytes), "file_bytes": self.file_bytes,
            "keras_adam_bytes": self.keras_adam_bytes, "peak_activations": self.peak_activations,
            "peak_activation_bytes": self.peak_activation_bytes, "moved_bytes": self.moved_bytes,
            "notes": list(self.notes),
        }  # fmt: skip


def count(model: nn.Module, shape: Shape, notes: Mapping[str, str] | None = None) -> Count:
    """Counts a model for one image of `shape` (C, H, W), on copies; `notes` are the metadata of its saved file.

    Raises: InputError if the model cannot take the image, or if its cost depends on the image.
    """
    bare, deployed = meta_copy(model), deploy(model, shape)
    given, top = deployed.given, peak(liveness(deployed.runs))
    totals, differences, failures = _other_counters(model, bare, given, shape)
    weights = weight_bytes(deployed.model)
    params, with_buffers = sum(p.numel() for p in bare.parameters()), parameters_with_buffers(bare)
    return Count(
        params=params,
        params_with_buffers=with_buffers,
        params_deployed=sum(p.numel() for p in deployed.model.parameters()),
        macs=deployed.runs.macs,
        macs_as_given=given.macs,
        **totals,
        weight_bytes=weights,
        file_bytes=saved_bytes(bare.state_dict(), notes),
        keras_adam_bytes=keras_bytes(params, with_buffers),
        peak_activations=top.elements,
        peak_activation_bytes=top.bytes,
        moved_bytes=moved_bytes(deployed.runs) + weights["fp32"],
        differences=tuple(differences),
        uncounted=given.uncounted,
        unknown=given.unknown,
        unfolded=unfolded_norms(deployed.runs),
        layers=layer_table(bare, given),
        notes=(*given.notes(), *failures),
        pairs=deployed.pairs,
    )


def _other_counters(
    model: nn.Module, bare: nn.Module, given: Trace, shape: Shape
) -> tuple[dict[str, int | None], list[Difference], list[str]]:
    """The total of each counter (None if it fails), its differences from our count, and why counters failed."""
    counters: dict[str, Callable[[], list[Difference]]] = {
        "fvcore": lambda: by_fvcore(given, fvcore_operators(model, shape)[""]),
        "thop": lambda: by_thop(bare, given, thop_modules(model, shape)),
        "torch": lambda: by_torch(given, torch_operators(model, shape)),
    }
    totals: dict[str, int | None] = {}
    differences: list[Difference] = []
    failures = []
    for name, compare in counters.items():
        try:
            with fixed_randomness(0):
                rows = compare()
        except Exception as error:  # a tool of others may raise anything; the network is reported without it
            totals[name] = None
            failures.append(f"{name} cannot count it: {first_line(error)}")
            continue
        totals[name] = given.macs + sum(row.difference for row in rows)
        differences += rows
    return totals, differences, failures

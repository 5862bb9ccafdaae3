"""Any network as it is deployed: each BatchNorm that alone follows a convolution is folded into that convolution.

The pairs are found in a trace, not by name: a convolution that runs once, and whose output only the norm reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightcnn.counting.copies import eval_copy, keep_computed_weights, meta_copy
from lightcnn.counting.macs import BATCH_NORMS
from lightcnn.counting.recorder import Call
from lightcnn.counting.trace import Trace, trace
from lightcnn.spec import Shape

PLAIN_NORMS = (nn.BatchNorm1d.forward, nn.BatchNorm2d.forward, nn.BatchNorm3d.forward)


@dataclass(frozen=True)
class FoldablePair:
    """The names of a convolution and of the norm that can be folded into it."""

    conv: str
    norm: str


@dataclass(frozen=True, eq=False)
class Deployed:
    """The deployed network, its trace (`runs`), and the trace of the network as given.

    `model` is a copy, without values if it can run without.
    """

    model: nn.Module
    runs: Trace
    given: Trace
    pairs: tuple[FoldablePair, ...]


def deploy(model: nn.Module, shape: Shape) -> Deployed:
    """The deployed form of a model for images of `shape` (C, H, W).

    Raises: InputError if the model cannot take such images, or if its cost depends on the image.
    """
    given = trace(model, shape)
    bare = eval_copy(model) if given.with_values else meta_copy(model)
    runs = trace(bare, shape, repeat=False) if keep_computed_weights(bare) else given
    pairs = tuple(foldable_pairs(bare, runs))
    if not pairs:
        return Deployed(bare, runs, given, pairs)
    deployed = fold_pairs(bare, pairs)
    return Deployed(deployed, trace(deployed, shape, repeat=False), given, pairs)


def foldable_pairs(model: nn.Module, trace: Trace) -> list[FoldablePair]:
    """The pairs of a model, whose trace this is, that can be folded."""
    readers: dict[int, list[Call]] = {}
    writers: dict[int, list[Call]] = {}
    uses: Counter[str] = Counter()
    for call in trace.calls:
        uses.update(set(call.weights))
        for buffer in call.reads:
            readers.setdefault(buffer, []).append(call)
        for buffer in call.writes:
            writers.setdefault(buffer, []).append(call)
    pairs = []
    for norm in trace.calls:
        if norm.operator not in BATCH_NORMS or not norm.reads or set(norm.reads) & trace.outputs:
            continue
        before, after = writers.get(norm.reads[0], []), readers[norm.reads[0]]
        if len(before) == len(after) == 1 and _foldable(model, before[0], norm, uses):
            pairs.append(FoldablePair(before[0].module, norm.module))
    return pairs


def fold_pairs(model: nn.Module, pairs: Iterable[FoldablePair]) -> nn.Module:
    """A copy in eval mode with these pairs folded; weights that torch computes before each run become plain ones."""
    deployed = eval_copy(model)
    keep_computed_weights(deployed)
    for pair in pairs:
        conv, norm = deployed.get_submodule(pair.conv), deployed.get_submodule(pair.norm)
        _replace(deployed, pair.conv, fuse_conv_bn_eval(cast(_ConvNd, conv), cast(_BatchNorm, norm)))
        _replace(deployed, pair.norm, _after_norm(norm).eval())
    return deployed


def unfolded_norms(trace: Trace) -> tuple[str, ...]:
    """The names of the modules whose BatchNorm still runs in a trace of the deployed network."""
    return tuple(dict.fromkeys(call.module for call in trace.calls if call.operator in BATCH_NORMS and call.reads))


def _foldable(model: nn.Module, before: Call, after: Call, uses: Counter[str]) -> bool:
    """Whether the call `before` is a convolution, used once, into which the BatchNorm of the call `after` fits."""
    conv, norm = model.get_submodule(before.module), model.get_submodule(after.module)
    if not isinstance(conv, _ConvNd) or isinstance(conv, _ConvTransposeNd) or not isinstance(norm, _BatchNorm):
        return False
    weight, *statistics = (f"{before.module}.weight", f"{after.module}.running_mean", f"{after.module}.running_var")
    return (
        all(uses[name] == 1 for name in (weight, *statistics))
        and before.operator == "convolution"
        and weight in before.weights
        and set(statistics) <= set(after.weights)
        and norm.num_features == conv.out_channels
        and _replaceable(norm)
    )


def _replaceable(norm: nn.Module) -> bool:
    """Whether it is known what the module does besides the norm: nothing, or timm's `drop` and `act`."""
    return type(norm).forward in PLAIN_NORMS or _is_norm_act(norm)


def _is_norm_act(norm: nn.Module) -> bool:
    return type(norm).__module__.startswith("timm.layers.") and {"drop", "act"} <= norm._modules.keys()


def _after_norm(norm: nn.Module) -> nn.Module:
    """What is left of a norm's module once the norm itself is folded away."""
    if type(norm).forward in PLAIN_NORMS:
        return nn.Identity()
    return nn.Sequential(norm.get_submodule("drop"), norm.get_submodule("act"))


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    model.get_submodule(parent)._modules[leaf] = module

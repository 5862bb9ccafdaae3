"""Any network as it is deployed: every BatchNorm that follows a convolution, and nothing else, folded into it.

Which those are is read from a trace, not from names: a convolution that runs once, whose output one norm alone reads.
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

from lightcnn.counting.copies import eval_copy, meta_copy
from lightcnn.counting.trace import BATCH_NORMS, Call, Trace, trace
from lightcnn.spec import Shape

PLAIN_NORMS = (nn.BatchNorm1d.forward, nn.BatchNorm2d.forward, nn.BatchNorm3d.forward)


@dataclass(frozen=True)
class FoldablePair:
    """Names of a convolution and of the norm that can be folded into it."""

    conv: str
    norm: str


@dataclass(frozen=True, eq=False)
class Deployed:
    """A network as it is deployed: a copy without values, one inference of it and of the network as given."""

    model: nn.Module
    runs: Trace
    given: Trace
    pairs: tuple[FoldablePair, ...]


def deploy(model: nn.Module, shape: Shape) -> Deployed:
    """What becomes of a model when its norms are folded, for images of `shape` (C, H, W).

    Raises: InputError where it cannot take them, or has no one count.
    """
    bare, given = meta_copy(model), trace(model, shape)
    found = tuple(foldable_pairs(bare, given))
    subject = fold_pairs(bare, found) if found else bare
    return Deployed(subject, trace(subject, shape) if found else given, given, found)


def foldable_pairs(model: nn.Module, trace: Trace) -> list[FoldablePair]:
    """What can be folded of a model, of which this is a trace."""
    readers: dict[int, list[Call]] = {}
    writers: dict[int, list[Call]] = {}
    uses: Counter[str] = Counter()
    for call in trace.calls:
        uses.update(set(call.weights))
        for buffer in call.reads:
            readers.setdefault(buffer, []).append(call)
        for buffer in call.writes:
            writers.setdefault(buffer, []).append(call)
    found = []
    for norm in trace.calls:
        if norm.operator not in BATCH_NORMS or not norm.reads or set(norm.reads) & trace.outputs:
            continue
        before, after = writers.get(norm.reads[0], []), readers[norm.reads[0]]
        if len(before) == len(after) == 1 and _foldable(model, before[0], norm, uses):
            found.append(FoldablePair(before[0].module, norm.module))
    return found


def fold_pairs(model: nn.Module, found: Iterable[FoldablePair]) -> nn.Module:
    """A copy in eval mode with these pairs folded."""
    subject = eval_copy(model)
    for pair in found:
        conv, norm = subject.get_submodule(pair.conv), subject.get_submodule(pair.norm)
        _put(subject, pair.conv, fuse_conv_bn_eval(cast(_ConvNd, conv), cast(_BatchNorm, norm)))
        _put(subject, pair.norm, _rest(norm))
    return subject


def unfolded_norms(trace: Trace) -> tuple[str, ...]:
    """Names of the modules whose BatchNorm still runs, of a trace of the deployed network."""
    return tuple(dict.fromkeys(call.module for call in trace.calls if call.operator in BATCH_NORMS and call.reads))


def _foldable(model: nn.Module, before: Call, after: Call, uses: Counter[str]) -> bool:
    conv, norm = model.get_submodule(before.module), model.get_submodule(after.module)
    if not isinstance(conv, _ConvNd) or isinstance(conv, _ConvTransposeNd) or not isinstance(norm, _BatchNorm):
        return False
    own = (f"{before.module}.weight", f"{after.module}.running_mean", f"{after.module}.running_var")
    once = all(uses[name] == 1 for name in own)
    return (
        once
        and before.operator == "convolution"
        and own[0] in before.weights
        and set(own[1:]) <= set(after.weights)
        and norm.num_features == conv.out_channels
        and _known(norm)
    )


def _known(norm: nn.Module) -> bool:
    """Whether all that the module does beside the norm is known: nothing, or timm's `drop` and `act`."""
    return type(norm).forward in PLAIN_NORMS or _is_norm_act(norm)


def _is_norm_act(norm: nn.Module) -> bool:
    return type(norm).__module__.startswith("timm.layers.") and {"drop", "act"} <= norm._modules.keys()


def _rest(norm: nn.Module) -> nn.Module:
    if type(norm).forward in PLAIN_NORMS:
        return nn.Identity()
    return nn.Sequential(norm.get_submodule("drop"), norm.get_submodule("act"))


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, leaf = name.rpartition(".")
    model.get_submodule(parent)._modules[leaf] = module

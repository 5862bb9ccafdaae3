"""From a spec to a module, and to the folded module that is deployed. Only this module turns blocks into modules."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightcnn import spec
from lightcnn.blocks import ConvNormAct, Head, InvertedResidual, Residual, SeparableConv, Shortcut, SqueezeExcite
from lightcnn.cost import FLOAT_BYTES, cost
from lightcnn.devices import require_memory
from lightcnn.spec import NetworkSpec, Shape


class Network(nn.Module):
    """The module of a spec: images (N, C, H, W) → logits (N, classes), or (N, 1) with a sigmoid head.

    Args:
        network: The spec, which is the attribute `spec` afterwards. `build` also initialises the weights.

    Example:
        >>> import lightcnn
        >>> lightcnn.Network(lightcnn.Recipe.load("quick").network).spec.input
        (1, 16, 16)
    """

    def __init__(self, network: NetworkSpec) -> None:
        super().__init__()
        self.spec = network
        self.stem = nn.Sequential(*(nn.Sequential() for _ in network.stem))
        self.stages = nn.Sequential(*(nn.Sequential() for _ in network.stages))
        channels = network.input[0]
        for name, unit, before, after in network.units():
            part, index, _ = name.split(".")
            cast(nn.Sequential, getattr(self, part)[int(index)]).append(_module(unit, before, after))
            channels = after[0]
        head = network.head
        self.head = Head(
            channels, network.logits, pool=head.pool, hidden=head.hidden, act=head.act, dropout=head.dropout
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.stages(self.stem(x)))
        return logits


def build(network: NetworkSpec, seed: int | None = None) -> Network:
    """Builds the network of a spec and initialises its weights.

    Convolutions start with He's normal initialisation (arXiv:1502.01852, fan out), dense layers with the default of
    PyTorch. The last norm of a body starts with zero weights, so that a residual starts as its shortcut
    (arXiv:1706.02677).

    Args:
        network: The spec.
        seed: Seed of the weights; the global random state is then not used or changed. None uses the global state.

    Returns:
        The network, in training mode.

    Raises:
        InputError: If the weights do not fit into the free memory.

    Example:
        >>> import lightcnn, torch
        >>> lightcnn.build(lightcnn.Recipe.load("quick").network, seed=0)(torch.zeros(2, 1, 16, 16)).shape
        torch.Size([2, 10])
    """
    _require_memory(network)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        module = Network(network)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                # PyTorch ignores groups in the fan out, which is then too large by that factor.
                part.weight.data.mul_(part.groups**0.5)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        for part in module.modules():
            _start_as_shortcut(part)
    return module


def _require_memory(network: NetworkSpec) -> None:
    """Raises: InputError if the weights do not fit into the free memory of the device on which they are made."""
    device = torch.empty(0).device
    if device.type != "meta":
        require_memory(network.name or "network", FLOAT_BYTES * cost(network).params_with_buffers, device)


def fold(module: nn.Module) -> nn.Module:
    """Folds every BatchNorm into the preceding convolution, as in the deployed network.

    Args:
        module: A built network, or any module that consists of lightcnn's blocks; it is not changed.

    Returns:
        A copy in eval mode without BatchNorm.

    Example:
        >>> import lightcnn
        >>> folded = lightcnn.fold(lightcnn.build(lightcnn.Recipe.load("quick").network))
        >>> folded.training
        False
    """
    deployed = copy.deepcopy(module).eval()
    for part in deployed.modules():
        if isinstance(part, ConvNormAct) and isinstance(part.norm, nn.BatchNorm2d):
            part.conv = fuse_conv_bn_eval(part.conv, part.norm)
            part.norm = nn.Identity().eval()
    return deployed


def _start_as_shortcut(part: nn.Module) -> None:
    if isinstance(part, InvertedResidual) and part.skip:
        nn.init.zeros_(cast(Tensor, part.project.norm.weight))
    if isinstance(part, Residual):
        gates = {inner for gate in part.body.modules() if isinstance(gate, SqueezeExcite) for inner in gate.modules()}
        last = [inner for inner in part.body.modules() if isinstance(inner, ConvNormAct) and inner not in gates][-1:]
        # A ReLU has no gradient at zero: a body that ends with one would stay zero.
        if last and isinstance(last[0].norm, nn.BatchNorm2d) and not isinstance(last[0].act, (nn.ReLU, nn.ReLU6)):
            nn.init.zeros_(last[0].norm.weight)


def _module(unit: Any, before: Shape, after: Shape) -> nn.Module:
    return _BUILDERS[unit.kind](unit, before, after)


def _conv(unit: spec.ConvBlock, before: Shape, after: Shape) -> nn.Module:
    return ConvNormAct(
        before[0], unit.width, kernel=unit.kernel, stride=unit.stride, groups=unit.groups,
        norm=unit.norm, bias=unit.has_bias, act=unit.act,
    )  # fmt: skip


def _separable(unit: spec.SeparableBlock, before: Shape, after: Shape) -> nn.Module:
    return SeparableConv(
        before[0], unit.width, kernel=unit.kernel, stride=unit.stride,
        norm=unit.norm, bias=unit.has_bias, act=unit.act, inner=unit.inner,
    )  # fmt: skip


def _mbconv(unit: spec.InvertedResidualBlock, before: Shape, after: Shape) -> nn.Module:
    return InvertedResidual(
        before[0], unit.width, kernel=unit.kernel, stride=unit.stride,
        expand=unit.expand, se=unit.se, act=unit.act, drop_path=unit.drop_path,
    )  # fmt: skip


def _se(unit: spec.SqueezeExciteBlock, before: Shape, after: Shape) -> nn.Module:
    return SqueezeExcite(before[0], unit.ratio)


def _pool(unit: spec.PoolBlock, before: Shape, after: Shape) -> nn.Module:
    kind = nn.MaxPool2d if unit.op == "max" else nn.AvgPool2d
    return kind(unit.kernel, unit.stride, unit.kernel // 3)


def _residual(unit: spec.ResidualBlock, before: Shape, after: Shape) -> nn.Module:
    body, shape = nn.Sequential(), before
    for part in unit.body:
        steps = nn.Sequential()
        for inner in part.copies():
            start, shape = shape, inner.output_shape(shape)
            steps.append(_module(inner, start, shape))
        body.append(steps)
    stride = unit.body_stride
    kind = unit.shortcut_kind(stride, before, after)
    shortcut: nn.Module = nn.Identity()
    if kind != "identity":
        pool = None if kind == "conv" else kind
        shortcut = Shortcut(before[0], after[0], stride=stride, pool=pool, norm=unit.norm, bias=unit.has_bias)
    return Residual(body, shortcut, act=unit.act, drop_path=unit.drop_path)


_BUILDERS: dict[str, Callable[[Any, Shape, Shape], nn.Module]] = {
    "conv": _conv,
    "separable": _separable,
    "mbconv": _mbconv,
    "se": _se,
    "pool": _pool,
    "residual": _residual,
}

"""The modules that networks consist of. Feature maps are (N, C, H, W)."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from lightcnn.spec import hidden_width


def activation(name: str) -> nn.Module:
    """The activation of that name: silu (Swish, arXiv:1710.05941), relu, relu6, hardswish, gelu, none."""
    return _ACTIVATIONS[name]()


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardswish": nn.Hardswish,
    "gelu": nn.GELU,
    "none": nn.Identity,
}


class ConvNormAct(nn.Module):
    """Convolution padded by kernel // 2, BatchNorm, activation: (N, C, H, W) → (N, width, ⌈H/stride⌉, ⌈W/stride⌉)."""

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: bool = True,
        bias: bool = False,
        act: str = "none",
    ) -> None:
        super().__init__()
        # A strided 1×1 reads one pixel in stride², so dropping the others first gives the same result. It is done here
        # because oneDNN's weight gradient of a strided 1×1 with fewer than 16 input channels in channels_last writes
        # past its buffer (torch 2.15 on AVX-512: the heap is corrupted after some steps).
        self.skip_pixels = stride if kernel == 1 else 1
        step = 1 if kernel == 1 else stride
        self.conv = nn.Conv2d(channels, width, kernel, step, kernel // 2, groups=groups, bias=bias)
        self.norm = nn.BatchNorm2d(width) if norm else nn.Identity()
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        if self.skip_pixels > 1:
            x = x[:, :, :: self.skip_pixels, :: self.skip_pixels]
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out


class SeparableConv(nn.Module):
    """Depthwise k×k, then pointwise 1×1 (MobileNetV1, arXiv:1704.04861); with `inner`, norm and activation between."""

    def __init__(
        self, channels: int, width: int, *, kernel: int, stride: int, norm: bool, bias: bool, act: str, inner: bool
    ) -> None:
        super().__init__()
        self.depthwise = ConvNormAct(
            channels,
            channels,
            kernel=kernel,
            stride=stride,
            groups=channels,
            norm=norm and inner,
            act=act if inner else "none",
        )
        self.pointwise = ConvNormAct(channels, width, norm=norm, bias=bias, act=act)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.depthwise(x))
        return out


class SqueezeExcite(nn.Module):
    """Scales each channel by a gate computed from the means of all channels (arXiv:1709.01507); the shape stays."""

    def __init__(self, channels: int, ratio: float) -> None:
        super().__init__()
        hidden = hidden_width(ratio, channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = ConvNormAct(channels, hidden, norm=False, bias=True, act="relu")
        self.expand = ConvNormAct(hidden, channels, norm=False, bias=True)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.expand(self.reduce(self.pool(x))).sigmoid()
        return x * gate


class DropPath(nn.Module):
    """In training, drops the path of whole samples with probability `rate` (stochastic depth, arXiv:1603.09382)."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = torch.rand(len(x), 1, 1, 1, device=x.device) >= self.rate
        return x * keep.to(x.dtype) / (1 - self.rate)


class InvertedResidual(nn.Module):
    """Expand 1×1, depthwise k×k, (squeeze-and-excitation,) project 1×1 (MobileNetV2, arXiv:1801.04381).

    There is a skip if the shape stays. An expansion of 1 leaves the first convolution out.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        *,
        kernel: int,
        stride: int,
        expand: float,
        se: float | None,
        act: str,
        drop_path: float,
    ) -> None:
        super().__init__()
        hidden = hidden_width(expand, channels)
        self.expand = nn.Identity() if expand == 1 else ConvNormAct(channels, hidden, act=act)
        self.depthwise = ConvNormAct(hidden, hidden, kernel=kernel, stride=stride, groups=hidden, act=act)
        self.se = nn.Identity() if se is None else SqueezeExcite(hidden, se)
        self.project = ConvNormAct(hidden, width)
        self.drop_path = DropPath(drop_path)
        self.skip = stride == 1 and channels == width

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.se(self.depthwise(self.expand(x))))
        return x + self.drop_path(out) if self.skip else out


class Shortcut(nn.Module):
    """A 1×1 convolution from the shape of a residual's input to that of its body, after an optional pooling."""

    def __init__(self, channels: int, width: int, *, stride: int, pool: str | None, norm: bool, bias: bool) -> None:
        super().__init__()
        self.pool: nn.Module = nn.Identity()
        if pool:
            kind = nn.AvgPool2d if pool == "avgpool" else nn.MaxPool2d
            self.pool = kind(stride, ceil_mode=True)  # rounds up like strided convolutions
        self.project = ConvNormAct(channels, width, stride=1 if pool else stride, norm=norm, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.pool(x))
        return out


class Residual(nn.Module):
    """The sum of a body and a shortcut, then an activation (ResNet, arXiv:1512.03385)."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, *, act: str, drop_path: float) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.drop_path = DropPath(drop_path)
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.drop_path(self.body(x)) + self.shortcut(x))
        return out


class Head(nn.Module):
    """Global pooling, hidden dense layers, dropout, classifier: (N, C, H, W) → (N, logits)."""

    def __init__(
        self, channels: int, logits: int, *, pool: str, hidden: tuple[int, ...], act: str, dropout: float
    ) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1) if pool == "avg" else nn.AdaptiveMaxPool2d(1)
        widths = (channels, *hidden)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.act = activation(act)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(widths[-1], logits)

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_exporting():
            pooled = self.pool(x)
        elif isinstance(self.pool, nn.AdaptiveMaxPool2d):
            pooled = x.amax((2, 3), keepdim=True)  # torch 2.9 cannot export the module to ONNX
        else:
            pooled = x.mean((2, 3), keepdim=True)  # torch 2.14 writes ten operators on strides for the module
        out = pooled.flatten(1)
        for layer in self.hidden:
            out = self.act(layer(out))
        logits: Tensor = self.classifier(self.dropout(out))
        return logits

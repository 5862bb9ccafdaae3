"""A network that cannot be copied or read is refused in one line that names the attribute or the module."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TextIO

import pytest
import torch
from torch import Tensor, nn

import lightcnn
from lightcnn.errors import InputError

SHAPE = (3, 12, 10)


class Plain(nn.Module):
    """A convolution, then the mean of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x).mean((2, 3))
        return out


class TwoInputs(Plain):
    """Takes two images."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x + y)


class OwnTrain(Plain):
    """Does not return itself."""

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)


def with_attribute(value: Any) -> Plain:
    model = Plain()
    model.body[0].kept = value
    return model


def closed_file() -> TextIO:
    with open(__file__, encoding="utf-8") as file:
        return file


def with_activation() -> Plain:
    model = Plain()
    model.body[0].kept = [model.body[0](torch.zeros(1, *SHAPE))]
    return model


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def quantized() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, torch.qint8)


def scripted() -> nn.Module:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.Sequential(torch.jit.script(nn.Conv2d(3, 2, 3)), nn.AdaptiveAvgPool2d(1), nn.Flatten())


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "lock": (lambda: with_attribute(threading.Lock()), r"attribute 'kept' \(lock\) of module 'body.0' \(Conv2d\)"),
    "file": (lambda: with_attribute(closed_file()), r"attribute 'kept' \(TextIOWrapper\) of module 'body.0'"),
    "activation": (with_activation, r"attribute 'kept' \(list\) of module 'body.0' \(Conv2d\): Only Tensors"),
    "lazy": (lazy, r"module '0' \(LazyConv2d\) has no weights before its first image"),
    "quantized": (quantized, r"module '2' \(Linear\) keeps its weights packed"),
    "scripted": (scripted, r"module '0' \(RecursiveScriptModule\) is compiled"),
    "two inputs": (TwoInputs, r"missing 1 required positional argument: 'y'"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("use", ["profile", "explain"])
def test_a_network_that_cannot_be_used_is_refused_in_one_line(name: str, use: str) -> None:
    make, reason = REFUSED[name]
    model = make()
    with pytest.raises(InputError, match=reason) as error:
        if use == "profile":
            lightcnn.profile(model, input=SHAPE)
        else:
            lightcnn.explain(model, torch.rand(1, *SHAPE), methods=["ig"], checks="none")
    assert "\n" not in str(error.value)


def test_a_module_whose_train_returns_nothing_is_used() -> None:
    assert lightcnn.profile(OwnTrain(), input=SHAPE).count.macs == 27 * 2 * 10 * 8
    assert len(lightcnn.explain(OwnTrain(), torch.rand(1, *SHAPE), methods=["ig"], checks="none")) == 1


@pytest.mark.parametrize("size", [32, torch.zeros(1, 3, 8, 8), (3, 32), (3, 0, 8), (3, 8.5, 8), "3x8x8", (True, 8, 8)])
def test_a_size_that_is_not_three_numbers_is_refused(size: Any) -> None:
    with pytest.raises(InputError, match=r"profile: input .* must be \(C, H, W\)"):
        lightcnn.profile(Plain(), input=size)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(InputError, match=r"profile: model has type str; give a torch.nn.Module or a spec"):
        lightcnn.profile("resnet18")  # type: ignore[arg-type]

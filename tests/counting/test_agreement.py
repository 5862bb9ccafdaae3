"""The pass without values and the one with values count the same, in every network; numbers are computed by hand."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from helpers.models import require_sums
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune

import lightcnn
from lightcnn.counting.copies import meta_copy, value_copy
from lightcnn.counting.count import count
from lightcnn.counting.recorder import Recorder
from lightcnn.counting.trace import _trace, trace
from lightcnn.errors import InputError

SHAPE = (3, 32, 32)
CONV = 27 * 8 * 32 * 32
"""Multiply-adds of the first convolution of `Sequence`."""


class Sequence(nn.Module):
    """A convolution, a recurrent layer over 32 steps of 256 values, and a linear layer."""

    def __init__(self, kind: type[nn.RNNBase], *, on_cpu: bool) -> None:
        super().__init__()
        self.conv, self.rnn = nn.Conv2d(3, 8, 3, padding=1), kind(256, 16, batch_first=True)
        self.head, self.on_cpu = nn.Linear(16, 4), on_cpu

    def forward(self, x: Tensor) -> Tensor:
        sequence = self.conv(x).permute(0, 2, 1, 3).flatten(2)
        start = torch.zeros(1, x.size(0), 16) if self.on_cpu else sequence.new_zeros(1, x.size(0), 16)
        out = self.rnn(sequence, (start, start) if isinstance(self.rnn, nn.LSTM) else start)[0]
        answer: Tensor = self.head(out[:, -1])
        return answer


class Calls(nn.Module):
    """A function of the image."""

    def __init__(self, function: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.function, self.parts = function, nn.ModuleDict(parts)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, **self.parts)


def tokens(x: Tensor, count: int, width: int) -> Tensor:
    return x.flatten(1)[:, : count * width].reshape(-1, count, width)


def transformer() -> Calls:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    return Calls(lambda x, layer: layer(tokens(x, 10, 16)), layer=layer)


def bilinear(x: Tensor, layer: nn.Module) -> Any:
    return layer(x.flatten(1)[:, :48], x.flatten(1)[:, 48:96])


def einsum(x: Tensor) -> Tensor:
    left, right = x.flatten(1)[:, :48], x.flatten(1)[:, 48:96]
    return torch.einsum("bn,onm,bm->bo", left, torch.ones(16, 48, 48, device=x.device), right)


def deformable(x: Tensor, offsets: nn.Module, conv: nn.Module) -> Any:
    return conv(x, offsets(x))


def add_products(x: Tensor) -> Tensor:
    return torch.addbmm(x.new_zeros(5, 7), tokens(x, 5, 6), tokens(x, 6, 7))


def add_in_place(x: Tensor) -> Tensor:
    return x.new_zeros(5, 7).addmm_(tokens(x, 5, 6)[0], tokens(x, 6, 7)[0])


BILINEAR = 48 * 48 * 16 + 48 * 16
TRANSFORMER = 10 * 16 * 48 + 2 * 10 * 10 * 16 + 10 * 16 * 16 + 2 * 10 * 16 * 32
DEFORMABLE = 1024 * (27 * 18 + 27 * 4)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "lstm": (lambda: Sequence(nn.LSTM, on_cpu=False), CONV + 32 * 64 * (256 + 16) + 64),
    "gru": (lambda: Sequence(nn.GRU, on_cpu=False), CONV + 32 * 48 * (256 + 16) + 64),
    "rnn": (lambda: Sequence(nn.RNN, on_cpu=False), CONV + 32 * 16 * (256 + 16) + 64),
    "transformer": (transformer, TRANSFORMER),
    "bilinear": (lambda: Calls(bilinear, layer=nn.Bilinear(48, 48, 16)), BILINEAR),
    "einsum": (lambda: Calls(einsum), BILINEAR),
    "deformable": (
        lambda: Calls(
            deformable, offsets=nn.Conv2d(3, 18, 3, padding=1), conv=torchvision.ops.DeformConv2d(3, 4, 3, padding=1)
        ),
        DEFORMABLE,
    ),
    "addbmm": (lambda: Calls(add_products), 5 * 6 * 7),
    "addmm_": (lambda: Calls(add_in_place), 5 * 6 * 7),
    "addr": (lambda: Calls(lambda x: torch.addr(x.new_zeros(5, 7), x[0, 0, 0, :5], x[0, 0, 1, :7])), 5 * 7),
    "conv_tbc": (lambda: Calls(lambda x: torch.conv_tbc(x[0], x.new_ones(3, 32, 5), x.new_ones(5))), 32 * 5 * 3 * 32),
    "attention": (lambda: Calls(lambda x: functional.scaled_dot_product_attention(x, x, x)), 3 * 2 * 32 * 32 * 32),
    "matmul": (lambda: Calls(lambda x: x @ x.mT), 3 * 32 * 32 * 32),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_both_passes_count_the_number_computed_by_hand(name: str) -> None:
    make, macs = NETWORKS[name]
    without, values = (_trace(copy, make(), SHAPE, 1)[0] for copy in (meta_copy, value_copy))
    assert (without.macs, values.macs) == (macs, macs)
    assert trace(make(), SHAPE).notes() == []


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_a_recurrent_layer_that_needs_values_is_counted(kind: type[nn.RNNBase], gates: int) -> None:
    traced = trace(Sequence(kind, on_cpu=True), SHAPE)
    assert traced.with_values
    assert traced.macs == CONV + 32 * gates * 16 * (256 + 16) + 64
    if kind is nn.LSTM:
        assert count(Sequence(kind, on_cpu=True), SHAPE).macs == 778_304


def test_an_operator_that_is_neither_counted_nor_free_is_in_the_notes() -> None:
    model = Calls(lambda x: torch.cdist(torch.fft.rfft(x).abs(), x.new_ones(3, 4, 17)))
    notes = count(model, SHAPE).notes
    assert {"the multiply-adds of _fft_r2c (1 call) are unknown and not counted"} < set(notes)
    assert any("_euclidean_dist" in note or "_cdist_forward" in note for note in notes)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * 2 if x.mean().tolist() > 5 else x,
        lambda x: x[: len(torchvision.ops.nms(x[0, 0, :, :4], x[0, 0, :, 5], 0.5))],
        lambda x: x * 2 if x.numpy().mean() > 5 else x,
        lambda x: x[x > 0],
        lambda x: torch.zeros(3)[x.flatten()[:3] > 0],
        lambda x: x * 2 if int(torch.unique(x).numel()) > 1 else x,
    ],
)
def test_values_of_the_image_that_decide_what_runs_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(InputError, match="depends on the values in its image"):
        count(Calls(function), SHAPE)


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: torch.rand(1).item()])
def test_a_network_that_draws_its_branch_is_refused_and_random_states_stay(draw: Callable[[], float]) -> None:
    model = Calls(lambda x, a, b: a(x) if draw() < 0.5 else b(x), a=nn.Conv2d(3, 4, 3), b=nn.Conv2d(3, 4, 1))
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    with pytest.raises(InputError, match=r"depends on random numbers \(at convolution in parts.[ab]\)"):
        count(model, SHAPE)
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_random_numbers_that_decide_nothing_are_accepted_and_states_stay() -> None:
    before = random.getstate()
    counts = count(Calls(lambda x, a: a(x) * random.random(), a=nn.Conv2d(3, 4, 1)), SHAPE)
    assert counts.macs == 12 * 1024
    assert random.getstate() == before


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 8, 3, padding=1),
        nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


def changed(change: Callable[[nn.Module], Any]) -> nn.Module:
    model = small().eval()
    for module in model:
        if isinstance(module, nn.Conv2d):
            change(module)
    return model


def old_weight_norm(module: nn.Module) -> None:
    with pytest.warns(FutureWarning):
        nn.utils.weight_norm(module)


@pytest.mark.parametrize(
    "change",
    [
        lambda module: prune.l1_unstructured(module, "weight", 0.5),
        lambda module: prune.ln_structured(module, "weight", 0.5, 2, 0),
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        nn.utils.spectral_norm,
        old_weight_norm,
    ],
)
def test_what_depends_on_weights_alone_is_neither_an_activation_nor_counted(change: Any) -> None:
    model = changed(change)
    plain, counts = count(small(), SHAPE), count(model, SHAPE)
    assert model(torch.zeros(1, *SHAPE)).shape == (1, 2), "the caller's model still runs"
    assert counts.macs == counts.macs_as_given == plain.macs == 1024 * 16 * 27 + 1024 * 8 * 144 + 16
    assert counts.peak_activations == plain.peak_activations == (16 + 8) * 1024
    assert counts.unfolded == () == plain.unfolded
    assert (counts.params_deployed, counts.weight_bytes) == (plain.params_deployed, plain.weight_bytes)
    assert counts.moved_bytes == plain.moved_bytes
    require_sums(counts)


def test_a_weight_that_is_overwritten_by_the_image_is_an_activation() -> None:
    class Cache(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("cache", torch.zeros(1, 3, 32, 32))
            self.conv = nn.Conv2d(3, 4, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            self.cache.copy_(x)
            out: Tensor = self.conv(self.cache)
            return out

    assert trace(Cache(), SHAPE).macs == 12 * 1024


def test_hooks_of_the_caller_do_not_run() -> None:
    model, calls = small(), []
    extra = nn.Conv2d(3, 64, 3)
    for module in model.modules():
        module.register_forward_hook(lambda _, inputs, out: calls.append(extra(inputs[0])) if inputs else None)
        module.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = count(model, SHAPE)
    assert calls == []
    assert counts.macs == count(small(), SHAPE).macs
    assert len(model._forward_hooks) == len(model._forward_pre_hooks) == 1


def steps_by_list(x: Tensor) -> int:
    return 1 + int(max(x.flatten().tolist()) > 0.5)


def steps_by_boxes(x: Tensor) -> int:
    return len(torchvision.ops.nms(x[0, 0, :, :4], x[0, 0, :, 5], 0.5))


def steps_by_storage(x: Tensor) -> int:
    return 1 + sum(x.untyped_storage()[:64]) % 3  # read without an operator or a method that is recognised


READS: dict[str, Callable[[Tensor], int]] = {
    "tolist": steps_by_list,
    "nms": steps_by_boxes,
    "item": lambda x: 1 + int(x.mean().item() > 0.25),
    "nonzero": lambda x: 1 + min(3, len(torch.nonzero(x))),
    "mask": lambda x: 1 + min(3, x[x > 0.5].numel()),
    "numpy": lambda x: 1 + int(x.numpy().max() > 0.5),
    "unique": lambda x: min(4, len(torch.unique(x))),
    "equal": lambda x: 1 + int(torch.equal(x, torch.zeros_like(x))),
    "storage": steps_by_storage,
}
"""How often a convolution runs, decided by values of the image."""


@pytest.mark.parametrize("name", READS)
def test_passes_with_other_values_find_what_depends_on_the_image(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def function(x: Tensor, conv: nn.Module) -> Tensor:
        for _ in range(READS[name](x)):
            x = conv(x)
        return x

    monkeypatch.setattr(Recorder, "refuse_values", lambda *_: None)  # leaves only the comparison of passes
    model = Calls(function, conv=nn.Conv2d(3, 3, 3, padding=1))
    with pytest.raises(InputError, match=r"depends on the values in its image.*, so its cost is not one number"):
        trace(model, SHAPE)
    assert trace(model, SHAPE, repeat=False).macs > 0


def test_an_image_that_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(InputError, match=r"an image of 3×1000000×1000000: needs at least .*B of memory, but 80%"):
        lightcnn.profile(small(), input=(3, 1_000_000, 1_000_000))


def test_passes_with_other_values_agree_if_the_image_decides_nothing() -> None:
    model = Calls(lambda x, conv: conv(x) * float(conv.weight.sum()), conv=nn.Conv2d(3, 4, 3, padding=1))
    traced = trace(model, SHAPE)
    assert traced.with_values and traced.macs == 27 * 4 * 1024

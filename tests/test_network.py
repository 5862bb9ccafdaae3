"""Built networks: determinism, shapes, folding, initialisation, drop path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from helpers.specs import drawn, randomised
from torch import Tensor, nn
from torch.nn import functional

import lightcnn
from lightcnn.blocks import ConvNormAct, DropPath, Residual
from lightcnn.network import build, fold
from lightcnn.spec import (
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
)

some_specs = pytest.mark.parametrize("seed", range(60))


def spec(*blocks: Any, **changes: Any) -> NetworkSpec:
    return NetworkSpec(**({"input": (4, 9, 8), "stages": blocks, "classes": 3} | changes))


def images(network: NetworkSpec, count: int = 2) -> Tensor:
    return torch.randn(count, *network.input, generator=torch.Generator().manual_seed(3))


def equal_states(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


@some_specs
def test_a_seed_determines_the_weights_and_keeps_the_global_state(seed: int) -> None:
    network, _, _ = drawn(seed)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build(network, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert equal_states(first, build(network, seed=7))
    assert not equal_states(first, build(network, seed=8))


def test_without_a_seed_the_global_state_determines_the_weights() -> None:
    network = spec(ConvBlock(width=4))
    torch.manual_seed(1)
    first, second = build(network), build(network)
    assert not equal_states(first, second)
    torch.manual_seed(1)
    assert equal_states(first, build(network))


@some_specs
def test_a_batch_has_one_row_of_logits_per_image_in_every_mode(seed: int) -> None:
    network, built, folded = drawn(seed)
    assert built.spec == network
    for form in (copy.deepcopy(built).train(), built, folded):
        logits = form(images(network, count=3))
        assert logits.shape == (3, network.logits)
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("output", "logits"), [("softmax", 2), ("sigmoid", 1)])
def test_a_sigmoid_head_has_one_logit(output: Any, logits: int) -> None:
    network = spec(ConvBlock(width=4), head=HeadSpec(output=output, hidden=(5,)), classes=2)
    assert build(network, seed=0)(images(network)).shape == (2, logits)


@some_specs
def test_folding_keeps_the_outputs_and_the_original(seed: int) -> None:
    network, built, _ = drawn(seed)
    original = randomised(built).double().train()
    kept = copy.deepcopy(original)
    deployed = fold(original)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    assert not deployed.training
    assert original.training
    assert equal_states(original, kept)
    x = images(network).double()
    with torch.inference_mode():
        torch.testing.assert_close(deployed(x), original.eval()(x), rtol=1e-9, atol=1e-9)


@some_specs
def test_a_loaded_state_computes_the_same(seed: int) -> None:
    network, built, _ = drawn(seed)
    source, target = randomised(built), build(network, seed=seed + 1).eval()
    x = images(network)
    with torch.inference_mode():
        target.load_state_dict(source.state_dict())
        assert torch.equal(source(x), target(x))


ZERO_STARTED = [
    InvertedResidualBlock(width=4, expand=2, se=0.5),
    ResidualBlock(body=(ConvBlock(width=4), ConvBlock(width=4, act="none"))),
    ResidualBlock(body=(SeparableBlock(width=4),)),
    ResidualBlock(body=(ConvBlock(width=4, act="gelu", depth=2),), shortcut="conv"),
    ResidualBlock(body=(InvertedResidualBlock(width=6, stride=2),)),
    ResidualBlock(body=(ConvBlock(width=6, stride=2, act="hardswish"),), shortcut="avgpool"),
]


@pytest.mark.parametrize("block", ZERO_STARTED, ids=lambda block: block.kind)
@pytest.mark.parametrize("training", [True, False])
def test_residuals_start_as_their_shortcut(block: Any, training: bool) -> None:
    module = build(spec(block), seed=0).stages[0][0].train(training)
    x = torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(0))
    expected = module.shortcut(x) if isinstance(module, Residual) else x
    torch.testing.assert_close(module(x), expected, rtol=0, atol=0)


@pytest.mark.parametrize("act", ["relu", "relu6"])
def test_bodies_that_end_with_a_relu_have_gradients_at_the_start(act: Any) -> None:
    block = build(spec(ResidualBlock(body=(ConvBlock(width=4, act=act),))), seed=0).stages[0][0]
    out = block.body(torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(0)))
    assert out.abs().max() > 0
    out.sum().backward()
    assert block.body[0][0].norm.weight.grad.abs().min() > 0


@pytest.mark.parametrize(
    "block",
    [
        InvertedResidualBlock(width=4, drop_path=0.5),
        ResidualBlock(body=(ConvBlock(width=4, act="none"),), drop_path=0.5),
    ],
    ids=lambda block: block.kind,
)
def test_drop_path_drops_whole_samples_only_in_training(block: Any) -> None:
    network, count = spec(block), 64
    module = randomised(build(network, seed=0)).stages[0][0].eval()
    plain = randomised(build(spec(type(block)(**(dict(block) | {"drop_path": 0.0}))), seed=0)).stages[0][0].eval()
    x = images(network, count)
    full = plain(x)
    assert torch.equal(module(x), full)
    module.drop_path.train()
    torch.manual_seed(0)
    out = module(x)
    dropped = [torch.equal(out[i], x[i]) for i in range(count)]
    assert 0 < sum(dropped) < count
    for i in range(count):
        if not dropped[i]:
            torch.testing.assert_close(out[i] - x[i], 2 * (full[i] - x[i]))


def test_drop_path_keeps_the_mean() -> None:
    torch.manual_seed(0)
    out = DropPath(0.2).train()(torch.ones(20_000, 1, 1, 1))
    assert out.unique().tolist() == pytest.approx([0, 1.25])
    assert out.mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (1, 1), (2, 5)])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_strided_1x1_equals_the_strided_convolution(size: tuple[int, int], groups: int) -> None:
    layer = ConvNormAct(4, 6, stride=2, groups=groups, norm=False, bias=True).double()
    x = torch.randn(2, 4, *size, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        layer(x), functional.conv2d(x, layer.conv.weight, layer.conv.bias, stride=2, groups=groups)
    )


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_convolutions_start_with_hes_variance(groups: int) -> None:
    conv = build(spec(ConvBlock(width=64), ConvBlock(width=64, groups=groups, kernel=5)), seed=0).stages[1][0].conv
    fan_out = 64 // groups * 25
    assert conv.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


def test_pooling_shortcuts_average_only_existing_pixels() -> None:
    block = ResidualBlock(body=(ConvBlock(width=4, stride=2),), shortcut="avgpool")
    pool = build(spec(block), seed=0).stages[0][0].shortcut.pool
    ones = torch.ones(1, 4, 9, 7)
    assert torch.equal(pool(ones), torch.ones(1, 4, 5, 4))


def test_a_body_that_ends_with_squeeze_and_excitation_starts_at_zero() -> None:
    block = ResidualBlock(body=(ConvBlock(width=4), SqueezeExciteBlock(ratio=0.5)))
    network = build(NetworkSpec(input=(4, 6, 6), classes=2, stages=(block,)), 0).eval()
    images = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(network.stages(images), images)


def test_every_module_of_a_folded_network_is_in_eval_mode() -> None:
    model = lightcnn.build(lightcnn.Recipe.load("quick").network)
    assert [name for name, module in lightcnn.fold(model).named_modules() if module.training] == []
    assert all(module.training for module in model.modules())

"""Specs: shapes, errors, canonical form and digest, scaling."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from lightcnn import document
from lightcnn.errors import DocumentError
from lightcnn.spec import (
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
    hidden_width,
)


def spec(*blocks: Any, **changes: Any) -> NetworkSpec:
    return NetworkSpec(**({"input": (4, 9, 13), "stages": blocks, "classes": 2} | changes))


def refusal(*blocks: Any, **changes: Any) -> tuple[str, str]:
    """Path and message of the only error."""
    with pytest.raises(ValidationError) as caught:
        spec(*blocks, **changes)
    (error,) = caught.value.errors()
    return error["ctx"]["path"], error["msg"]


def after(*blocks: Any, **changes: Any) -> tuple[int, int, int]:
    return list(spec(*blocks, **changes).units())[-1][3]


@pytest.mark.parametrize(
    ("block", "shape"),
    [
        (ConvBlock(width=6), (6, 9, 13)),
        (ConvBlock(width=6, kernel=7, stride=2), (6, 5, 7)),
        (ConvBlock(width=6, kernel=1, stride=2), (6, 5, 7)),
        (ConvBlock(width=6, stride=2, depth=3), (6, 5, 7)),
        (SeparableBlock(width=5, kernel=5, stride=2), (5, 5, 7)),
        (InvertedResidualBlock(width=3, stride=2, depth=2), (3, 5, 7)),
        (SqueezeExciteBlock(), (4, 9, 13)),
        (PoolBlock(), (4, 4, 6)),
        (PoolBlock(kernel=3), (4, 5, 7)),
        (PoolBlock(stride=1), (4, 8, 12)),
        (PoolBlock(kernel=3, stride=1), (4, 9, 13)),
        (ResidualBlock(body=(ConvBlock(width=6, stride=2), ConvBlock(width=7, stride=2))), (7, 3, 4)),
        (ResidualBlock(body=(ConvBlock(width=6, stride=2),), depth=2), (6, 5, 7)),
        (ResidualBlock(body=(PoolBlock(kernel=3),), shortcut="maxpool"), (4, 5, 7)),
    ],
)
def test_a_block_has_its_output_shape(block: Any, shape: tuple[int, int, int]) -> None:
    assert after(block) == shape


def test_units_are_named_like_modules_and_fit_together() -> None:
    network = spec(ConvBlock(width=8, depth=2, stride=2), PoolBlock(), stem=(ConvBlock(width=6),))
    assert [(name, before, now) for name, _, before, now in network.units()] == [
        ("stem.0.0", (4, 9, 13), (6, 9, 13)),
        ("stages.0.0", (6, 9, 13), (8, 5, 7)),
        ("stages.0.1", (8, 5, 7), (8, 5, 7)),
        ("stages.1.0", (8, 5, 7), (8, 2, 3)),
    ]


@pytest.mark.parametrize(
    ("groups", "width", "message"),
    [
        (3, 6, "3 groups do not divide 4 input channels and 6 output channels"),
        (4, 6, "4 groups do not divide 4 input channels and 6 output channels"),
        (8, 8, "8 groups do not divide 4 input channels and 8 output channels"),
    ],
)
def test_groups_must_divide_inputs_and_outputs(groups: int, width: int, message: str) -> None:
    assert refusal(PoolBlock(), ConvBlock(width=width, groups=groups)) == ("stages.1.groups", message)


def test_groups_of_copies_must_divide_the_width() -> None:
    assert after(ConvBlock(width=8, groups=4, depth=2)) == (8, 9, 13)
    assert after(ConvBlock(width=4, groups=4)) == (4, 9, 13)


def test_a_sigmoid_head_has_two_classes_and_one_logit() -> None:
    head = HeadSpec(output="sigmoid")
    assert spec(ConvBlock(width=4), head=head).logits == 1
    assert spec(ConvBlock(width=4)).logits == 2
    path, message = refusal(ConvBlock(width=4), head=head, classes=3)
    assert path == "head.output"
    assert message == "a sigmoid head needs two classes, not 3; use softmax"


@pytest.mark.parametrize(
    ("block", "path", "message"),
    [
        (
            ResidualBlock(body=(ConvBlock(width=5),), shortcut="identity"),
            "stages.0.shortcut",
            "an identity cannot lead from (4, 9, 13) to (5, 9, 13); use auto or conv",
        ),
        (
            ResidualBlock(body=(ConvBlock(width=4, stride=2),), shortcut="identity"),
            "stages.0.shortcut",
            "an identity cannot lead from (4, 9, 13) to (4, 5, 7); use auto or conv",
        ),
        (
            ResidualBlock(body=(ConvBlock(width=5),), shortcut="avgpool"),
            "stages.0.shortcut",
            "avgpool has nothing to pool, because the body has stride 1; use auto or conv",
        ),
        (
            ResidualBlock(body=(PoolBlock(),)),
            "stages.0",
            "the body leads from (9, 13) to (4, 6), but a shortcut of stride 2 does not; use an even input size",
        ),
        (
            ResidualBlock(body=(ConvBlock(width=4), ConvBlock(width=6, groups=3))),
            "stages.0.body.1.groups",
            "3 groups do not divide 4 input channels and 6 output channels",
        ),
    ],
)
def test_residuals_whose_shapes_do_not_match_are_refused(block: ResidualBlock, path: str, message: str) -> None:
    assert refusal(block) == (path, message)


def test_pooling_needs_an_input_of_its_size() -> None:
    assert refusal(PoolBlock(), PoolBlock(), input=(3, 3, 40)) == (
        "stages.1",
        "a pooling of size 2 does not fit on 1×20; use a larger input or fewer strides",
    )
    assert after(PoolBlock(kernel=3), input=(3, 1, 1)) == (3, 1, 1)


def test_copies_after_the_first_have_stride_one() -> None:
    block = ConvBlock(width=4, stride=2, depth=3, kernel=5)
    assert list(block.copies()) == [ConvBlock(width=4, stride=2, kernel=5), *2 * [ConvBlock(width=4, kernel=5)]]
    assert list(SqueezeExciteBlock().copies()) == [SqueezeExciteBlock()]
    body = (ConvBlock(width=4, stride=2), InvertedResidualBlock(width=4, stride=2))
    plain = (ConvBlock(width=4), InvertedResidualBlock(width=4))
    residual = ResidualBlock(body=body, depth=2)
    assert list(residual.copies()) == [ResidualBlock(body=body), ResidualBlock(body=plain)]
    assert ResidualBlock(body=body).unstrided() == ResidualBlock(body=plain)


@pytest.mark.parametrize(
    ("ratio", "channels", "width"), [(0.25, 16, 4), (0.0625, 4, 1), (6.0, 3, 18), (1.37, 8, 11), (1.0, 7, 7)]
)
def test_hidden_widths_are_the_nearest_integers(ratio: float, channels: int, width: int) -> None:
    assert hidden_width(ratio, channels) == width


SAME = {
    "a name": (spec(ConvBlock(width=4), name="a"), spec(ConvBlock(width=4), name="b")),
    "stem or stage": (
        spec(ConvBlock(width=4), ConvBlock(width=5)),
        spec(ConvBlock(width=5), stem=(ConvBlock(width=4),)),
    ),
    "copies": (spec(ConvBlock(width=4, stride=2, depth=2)), spec(ConvBlock(width=4, stride=2), ConvBlock(width=4))),
    "copies in a body": (
        spec(ResidualBlock(body=(ConvBlock(width=4, depth=2),))),
        spec(ResidualBlock(body=(ConvBlock(width=4), ConvBlock(width=4)))),
    ),
    "swish": (spec(ConvBlock(width=4, act="swish")), spec(ConvBlock(width=4, act="silu"))),
    "the default bias": (spec(ConvBlock(width=4)), spec(ConvBlock(width=4, bias=False))),
    "the default bias without a norm": (
        spec(ConvBlock(width=4, norm=False)),
        spec(ConvBlock(width=4, norm=False, bias=True)),
    ),
    "drop path without a skip": (
        spec(InvertedResidualBlock(width=5, drop_path=0.2)),
        spec(InvertedResidualBlock(width=5)),
    ),
    "auto is identity": (
        spec(ResidualBlock(body=(ConvBlock(width=4),))),
        spec(ResidualBlock(body=(ConvBlock(width=4),), shortcut="identity")),
    ),
    "auto is conv": (
        spec(ResidualBlock(body=(ConvBlock(width=5),))),
        spec(ResidualBlock(body=(ConvBlock(width=5),), shortcut="conv")),
    ),
    "the norm of no projection": (
        spec(ResidualBlock(body=(ConvBlock(width=4),), norm=False, bias=True)),
        spec(ResidualBlock(body=(ConvBlock(width=4),))),
    ),
    "act of a head without hidden layers": (
        spec(ConvBlock(width=4), head=HeadSpec(act="relu")),
        spec(ConvBlock(width=4), head=HeadSpec(act="gelu")),
    ),
    "6 and 6.0": (spec(InvertedResidualBlock(width=4, expand=6)), spec(InvertedResidualBlock(width=4, expand=6.0))),
}
BASE = spec(
    ConvBlock(width=4, norm=False),
    ResidualBlock(body=(SeparableBlock(width=8, stride=2),)),
    InvertedResidualBlock(width=8, se=0.25),
    SqueezeExciteBlock(),
    PoolBlock(),
    head=HeadSpec(hidden=(6,)),
)


def changed(index: int, **changes: Any) -> NetworkSpec:
    """BASE with one block changed."""
    stages = list(BASE.stages)
    stages[index] = type(stages[index])(**(dict(stages[index]) | changes))
    return NetworkSpec(**(dict(BASE) | {"stages": tuple(stages)}))


def head_changed(**changes: Any) -> NetworkSpec:
    return NetworkSpec(**(dict(BASE) | {"head": HeadSpec(**(dict(BASE.head) | changes))}))


DIFFERENT = [
    changed(0, width=2), changed(0, kernel=5), changed(0, stride=2), changed(0, groups=2), changed(0, norm=True),
    changed(0, bias=False), changed(0, act="relu"), changed(0, depth=2), changed(1, shortcut="avgpool"),
    changed(1, shortcut="maxpool"), changed(1, act="relu"), changed(1, norm=False), changed(1, bias=True),
    changed(1, drop_path=0.1), changed(1, body=(SeparableBlock(width=8, stride=2, inner=False),)),
    changed(1, body=(SeparableBlock(width=8, stride=2, kernel=5),)), changed(2, expand=3.0), changed(2, se=None),
    changed(2, se=0.5), changed(2, drop_path=0.1), changed(2, act="relu"), changed(2, kernel=5), changed(3, ratio=0.5),
    changed(4, op="avg"), changed(4, kernel=3), changed(4, stride=1), head_changed(pool="max"),

    head_changed(act="relu"), head_changed(hidden=(5,)), head_changed(hidden=()),
    head_changed(dropout=0.5), head_changed(output="sigmoid"),
    NetworkSpec(**(dict(BASE) | {"classes": 3})), NetworkSpec(**(dict(BASE) | {"input": (4, 9, 12)})),
]  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_equal_networks_have_one_digest(what: str) -> None:
    first, second = SAME[what]
    assert first.canonical() == second.canonical()
    assert first.digest() == second.digest()


def test_different_networks_have_different_digests() -> None:
    digests = {network.digest() for network in (BASE, *DIFFERENT)}
    assert len(digests) == 1 + len(DIFFERENT)


def test_a_digest_is_a_sha_256_that_does_not_change() -> None:
    digest = spec(ConvBlock(width=4)).digest()
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    # Stored studies find duplicates by their digests, so the canonical form must not change by accident.
    assert digest == "b45eebf6ab180e5e790842f3b5015c2c140eaac46a7474ee21e6654d8d8f6ade"


def test_specs_are_equal_and_hashable_by_value() -> None:
    assert spec(ConvBlock(width=4)) == spec(ConvBlock(width=4))
    assert len({spec(ConvBlock(width=4)), spec(ConvBlock(width=4)), spec(ConvBlock(width=5))}) == 2


def test_scale_multiplies_widths_and_depths() -> None:
    network = spec(
        ConvBlock(width=16, groups=1, depth=2),
        ConvBlock(width=16, groups=16),
        ResidualBlock(body=(SeparableBlock(width=24, depth=3), SqueezeExciteBlock()), depth=2),
        PoolBlock(),
        head=HeadSpec(hidden=(10,)),
        stem=(ConvBlock(width=8),),
    )
    half = network.scale(0.5)
    assert half.stem == (ConvBlock(width=4),)
    assert half.stages == (
        ConvBlock(width=8, depth=2),
        ConvBlock(width=8, groups=8),
        ResidualBlock(body=(SeparableBlock(width=12, depth=3), SqueezeExciteBlock()), depth=2),
        PoolBlock(),
    )
    assert half.head == network.head
    deep = network.scale(depth=1.6)
    assert [block.depth for block in deep.stages[:3]] == [3, 2, 3]
    assert deep.stages[2].body[0].depth == 5
    assert network.scale() == network


@pytest.mark.parametrize(
    ("factor", "divisor", "width"), [(0.1, 8, 8), (0.75, 8, 24), (0.9, 8, 32), (1.4, 8, 48), (0.01, 1, 1)]
)
def test_scaled_widths_are_multiples_and_at_least_one(factor: float, divisor: int, width: int) -> None:
    network = spec(ConvBlock(width=34)).scale(factor, divisor=divisor)
    assert network.stages[0].width == width


def test_a_scale_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="less than or equal to 16384"):
        spec(ConvBlock(width=16)).scale(2000.0)
    grouped = spec(ConvBlock(width=16), ConvBlock(width=32, groups=16))
    with pytest.raises(ValueError, match="16 groups do not divide 8 input channels and 16 output channels"):
        grouped.scale(0.5)


def test_specs_are_frozen() -> None:
    network = spec(ConvBlock(width=4))
    for owner, name, value in ((network, "classes", 3), (network.stages[0], "width", 5), (network.head, "pool", "max")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(owner, name, value)


@pytest.mark.parametrize(
    "values",
    [
        {"width": "3"}, {"width": 3.0}, {"width": True}, {"width": 0}, {"width": 16385}, {"kernel": 2}, {"kernel": 9},
        {"kernel": 3.0}, {"stride": 3}, {"stride": 0}, {"stride": True}, {"kernel": True}, {"groups": 0}, {"norm": 1},
        {"norm": "true"}, {"bias": 0},
        {"act": "tanh"}, {"act": None}, {"depth": 0}, {"depth": 65}, {"expand": 6}, {"ratio": 0.5}, {"kind": "se"},
    ],
)  # fmt: skip
def test_a_block_refuses_wrong_values(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ConvBlock(**({"width": 4} | values))


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (InvertedResidualBlock, {"expand": 0.9}), (InvertedResidualBlock, {"expand": 17}),
        (InvertedResidualBlock, {"expand": float("nan")}), (InvertedResidualBlock, {"se": 0}),
        (InvertedResidualBlock, {"se": 1.1}), (InvertedResidualBlock, {"drop_path": 1.0}),
        (InvertedResidualBlock, {"norm": True}), (SeparableBlock, {"groups": 2}), (SeparableBlock, {"kernel": 3.0}),
        (SeparableBlock, {"inner": None}),
    ],
)  # fmt: skip
def test_other_blocks_refuse_wrong_values(kind: Any, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**({"width": 4} | values))


@pytest.mark.parametrize(
    "changes",
    [
        {"input": (4, 9)}, {"input": (0, 9, 9)}, {"input": (65, 9, 9)}, {"input": (4, 4097, 9)}, {"classes": 1},
        {"classes": "2"}, {"stages": ()}, {"name": "a\nb"}, {"name": "a/b"}, {"name": "x" * 101}, {"unknown": 1},
        {"stages": (ResidualBlock(body=(ConvBlock(width=4),)),) * 65}, {"head": None},
    ],
)  # fmt: skip
def test_a_network_refuses_wrong_parts(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(ConvBlock(width=4), **changes)


def test_residuals_do_not_nest() -> None:
    text = "input: [3, 8, 8]\nclasses: 2\nstages: [{kind: residual, body: [{kind: residual, body: [{kind: se}]}]}]"
    with pytest.raises(DocumentError, match=r"stages\.0\.body\.0: 'residual' is not one of the kinds"):
        document.parse(NetworkSpec, text)


def test_later_copies_of_a_pooled_shortcut_are_identities() -> None:
    stage = ResidualBlock(body=(ConvBlock(width=8, stride=2),), shortcut="avgpool", depth=3)
    network = NetworkSpec(input=(3, 9, 9), classes=2, stages=(stage,))
    assert [block["shortcut"] for block in network.canonical()["blocks"]] == ["avgpool", "identity", "identity"]


def test_ratios_with_equal_channels_are_the_same_network() -> None:
    def network(se: float) -> NetworkSpec:
        return NetworkSpec(input=(4, 8, 8), classes=2, stages=(InvertedResidualBlock(width=4, expand=2.0, se=se),))

    assert network(0.25).digest() == network(0.26).digest() != network(0.5).digest()


def test_a_short_spec_of_millions_of_blocks_is_refused() -> None:
    body = "{kind: conv, width: 4, depth: 64}"
    residual = f"{{kind: residual, depth: 64, body: [{', '.join([body] * 16)}]}}"
    text = f"input: [1, 8, 8]\nclasses: 2\nstages: [{', '.join([residual] * 64)}]"
    with pytest.raises(
        DocumentError, match="stages: has 4,198,400 blocks in all copies, at most 5,000; reduce the dep"
    ):
        document.parse(NetworkSpec, text)
    conv = "{kind: conv, width: 4, depth: 64}"
    most = document.parse(NetworkSpec, f"input: [1, 8, 8]\nclasses: 2\nstages: [{', '.join([conv] * 64)}]")
    assert sum(1 for _ in most.units()) == 64 * 64

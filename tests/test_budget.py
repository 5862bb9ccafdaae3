"""The grammar of budgets, and the costs that they admit."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightcnn.budget import Budget, Cost
from lightcnn.errors import BudgetError


def bounds(text: str) -> dict[str, tuple[int | None, int]]:
    return {limit.resource.name: (limit.lower, limit.upper) for limit in Budget.parse(text).limits}


def refusal(text: str) -> str:
    with pytest.raises(BudgetError) as caught:
        Budget.parse(text)
    message = str(caught.value)
    assert "\n" not in message
    return message


UNITS = [
    ("7FLOPs", "macs", 7),
    ("7FLOP", "macs", 7),
    ("7MACs", "macs", 7),
    ("7MAC", "macs", 7),
    ("7kFLOPs", "macs", 7_000),
    ("1MFLOPs", "macs", 10**6),
    ("0.5MMACs", "macs", 500_000),
    ("2GMACs", "macs", 2 * 10**9),
    ("9params", "params", 9),
    ("1param", "params", 1),
    ("12parameters", "params", 12),
    ("50kparams", "params", 50_000),
    ("1.5Mparams", "params", 1_500_000),
    ("1Gparams", "params", 10**9),
    ("100B", "weight_bytes", 100),
    ("256KB", "weight_bytes", 256_000),
    ("1MB", "weight_bytes", 10**6),
    ("1GB", "weight_bytes", 10**9),
    ("64KiB", "weight_bytes", 65_536),
    ("1MiB", "weight_bytes", 2**20),
    ("1GiB", "weight_bytes", 2**30),
    ("100B-RAM", "peak_bytes", 100),
    ("256KB-RAM", "peak_bytes", 256_000),
    ("64KiB-RAM", "peak_bytes", 65_536),
    ("1MB-RAM", "peak_bytes", 10**6),
    ("0.5MiB-RAM", "peak_bytes", 2**19),
    ("1GB-RAM", "peak_bytes", 10**9),
    ("1GiB-RAM", "peak_bytes", 2**30),
    ("100B-flash", "flash_bytes", 100),
    ("128kB-flash", "flash_bytes", 128_000),
    ("128KiB-flash", "flash_bytes", 131_072),
    ("1MB-flash", "flash_bytes", 10**6),
    ("0.5MiB-flash", "flash_bytes", 2**19),
    ("1GB-flash", "flash_bytes", 10**9),
    ("1GiB-flash", "flash_bytes", 2**30),
    ("100B-arena", "arena_bytes", 100),
    ("16kB-arena", "arena_bytes", 16_000),
    ("16KiB-arena", "arena_bytes", 16_384),
    ("1MB-arena", "arena_bytes", 10**6),
    ("0.5MiB-arena", "arena_bytes", 2**19),
    ("1GB-arena", "arena_bytes", 10**9),
    ("1GiB-arena", "arena_bytes", 2**30),
]


@pytest.mark.parametrize(("text", "resource", "upper"), UNITS)
def test_every_unit_in_any_case_and_spacing(text: str, resource: str, upper: int) -> None:
    number = text.rstrip("".join(set(text) - set("0123456789.")))
    spaced = f"  {number} {text.removeprefix(number)}\t"
    for written in (text, text.upper(), text.lower(), text.swapcase(), spaced):
        assert bounds(written) == {resource: (None, upper)}, written


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("1e6FLOPs", 10**6),
        ("1E6FLOPs", 10**6),
        ("1.5e+3kFLOPs", 1_500_000),
        ("2500000e-3kFLOPs", 2_500_000),
        (".5MFLOPs", 500_000),
        ("+1MFLOPs", 10**6),
        ("1_000_000FLOPs", 10**6),
        ("0.0000029MFLOPs", 2),
        ("0.3GFLOPs", 300_000_000),
        ("1.1kFLOPs", 1_100),
        ("1000000000GFLOPs", 10**18),
        ("123456789012345678FLOPs", 123_456_789_012_345_678),
        ("0.999999999999999999999999999999999kFLOPs", 999),
    ],
)
def test_numbers_as_people_write_them(text: str, upper: int) -> None:
    assert bounds(text) == {"macs": (None, upper)}


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("0.9..1MFLOPs", (900_000, 10**6)),
        ("0.9 .. 1 MFLOPs", (900_000, 10**6)),
        ("900kFLOPs..1MFLOPs", (900_000, 10**6)),
        ("900kMACs..1MFLOPs", (900_000, 10**6)),
        ("0.5MFLOPs..1", (500_000, 10**6)),
        (".5...9MFLOPs", (500_000, 900_000)),
        ("1..1FLOPs", (1, 1)),
        ("1.5..2.5FLOPs", (2, 2)),
        ("0.0000011..0.0000029MFLOPs", (2, 2)),
    ],
)
def test_ranges_are_rounded_inwards(text: str, bound: tuple[int, int]) -> None:
    assert bounds(text) == {"macs": bound}


PREFIXES = st.sampled_from([("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9)])


@given(st.integers(1, 10**8), st.integers(0, 6), st.integers(0, 9 * 10**8), PREFIXES)
def test_limits_are_exact_integers(number: int, places: int, width: int, prefix: tuple[str, int]) -> None:
    low, high = (Fraction(n, 10**places) * prefix[1] for n in (number, number + width))
    texts = [f"{n // 10**places}.{n % 10**places:0{places}d}" if places else str(n) for n in (number, number + width)]
    lower, upper = -(-low.numerator // low.denominator), high.numerator // high.denominator
    if low >= 1 and lower <= upper:
        assert bounds(f"{texts[0]}..{texts[1]}{prefix[0]}FLOPs") == {"macs": (lower, upper)}
    if high >= 1:
        assert bounds(f"{texts[1]}{prefix[0]}FLOPs") == {"macs": (None, upper)}


def test_a_budget_has_one_limit_per_resource_in_a_fixed_order() -> None:
    text = "16kB-arena,64KiB-RAM, 1MFLOPs ,50kparams,128kB-flash,64KB"
    assert bounds(text) == {
        "macs": (None, 10**6),
        "params": (None, 50_000),
        "weight_bytes": (None, 64_000),
        "peak_bytes": (None, 65_536),
        "flash_bytes": (None, 128_000),
        "arena_bytes": (None, 16_000),
    }
    assert list(bounds(text)) == ["macs", "params", "weight_bytes", "peak_bytes", "flash_bytes", "arena_bytes"]
    assert Budget.parse(text) == Budget.parse("64KB,50kparams,1MFLOPs,128kB-flash,16kB-arena,64KiB-RAM")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("2MFLOPs,1MMACs", (None, 10**6)),
        ("0.1..2MFLOPs,0.5..3MFLOPs", (500_000, 2 * 10**6)),
        ("0.5..3MFLOPs,0.1..2MFLOPs", (500_000, 2 * 10**6)),
        ("0.5..3MFLOPs,1MFLOPs", (500_000, 10**6)),
        ("3MFLOPs,2MFLOPs,0.5..1MFLOPs", (500_000, 10**6)),
    ],
)
def test_limits_on_one_resource_intersect(text: str, bound: tuple[int | None, int]) -> None:
    assert bounds(text) == {"macs": bound}


EVERY_UNIT = (
    "FLOPs", "MACs", "params", "KB", "MB", "KiB", "MiB", "KB-RAM", "KiB-RAM", "KB-flash", "KiB-flash", "KB-arena",
    "KiB-arena",
)  # fmt: skip


@pytest.mark.parametrize("text", ["1M", "1", "1k", "1..2", "1..2M", "1MFLOPs,5k"])
def test_a_number_without_a_unit_is_refused_with_the_units(text: str) -> None:
    message = refusal(text)
    assert repr(text) in message
    assert f"'{text.lower().split(',')[-1]}' has no unit" in message.lower()
    assert all(unit in message for unit in EVERY_UNIT)


@pytest.mark.parametrize(
    "text",
    [
        "1TFLOPs", "1MFLOP/s", "1MHz", "1kmparams", "1bananas", "5KB-ROM", "5-RAM", "1MFLOPs-RAM", "5kbit",
        "1eFLOPs", "1..2MHz", "1MHz..2MFLOPs", "128kB-", "128kB-flash-arena", "128kB-flash-RAM", "128k-flash",
        "5-arena", "1kparams-arena", "128kBflash",
    ],
)  # fmt: skip
def test_an_unknown_unit_is_refused_with_the_known_units(text: str) -> None:
    message = refusal(text)
    assert f"unknown unit in {text!r}" in message
    assert all(unit in message for unit in EVERY_UNIT)


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("", ""), (" ", ""), ("1MFLOPs,", ""), (",1MFLOPs", ""), ("1MFLOPs,,1KB", ""), ("..", ".."),
        ("MFLOPs", "MFLOPs"),
        ("1MFLOPs 50kparams", "1MFLOPs 50kparams"), ("1MFLOPs KB", "1MFLOPs KB"), ("1 M FLOPs", "1 M FLOPs"),
        ("MFLOPs 1", "MFLOPs 1"), ("1.MFLOPs", "1.MFLOPs"), ("1,5MFLOPs,1,", "1"), ("nanFLOPs", "nanFLOPs"),
        ("infFLOPs", "infFLOPs"), ("--1MFLOPs", "--1MFLOPs"), ("1..2..3MFLOPs", "1..2..3MFLOPs"),
        ("1__0FLOPs", "1__0FLOPs"), ("0.9.5MFLOPs", "0.9.5MFLOPs"), ("١MFLOPs", "١MFLOPs"), ("<1MFLOPs", "<1MFLOPs"),
        ("1MFLOPs;50kparams", "1MFLOPs;50kparams"), ("0x10FLOPs", "0x10FLOPs"),
    ],
)  # fmt: skip
def test_unreadable_text_is_named(text: str, term: str) -> None:
    message = refusal(text)
    assert message.startswith(f"budget {text!r}: ")
    assert repr(term) in message
    assert all(unit in message for unit in EVERY_UNIT)


@pytest.mark.parametrize("value", [5, None, ["1MFLOPs"]])
def test_what_is_not_a_text_is_refused(value: Any) -> None:
    with pytest.raises(BudgetError, match=r"^budget: .* is not a text; write limits as in 1MFLOPs,50kparams$"):
        Budget.parse(value)


@pytest.mark.parametrize("text", ["..1MFLOPs", "1MFLOPs..", "0.9.. MFLOPs"])
def test_a_range_with_one_limit_is_refused_with_an_example(text: str) -> None:
    assert f"{text!r} has only one limit; write low..high, as in 0.9..1MFLOPs" in refusal(text)


@pytest.mark.parametrize(
    "text", ["0FLOPs", "-1MFLOPs", "-0.5KB", "0.1params", "1e-3kFLOPs,0B", "1e10GFLOPs", "9" * 50 + "B", "-1..1MFLOPs"]
)
def test_numbers_out_of_bounds_name_the_bounds(text: str) -> None:
    message = refusal(text)
    assert repr(text.split(",")[-1]) in message
    assert "at least 1 and at most 10^18 of its base unit" in message


@pytest.mark.parametrize(("text", "limits"), [("2..1MFLOPs", (2 * 10**6, 10**6)), ("1.2..1.8FLOPs", (2, 1))])
def test_limits_in_the_wrong_order_are_named(text: str, limits: tuple[int, int]) -> None:
    assert f"the lower limit {limits[0]} is above the upper limit {limits[1]}" in refusal(text)


def test_an_empty_intersection_names_both_limits() -> None:
    assert "the lower limit 2000000 is above the upper limit 1000000" in refusal("2..3MFLOPs,1MFLOPs")


def test_a_range_over_two_resources_is_refused() -> None:
    assert "the limits of '1kparams..1MFLOPs' have different units; use one unit" in refusal("1kparams..1MFLOPs")


@pytest.mark.parametrize(
    ("text", "name", "upper", "printed"),
    [
        ("5ms", "latency_us", 5_000, "5ms"),
        ("0.1 s", "latency_us", 100_000, "100ms"),
        ("100us", "latency_us", 100, "100us"),
        ("1.5MS-onnx", "onnx_latency_us", 1_500, "1.5ms-onnx"),
    ],
)
def test_a_latency_is_in_microseconds(text: str, name: str, upper: int, printed: str) -> None:
    budget = Budget.parse(text)
    assert budget.document() == {name: {"lower": None, "upper": upper}}
    assert str(budget) == printed
    assert [resource.name for resource in budget.latencies] == [name]
    assert Budget.parse(f"1MFLOPs,{text}").excess(Cost(macs=1)) == {"macs": 1e-6 - 1, name: math.inf}


def test_a_predicted_latency_is_admitted_up_to_its_limit() -> None:
    budget = Budget.parse("5ms")
    assert budget.admits(Cost(latency_us=5_000)) and not budget.admits(Cost(latency_us=5_001))
    assert not budget.admits(Cost(onnx_latency_us=1))


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        budget = Budget.parse(text)
    except BudgetError as error:
        assert repr(text) in str(error)
    else:
        assert all(1 <= limit.upper <= 10**18 for limit in budget.limits)


@given(
    st.lists(
        st.sampled_from(
            ["FLOPs", "params", "KiB", "ms", "-onnx", "KB-RAM", "-flash", "-arena", "..", *"019.eE+-_ kM,"]
        ),
        max_size=8,
    )
)
def test_pieces_of_budgets_are_read_or_refused(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        Budget.parse(text)
    except BudgetError as error:
        assert repr(text) in str(error)


def flops(macs: int, fvcore: int = 0, thop: int = 0) -> Cost:
    return Cost(macs=macs, fvcore=max(fvcore, macs), thop=max(thop, macs))


def test_a_flop_limit_holds_for_every_counter() -> None:
    budget = Budget.parse("100FLOPs")
    assert budget.admits(flops(100))
    for over in (flops(101), flops(90, fvcore=101), flops(90, thop=101)):
        assert not budget.admits(over)
        assert budget.excess(over) == {"macs": pytest.approx(0.01)}
        assert budget.used_share(over) == 1.01
    assert budget.excess(flops(50, fvcore=60, thop=80)) == {"macs": pytest.approx(-0.2)}


def test_a_lower_limit_holds_for_multiply_adds() -> None:
    budget = Budget.parse("80..100FLOPs")
    assert budget.admits(flops(80, thop=100))
    assert not budget.admits(flops(79, fvcore=90, thop=100))
    assert budget.excess(flops(60, thop=95)) == {"macs": 0.25}
    assert budget.excess(flops(90, thop=120)) == {"macs": pytest.approx(0.2)}


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("10params", "params"),
        ("10B", "weight_bytes_int8"),
        ("10B-RAM", "peak_activations"),
        ("10B-flash", "flash_bytes"),
        ("10B-arena", "arena_bytes"),
    ],
)
def test_each_other_limit_is_on_a_single_number(text: str, field: str) -> None:
    budget = Budget.parse(text)
    others = {name: 10**6 for name in Cost.__slots__ if name != field}
    assert budget.admits(Cost(**{field: 10}, **others))
    assert not budget.admits(Cost(**{field: 11}))


def test_a_budget_admits_what_all_of_its_limits_admit() -> None:
    budget = Budget.parse("100FLOPs,10params")
    assert budget.admits(Cost(macs=100, params=10))
    assert not budget.admits(Cost(macs=100, params=11))
    assert not budget.admits(Cost(macs=101, params=10))
    assert budget.excess(Cost(macs=50, params=15)) == {"macs": -0.5, "params": 0.5}
    assert budget.used_share(Cost(macs=95, params=6)) == 0.95


def test_one_above_the_largest_limit_is_not_admitted() -> None:
    budget = Budget.parse("1000000000GFLOPs")
    assert budget.admits(flops(10**18))
    assert not budget.admits(flops(10**18 + 1))


def test_one_below_a_large_lower_limit_is_not_admitted() -> None:
    budget = Budget.parse("1000000000..1000000000GFLOPs")
    assert not budget.admits(flops(10**18 - 1))


def test_the_document_is_in_base_units() -> None:
    assert Budget.parse("0.9..1MFLOPs,64KiB").document() == {
        "macs": {"lower": 900_000, "upper": 1_000_000},
        "weight_bytes": {"lower": None, "upper": 65_536},
    }


@pytest.mark.parametrize("text", ["128kB-flash", "16kB-arena", "1MFLOPs,128kB-flash,8..16kB-arena"])
def test_a_network_of_unknown_flash_and_arena_meets_no_limit_on_them(text: str) -> None:
    budget = Budget.parse(text)
    assert budget.limits_device
    assert not budget.admits(Cost())
    assert budget.used_share(Cost()) == math.inf
    assert max(budget.excess(Cost()).values()) == math.inf
    assert budget.admits(Cost(macs=1, flash_bytes=128_000, arena_bytes=16_000))


def test_a_budget_of_counts_does_not_need_flash_and_arena() -> None:
    budget = Budget.parse("1MFLOPs,50kparams,64KB,64KB-RAM")
    assert not budget.limits_device
    assert budget.admits(Cost())


def test_a_cost_prints_flash_and_arena_if_they_are_known() -> None:
    assert str(Cost(flash_bytes=87_096, arena_bytes=11_760)).endswith(", 87.1kB flash, 11.76kB arena")
    assert "flash" not in str(Cost())
    assert Cost(flash_bytes=1).document()["flash_bytes"] == 1
    assert Cost().document()["arena_bytes"] is None


@pytest.mark.parametrize(
    "text",
    [
        "1MFLOPs", "0.9..1MFLOPs", "65.536kB,1MFLOPs", "1MFLOPs,50kparams,64kB-RAM", "300B", "128kB-flash,16kB-arena",
        "64..128kB-flash",
    ],
)  # fmt: skip
def test_a_budget_prints_in_the_order_and_units_of_its_limits(text: str) -> None:
    assert set(str(Budget.parse(text)).split(",")) == set(text.split(","))


@given(
    st.integers(1, 10**18),
    st.integers(0, 10**18),
    st.booleans(),
    st.sampled_from(["FLOPs", "params", "B", "B-RAM", "B-flash", "B-arena"]),
)
def test_a_printed_budget_is_parsed_to_an_equal_one(number: int, more: int, is_range: bool, unit: str) -> None:
    upper = min(number + more, 10**18)
    budget = Budget.parse(f"{number}..{upper}{unit}" if is_range else f"{upper}{unit}")
    assert Budget.parse(str(budget)) == budget


COUNTS = set(Cost.__slots__) - {"flash_bytes", "arena_bytes", "latency_us", "onnx_latency_us"}
COSTS = st.builds(Cost, **dict.fromkeys(COUNTS, st.integers(0, 10**15)))


@given(COSTS, COSTS)
def test_costs_are_added_and_their_peak_is_the_larger_one(first: Cost, second: Cost) -> None:
    both = first + second
    for name in COUNTS - {"peak_activations"}:
        assert getattr(both, name) == getattr(first, name) + getattr(second, name)
    assert both.peak_activations == max(first.peak_activations, second.peak_activations)
    assert first + second == second + first
    assert first + Cost() == first


def test_flash_and_arena_of_parts_do_not_add_up() -> None:
    both = Cost(macs=1, flash_bytes=5, arena_bytes=5) + Cost(flash_bytes=5, arena_bytes=5)
    assert both == Cost(macs=1)


def test_a_long_text_is_refused_before_it_is_read():
    assert "longer than 1000 characters" in refusal("1" + " " * 40_000 + "a!")

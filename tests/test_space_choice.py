"""Which shipped space `--space auto` uses."""

from __future__ import annotations

import pytest

from lightcnn.budget import LATENCY_RESOURCES, MACS, RESOURCES, Budget, Limit
from lightcnn.data.sources.load import describe
from lightcnn.device_cost import device_cost
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.space_choice import (
    LARGEST_MICRO,
    LARGEST_MICRO_COST,
    LARGEST_MICRO_INPUT,
    SMALLEST_MOBILENET,
    choose_space,
    possible_spaces,
)

UNREAD = describe("some/folder")


def photos(size: int) -> tuple[int, int, int]:
    """Colour images of ten classes."""
    return 3, 10, size


@pytest.mark.parametrize(
    ("budget", "size", "name", "is_outside"),
    [
        ("1MFLOPs", 28, "micro", False),
        ("30MFLOPs", 224, "micro", False),
        ("31MFLOPs", 224, "mobilenet", False),
        ("31MFLOPs", 64, "mobilenet", False),
        ("31MFLOPs", 63, "micro", True),
        ("50kparams", 224, "micro", False),
        ("50kparams,100MFLOPs", 96, "mobilenet", False),
        ("10Mparams", 224, "mobilenet", False),
        ("10Mparams", 63, "micro", True),
        ("100MB", 28, "micro", True),
        ("1MB", 28, "micro", False),
        ("100MFLOPs,5kparams", 224, "micro", False),
        ("100MFLOPs,5kparams", 28, "micro", False),
        ("100MFLOPs,8kparams", 224, "mobilenet", False),
        ("100MFLOPs,20KB-RAM", 224, "micro", False),
        ("100MFLOPs,20KiB-RAM", 224, "mobilenet", False),
        ("100MFLOPs,8KB", 224, "micro", False),
        ("100MFLOPs,13kB-flash", 224, "micro", False),
        ("100MFLOPs,12kB-arena", 224, "micro", False),
        ("100MFLOPs,14kB-flash,13kB-arena", 224, "mobilenet", False),
        ("100MFLOPs,50ms,5kparams", 224, "micro", False),
        ("100MB", 64, "mobilenet", False),
        ("1MB", 224, "micro", False),
        ("1MB-RAM", 224, "mobilenet", False),
        ("10MB-flash,1MB-arena", 224, "mobilenet", False),
        ("10MB-flash,100kB-arena", 224, "micro", False),
        ("500ms", 224, "mobilenet", False),
        ("500ms-onnx", 28, "micro", False),
        ("500ms,50kparams", 224, "micro", False),
        ("500ms,10Mparams", 224, "mobilenet", False),
        ("500ms,10Mparams", 28, "micro", True),
        ("500ms,25MFLOPs", 224, "micro", False),
        ("4..5GFLOPs", 224, "mobilenet", False),
        ("5..6GFLOPs", 224, "micro", True),
        ("11..12GFLOPs", 224, "mobilenet", False),
        ("500..600MFLOPs", 64, "mobilenet", False),
        ("600..700MFLOPs", 64, "micro", True),
        ("600..700MFLOPs", 224, "mobilenet", False),
        ("10..11Mparams", 224, "mobilenet", False),
    ],
)
def test_the_space_follows_from_the_budget_and_the_size_of_the_images(
    budget: str, size: int, name: str, is_outside: bool
) -> None:
    chosen = choose_space(Budget.parse(budget), photos(size))
    assert (chosen.name, chosen.is_outside) == (name, is_outside)
    assert [warning.code for warning in chosen.warnings()] == ["budget_above_space"] * is_outside


@pytest.mark.parametrize(
    ("budget", "size", "asked", "name", "is_outside"),
    [
        ("25MFLOPs", 224, 96, "mobilenet", False),
        ("25MFLOPs", 28, 96, "mobilenet", False),
        ("25MFLOPs", 224, 65, "mobilenet", False),
        ("25MFLOPs", 224, 64, "micro", False),
        ("50kparams", 224, 96, "mobilenet", False),
        ("10Mparams", 28, 64, "mobilenet", False),
        ("10Mparams", 224, 48, "micro", True),
        ("31MFLOPs", 28, 64, "mobilenet", False),
        ("31MFLOPs", 224, 48, "micro", True),
        ("31MFLOPs,5kparams", 224, 64, "micro", False),
        ("600..700MFLOPs", 224, 64, "micro", True),
        ("300..350MFLOPs", 224, 64, "mobilenet", False),
        ("31MFLOPs,5kparams", 224, 96, "mobilenet", False),
    ],
)
def test_an_input_size_that_is_given_decides_in_place_of_that_of_the_images(
    budget: str, size: int, asked: int, name: str, is_outside: bool
) -> None:
    chosen = choose_space(Budget.parse(budget), photos(size), asked)
    assert (chosen.name, chosen.is_outside) == (name, is_outside)
    inputs = SearchSpace.load(name).size
    assert inputs[0] <= asked <= inputs[-1]


def test_the_reason_names_the_input_size() -> None:
    small, large = Budget.parse("25MFLOPs"), Budget.parse("31MFLOPs")
    over, least = "the budget is over 30 MFLOPs", "have 48 pixels, and the smallest input of mobilenet is 64"
    assert choose_space(small, photos(28), 96).reason == "inputs have 96 pixels, and the largest input of micro is 64"
    assert choose_space(large, photos(224), 48).reason == f"{over}, inputs {least}"
    assert choose_space(large, photos(48)).reason == f"{over}, images {least}"


@pytest.mark.parametrize(
    ("budget", "size", "reason"),
    [
        ("50kparams", 224, ", and networks of micro with 30 MFLOPs need more than half of it"),
        (
            "10Mparams", 224,
            ", networks of micro with 30 MFLOPs need at most half of it, and images have 64 pixels or more",
        ),
        (
            "10Mparams", 28,
            ", networks of micro with 30 MFLOPs need at most half of it, images have 28 pixels, and the smallest input "
            "of mobilenet is 64",
        ),
        ("500ms", 224, ", and images have 64 pixels or more"),
        ("500ms", 28, ", images have 28 pixels, and the smallest input of mobilenet is 64"),
    ],
)  # fmt: skip
def test_the_reason_of_a_budget_without_flops_states_what_was_compared(budget: str, size: int, reason: str) -> None:
    assert choose_space(Budget.parse(budget), photos(size)).reason == f"the budget does not limit FLOPs{reason}"


@pytest.mark.parametrize(
    ("budget", "classes", "needs"),
    [
        ("100MFLOPs,5kparams", 10, "7430 params, over the limit of 5000"),
        ("100MFLOPs,20KB-RAM", 10, "20480 B of int8 activations, over the limit of 20000"),
        ("100MFLOPs,50kparams", 1_000, "71780 params, over the limit of 50000"),
    ],
)
def test_micro_is_chosen_if_the_smallest_network_of_mobilenet_exceeds_a_limit(
    budget: str, classes: int, needs: str
) -> None:
    chosen = choose_space(Budget.parse(budget), (3, classes, 224))
    assert (chosen.name, chosen.reason) == ("micro", f"the smallest network of mobilenet needs {needs}")


def test_micro_is_chosen_if_only_its_networks_reach_a_lower_limit() -> None:
    chosen = choose_space(Budget.parse("5..6GFLOPs"), photos(224))
    reason = "the largest network of mobilenet has 4287397376 FLOPs, below the lower limit of 5000000000"
    assert (chosen.name, chosen.reason) == ("micro", reason)
    micro = SearchSpace.load("micro").for_data(*photos(224))
    assert 5e9 <= BudgetedSpace(micro, Budget.parse("5..6GFLOPs")).fit(micro.largest()).cost.macs <= 6e9


def test_the_network_of_mobilenet_with_the_fewest_macs_is_its_smallest_by_every_resource() -> None:
    space = SearchSpace.load("mobilenet")
    smallest = device_cost(space.spec(space.smallest()))
    for resource in RESOURCES.values():
        if resource not in LATENCY_RESOURCES:
            least = device_cost(space.spec(space.smallest(resource.largest_count, device_cost)))
            assert resource.largest_count(smallest) == resource.largest_count(least)


@pytest.mark.parametrize(
    ("budget", "asked", "names"),
    [
        ("1MFLOPs", None, ("micro",)),
        ("100MFLOPs", None, ("mobilenet", "micro")),
        ("100MFLOPs,5kparams", None, ("micro",)),
        ("100MFLOPs", 48, ("micro",)),
        ("100MFLOPs,50kparams", 64, ("mobilenet", "micro")),
        ("100MFLOPs", 96, ("mobilenet",)),
    ],
)
def test_before_images_are_read_every_space_is_possible_that_they_may_lead_to(
    budget: str, asked: int | None, names: tuple[str, ...]
) -> None:
    limits = Budget.parse(budget)
    assert possible_spaces(limits, UNREAD, asked) == names
    read = [(channels, classes, size) for channels in (1, 3) for classes in (2, 9_999) for size in (8, 63, 64, 224)]
    assert {choose_space(limits, images, asked).name for images in read} == set(names)


def test_the_largest_costs_are_those_of_the_first_networks_with_30_megaflops() -> None:
    micro = SearchSpace.load("micro")
    bounded = BudgetedSpace(micro, Budget((Limit(MACS, LARGEST_MICRO),)), micro.size[-1])
    fitted = [bounded.fit(shape) for shape in bounded.start_shapes()]
    costs = [device_cost(candidate.spec) for candidate in fitted if candidate is not None]
    assert len(costs) == 2
    for name in ("params", "weight_bytes_int8", "peak_activations", "flash_bytes", "arena_bytes"):
        assert getattr(LARGEST_MICRO_COST, name) == pytest.approx(max(getattr(cost, name) for cost in costs), rel=0.01)


def test_the_sizes_are_those_of_the_spaces() -> None:
    assert SearchSpace.load("micro").size[-1] == LARGEST_MICRO_INPUT
    assert SearchSpace.load("mobilenet").size[0] == SMALLEST_MOBILENET

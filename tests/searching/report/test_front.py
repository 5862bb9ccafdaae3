"""What is drawn beside a Pareto front: MicroMPoxNet, at its cost as published."""

from __future__ import annotations

import pytest

from lightcnn.budget import ARENA_BYTES, FLASH_BYTES, LATENCY_RESOURCES, MACS, PARAMS, Resource
from lightcnn.searching.report.front import reference_count


@pytest.mark.parametrize(
    ("resource", "count"),
    [(MACS, 458.3e6), (PARAMS, 629.7e3), (FLASH_BYTES, 673.8e3), (ARENA_BYTES, 528_448)],
)
def test_micrompoxnet_is_marked_at_the_cost_of_its_spec_and_its_generated_c(resource: Resource, count: float) -> None:
    assert reference_count(resource) == pytest.approx(count, rel=0.001)


def test_it_is_not_marked_for_a_latency_which_would_have_to_be_measured() -> None:
    assert [reference_count(resource) for resource in LATENCY_RESOURCES] == [None, None]

"""What is drawn beside a Pareto front: MicroMPoxNet, at its cost as published."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lightcnn.budget import ARENA_BYTES, FLASH_BYTES, LATENCY_RESOURCES, MACS, PARAMS, Resource
from lightcnn.errors import LightcnnError
from lightcnn.searching.report.front_neighbours import reference_cost
from lightcnn.spec import NetworkSpec


@pytest.mark.parametrize(
    ("resource", "count"),
    [(MACS, 458.3e6), (PARAMS, 629.7e3), (FLASH_BYTES, 673.8e3), (ARENA_BYTES, 528_448)],
)
def test_micrompoxnet_is_marked_at_the_cost_of_its_spec_and_its_generated_c(resource: Resource, count: float) -> None:
    assert reference_cost(resource) == pytest.approx(count, rel=0.001)


def test_its_time_is_measured_and_unknown_where_it_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(networks: Sequence[NetworkSpec], runtime: str, *_: object, seconds: float) -> list[float]:
        if runtime == "onnx":
            raise LightcnnError("ONNX Runtime cannot run it")
        assert seconds <= 2 and networks[0].input == (3, 128, 128)
        return [41_234.56]

    monkeypatch.setattr("lightcnn.searching.latency.time_networks", timed)
    assert [reference_cost(resource) for resource in LATENCY_RESOURCES] == [41_234.6, None]

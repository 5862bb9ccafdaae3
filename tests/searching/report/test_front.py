"""What is drawn beside a Pareto front: MicroMPoxNet, at its cost as published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lightcnn.budget import ARENA_BYTES, FLASH_BYTES, LATENCY_RESOURCES, MACS, PARAMS, Resource
from lightcnn.errors import LightcnnError
from lightcnn.progress import no_progress
from lightcnn.recipe import Recipe
from lightcnn.searching.report.front_neighbours import reference_cost, timed_neighbours
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

    monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
    assert [reference_cost(resource) for resource in LATENCY_RESOURCES] == [41_234.6, None]


def test_trainings_that_cannot_be_timed_have_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One is of a network that PyTorch cannot run, one has a link in place of its spec."""
    network = Recipe.load("quick").network
    assert isinstance(network, NetworkSpec)
    for name in ("fails", "linked", "timed"):
        (tmp_path / name).mkdir()
    network.save(tmp_path / "timed" / "spec.yaml")
    network.model_copy(update={"input": (1, 64, 64)}).save(tmp_path / "fails" / "spec.yaml")
    (tmp_path / "linked" / "spec.yaml").symlink_to(tmp_path / "timed" / "spec.yaml")

    def timed(networks: Sequence[NetworkSpec], *_: object, seconds: float) -> list[float]:
        if networks[0].input == (1, 64, 64):
            raise RuntimeError("not enough memory")
        return [12.34]

    monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
    rows = timed_neighbours(
        [{"run": name} for name in ("fails", "linked", "timed")], tmp_path, LATENCY_RESOURCES[0], no_progress
    )
    assert rows == [{"run": "fails"}, {"run": "linked"}, {"run": "timed", "measured": {"latency_us": 12.3}}]

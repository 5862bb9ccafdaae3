"""Predicted latency: features add up over parts, and rates turn them into microseconds."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from lightcnn import NetworkSpec, Recipe, SearchSpace
from lightcnn.block_specs import ConvBlock
from lightcnn.budget import Cost
from lightcnn.cost import cost
from lightcnn.latency_model import LatencyModel, latency_features, with_latencies
from lightcnn.program import head_program, part_program, program
from lightcnn.spec import HeadSpec


def test_features_of_a_network_are_the_sums_of_its_parts() -> None:
    space = SearchSpace.load("micro")
    network, parts = space.spec_with_parts(space.largest())
    total, shape = latency_features(program(network)), network.input
    for part in parts:
        steps = part_program(part.blocks, shape)
        total.subtract(latency_features(steps))
        shape = steps.shapes[steps.output]
    total.subtract(latency_features(head_program(network, shape)))
    assert set(total.values()) == {0}


def test_features_count_calls_and_multiply_adds() -> None:
    network = Recipe.load("quick").network
    features, steps = latency_features(program(network)), program(network).steps
    assert features["all calls"] - features["function calls"] == len(steps) - 1  # but the normalisation of the input
    assert features["all macs"] == cost(network).macs
    for total in ("calls", "macs", "elements", "groups"):
        kinds = [count for name, count in features.items() if name.endswith(f" {total}") and name != f"all {total}"]
        assert sum(kinds) == features[f"all {total}"] > 0


def test_convolutions_that_pytorch_computes_differently_are_of_different_kinds() -> None:
    def kinds(size: int, kernel: int) -> set[str]:
        last = (ConvBlock(width=8, kernel=1, groups=2),)
        blocks = (ConvBlock(width=8, kernel=kernel),)
        network = NetworkSpec(input=(3, size, size), stem=blocks, stages=last, head=HeadSpec(), classes=2)
        names = {name for name in latency_features(program(network)) if name.endswith(" macs")} - {"all macs"}
        return {name.removesuffix(" macs") for name in names}

    assert kinds(32, 3) == {"small-conv", "small-grouped", "dense"}  # 3 * 32 * 32 elements
    assert kinds(96, 3) == {"conv", "grouped", "dense"}
    assert kinds(32, 5) == {"conv", "small-grouped", "dense"}
    assert kinds(32, 1) == {"small-pointwise", "small-grouped", "dense"}


def test_a_prediction_is_the_sum_of_rates_times_features() -> None:
    model = LatencyModel(runtime="onnx", rates={"a calls": 2.0, "b macs": 0.5}, error=0.25, networks=3)
    assert model.predict({"a calls": 3, "b macs": 4, "unknown calls": 100}) == 8
    assert model.bound({"a calls": 3, "b macs": 4}) == 10
    assert model.resource == "onnx_latency_us"


def test_times_of_a_cost_are_rounded_up() -> None:
    total = with_latencies(Cost(macs=5), {"latency_us": 10.2})
    assert (total.macs, total.latency_us, total.onnx_latency_us) == (5, 11, None)
    assert total.document()["latency_us"] == 11 and "onnx_latency_us" not in total.document()


@pytest.mark.parametrize(
    "changes", [{"error": -0.1}, {"rates": {"a": -1.0}}, {"networks": 0}, {"runtime": "eager"}, {"rates": {"a": 1e300}}]
)
def test_impossible_models_are_refused(changes: dict[str, object]) -> None:
    values = {"runtime": "folded", "rates": {"a": 1.0}, "error": 0.1, "networks": 3} | changes
    with pytest.raises(ValidationError):
        LatencyModel.model_validate(values)

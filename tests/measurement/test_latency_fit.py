"""Rates are found from times, and the error is that of networks that were left out."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from lightcnn import Budget, NetworkSpec, SearchSpace
from lightcnn.latency_model import latency_features
from lightcnn.measurement.latency_fit import fit_latency, rough_time, time_networks
from lightcnn.program import program
from lightcnn.searching.budgeted_space import BudgetedSpace

RATES = {"small-pointwise macs": 0.001, "depthwise calls": 40.0, "small-conv calls": 25.0, "dense calls": 9.0}


@pytest.fixture(scope="module")
def networks() -> list[NetworkSpec]:
    """Forty networks of three sizes."""
    random, spaces = (
        Random(0),
        [BudgetedSpace(SearchSpace.load("micro"), Budget.parse(f"{n}kFLOPs")) for n in (200, 600)],
    )
    return [space.candidate(space.draw(random), random).spec for _ in range(20) for space in spaces]


def made_up(network: NetworkSpec) -> float:
    features = latency_features(program(network))
    return sum(rate * features[name] for name, rate in RATES.items())


def test_exact_times_are_predicted_exactly(networks: list[NetworkSpec]) -> None:
    model = fit_latency(networks, [made_up(network) for network in networks], "folded")
    assert model.error < 1e-6
    for network in networks:
        assert model.predict(latency_features(program(network))) == pytest.approx(made_up(network), rel=1e-6)


def test_the_error_is_about_that_of_other_networks(networks: list[NetworkSpec]) -> None:
    generator = np.random.default_rng(1)
    times = [made_up(network) * generator.uniform(0.8, 1.2) for network in networks]
    model = fit_latency(networks[:30], times[:30], "folded")
    assert 0.1 < model.error < 0.4  # nine in ten of the factors are within 0.18 of 1


@pytest.mark.parametrize("seed", range(3))
def test_nine_in_ten_networks_are_within_the_bound_however_much_times_vary(
    networks: list[NetworkSpec], seed: int
) -> None:
    factors = np.random.default_rng(seed).lognormal(0, 1, len(networks))
    times = [made_up(network) * factor for network, factor in zip(networks, factors, strict=True)]
    model = fit_latency(networks, times, "folded")
    bounds = [model.bound(latency_features(program(network))) for network in networks]
    assert np.mean(np.array(times) <= bounds) >= 0.85


def test_networks_are_timed_with_one_thread(networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.measurement.latency.MAX_WARM_RUNS", 3)
    before, steps = torch.get_num_threads(), []
    times = time_networks(networks[:2], "folded", lambda step, done, total: steps.append(step))
    assert len(times) == 2 and all(10 < time < 1e6 for time in times)
    assert rough_time(networks[0], "folded") > 10
    assert torch.get_num_threads() == before
    assert "preparing networks" in steps

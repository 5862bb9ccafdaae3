"""Rates are found from times, and the error is that of networks that were left out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random

import numpy as np
import pytest
import torch
from torch import nn

from lightcnn import BaselineSpec, Budget, NetworkSpec, SearchSpace
from lightcnn.latency_model import latency_features
from lightcnn.measurement import latency_fit
from lightcnn.measurement.latency import TimedModel, measure_rounds
from lightcnn.measurement.latency_fit import (
    MAX_MISSED,
    MAX_WINDOWS,
    NetworkTimer,
    fit_latency,
    least_median,
    time_networks,
)
from lightcnn.program import program
from lightcnn.progress import no_progress
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


def test_a_baseline_is_timed_with_folded_norms(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, real = list[object](), latency_fit.timed_models

    def timed(model: nn.Module, foldable: Sequence[object], *rest: object, **named: object) -> object:
        pairs.extend(foldable)
        return real(model, foldable, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(latency_fit, "timed_models", timed)
    baseline = BaselineSpec(baseline="timm:test_efficientnet", input=(1, 32, 32), classes=2)
    (microseconds,) = time_networks([baseline], "folded", seconds=0.01)
    assert microseconds > 0 and len(pairs) > 5


def test_networks_of_a_search_are_timed_in_onnx_runtime(networks: list[NetworkSpec]) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    timer = NetworkTimer("onnx")
    rough = [timer.add(network) for network in networks[:3]]
    measured = timer.times(no_progress)
    assert len(measured) == 3 and min(*rough, *measured) > 0
    model = fit_latency(networks[:3], measured, "onnx")
    assert model.runtime == "onnx" and model.predict(latency_features(program(networks[0]))) > 0


def test_exact_times_are_predicted_exactly_without_a_penalty(networks: list[NetworkSpec]) -> None:
    model = fit_latency(networks, [made_up(network) for network in networks], "folded", penalty=0.0)
    assert model.error < 1e-6
    for network in networks:
        assert model.predict(latency_features(program(network))) == pytest.approx(made_up(network), rel=1e-6)


def test_a_kind_that_was_not_timed_takes_as_long_as_the_others(networks: list[NetworkSpec]) -> None:
    model = fit_latency(networks, [made_up(network) for network in networks], "folded")
    assert not any(name.startswith("scale-2d") for name in model.rates)
    assert model.predict({"scale-2d calls": 10, "all calls": 10}) == 10 * model.rates["all calls"] > 0


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
    assert torch.get_num_threads() == before
    assert "preparing networks" in steps


def test_a_timer_times_roughly_while_it_prepares_and_all_in_turns_in_the_end(
    networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = iter([slowed(100.0, [2.0] * 7 + [1.0] * 21), slowed(300.0, [1.0])])
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: next(ready))
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ROUGH_SECONDS", 0.0)  # three rounds
    monkeypatch.setattr("lightcnn.measurement.latency_fit.MAX_ROUNDS", 10)
    timer, before = NetworkTimer("folded"), torch.get_num_threads()
    assert timer.runtime == "folded"
    assert [timer.add(network) for network in networks[:2]] == pytest.approx([200.0, 300.0])
    assert timer.times(no_progress) == pytest.approx([100.0, 300.0])
    assert timer.times(no_progress, seconds=0.0)[1] == pytest.approx(300.0)
    assert torch.get_num_threads() == before


def test_the_first_of_two_short_runs_only_warms_the_caches(
    networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = iter([slowed(100.0, [1.0, *[3.0, 1.0] * 10]), slowed(20_000.0, [1.0])])
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: next(ready))
    monkeypatch.setattr("lightcnn.measurement.latency_fit.MAX_ROUNDS", 10)
    assert time_networks(networks[:2], "folded") == pytest.approx([100.0, 20_000.0])


def slowed(microseconds: float, slowdowns: Sequence[float]) -> TimedModel:
    """A network that takes so long on a quiet machine, on one that is slowed down by these factors, in turn."""
    factors = itertools.cycle(slowdowns)
    return TimedModel("folded", "contiguous", "cpu", 1, lambda: microseconds / 1000 * next(factors), lambda: 1.0)


def test_only_rounds_of_a_quiet_machine_count(networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [1.0, *(factor for factor in (1.0, *[2.0] * 4, 1.02, 1.0, 1.01, 1.04, 1.03) for _ in range(2))]
    ready = iter([slowed(100.0, busy), slowed(300.0, busy)])
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: next(ready))
    monkeypatch.setattr("lightcnn.measurement.latency_fit.MAX_ROUNDS", 10)
    assert time_networks(networks[:2], "folded") == pytest.approx([102.0, 306.0])


def test_the_least_median_is_little_below_the_typical_time() -> None:
    times = np.random.default_rng(0).lognormal(0, 0.05, 50)
    assert 0.93 < least_median(times.tolist()) < 1.0
    assert least_median([3.0, 1.0, 2.0]) == 2.0


def count_windows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets the number of networks of each window, of ten rounds and without pauses."""
    windows: list[int] = []

    def counted(models: Sequence[TimedModel], *rest: object, **options: object) -> list[list[float]]:
        windows.append(len(models))
        return measure_rounds(models, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("lightcnn.measurement.latency_fit.measure_rounds", counted)
    monkeypatch.setattr("lightcnn.measurement.latency_fit.MAX_ROUNDS", 10)
    monkeypatch.setattr("lightcnn.measurement.latency_fit.PAUSE_SECONDS", 0.0)
    return windows


def test_all_are_timed_again_if_one_is_over_the_limit_and_not_hopeless(
    networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = count_windows(monkeypatch)
    factors = [2.0] * 42 + [1.0] * 20
    ready = iter([slowed(50.0, factors), slowed(130.0, factors), slowed(900.0, [1.0])])
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: next(ready))
    assert time_networks(networks[:3], "folded", no_progress, 150) == pytest.approx([50.0, 130.0, 900.0])
    assert len(windows) == 3


def test_a_network_that_stays_over_the_limit_is_not_timed_forever(
    networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = count_windows(monkeypatch)
    ready = iter([slowed(100.0, [1.0]), slowed(200.0, [1.0])])
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: next(ready))
    assert time_networks(networks[:2], "folded", no_progress, 150) == pytest.approx([100.0, 200.0])
    assert len(windows) == MAX_WINDOWS


def test_networks_are_timed_for_longer_if_all_are_over_the_limit(
    networks: list[NetworkSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = count_windows(monkeypatch)
    monkeypatch.setattr("lightcnn.measurement.latency_fit.ready_network", lambda *_: slowed(200.0, [1.0]))
    assert time_networks(networks[:2], "folded", no_progress, 150) == pytest.approx([200.0, 200.0])
    assert len(windows) == MAX_MISSED

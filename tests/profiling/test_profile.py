"""lightcnn.profile: any module or spec, which stays unchanged, also after an exception."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers.model_state import full_state, same_state
from helpers.models import (
    SHAPE,
    Failing,
)
from helpers.profile_rows import rows
from rich.console import Console
from torch import nn

import lightcnn
from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.counting.trace import trace
from lightcnn.errors import InputError
from lightcnn.profiling.profile import profile
from lightcnn.recipe import Recipe


def network() -> nn.Module:
    """A model with a dropout, a lazy layer and a hook."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(2, *SHAPE))
    model[0].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("work", [count, trace, lambda model, shape: profile(model, shape, latency=True)])
def test_the_model_is_unchanged(work: Callable[..., Any], training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.measurement.latency.MAX_ROUNDS", 2)
    monkeypatch.setattr("lightcnn.measurement.latency.MIN_ROUNDS", 2)
    model = network().train(training)
    unchanged, threads = copy.deepcopy(model).eval(), torch.get_num_threads()
    before = full_state(model)
    work(model, SHAPE)
    assert same_state(full_state(model), before)
    assert torch.get_num_threads() == threads
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model.eval()(x), unchanged(x))


@pytest.mark.parametrize("work", [count, trace, profile])
def test_the_model_is_unchanged_when_the_model_raises(work: Callable[..., Any]) -> None:
    model = Failing().train()
    before = full_state(model)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        work(model, SHAPE)
    assert same_state(full_state(model), before)


def test_efficiencies_are_defined_as_in_the_paper() -> None:
    first, second, empty = rows()
    assert first["accuracy_per_second"] == pytest.approx(90 / 0.002)
    assert first["accuracy_per_megabyte"] == pytest.approx(90 / (first["keras_adam_bytes"] / 1e6))
    statistics = first["params_with_buffers"] - first["params"]
    assert first["keras_adam_bytes"] == 12 * first["params"] + 4 * statistics
    assert empty["accuracy_per_second"] is empty["latency_ms"] is empty["accuracy"] is None
    assert second["latency_ms"].keys() >= {"median", "p95", "iqr", "runs", "threads", "runtime"}


def test_python_profiles_any_module_and_spec() -> None:
    result = lightcnn.profile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), input=(3, 8, 8))
    assert (result.count.macs, result.input, result.count.params) == (36 * 108, (3, 8, 8), 112)
    assert "3.888k" in str(result) and "3.888k" in result._repr_html_()
    console = Console(record=True, width=200)
    console.print(result)
    assert "3.888k" in console.export_text()
    assert lightcnn.profile(Recipe.load("quick").network).count.macs == cost(Recipe.load("quick").network).macs

"""Networks are timed in PyTorch and in ONNX Runtime."""

from __future__ import annotations

import itertools
import time

import pytest
import torch

from lightcnn.baselines import build_network
from lightcnn.counting.copies import eval_copy
from lightcnn.counting.count import count
from lightcnn.counting.folding import foldable_pairs
from lightcnn.counting.trace import trace
from lightcnn.measurement import latency, runtimes
from lightcnn.measurement.latency import measure
from lightcnn.measurement.runtimes import timed_models
from lightcnn.network import fold
from lightcnn.progress import no_progress
from lightcnn.recipe import Recipe


def test_a_network_is_timed_in_both_runtimes_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)
    spec = Recipe.load("quick").network
    model = build_network(spec, 0)
    counts = count(model, spec.input)
    ready = timed_models(
        model, counts.pairs, spec.input, runtimes=("folded", "eager"), device=torch.device("cpu"), batch=2, threads=1
    )
    latencies = measure(ready, seconds=5, threads=1, progress=no_progress)
    assert [result.runtime for result in latencies] == ["folded", "eager"]
    assert all(result.median > 0 and result.runs == 3 and result.images_per_second > 0 for result in latencies)
    assert {result.layout for result in latencies} <= {"contiguous", "channels_last"}


def test_the_faster_layout_is_chosen_though_the_machine_is_slower_for_a_while() -> None:
    for faster, slower in itertools.permutations((torch.contiguous_format, torch.channels_last)):
        slowdown = itertools.chain([5.0] * 6, itertools.repeat(1.0))
        times = {slower: 1.2, faster: 1.0}
        runs = {layout: lambda each=each, factors=slowdown: each * next(factors) for layout, each in times.items()}
        assert runtimes._fastest(runs) is faster


def test_what_is_timed_was_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    warmed = []
    monkeypatch.setattr(runtimes, "warm_up", warmed.append)
    spec = Recipe.load("quick").network
    (ready,) = timed_models(
        build_network(spec, 0), (), spec.input, runtimes=("eager",), device=torch.device("cpu"), batch=2, threads=1
    )
    assert len(warmed) == 2 and ready.run in warmed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_times_are_those_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 5)
    monkeypatch.setattr(latency, "MIN_ROUNDS", 5)
    spec, device = Recipe.load("quick").network, torch.device("cuda")
    model = build_network(spec, 0)
    counts = count(model, spec.input)
    (ready,) = timed_models(model, counts.pairs, spec.input, runtimes=("folded",), device=device, batch=2, threads=1)
    start = time.perf_counter()
    milliseconds = ready.run()
    assert 0 < milliseconds <= 1000 * (time.perf_counter() - start)
    (result,) = measure([ready], seconds=1, threads=1, progress=no_progress)
    assert (result.device, result.runtime, result.runs) == ("cuda", "folded", 5)
    assert result.median > 0 and result.images_per_second > 0
    assert next(model.parameters()).device.type == "cpu"


def test_differing_outputs_of_onnx_runtime_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package)
    from lightcnn.onnxfiles.write import onnx_bytes

    spec = Recipe.load("quick").network
    model = build_network(spec, 0)
    other = onnx_bytes(fold(build_network(spec, 1)), spec.input)
    options = {"runtimes": ("onnx",), "device": torch.device("cpu"), "batch": 2, "threads": 1}
    pairs = foldable_pairs(model, trace(model, spec.input))
    (same,) = timed_models(eval_copy(model), pairs, spec.input, **options)  # type: ignore[arg-type]
    assert same.note == ""
    monkeypatch.setattr(runtimes, "onnx_bytes", lambda *_: other)
    (wrong,) = timed_models(model, (), spec.input, **options)  # type: ignore[arg-type]
    assert "ONNX Runtime's outputs differ from torch's by up to" in wrong.note

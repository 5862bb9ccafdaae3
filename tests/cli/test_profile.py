"""Profiles: counts that are known to be true, copies that leave no trace, rows that add up, times, tables, charts."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers.model_state import full_state, same_state
from helpers.paths import DOCS, GOLDEN
from helpers.specs import random_spec
from matplotlib.text import Text
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, flop_registry

import lightcnn
from lightcnn.baseline_spec import BASELINES, BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.cli import main
from lightcnn.cost import cost
from lightcnn.counting.count import Count, count
from lightcnn.counting.folding import fold_pairs, foldable_pairs, unfolded_norms
from lightcnn.counting.liveness import liveness, moved_bytes, peak
from lightcnn.counting.sizes import saved_bytes
from lightcnn.counting.trace import trace
from lightcnn.errors import InputError, LightcnnError
from lightcnn.measurement import latency
from lightcnn.measurement.latency import Latency, TimedModel, measure
from lightcnn.measurement.memory import spec_memory
from lightcnn.measurement.runtimes import timed_models
from lightcnn.network import build, fold
from lightcnn.output.figures import blank
from lightcnn.output.hotspots import label_points
from lightcnn.profiling import columns, job
from lightcnn.profiling.figures import draw_figures
from lightcnn.profiling.page import CAPTIONS, profile_page
from lightcnn.profiling.profile import Accuracy, Profile, file_notes, profile
from lightcnn.profiling.settings import Settings
from lightcnn.profiling.targets import find_targets
from lightcnn.recipe import Recipe
from lightcnn.spec import NetworkSpec
from lightcnn.weights import weights_file

SHAPE = (3, 12, 10)
TORCH_COUNTS_CPU_ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu in flop_registry
"""From torch 2.15 on."""
STATIC = (
    "params", "params_with_buffers", "params_deployed", "macs", "macs_as_given", "fvcore", "thop", "torch",
    "weight_bytes", "file_bytes", "keras_adam_bytes", "peak_activations", "peak_activation_bytes",
)  # fmt: skip


def bare(spec: Any) -> Any:
    """A network without values."""
    with torch.device("meta"):
        return build_network(spec, pretrained=False)


def timm(name: str, *, size: int = 224, classes: int = 1000) -> BaselineSpec:
    return BaselineSpec(baseline=f"timm:{name}", input=(3, size, size), classes=classes, head="own", dropout=0.0)


class Functional(nn.Module):
    """A convolution, a product and an attention that no module stands for, and one module that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.shared = nn.Conv2d(4, 4, 1, bias=False)
        self.up = nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.conv2d(x, self.weight, padding=1)
        x = self.up(self.shared(self.shared(x)))
        tokens = x.flatten(2)[..., :60].unsqueeze(1)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens) @ torch.ones(60, 7)


class Choosing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Asking(nn.Module):
    """Reads a value, but not of its image."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.tensor(3))
        self.conv = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(self.steps)):
            x = self.conv(x)
        return x


class AttentionOverValues(nn.Module):
    """Attention in a network that reads a value of its own, so that it is counted with values."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("heads", torch.tensor(3))
        self.conv = nn.Conv2d(3, 12, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(x).reshape(1, int(self.heads), 4, -1)
        return functional.scaled_dot_product_attention(tokens, tokens, tokens)


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        raise ZeroDivisionError(f"after {tuple(self.body(x).shape)}\nand more")


# Counting


@pytest.mark.parametrize(("name", "macs"), [("mobilenetv2", 300_774_272), ("resnet18", 1_814_073_344)])
def test_known_networks_have_their_known_multiply_adds(name: str, macs: int) -> None:
    model = bare(NetworkSpec.load(GOLDEN / f"{name}.yaml"))
    told = count(model, (3, 224, 224))
    assert (told.macs, told.macs_as_given, told.torch) == (macs, macs, 2 * macs)
    assert trace(model, (3, 224, 224), batch=4).macs == 4 * macs


def test_timms_mobilenetv2_is_the_same_network() -> None:
    model = bare(timm("mobilenetv2_100"))
    told = count(model, (3, 224, 224))
    assert (told.macs, told.unfolded) == (300_774_272, ())
    assert told.params == told.params_deployed + sum(
        m.num_features for m in model.modules() if "Norm" in type(m).__name__
    )


@pytest.mark.parametrize("seed", range(60))
def test_a_traced_spec_is_what_cost_says(seed: int) -> None:
    spec = random_spec(Random(seed))
    model, told = bare(spec), cost(spec)
    given, deployed = trace(model, spec.input), trace(fold(model), spec.input)
    assert given.macs == deployed.macs == told.macs
    assert peak(liveness(given)).elements == peak(liveness(deployed)).elements == told.peak_activations
    own = fold_pairs(model, foldable_pairs(model, given))
    assert [tuple(p.shape) for p in own.parameters()] == [tuple(p.shape) for p in fold(model).parameters()]


@pytest.mark.parametrize("seed", range(8))
def test_a_count_of_a_spec_is_its_cost_by_every_counter(seed: int) -> None:
    spec = random_spec(Random(seed))
    model, told = bare(spec), cost(spec)
    counted = count(model, spec.input, file_notes(model))
    assert counted.weight_bytes == {"fp32": told.weight_bytes_fp32, "int8": told.weight_bytes_int8}
    assert (counted.params, counted.params_with_buffers, counted.params_deployed) == (
        told.params, told.params_with_buffers, told.params_deployed,
    )  # fmt: skip
    assert counted.torch == 2 * told.macs
    assert counted.unfolded == ()
    assert counted.file_bytes == len(weights_file(build(spec, 0), spec, stand_in=False))
    require_sums(counted)


def require_sums(told: Count) -> None:
    """Layers add up to the network, and differences to what other counters print."""
    assert sum(layer.params for layer in told.layers) == told.params
    assert sum(layer.macs for layer in told.layers) == told.macs_as_given
    assert sum(layer.share for layer in told.layers) == pytest.approx(1 if told.macs else 0)
    assert max(layer.activation_bytes for layer in told.layers) >= told.peak_activation_bytes
    for name in ("fvcore", "thop", "torch"):
        total = getattr(told, name)
        assert total is not None, told.notes
        assert total == told.macs_as_given + sum(one.difference for one in told.differences if one.counter == name)


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "resnetv2_50", "convnext_tiny", "deit_tiny_patch16_224"])
def test_other_networks_add_up_as_well(name: str) -> None:
    from lightcnn.counting.other_tools import fvcore_total, thop_total

    model = bare(timm(name))
    told = count(model, (3, 224, 224))
    require_sums(told)
    assert (told.fvcore, told.thop) == (fvcore_total(model, (3, 224, 224)), thop_total(model, (3, 224, 224)))
    assert told.torch == 2 * told.macs
    assert told.peak_activation_bytes == 4 * told.peak_activations


def test_counters_need_no_values() -> None:
    from lightcnn.counting.other_tools import fvcore_operators, thop_modules, torch_operators

    spec = timm("mobilenetv2_100", size=64)
    model = build_network(spec, 0, pretrained=False)
    for counter in (fvcore_operators, thop_modules, torch_operators):
        assert counter(model, spec.input) == counter(bare(spec), spec.input)


def test_what_no_module_stands_for_is_counted() -> None:
    model = Functional()
    convolutions = 120 * 4 * 27 + 2 * 120 * 16 + 120 * 4 * 8
    attention = 2 * 2 * 2 * 60
    told = trace(model, SHAPE)
    assert told.macs == convolutions + attention + 2 * 60 * 7
    assert told.operators["convolution"] == convolutions
    assert count(model, SHAPE).torch == 2 * told.macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, *SHAPE))
    assert counter.get_total_flops() == 2 * (told.macs - (0 if TORCH_COUNTS_CPU_ATTENTION else attention))
    assert trace(model, SHAPE, batch=4).macs == 4 * told.macs
    rows = {row.name: row for row in count(model, SHAPE).layers}
    assert rows["shared"].macs == 2 * 120 * 16
    assert rows[""].macs == 120 * 4 * 27 + attention + 2 * 60 * 7
    assert rows[""].params == 4 * 27


def test_attention_that_torch_does_not_count_has_its_row_and_reason() -> None:
    """With values, attention runs as the CPU's fused operator, which torch's counter does not know before 2.15."""
    counted = count(AttentionOverValues(), SHAPE)
    fused = "_scaled_dot_product_flash_attention_for_cpu"
    require_sums(counted)
    convolution, attention = 12 * 27 * 120, 2 * 4 * 4 * 360
    assert counted.macs == convolution + attention
    assert [(row.where, row.ours, row.theirs, row.reason) for row in counted.differences if row.counter == "torch"] == [
        ("convolution", convolution, 2 * convolution, "a multiplication and an addition count as two"),
        (fused, attention, 2 * attention, "a multiplication and an addition count as two")
        if TORCH_COUNTS_CPU_ATTENTION
        else (fused, attention, 0, "does not know it"),
    ]


def test_a_network_that_reads_values_of_its_own_is_counted_with_them() -> None:
    assert trace(Asking(), SHAPE).macs == 3 * 9 * 120


def test_a_network_that_depends_on_its_image_has_no_count() -> None:
    with pytest.raises(InputError, match=r"depends on the values in its image \(_local_scalar_dense in its forward\)"):
        count(Choosing(), SHAPE)


@pytest.mark.parametrize(
    ("model", "reason"), [(Failing(), "ZeroDivisionError: after"), (nn.Linear(7, 2), "RuntimeError")]
)
def test_a_network_that_cannot_take_the_image_says_so_in_one_line(model: nn.Module, reason: str) -> None:
    with pytest.raises(InputError, match=rf"cannot take an image of 3×12×10: {reason}") as error:
        count(model, SHAPE)
    assert "\n" not in str(error.value)


def test_what_is_not_counted_is_listed() -> None:
    told = trace(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten()), SHAPE)
    assert set(told.operators) == {"convolution"}
    assert sum(told.uncounted.values()) == 2
    assert told.uncounted["relu"] == 1


# Memory


def test_the_peak_of_a_chain_is_its_widest_step() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Sigmoid())
    live = liveness(trace(chain, (3, 5, 5)))
    assert [one.elements for one in live] == [11 * 25, 8 * 25, 10 * 25, 2 * 25]
    assert peak(live).bytes == 4 * 11 * 25


def test_what_moves_is_what_is_read_and_written_but_in_place() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1), nn.Flatten())
    assert moved_bytes(trace(chain, (3, 5, 5))) == 4 * 25 * ((3 + 8) + (8 + 2))
    assert count(chain, (3, 5, 5)).moved_bytes == 4 * 25 * 21 + 4 * (24 + 8 + 16 + 2)


def test_what_is_read_again_is_held_and_what_nobody_reads_is_not_stored() -> None:
    class Skip(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            y = functional.max_pool2d(x, 2)
            return functional.relu(y) + y

    live = liveness(trace(Skip(), (1, 4, 4)))
    assert [one.elements for one in live] == [16 + 4, 4 + 4, 4 + 4 + 4]


# Copies


def network() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(2))
    model(torch.zeros(2, *SHAPE))
    model[0].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("work", [count, trace, lambda model, shape: profile(model, shape, latency=True)])
def test_a_profile_leaves_no_trace(work: Callable[..., Any], training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.measurement.latency.MAX_ROUNDS", 2)
    monkeypatch.setattr("lightcnn.measurement.latency.MIN_ROUNDS", 2)
    model = network().train(training)
    other, threads = copy.deepcopy(model).eval(), torch.get_num_threads()
    before = full_state(model)
    work(model, SHAPE)
    assert same_state(full_state(model), before)
    assert torch.get_num_threads() == threads
    x = torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(model.eval()(x), other(x))


@pytest.mark.parametrize("work", [count, trace, profile])
def test_a_profile_leaves_no_trace_when_the_model_raises(work: Callable[..., Any]) -> None:
    model = Failing().train()
    before = full_state(model)
    with pytest.raises(InputError, match="ZeroDivisionError"):
        work(model, SHAPE)
    assert same_state(full_state(model), before)


# Folding


@pytest.mark.parametrize(
    ("name", "left"), [("mobilenetv2_100", 0), ("tf_efficientnet_b0", 0), ("resnetv2_50", 17), ("legacy_xception", 0)]
)
def test_a_folded_network_answers_the_same(name: str, left: int) -> None:
    spec = timm(name, size=96, classes=5)
    model = build_network(spec, 0, pretrained=False).eval()
    random = torch.Generator().manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1, generator=random)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 1.5, generator=random)  # type: ignore[union-attr]
            part.weight.data.uniform_(0.5, 1.5, generator=random)
    deployed = fold_pairs(model, foldable_pairs(model, trace(model, spec.input)))
    x = torch.randn(1, *spec.input, generator=random)
    with torch.inference_mode():
        one, other = model(x), deployed(x)
    assert float((one - other).abs().max() / one.abs().max()) < 1e-4
    assert len(unfolded_norms(trace(deployed, spec.input))) == left
    if not left:
        assert not any(isinstance(part, nn.BatchNorm2d) for part in deployed.modules())


def test_a_norm_that_others_share_is_left() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

        def forward(self, x: Tensor) -> Tensor:
            y = self.conv(x)
            return self.norm(y) + y

    assert foldable_pairs(Twice(), trace(Twice(), SHAPE)) == []
    told = count(Twice(), SHAPE)
    assert told.unfolded == ("norm",)
    assert told.weight_bytes["int8"] == 9 + 4 * (3 + 6)


# Sizes and the golden file


def test_bytes_on_disk_of_any_module_are_those_of_its_file() -> None:
    from safetensors.torch import save

    from lightcnn.counting.sizes import SAFETENSORS_TYPES

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).double()
    assert saved_bytes(model.state_dict()) == len(save(dict(model.state_dict())))
    kinds = {f"tensor{place}": torch.zeros(place + 1, dtype=kind) for place, kind in enumerate(SAFETENSORS_TYPES)}
    header = json.loads(save(kinds)[8:].partition(b"}}")[0] + b"}}")
    assert list(header) == list(reversed(kinds))
    assert saved_bytes(kinds) == len(save(kinds))
    with pytest.raises(InputError, match=r"tensor w is torch\.complex128, which a safetensors file cannot hold"):
        saved_bytes({"w": torch.zeros(1, dtype=torch.complex128)})


def test_the_papers_networks_have_the_static_columns_of_the_golden_file(request: pytest.FixtureRequest) -> None:
    """`python -m pytest tests/test_profile.py -k golden --regenerate` writes it anew."""
    found = {}
    for one in find_targets((), baselines=False, input=None, accuracies={}):
        told = one.profile().count
        require_sums(told)
        row = told.document()
        found[one.name] = {name: row[name] for name in STATIC} | {"unfolded": len(row["unfolded"])}
    file = GOLDEN / "profile.json"
    if request.config.getoption("--regenerate"):
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(file.read_text(encoding="utf-8"))
    assert list(golden) == ["micrompoxnet", *BASELINES]
    assert found == golden


def test_the_golden_file_holds_the_papers_parameters() -> None:
    golden = json.loads((GOLDEN / "profile.json").read_text(encoding="utf-8"))
    assert len(golden) == 12
    for name, entry in BASELINES.items():
        assert golden[name]["params_with_buffers"] == entry.total
        assert entry.published is None or round(entry.total / 1e6, 2) == entry.published
    assert golden["micrompoxnet"]["params"] == 629_689
    assert golden["micrompoxnet"]["macs"] == 458_293_280
    for row in golden.values():
        assert row["torch"] == 2 * row["macs_as_given"]


# Time


def timed(values: list[float], log: list[str], name: str) -> TimedModel:
    left = iter(values)

    def run() -> float:
        log.append(name)
        return next(left)

    return TimedModel("folded", "contiguous", "cpu", 4, run, lambda: 8.0)


def quiet(*_: Any) -> None:
    """No progress."""


def test_rounds_are_interleaved_and_tell_median_spread_and_throughput() -> None:
    log: list[str] = []
    ready = [timed([*map(float, range(100, 111))], log, "a"), timed([5.0] * 10, log, "b")]
    first, second = measure(ready, seconds=0, threads=1, progress=quiet)
    assert log == ["a", "b"] * 10
    assert (first.median, first.runs, first.unstable) == (104.5, 10, False)
    assert first.p95 == pytest.approx(108.55)
    assert first.iqr == pytest.approx(5.5)
    assert (second.median, second.iqr, second.images_per_second) == (5.0, 0.0, 500.0)


def test_what_spreads_is_measured_again_and_marked_where_it_stays_so() -> None:
    log: list[str] = []
    wide = [1.0, 9.0] * 5
    ready = [timed(wide + [5.0] * 10, log, "calms"), timed(wide * 2, log, "stays"), timed([5.0] * 10, log, "calm")]
    calms, stays, calm = measure(ready, seconds=0, threads=1, progress=quiet)
    assert [one.unstable for one in (calms, stays, calm)] == [False, True, False]
    assert log.count("calms") == log.count("stays") == 20
    assert log.count("calm") == 10


def test_a_network_is_timed_in_both_runtimes_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)
    spec = Recipe.load("quick").network
    model = build_network(spec, 0)
    told = count(model, spec.input)
    ready = timed_models(
        model, told.pairs, spec.input, runtimes=("folded", "eager"), device=torch.device("cpu"), batch=2, threads=1
    )
    found = measure(ready, seconds=5, threads=1, progress=quiet)
    assert [one.runtime for one in found] == ["folded", "eager"]
    assert all(one.median > 0 and one.runs == 3 and one.images_per_second > 0 for one in found)
    assert {one.layout for one in found} <= {"contiguous", "channels_last"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_cuda_times_are_between_events(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(latency, "MAX_ROUNDS", 5)
    monkeypatch.setattr(latency, "MIN_ROUNDS", 5)
    spec, device = Recipe.load("quick").network, torch.device("cuda")
    model = build_network(spec, 0)
    told = count(model, spec.input)
    (ready,) = timed_models(model, told.pairs, spec.input, runtimes=("folded",), device=device, batch=2, threads=1)
    begin = time.perf_counter()
    within = ready.run()
    assert 0 < within <= 1000 * (time.perf_counter() - begin)
    (found,) = measure([ready], seconds=1, threads=1, progress=quiet)
    assert (found.device, found.runtime, found.runs) == ("cuda", "folded", 5)
    assert found.median > 0 and found.images_per_second > 0
    assert next(model.parameters()).device.type == "cpu"


def test_memory_is_measured_in_a_fresh_process() -> None:
    spec = Recipe.load("quick").network
    told = spec_memory(spec, threads=1)
    assert told.peak > told.network > 0
    assert 2**26 < told.peak < 2**33


def test_a_fresh_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(LightcnnError, match="the fresh process failed"):
        spec_memory(Recipe.load("quick").network, threads=1)


# Rows, tables, charts


def rows() -> list[dict[str, Any]]:
    """Rows as they come, two of them with times and accuracies made up for the drawing."""
    spec = Recipe.load("quick").network
    model = bare(spec)
    told = count(model, spec.input)
    time = Latency(2.0, 2.5, 0.1, 20, 1, "folded", "contiguous", "cpu", True, 4, 600.0)
    one = Profile("one|$&", "spec", spec.input, told, (time,), None, Accuracy(0.9, "file"))
    other = replace(one, name="other", latencies=(replace(time, median=4.0, unstable=False),),
                    accuracy=Accuracy(0.8, "published, not ours"))  # fmt: skip
    return [one.document(), other.document(), replace(one, name="bare", latencies=(), accuracy=None).document()]


def test_efficiencies_are_the_papers() -> None:
    one, other, empty = rows()
    assert one["accuracy_per_second"] == pytest.approx(90 / 0.002)
    assert one["accuracy_per_megabyte"] == pytest.approx(90 / (one["keras_adam_bytes"] / 1e6))
    statistics = one["params_with_buffers"] - one["params"]
    assert one["keras_adam_bytes"] == 12 * one["params"] + 4 * statistics
    assert empty["accuracy_per_second"] is empty["latency_ms"] is empty["accuracy"] is None
    assert other["latency_ms"].keys() >= {"median", "p95", "iqr", "runs", "threads", "runtime"}


def test_tables_are_ordered_marked_and_escaped() -> None:
    held = rows()
    assert [row["name"] for row in columns.sort_rows(held, "-latency")] == ["other", "one|$&", "bare"]
    assert [row["name"] for row in columns.sort_rows(held, "latency")] == ["one|$&", "other", "bare"]
    names = ("name", "latency", "accuracy")
    assert columns.markdown(held, names).splitlines()[2:] == [
        r"| one\|$& | ~2 | 90.00% |", "| other | 4 | 80.00%* |", "| bare |  |  |",
    ]  # fmt: skip
    assert r"one|\$\& & \textasciitilde{}2 & 90.00\% \\" in columns.latex(held, names)
    assert columns.csv_table(held, ("name", "macs", "input")).splitlines()[1] == (
        f"one|$&,{held[0]['macs']},{'x'.join(map(str, held[0]['input']))}"
    )
    assert "latency" not in columns.useful_columns(held[2:]) and "latency" in columns.useful_columns(held)


def test_every_column_reads_its_value() -> None:
    one = rows()[0]
    empty = {name for name, column in columns.COLUMNS.items() if column.value(one) is None}
    assert empty == {"resident", "resident_own", "ms_eager", "ms_onnx", "ms_onnx_int8"}


def test_several_runtimes_have_a_column_each() -> None:
    one = rows()[0]
    one["latencies"].append(one["latencies"][0] | {"runtime": "onnx", "median": 1.5, "unstable": False})
    names = columns.useful_columns([one])
    assert ("ms_folded" in names, "ms_onnx" in names, "ms_eager" in names, "latency" in names) == (
        True,
        True,
        False,
        False,
    )
    assert columns.row_cells(one, ("ms_folded", "ms_onnx")) == ["~2", "1.5"]


def test_every_chart_is_drawn_and_has_its_words() -> None:
    assert draw_figures(rows()).keys() == CAPTIONS.keys()
    assert draw_figures(rows()[2:]).keys() == {"disk"}
    assert all(one.png.startswith(b"\x89PNG") for one in draw_figures(rows()[:1]).values())
    assert profile_page(report_of([]), {}).count(b"<script") == 0


def report_of(held: list[dict[str, Any]]) -> dict[str, Any]:
    machine = {"processor": "p", "cores": 2, "threads": 1, "load": None, "python": "3", "packages": {}, "gpu": None}
    return {
        "convention": "c",
        "machine": machine,
        "rows": held,
        "failures": [],
        "layers": {r["name"]: [] for r in held},
    }


def test_what_is_drawn_says_its_name_where_it_is(tmp_path: Path) -> None:
    from io import BytesIO

    from PIL import Image

    held = rows()[:2]
    for name, one in draw_figures(held).items():
        assert len(one.spots) == (4 if name == "score_time" else 2)
        assert [spot.text.split(",")[0] for spot in one.spots[:2]] == ["one|$&", "other"]
        assert all(0 <= edge <= 1 for s in one.spots for edge in (s.left, s.top, s.left + s.width, s.top + s.height))
        picture = Image.open(BytesIO(one.png)).convert("RGB")
        for spot in one.spots:
            middle = (spot.left + spot.width / 2) * picture.width, (spot.top + spot.height / 2) * picture.height
            red, green, blue = picture.getpixel((int(middle[0]), int(middle[1])))  # type: ignore[misc]
            assert max(red, green, blue) - min(red, green, blue) > 40, f"{name}: no colour where {spot.text} is told"
    page = profile_page(report_of(held), draw_figures(held)).decode()
    assert page.count('aria-label="one|$&amp;, ') == len(CAPTIONS) + 1


def test_names_beside_points_overlap_neither_names_nor_points() -> None:
    _, axes = blank("x", "y")
    random = Random(0)
    points = [axes.plot([random.random()], [random.random()], "o")[0] for _ in range(14)]
    label_points(axes, points, [f"network_{place}" for place in range(14)])
    names = [Text.get_window_extent(text) for text in axes.texts]  # an annotation's own extent has its line in it
    held = [*(point.get_window_extent() for point in points), *names]
    assert not any(name.overlaps(other) for place, name in enumerate(names) for other in held[: len(points) + place])


# From Python


def test_from_python_any_module_is_profiled() -> None:
    from rich.console import Console

    told = lightcnn.profile(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), input=(3, 8, 8))
    assert (told.count.macs, told.input, told.count.params) == (36 * 108, (3, 8, 8), 112)
    assert "3.888k" in str(told) and "3.888k" in told._repr_html_()
    console = Console(record=True, width=200)
    console.print(told)
    assert "3.888k" in console.export_text()
    assert lightcnn.profile(Recipe.load("quick").network).count.macs == cost(Recipe.load("quick").network).macs


# The command


def test_the_command_leaves_a_run_and_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    assert main.run(["profile", "quick", "--no-latency", "--layers", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    spec = Recipe.load("quick").network
    assert isinstance(spec, NetworkSpec)
    assert f"{cost(spec).macs:,}" in printed
    report = json.loads((out / "report.json").read_text())
    assert report.keys() == {
        "lightcnn", "command", "seed", "seconds", "data", "convention", "machine", "rows", "failures", "layers",
    }  # fmt: skip
    (row,) = report["rows"]
    assert (row["macs"], row["params"], row["latency_ms"], report["data"]) == (
        cost(spec).macs,
        cost(spec).params,
        None,
        None,
    )
    assert row["file_bytes"] == len(weights_file(build(spec, 0), spec, stand_in=False))
    page = (out / "report.html").read_text()
    assert page.count("<script>") == 1 and "http" not in page.split("</style>")[1]
    assert (out / "layers.csv").read_text().count("\n") == len(report["layers"]["quick"]) + 1
    assert (out / "plots" / "disk.png").is_file()
    assert main.run(["profile", str(out), "--no-latency", "--out", str(tmp_path / "other")]) == 2
    assert "has no spec.yaml" in capsys.readouterr().err


def test_json_is_the_report_and_times_stand_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency, "MAX_ROUNDS", 3)
    scores = tmp_path / "scores.csv"
    scores.write_text("name,accuracy\nquick,0.75\n")
    arguments = ["profile", "quick", "--runtime", "folded,eager", "--accuracy", str(scores), "--json"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["latency_ms"]["runtime"] == "folded"
    assert [one["runtime"] for one in row["latencies"]] == ["folded", "eager"]
    assert row["accuracy"] == {"value": 0.75, "source": "file"}
    assert row["images_per_second"] > 0
    assert {path.stem for path in (tmp_path / "run" / "plots").iterdir()} == CAPTIONS.keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quik"], "did you mean 'quick'"),
        (["timm:resnt18"], "did you mean 'resnet18'"),
        (["missing.yaml"], "missing.yaml: no such file"),
        (["missing.onnx"], "missing.onnx: no such file"),
        (["quick", "--runtime", "jit"], "there are: folded, eager, onnx, onnx-int8"),
        (["quick", "--runtime", ","], "names none"),
        (["quick", "--columns", "name,mac"], "did you mean 'macs'"),
        (["quick", "--sort", "-latncy"], "did you mean 'latency'"),
        (["quick", "--input", "224"], "as in 3x224x224"),
    ],
)
def test_wrong_words_are_refused_before_any_work(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main.run(["profile", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
@pytest.mark.parametrize("arguments", [["some.onnx"], ["quick", "--runtime", "folded,onnx"]])
def test_without_the_extra_onnx_is_refused_before_any_work(
    arguments: list[str],
    missing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    Path("some.onnx").touch()
    assert main.run(["profile", *arguments, "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and f'{missing} is not installed; pip install "lightcnn[onnx]"' in error
    assert not Path("run").exists()


def test_a_row_that_fails_leaves_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("input: [3, 32, 32]\nstages: [{kind: conv, widht: 16}]\nclasses: 10\n")
    targets = ["quick", str(bad), "timm:vit_tiny_patch16_224"]
    arguments = ["profile", *targets, "--no-latency", "--input", "1x8x8", "--columns", "name,macs", "--format", "csv"]
    assert main.run([*arguments, "--out", str(tmp_path / "run")]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0] == "name,macs"
    assert printed.out.splitlines()[1].startswith("quick,")
    assert "bad.yaml:2: stages.0" in printed.err
    assert "vit_tiny_patch16_224" in printed.err
    failures = json.loads((tmp_path / "run" / "report.json").read_text())["failures"]
    assert [failure["name"] for failure in failures] == ["bad", "timm:vit_tiny_patch16_224"]


def test_without_a_target_the_paper_is_compared() -> None:
    found = find_targets((), baselines=False, input=None, accuracies={})
    assert [one.name for one in found] == ["micrompoxnet", *BASELINES]
    assert {one.name for one in found if one.accuracy} == {
        "micrompoxnet", "xception", "efficientnet_b3", "efficientnet_b5", "convnext_tiny",
    }  # fmt: skip
    assert all(one.accuracy.source == "published, not ours" for one in found if one.accuracy)
    own = find_targets(["resnet50"], baselines=True, input=None, accuracies={"resnet50": 0.5})
    assert len(own) == 13
    assert (own[0].name, own[0].accuracy) == ("timm:resnet50", None)
    twice = find_targets(["quick", "quick"], baselines=False, input=None, accuracies={"quick (2)": 0.5})
    assert [one.name for one in twice] == ["quick", "quick (2)"]
    assert [one.accuracy and one.accuracy.value for one in twice] == [None, 0.5]
    assert own[0].spec.head == "own" and own[0].spec.classes == 1000  # type: ignore[union-attr]


def test_a_runs_accuracy_is_read(tmp_path: Path) -> None:
    run = job.run(["quick"], Settings(latency=False), out=tmp_path / "run")
    Recipe.load("quick").network.save(run / "spec.yaml")
    run.write_json("report.json", {"metrics": {"test": {"accuracy": {"value": 0.5}}}})
    (found,) = find_targets([str(run.path)], baselines=False, input=None, accuracies={})
    assert found.accuracy == Accuracy(0.5, f"run {run.path}, test side")


def test_the_page_quotes_the_golden_file() -> None:
    golden = json.loads((GOLDEN / "profile.json").read_text(encoding="utf-8"))
    page = " ".join((DOCS / "concepts" / "profile.md").read_text(encoding="utf-8").split())
    for name in ("mobilenetv2", "efficientnet_b0"):
        assert f"{golden[name]['macs']:,}" in page and f"{golden[name]['thop']:,}" in page
    sizes = [golden[name]["keras_adam_bytes"] / 2**20 for name in ("xception", "efficientnet_b3", "micrompoxnet")]
    assert "gives {:.1f} for Xception, {:.1f} for EfficientNetB3 and {:.1f} for MicroMPoxNet".format(*sizes) in page
    others = [golden[name]["keras_adam_bytes"] / 2**20 for name in ("efficientnet_b5", "convnext_tiny")]
    assert "gives {:.1f} and {:.1f}, where".format(*others) in page

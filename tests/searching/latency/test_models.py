"""A search within a latency: what is timed, what is kept, what is delivered, and what is refused."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from helpers.clocks import replace_clocks
from PIL import Image

from lightcnn import Budget, Run, SearchSpace, document, search
from lightcnn.cli import main as cli
from lightcnn.cost import cost
from lightcnn.data.split import Split, make_split
from lightcnn.duration import parse_duration
from lightcnn.errors import BudgetError, InputError, LightcnnError
from lightcnn.latency_model import LatencyModel, latency_features
from lightcnn.measurement import latency_fit
from lightcnn.program import program
from lightcnn.progress import no_progress
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.searching.latency import models, timed_networks
from lightcnn.searching.preparation import prepare as prepare_search
from lightcnn.searching.report.wording import comparison_lines
from lightcnn.searching.settings import new_settings
from lightcnn.searching.trainings import choice
from lightcnn.searching.trainings.executors import InProcess
from lightcnn.searching.trainings.finals import Finalist
from lightcnn.searching.trainings.jobs import TrainingJob
from lightcnn.spec import NetworkSpec

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

STAGE = "{kind: [conv, separable], width: {low: 4, high: 24}, depth: {low: 1, high: 2}}"
MACHINE = LatencyModel(
    runtime="folded", error=0.0, networks=1,
    rates={"mean calls": 20.0, "small-conv macs": 0.002, "small-pointwise macs": 0.002, "small-pointwise calls": 15.0},
)  # fmt: skip
"""How long this test's machine takes."""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small space and sixty images, on a machine whose times are made up and include noise of at most 5 %."""
    prepare(tmp_path, monkeypatch)
    return "space.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search within 0.2 ms."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(folder, monkeypatch)
        run("space.yaml", "200us,100kFLOPs")
    return folder / "run"


@pytest.fixture
def copied(space: str, finished: Path) -> Path:
    """A copy of the finished search beside the images."""
    shutil.copytree(finished, "run")
    return Path("run")


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes the images and the space to a folder, and makes up the times."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(folder / "cache"))
    labels = np.arange(60) % 2
    images = (np.random.default_rng(0).integers(0, 150, (60, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        "squares.npz",
        train_images=images[:40], train_labels=labels[:40], test_images=images[40:], test_labels=labels[40:],
    )  # fmt: skip
    Path("space.yaml").write_text(f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}, {STAGE}]\n")
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("lightcnn.searching.latency.models.PAUSE_SECONDS", 0.0)
    set_speed(monkeypatch, 1.0)


ONNX_FACTOR = 0.5
"""Time in ONNX Runtime, as a share of that in PyTorch."""


def set_speed(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Makes the machine take `factor` times as long, with noise."""
    noise = np.random.default_rng(1)

    def took(network: NetworkSpec, runtime: object) -> float:
        of_runtime = ONNX_FACTOR if runtime == "onnx" else 1.0
        return of_runtime * factor * MACHINE.predict(latency_features(program(network))) * noise.uniform(0.95, 1.05)

    def timed(networks: Sequence[NetworkSpec], runtime: object, *_: object, **named: object) -> list[float]:
        return [took(network, runtime) for network in networks]

    class Timer(latency_fit.NetworkTimer):
        """Networks whose times are made up."""

        def add(self, network: NetworkSpec) -> float:
            self.networks = [*getattr(self, "networks", []), network]
            return took(network, self.runtime)

        def times(self, progress: object, seconds: float) -> list[float]:
            return timed(self.networks, self.runtime)

    monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.NetworkTimer", Timer)


def run(space: str, budget: str, **options: object) -> Run:
    """A search of two trials."""
    values = {"space": space, "data": "squares.npz", "trials": 2, "epochs": 2, "workers": 1, "out": "run"} | options
    return search(budget, **values)  # type: ignore[arg-type]


def test_what_is_delivered_was_measured_within_the_limit(copied: Path) -> None:
    report = Run.load(copied).report
    measured = report["latency"]["latency_us"]
    assert report["budget"]["latency_us"] == {"lower": None, "upper": 200}
    assert measured["measured"] <= measured["limit"] == 200
    assert measured["predicted_at_most"] == report["network"]["cost"]["latency_us"] <= 200
    assert (measured["runtime"], measured["threads"], measured["networks"]) == ("folded", 1, 30)
    assert all(0 < int(row["latency_us"]) <= 200 for row in trials())
    assert "one image in PyTorch, measured" in (copied / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("budget", "options", "binding"),
    [
        pytest.param("200us,60us-onnx", {}, "onnx_latency_us", marks=pytest.mark.long),
        ("100us,200us-onnx", {}, "latency_us"),
        ("200us,40..80us-onnx", {"pareto": True}, "onnx_latency_us"),
    ],
)  # fmt: skip
def test_both_latencies_are_met_and_reported(space: str, budget: str, options: dict[str, object], binding: str) -> None:
    result = run(space, budget, **options)
    measured, limits = result.report["latency"], result.report["budget"]
    assert measured.keys() == {"latency_us", "onnx_latency_us"}
    assert [measured[name]["runtime"] for name in ("latency_us", "onnx_latency_us")] == ["folded", "onnx"]
    for name, of_runtime in measured.items():
        assert of_runtime["measured"] <= of_runtime["limit"] == limits[name]["upper"]
        assert of_runtime["predicted_at_most"] <= of_runtime["limit"]
    ratio = measured["onnx_latency_us"]["measured"] / measured["latency_us"]["measured"]
    assert ONNX_FACTOR * 0.9 <= ratio <= ONNX_FACTOR * 1.11
    shares = {name: of_runtime["measured"] / of_runtime["limit"] for name, of_runtime in measured.items()}
    assert max(shares, key=lambda name: shares[name]) == binding


def trials() -> list[dict[str, str]]:
    """The rows of trials.csv."""
    with open("run/trials.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_resumed_search_keeps_what_was_measured(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models, before = (copied / "latency.yaml").read_bytes(), trials()
    set_speed(monkeypatch, 0.9)
    run("space.yaml", "200us,100kFLOPs", trials=3, resume=True)
    assert (copied / "latency.yaml").read_bytes() == models
    after = trials()
    assert len(after) == 3
    assert [row["latency_us"] for row in after[:2]] == [row["latency_us"] for row in before]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("processor: ", "processor: Other ", "its latencies were measured on Other .* continue it there"),
        ("runtime: folded", "runtime: onnx", "not the latencies of budget"),
        ("error: ", "error: -", "latency.yaml"),
        (
            "version: 3",
            "version: 2",
            r"^run run: the search is of an earlier state of lightcnn \S+ and cannot be continued",
        ),
    ],
)
def test_other_times_than_those_of_the_search_are_refused_before_the_images_are_read(
    copied: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str, message: str
) -> None:
    def load(*arguments: object, **named: object) -> None:
        raise AssertionError("the images are read")

    monkeypatch.setattr("lightcnn.searching.preparation.load", load)
    file = copied / "latency.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        run("space.yaml", "200us,100kFLOPs", trials=3, resume=True)


class SlowTimer(latency_fit.NetworkTimer):
    """Networks whose times are made up: each is prepared in 0.1 s and 20 runs, then all are timed in turns."""

    now, factor, delay = 0.0, 1.0, 0.0
    windows: ClassVar[list[float]] = []
    count = 0

    def add(self, network: NetworkSpec) -> float:
        self.rough = [*getattr(self, "rough", []), self.factor * MACHINE.predict(latency_features(program(network)))]
        SlowTimer.now += 0.1 + 20 * self.rough[-1] / 1_000_000 + (0.0 if SlowTimer.count else self.delay)
        SlowTimer.count += 1
        return self.rough[-1]

    def times(self, progress: object, seconds: float) -> list[float]:
        least = latency_fit.least_seconds(self.rough)
        self.windows.append(max(least, min(latency_fit.ROUND_SECONDS * len(self.rough), seconds)))
        SlowTimer.now += self.windows[-1]
        return list(self.rough)


@pytest.fixture
def slow(space: str, monkeypatch: pytest.MonkeyPatch) -> type[SlowTimer]:
    """Times networks with `SlowTimer`, and the clock is its own."""
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.PAUSE_SECONDS", 0.0)
    for name, value in {"now": 0.0, "factor": 1.0, "delay": 0.0, "windows": [], "count": 0}.items():
        monkeypatch.setattr(SlowTimer, name, value)
    replace_clocks(monkeypatch, lambda: SlowTimer.now)
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.NetworkTimer", SlowTimer)
    return SlowTimer


def measured(budget: str, seconds: float, used: float = 0.0) -> tuple[LatencyModel, ...]:
    """The models of a search in the small space."""
    images = SearchSpace.load("space.yaml").for_data(1, 2, 8)
    return models.measure_models(images, Budget.parse(budget), 0, no_progress, seconds, used).models


@pytest.mark.parametrize(
    ("seconds", "rounds"), [(math.inf, 9.0), (600.0, 9.0), (31.0, 9.0), (20.0, 4.9), (15.0, 3.0), (9.5, 3.0)]
)
def test_thirty_networks_are_timed_more_briefly_if_time_is_short(
    slow: type[SlowTimer], seconds: float, rounds: float
) -> None:
    """3 s to prepare them, and for their rounds 9 s if they fit into two fifths of the time, and 3 s at least."""
    (model,) = measured("200us", seconds)
    assert model.networks == slow.count == 30
    assert slow.windows == [pytest.approx(rounds, abs=0.05)]


@pytest.mark.parametrize(
    ("seconds", "delay", "message"),
    [
        (8.9, 0, "takes about 6 s on this machine, more than two thirds of the 9 s that are left; give --time 20s, or"),
        (
            -1.0,
            0,
            "takes about 6 s on this machine, more than two thirds of the 0 s that are left; give --time 20s, or",
        ),
        (16.0, 5, "takes about 11 s on this machine, more than two thirds of the 16 s that are left; give --time 30s"),
    ],
)
def test_a_time_that_is_too_short_to_time_thirty_networks_is_refused_early(
    slow: type[SlowTimer], seconds: float, delay: float, message: str
) -> None:
    """The first network may take longer, since what prepares it is loaded then."""
    slow.delay = delay
    with pytest.raises(BudgetError, match="^budget 200us: timing 30 networks " + message):
        measured("200us", seconds)
    assert slow.count == 11 and not slow.windows, "8 of growing size, and 3 near the limit"


@pytest.mark.parametrize(
    ("budget", "factor"), [("200us", 1), ("200us,150us-onnx", 1), ("200ms", 1000), ("2000ms", 10_000), ("1000ms", 1)]
)
def test_the_time_that_is_named_as_enough_suffices(slow: type[SlowTimer], budget: str, factor: float) -> None:
    slow.factor = factor
    with pytest.raises(BudgetError) as refused:
        measured(budget, 2.0)
    named = str(refused.value).partition("give --time ")[2].partition(",")[0]
    slow.now, slow.count = 0.0, 0
    enough = parse_duration(named) or 0.0
    assert [model.networks for model in measured(budget, enough)] == [30] * len(slow.windows)
    assert slow.now <= timed_networks.LARGEST_SHARE * enough


def test_the_time_that_was_used_before_is_part_of_what_is_named(slow: type[SlowTimer]) -> None:
    with pytest.raises(BudgetError, match=r"two thirds of the 8 s that are left; give --time 30s, or --trials in its"):
        measured("200us", 8.0, 12.0)


@pytest.mark.parametrize(("budget", "windows"), [("10us", 1), ("50us", 6)])
def test_networks_are_not_timed_again_if_the_limit_is_hopeless(
    slow: type[SlowTimer], budget: str, windows: int
) -> None:
    """The smallest takes 70 us."""
    with pytest.raises(BudgetError, match=r"the fastest of 30 networks .* takes 0\.0\d\d ms for one image"):
        measured(budget, math.inf)
    assert len(slow.windows) == windows


def test_networks_are_not_timed_again_for_a_lower_limit(slow: type[SlowTimer]) -> None:
    """Shorter times would not reach it either."""
    measured("500..600ms", math.inf)
    assert len(slow.windows) == 1


def test_more_time_is_not_asked_for_if_no_network_would_be_fast_enough(slow: type[SlowTimer]) -> None:
    slow.factor = 1000
    with pytest.raises(BudgetError, match=r"^budget 20ms: the fastest of 6 networks .* takes 6\d\.\d\d\d ms for one"):
        measured("20ms", 2.0)


@pytest.mark.parametrize(
    ("budget", "busy", "windows", "factor"),
    [("200us", 1.2, 1, 1.2), ("72us", 1.2, 3, 1.0), ("72us", 1.0, 1, 1.0), ("72..73us", 1.2, 3, 1.0)],
)
def test_networks_are_timed_again_if_none_would_meet_the_budget(
    slow: type[SlowTimer], monkeypatch: pytest.MonkeyPatch, budget: str, busy: float, windows: int, factor: float
) -> None:
    """Other programs slow them down in two windows."""
    times = SlowTimer.times

    def slowed(timer: SlowTimer, progress: object, seconds: float) -> list[float]:
        measured = times(timer, progress, seconds)
        return [each * busy for each in measured] if len(slow.windows) < 3 else measured

    monkeypatch.setattr(SlowTimer, "times", slowed)
    (model,) = measured(budget, math.inf)
    assert len(slow.windows) == windows
    images = SearchSpace.load("space.yaml").for_data(1, 2, 8)
    smallest = latency_features(program(images.spec(images.smallest())))
    assert model.predict(smallest) == pytest.approx(factor * MACHINE.predict(smallest), rel=0.05)


@pytest.mark.parametrize(
    ("budget", "lowest", "limit"),
    [
        ("200us,60kFLOPs", 0.15, 200), ("40..200us,60kFLOPs", 0.1, 200), ("200us,60us-onnx,60kFLOPs", 0.15, 120),
        ("120us,200us-onnx,60kFLOPs", 0.15, 120),
    ],
)  # fmt: skip
def test_networks_are_timed_that_the_search_would_propose(
    space: str, monkeypatch: pytest.MonkeyPatch, budget: str, lowest: float, limit: int
) -> None:
    timed: list[NetworkSpec] = []
    add = timed_networks.NetworkTimer.add
    monkeypatch.setattr(timed_networks.NetworkTimer, "add", lambda timer, each: timed.append(each) or add(timer, each))
    images = SearchSpace.load(space).for_data(1, 2, 8)
    fitted = models.measure_models(images, Budget.parse(budget), 0, no_progress).models
    assert [model.networks for model in fitted] == [30] * len(fitted)
    if len(fitted) == 2:
        assert timed[::2] == timed[1::2], "each is timed in both runtimes"
        del timed[::2]
    near = timed[-15:]  # after 15 networks of growing size at most
    shares = [MACHINE.predict(latency_features(program(network))) / limit for network in near]
    assert all(0.8 * lowest <= share <= 1.2 * timed_networks.HIGHEST_SHARE for share in shares)
    assert max(cost(network).macs for network in near) <= 60_000 < max(cost(network).macs for network in timed)


@pytest.mark.parametrize(
    ("errors", "seconds", "windows"),
    [
        ((0.5,), math.inf, [9.0]), ((0.6, 0.2), math.inf, [9.0, 3.0]), ((0.6, 0.6), math.inf, [9.0, 3.0]),
        ((0.6, 0.6), 15.0, [3.0, 3.0]), ((0.6,), 12.0, [3.0]),
    ],
)  # fmt: skip
def test_networks_are_timed_again_if_the_error_is_large(
    slow: type[SlowTimer],
    monkeypatch: pytest.MonkeyPatch,
    errors: tuple[float, ...],
    seconds: float,
    windows: list[float],
) -> None:
    """If there is time: of 15 s, two thirds are 10 s, of which 6 s were used; of 12 s, only 2 s are left."""
    stated = iter(errors)
    monkeypatch.setattr(
        "lightcnn.searching.latency.timed_networks.fit_latency",
        lambda timed, *_: MACHINE.model_copy(update={"error": next(stated), "networks": len(timed)}),
    )
    (model,) = measured("200us", seconds)
    assert (model.networks, model.error) == (30, errors[-1])
    assert slow.windows == pytest.approx(windows, abs=0.05)


def test_the_shorter_of_two_times_of_each_network_counts(
    slow: type[SlowTimer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half is slowed down by other programs at first, and the other half afterwards."""
    fitted: list[list[float]] = []

    def times(timer: SlowTimer, *_: object) -> list[float]:
        busy = [3.0] * 15 + [1.0] * 15
        return [factor * each for factor, each in zip(busy[:: -1 if fitted else 1], timer.rough, strict=True)]

    def fit(timed: object, microseconds: Sequence[float], *_: object) -> LatencyModel:
        fitted.append(list(microseconds))
        return MACHINE.model_copy(update={"error": 9.0})

    monkeypatch.setattr(SlowTimer, "times", times)
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.fit_latency", fit)
    measured("200us", math.inf)
    first, both, *_ = fitted  # no network meets the budget with so large an error
    assert first == [3 * each for each in both[:15]] + both[15:]


def test_a_search_bounds_the_timing_by_its_own_time(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now, limits, split = [0.0], list[float](), make_split
    replace_clocks(monkeypatch, lambda: now[0])

    def splitting(*values: Any) -> Split:
        now[0] += 3.0
        return split(*values)

    def measured(*values: object) -> object:
        limits.append(values[-2])  # type: ignore[arg-type]
        raise LightcnnError("the time is known")

    monkeypatch.setattr("lightcnn.searching.preparation.make_split", splitting)

    monkeypatch.setattr("lightcnn.searching.preparation.measure_models", measured)
    for options in ({"time": "40s", "trials": None}, {"trials": 2}):
        with pytest.raises(LightcnnError, match="the time is known"):
            run(space, "200us", **options)
    assert limits == [37.0, math.inf]


def test_the_wait_for_workers_is_part_of_the_seconds_that_timing_took(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, timed = [0.0], list[float]()
    replace_clocks(monkeypatch, lambda: now[0])

    def wait() -> None:
        now[0] += 20.0

    progress = SimpleNamespace(
        reading=no_progress, timing=no_progress, read=lambda *_: None, timed=lambda seconds, *_: timed.append(seconds)
    )
    values = {"budget": "200us", "space": space, "data": "squares.npz", "trials": 2}
    inputs = prepare_search(
        new_settings(values),
        torch.device("cpu"),
        1,
        progress,
        existing=None,
        wait_until_idle=wait,  # type: ignore[arg-type]
    )
    assert timed == [20.0], "the times of networks are made up"
    assert inputs.latencies is not None


def test_a_latency_below_the_smallest_network_is_refused_before_there_is_a_folder(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.MAX_AGAIN", 0)
    needs = r"the smallest network of the space given is predicted to need \d+ us, with the error of predictions"
    with pytest.raises(BudgetError, match=needs + r" \(\d+%\) up to \d+ us for"):
        run(space, "61us")
    assert not Path("run").exists()


def test_the_command_then_ends_with_2_and_one_line(
    space: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.MAX_AGAIN", 0)
    command = ["search", "--budget", "61us", "--space", space, "--data", "squares.npz", "--trials", "2"]
    assert cli.run([*command, "--workers", "1", "--out", "run", "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("lightcnn: budget 61us: the smallest network of the space given is predicted to need ")
    assert "; raise the limit, search again when no other program runs, or " in line
    assert not Path("run").exists()


def test_finalists_are_timed_when_all_workers_have_stopped(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    real, submit = models.measure_latencies, InProcess.submit

    def measure(*values: Any) -> object:
        events.append("timed")
        return real(*values)

    def noted(executor: InProcess, job: TrainingJob) -> None:
        events.append("job")
        submit(executor, job)

    monkeypatch.setattr("lightcnn.searching.session.measure_latencies", measure)
    monkeypatch.setattr(InProcess, "submit", noted)
    monkeypatch.setattr(InProcess, "stop", lambda executor: events.append("stopped"))
    run(space, "200us,100kFLOPs", seeds=2)
    timed = events.index("timed")
    assert set(events[: timed - 1]) == {"job"} and events[timed - 1] == "stopped"
    assert set(events[timed + 1 : -1]) == {"job"} and events[-1] == "stopped"


def test_a_metric_that_the_data_do_not_allow_is_refused_before_anything_is_timed(
    space: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The validation set of the given split has no image of the third class."""
    lines = ["path,label,split"]
    for number, image in enumerate(np.random.default_rng(0).integers(0, 255, (60, 8, 8), dtype=np.uint8)):
        Image.fromarray(image).save(f"{number}.png")
        split = ("train", "train", "test", "val")[number // 15]
        lines.append(f"{number}.png,{'abc'[number % (2 if split == 'val' else 3)]},{split}")
    Path("three.csv").write_text("\n".join(lines))

    def timed(*arguments: object) -> None:
        raise AssertionError("networks are timed")

    monkeypatch.setattr("lightcnn.searching.preparation.measure_models", timed)
    before = sorted(path.name for path in Path().iterdir())
    with pytest.raises(InputError, match=r"^metric=auc: class 'c' has no image in the validation set, so the metric"):
        run(space, "200us", data="three.csv", metric="auc")
    command = ["search", "--budget", "200us", "--space", space, "--data", "three.csv", "--metric", "auc", "--trials=1"]
    assert cli.run([*command, "--out", "run"]) == 2
    error = capsys.readouterr().err.strip()
    assert "lightcnn: --metric auc: class 'c' has no image in the validation set, so the metric is undefined" in error
    assert len(error.splitlines()) == 1
    assert sorted(path.name for path in Path().iterdir()) == before


def test_a_latency_below_all_times_is_refused_whatever_is_predicted(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine, rates may be found by which a network takes no time."""
    no_time = MACHINE.model_copy(update={"rates": {}})
    monkeypatch.setattr("lightcnn.searching.latency.timed_networks.fit_latency", lambda *_: no_time)
    with pytest.raises(BudgetError, match=r"the fastest of 30 networks of the space given takes 0\.0\d\d ms for one"):
        run(space, "40us")
    assert not Path("run").exists()


def test_a_search_whose_networks_are_all_too_slow_ends_with_the_nearest(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slower(networks: Sequence[NetworkSpec], *rest: object) -> object:
        set_speed(monkeypatch, 3.0)
        return models.measure_latencies(networks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lightcnn.searching.session.measure_latencies", slower)
    with pytest.raises(LightcnnError, match=r"none of \d networks that were trained to the end meets .* the nearest"):
        run(space, "200us")
    assert not Path("run/report.json").exists() and Path("run/study.db").exists()


def test_the_command_then_ends_with_1_and_can_be_resumed(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def slower(networks: Sequence[NetworkSpec], *rest: object) -> object:
        set_speed(slow, 3.0)
        return models.measure_latencies(networks, *rest)  # type: ignore[arg-type]

    command = ["search", "--budget", "200us", "--space", space, "--data", "squares.npz", "--trials", "2"]
    with monkeypatch.context() as slow:
        slow.setattr("lightcnn.searching.session.measure_latencies", slower)
        assert cli.run([*command, "--epochs", "2", "--workers", "1", "--out", "run", "--quiet"]) == 1
    assert cli.run(["search", "--resume", "--out", "run", "--trials", "3", "--quiet"]) == 0
    assert Run.load("run").report["latency"]["latency_us"]["measured"] <= 200


@pytest.mark.parametrize(("factor", "use"), [(0.5, 1.0), (1.05, 0.85), (1.25, 0.7), (10.0, 0.7)])
def test_the_first_network_is_fitted_to_a_share_with_which_it_is_fast_enough(
    space: str, monkeypatch: pytest.MonkeyPatch, factor: float, use: float
) -> None:
    """The machine takes `factor` times what is predicted."""
    images, budget = SearchSpace.load(space).for_data(1, 2, 8), Budget.parse("200us")
    set_speed(monkeypatch, factor)
    assert models.measure_start(BudgetedSpace(images, budget, latencies=[MACHINE]), no_progress) == use
    bounded = BudgetedSpace(images, budget, latencies=[MACHINE], start_use=use)
    first = bounded.first_network()
    assert first is not None and 0.5 * use < first.cost.latency_us / 200 <= use
    assert bounded.candidate(bounded.first(), Random(0)).key == first.key


def test_a_resumed_search_keeps_the_share_of_the_first_network(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.searching.preparation.measure_start", lambda *_: 0.7)
    run(space, "200us")
    first = trials()[0]
    assert int(first["latency_us"]) <= 140 and "start_use: 0.7" in Path("run/latency.yaml").read_text(encoding="utf-8")
    run(space, "200us", trials=3, resume=True)
    assert trials()[0] == first


def test_the_first_network_is_not_below_a_lower_limit(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 70 % of the limit there is none, so the smallest share is 85 %."""
    bounded = BudgetedSpace(SearchSpace.load(space).for_data(1, 2, 8), Budget.parse("150..200us"), latencies=[MACHINE])
    set_speed(monkeypatch, 10.0)
    assert models.measure_start(bounded, no_progress) == 0.85


def test_the_first_network_is_timed_again_if_the_machine_was_slow(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, speeds = SearchSpace.load(space).for_data(1, 2, 8), iter([3.0, 3.0, 0.5])
    timed = models.time_networks

    def measure(networks: Sequence[NetworkSpec], *rest: object) -> list[float]:
        with monkeypatch.context() as patch:
            set_speed(patch, next(speeds))
            return models.time_networks(networks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(models, "_limit_shares", lambda *values: [each / 200 for each in measure(values[0], "folded")])
    assert models.measure_start(BudgetedSpace(images, Budget.parse("200us"), latencies=[MACHINE]), no_progress) == 1.0
    assert models.time_networks is timed and next(speeds, None) is None


@pytest.mark.parametrize(("seconds", "windows"), [(0.0, 1), (12.0, 2), (100.0, 3)])
def test_the_first_network_is_timed_again_only_within_the_time(
    space: str, monkeypatch: pytest.MonkeyPatch, seconds: float, windows: int
) -> None:
    """Every window takes 5 seconds on a slow machine, and 2 pass before the next one."""
    now, timed = [0.0], list[float]()

    def measure(networks: Sequence[NetworkSpec], *_: object) -> list[float]:
        now[0] += 5.0
        timed.append(now[0])
        return [3.0] * len(networks)

    monkeypatch.setattr(models, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda pause: wait(now, pause)))
    monkeypatch.setattr(models, "_limit_shares", measure)
    bounded = BudgetedSpace(SearchSpace.load(space).for_data(1, 2, 8), Budget.parse("200us"), latencies=[MACHINE])
    assert models.measure_start(bounded, no_progress, seconds) == 0.7
    assert len(timed) == windows


def wait(now: list[float], seconds: float) -> None:
    now[0] += seconds


def test_a_space_that_the_budget_covers_has_its_largest_first_network(space: str) -> None:
    bounded = BudgetedSpace(SearchSpace.load(space).for_data(1, 2, 8), Budget.parse("1s"), latencies=[MACHINE])
    assert bounded.covered and models.measure_start(bounded, no_progress) == 1.0


@pytest.mark.parametrize(
    ("answers", "timed", "last"),
    [
        ([[100.0, 110.0]], [2], 0),
        ([[300.0, 110.0], [120.0]], [2, 1], 1),
        pytest.param([[300.0, 300.0], [300.0, 300.0]], [2, 2], 0, marks=pytest.mark.long),
    ],
    ids=["fast", "one slow", "all slow"],
)
def test_networks_that_are_too_slow_are_not_trained_to_the_end_unless_all_are(
    space: str, monkeypatch: pytest.MonkeyPatch, answers: list[list[float]], timed: list[int], last: int
) -> None:
    checked: list[list[NetworkSpec]] = []
    remaining = iter(answers)

    def measure(networks: list[NetworkSpec], *_: object) -> object:
        checked.append(networks)
        return [(models.MeasuredLatency("latency_us", 200, each),) for each in next(remaining)]

    monkeypatch.setattr("lightcnn.searching.final_phase.measure_latencies", measure)
    report = run(space, "200us", trials=4, finalists=2).report
    assert [len(networks) for networks in checked] == timed
    trained = [spec for networks in (checked[0], checked[last]) for spec in networks]
    missed = [] if timed == [2, 2] else [
        spec for networks, times in zip(checked, answers, strict=True)
        for spec, time in zip(networks, times, strict=True) if time > 200
    ]  # fmt: skip
    delivered = document.load(NetworkSpec, Path("run/spec.yaml"))
    assert report["comparison"]["finalists"] == 2
    assert delivered in trained and delivered not in missed


def test_a_finalist_that_is_too_slow_is_left_out_and_named(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(networks: Sequence[NetworkSpec], *_: object) -> list[float]:
        return [100.0, *(200.4 for _ in networks[1:])]

    def measure(networks: Sequence[NetworkSpec], *rest: object) -> object:
        monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
        return models.measure_latencies(networks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lightcnn.searching.session.measure_latencies", measure)
    report = run(space, "200us").report
    ((slow, microseconds),) = report["latency"]["latency_us"]["too_slow"].items()
    assert {int(slow), report["best"]["trial"]} == {0, 1} and microseconds == 200.4
    line = f"trial {slow} was left out after its final training: one image takes 0.2004 ms, over 0.2 ms"
    assert line in comparison_lines(report)


def test_a_network_without_weights_is_not_the_one_that_meets_the_limit(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two finalists, the fast one predicts no finite numbers, and the other one is too slow."""
    evaluated = choice._evaluated
    broken: list[NetworkSpec] = []

    def without_first(pipeline: object, folder: object, judge: object, finalist: Finalist, *rest: object) -> object:
        if finalist.outcome.number == 0:
            broken.append(finalist.candidate.spec)
            return []
        return evaluated(pipeline, folder, judge, finalist, *rest)  # type: ignore[arg-type]

    def timed(networks: Sequence[NetworkSpec], *_: object) -> list[float]:
        return [100.0 if network in broken else 300.0 for network in networks]

    def measure(networks: Sequence[NetworkSpec], *rest: object) -> object:
        monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
        return models.measure_latencies(networks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(choice, "_evaluated", without_first)
    monkeypatch.setattr("lightcnn.searching.session.measure_latencies", measure)
    with pytest.raises(LightcnnError, match=r"the one network that was trained to the end does not meet .* 0\.300 ms"):
        run(space, "200us")
    assert broken


def test_limits_that_no_network_meets_are_refused_before_any_is_timed(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latency_fit.NetworkTimer, "add", lambda *_: pytest.fail("a network is timed"))
    with pytest.raises(BudgetError, match=r"the smallest network of the space .* needs"):
        run(space, "200us,10FLOPs")


def test_another_version_of_onnx_runtime_is_another_machine(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    current = pytest.importorskip("onnxruntime").__version__
    run(space, "1ms-onnx,100kFLOPs", trials=1)
    assert f"onnxruntime: {current}" in Path("run/latency.yaml").read_text(encoding="utf-8")
    monkeypatch.setattr("onnxruntime.__version__", "9.8.7")
    message = rf"measured on .* torch [\w.+]+ and onnxruntime {current}, and this is .* and onnxruntime 9\.8\.7; cont"
    with pytest.raises(InputError, match=message):
        run(space, "1ms-onnx,100kFLOPs", trials=2, resume=True)


def test_the_version_of_onnx_runtime_does_not_matter_without_its_latency(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("onnxruntime.__version__", "9.8.7")
    assert models.read_models(Run.load(copied), Budget.parse("200us,100kFLOPs")).machine.onnxruntime is None


def test_onnx_runtime_is_asked_for_by_its_budget(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightcnn.onnxfiles.extra.PACKAGES", ("no_such_package",))
    with pytest.raises(
        InputError, match=r'200us-onnx: no_such_package is not installed; pip install "lightcnn\[onnx\]'
    ):
        run(space, "200us-onnx")

"""A search for a Pareto front over a latency: its bands, what was measured, its files, its page, and how it resumes."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.pages import read_page
from searching.latency.test_models import prepare, set_speed

from lightcnn import Run
from lightcnn.budget import human
from lightcnn.cli.main import run
from lightcnn.cost import cost
from lightcnn.searching.latency import models
from lightcnn.spec import NetworkSpec
from lightcnn.weights import read_network

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts")

SEARCH = ["search", "--pareto", "--space", "space.yaml", "--data", "squares.npz", "--workers", "1", "--epochs", "2"]
RANGE = ["--budget", "70..300us,400kFLOPs", "--trials", "4", "--out", "front"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small space, sixty images and a finished search, on a machine whose times are made up."""
    folder = tmp_path_factory.mktemp("front")
    with pytest.MonkeyPatch.context() as monkeypatch:
        prepare(folder, monkeypatch)
        assert run([*SEARCH, *RANGE, "--quiet"]) == 0
    return folder


@pytest.fixture
def copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished search beside its images."""
    prepare(tmp_path, monkeypatch)
    shutil.copytree(folder / "front", "front")
    return Path("front")


def trials(out: Path) -> list[dict[str, str]]:
    with open(out / "trials.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_front_is_over_the_measured_times_within_the_range(folder: Path) -> None:
    report = Run.load(folder / "front").report
    front, limits = report["front"], report["latency"]["latency_us"]
    reference = report["pareto"].pop("reference")
    assert report["pareto"] == {"resource": "latency_us", "beside": []}
    assert reference["recipe"] == "micrompoxnet" and reference["cost"] > 100
    assert report["budget"]["latency_us"] == {"lower": 70, "upper": 300}
    assert (report["plan"]["bands"], report["plan"]["finalists"], len(report["finals"])) == (3, 3, 3)
    measured = [point["measured"]["latency_us"] for point in front]
    assert measured == sorted(set(measured))
    accuracies = [point["accuracy"] for point in front]
    assert accuracies == sorted(set(accuracies)) and len(front) >= 1
    for point in front:
        assert 70 <= point["cost"]["latency_us"] <= 300
        assert point["measured"]["latency_us"] == pytest.approx(point["cost"]["latency_us"], rel=0.2)
        assert point["cost"]["macs"] <= 400_000
    (delivered,) = [point for point in front if point["delivered"]]
    assert delivered["trial"] == report["best"]["trial"]
    assert delivered["measured"]["latency_us"] == limits["measured"] <= limits["limit"] == 300
    assert delivered["cost"]["latency_us"] == limits["predicted_at_most"]
    assert report["best"]["test_evaluations"] == 1


def test_trials_take_turns_in_the_bands_of_times(folder: Path) -> None:
    times = [int(row["latency_us"]) for row in trials(folder / "front")]
    assert len(times) == 4
    assert all(70 <= time <= 300 for time in times)
    assert times[1] <= 114 < times[2] <= 185 < times[0], "the last band, the first one, then the one between"


def test_every_network_of_the_front_has_a_spec_and_weights(folder: Path) -> None:
    out = folder / "front"
    front = Run.load(out).report["front"]
    names = {point[name] for point in front for name in ("spec", "weights")}
    assert names == {str(path.relative_to(out)) for path in (out / "front").iterdir()}
    for point in front:
        spec = NetworkSpec.load(out / point["spec"])
        assert cost(spec).macs == point["cost"]["macs"]
        read_network(out / point["weights"], spec)


def test_the_page_and_the_terminal_show_the_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "front"
    front = Run.load(out).report["front"]
    page = read_page((out / "report.html").read_bytes())
    reference = Run.load(out).report["pareto"]["reference"]["cost"]
    assert "The Pareto front" in page and f"MicroMPoxNet: {human(reference)} us for one image" in page
    assert (out / "plots" / "front.png").is_file()
    assert run(["search", "--resume", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "us for one image" in printed
    for point in front:
        assert human(point["measured"]["latency_us"]) in printed
        assert point["spec"] in printed and point["spec"] in page


def test_a_resumed_front_keeps_the_rates_and_finds_more_networks(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates, before = (copied / "latency.yaml").read_bytes(), trials(copied)
    set_speed(monkeypatch, 0.9)
    assert run(["search", "--resume", "--out", "front", "--trials", "6", "--quiet"]) == 0
    assert (copied / "latency.yaml").read_bytes() == rates
    after, report = trials(copied), Run.load(copied).report
    assert len(after) == 6
    assert [row["latency_us"] for row in after[:4]] == [row["latency_us"] for row in before]
    assert report["best"]["test_evaluations"] == 2
    assert {path.name for path in (copied / "front").iterdir()} == {
        f"trial-{point['trial']}.{ending}" for point in report["front"] for ending in ("yaml", "safetensors")
    }


def test_a_training_beside_it_is_timed_and_drawn(copied: Path) -> None:
    train = ["train", str(copied / "spec.yaml"), "--data", "squares.npz", "--epochs", "1", "--quiet"]
    for name in ("mine", "without-spec"):
        assert run([*train, "--out", name]) == 0
    Path("without-spec/spec.yaml").unlink()
    assert run(["search", "--resume", "--out", "front", "--trials", "5", "--quiet"]) == 0
    mine, other = Run.load(copied).report["pareto"]["beside"]
    assert mine["run"] == "mine" and mine["measured"]["latency_us"] > 60
    assert other["run"] == "without-spec" and "measured" not in other
    page = read_page((copied / "report.html").read_bytes())
    assert f"run mine: {human(mine['measured']['latency_us'])} us for one image" in page
    assert "run without-spec" not in page


def test_a_network_that_misses_the_upper_limit_is_not_on_the_front(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of three final networks, the first one that is measured is too slow."""
    prepare(tmp_path, monkeypatch)

    def timed(networks: Sequence[NetworkSpec], *_: object, **named: object) -> list[float]:
        return [300.4, *(100.0 + number for number in range(1, len(networks)))]

    def measure(networks: Sequence[NetworkSpec], *rest: object) -> object:
        monkeypatch.setattr("lightcnn.searching.latency.models.time_networks", timed)
        return models.measure_latencies(networks, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("lightcnn.searching.session.measure_latencies", measure)
    assert run([*SEARCH, *RANGE, "--trials", "3"]) == 0
    report = Run.load("front").report
    ((slow, microseconds),) = report["latency"]["latency_us"]["too_slow"].items()
    assert microseconds == 300.4
    assert int(slow) in {final["trial"] for final in report["finals"]}
    assert int(slow) not in {point["trial"] for point in report["front"]}
    assert f"trial {slow} was left out after its final training" in " ".join(capsys.readouterr().out.split())


def test_a_front_over_multiply_adds_has_networks_within_a_latency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path, monkeypatch)
    command = [*SEARCH, "--budget", "50k..200kFLOPs,250us", "--trials", "2", "--epochs", "1", "--out", "macs"]
    assert run([*command, "--quiet"]) == 0
    report = Run.load("macs").report
    assert report["pareto"]["resource"] == "macs"
    assert report["front"]
    for point in report["front"]:
        assert 50_000 <= point["cost"]["macs"] <= 200_000
        assert point["measured"]["latency_us"] <= 250


def test_a_latency_without_a_range_is_refused_with_one_in_its_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path, monkeypatch)
    assert run([*SEARCH, "--budget", "50ms", "--trials", "2", "--out", "none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "lightcnn: --pareto: budget 50ms has no range; write the lowest and the highest cost of the front, as in "
        "5..50ms"
    )
    assert not Path("none").exists()


def test_a_dry_run_states_the_bands_of_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepare(tmp_path, monkeypatch)
    assert run([*SEARCH, *RANGE, "--dry-run", "--json", "--quiet"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["plan"]["bands"] == 3
    assert 70 <= document["first"]["latency_us"] <= 300

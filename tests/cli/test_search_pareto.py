"""`lightcnn search --pareto`: its front, the files of that, what it refuses, and how it resumes."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.pages import read_page

import lightcnn
from lightcnn.cli.main import run
from lightcnn.cost import cost
from lightcnn.evaluation.predictions import read_test_images
from lightcnn.run_folder import RunFolder
from lightcnn.searching.report.front_chart import draw_front
from lightcnn.searching.report.front_neighbours import neighbours_document
from lightcnn.spec import NetworkSpec
from lightcnn.weights import read_network

pytestmark = pytest.mark.usefixtures("undrawn_charts")

SEARCH = ["search", "--pareto", "--trials", "6", "--epochs", "4", "--workers", "1", "--quiet"]
RANGE = "20k..80kFLOPs"


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> str:
    """80 dark and bright squares in a file with a test set."""
    random, labels = np.random.default_rng(0), np.arange(80) % 2
    images = (random.integers(0, 150, (80, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
    path = tmp_path_factory.mktemp("data") / "squares.npz"
    np.savez(
        path, train_images=images[:60], train_labels=labels[:60], test_images=images[60:], test_labels=labels[60:],
        class_names=np.array(["dark", "bright"]),
    )  # fmt: skip
    return str(path)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory) -> Path:
    """One finished search."""
    out = tmp_path_factory.mktemp("runs") / "front"
    assert run([*SEARCH, "--budget", RANGE, "--data", data, "--out", str(out)]) == 0
    return out


def test_the_front_has_networks_of_both_bands_with_intervals_and_ascending_scores(finished: Path) -> None:
    report = RunFolder.load(finished).report
    front, plan = report["front"], report["plan"]
    reference = report["pareto"].pop("reference")
    assert reference == {"recipe": "micrompoxnet", "cost": pytest.approx(458.4e6, rel=0.001)}
    assert report["pareto"] == {"resource": "macs", "beside": []}
    assert (plan["bands"], plan["finalists"]) == (2, 2)
    assert [final["ended"] for final in report["finals"]] == [True, True]
    macs = [point["cost"]["macs"] for point in front]
    assert macs == sorted(macs)
    assert all(20_000 <= count <= 80_000 for count in macs)
    accuracies = [point["accuracy"] for point in front]
    assert accuracies == sorted(set(accuracies))
    assert [point["trial"] for point in front if point["delivered"]] == [report["best"]["trial"]]
    for point in front:
        assert point["accuracy"] == point["val"]["accuracy"]["value"]
        for name in ("val", "test"):
            score = point[name]["accuracy"]
            assert score["low"] <= score["value"] <= score["high"]
    delivered = next(point for point in front if point["delivered"])
    assert delivered["test"]["accuracy"]["value"] == report["metrics"]["test"]["accuracy"]["value"]
    assert report["best"]["test_evaluations"] == 1


def test_trials_take_turns_in_the_bands(finished: Path) -> None:
    with open(finished / "trials.csv", encoding="utf-8", newline="") as file:
        macs = [int(row["macs"]) for row in csv.DictReader(file)]
    assert len(macs) == 6
    assert all(count >= 40_000 for count in macs[::2])
    assert all(count <= 40_000 for count in macs[1::2])


def test_every_network_of_the_front_has_a_spec_that_train_takes_and_weights(finished: Path, data, tmp_path) -> None:
    front = RunFolder.load(finished).report["front"]
    files = {point[name] for point in front for name in ("spec", "weights")}
    assert files == {str(path.relative_to(finished)) for path in (finished / "front").iterdir()}
    for point in front:
        spec = NetworkSpec.load(finished / point["spec"])
        assert cost(spec).macs == point["cost"]["macs"]
        read_network(finished / point["weights"], spec)
    spec = str(finished / front[0]["spec"])
    assert run(["train", spec, "--data", data, "--epochs", "1", "--out", str(tmp_path / "trained"), "--quiet"]) == 0
    assert RunFolder.load(tmp_path / "trained").report["network"]["cost"]["macs"] == front[0]["cost"]["macs"]


def test_the_page_and_the_terminal_show_the_front(finished: Path, capsys) -> None:
    front = RunFolder.load(finished).report["front"]
    page = read_page((finished / "report.html").read_bytes())
    assert "The Pareto front" in page
    assert "MicroMPoxNet: 458.4M FLOPs" in page
    assert "evaluated on the test images once" in page
    assert all(point["spec"] in page for point in front)
    assert (finished / "plots" / "front.png").is_file()
    assert run(["search", "--resume", "--out", str(finished)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"front/trial-{front[-1]['trial']}.yaml" in printed
    assert f"the front has {'one network' if len(front) == 1 else f'{len(front)} networks'} of those" in printed


def test_trainings_beside_it_with_the_same_split_are_drawn(finished: Path, data, tmp_path) -> None:
    shutil.copytree(finished, tmp_path / "front")
    train = ["train", str(finished / "spec.yaml"), "--data", data, "--epochs", "1", "--quiet"]
    assert run([*train, "--out", str(tmp_path / "mine")]) == 0
    assert run([*train, "--seed", "1", "--out", str(tmp_path / "other-seed")]) == 0
    (tmp_path / "moved.npz").write_bytes(Path(data).read_bytes())
    train[train.index(data)] = str(tmp_path / "moved.npz")
    assert run([*train, "--out", str(tmp_path / "moved")]) == 0
    for name, is_stated in (("other-images", True), ("edited-images", False)):
        shutil.copytree(tmp_path / "mine", tmp_path / name)
        images = tmp_path / name / "test_images.csv"
        images.write_text("\n".join(images.read_text().splitlines()[:-1]))
        if is_stated:
            changed = RunFolder.load(tmp_path / name).report
            changed["predictions"]["images_sha256"] = hashlib.sha256(images.read_bytes()).hexdigest()
            (tmp_path / name / "report.json").write_text(json.dumps(changed))
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "report.json").write_text("{")
    report = RunFolder.load(tmp_path / "front").report
    mine = RunFolder.load(tmp_path / "mine").report
    for name, part, key, value in (
        ("text-cost", mine["network"]["cost"], "macs", "many"),
        ("no-score", mine["metrics"]["val"]["accuracy"], "value", None),
        ("not-finite", mine["metrics"]["test"]["accuracy"], "high", math.inf),
        ("undefined", mine["metrics"]["test"]["accuracy"], "value", None),  # as a score may be of a test set
    ):
        shutil.copytree(tmp_path / "mine", tmp_path / name)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(part, key, value)
            (tmp_path / name / "report.json").write_text(json.dumps(mine))
    front = RunFolder(tmp_path / "front")
    tested = sorted(read_test_images(front, report["predictions"]["images_sha256"]).values())
    undefined, *beside = sorted(neighbours_document(front, report, tested), key=lambda row: row["run"] != "undefined")
    assert undefined["run"] == "undefined" and undefined["test"]["accuracy"]["value"] is None
    assert [row["run"] for row in beside] == ["mine", "moved"], "the same images in another file"
    assert beside[0]["val"]["accuracy"]["value"] == mine["metrics"]["val"]["accuracy"]["value"]
    assert beside[0]["cost"]["macs"] == report["network"]["cost"]["macs"]
    chart = draw_front(
        report["front"], [point["cost"]["macs"] for point in report["front"]], [], metric="accuracy", label="FLOPs",
        reference=1e6, beside=[(beside[0], beside[0]["cost"]["macs"])],
    )  # fmt: skip
    assert "run mine: " in chart.description
    assert "MicroMPoxNet: 1M FLOPs" in chart.description


@pytest.mark.long
def test_workers_and_resumes_find_the_same_front(data, finished: Path, tmp_path) -> None:
    out = tmp_path / "other"
    few = [*SEARCH, "--budget", RANGE, "--data", data, "--out", str(out)]
    assert run([*few, "--workers", "2"]) == 0
    points = [{**point, "cost": 0} for point in RunFolder.load(finished).report["front"]]
    assert [{**point, "cost": 0} for point in RunFolder.load(out).report["front"]] == points
    assert run(["search", "--resume", "--out", str(out), "--trials", "8", "--quiet"]) == 0
    report = RunFolder.load(out).report
    assert report["counts"]["proposed"] == 8
    assert report["best"]["test_evaluations"] == 2
    assert {path.name for path in (out / "front").iterdir()} == {
        f"trial-{point['trial']}.{ending}" for point in report["front"] for ending in ("yaml", "safetensors")
    }


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("80kFLOPs", "lightcnn: --pareto: budget 80kFLOPs has no range; write the lowest and the highest cost"),
        ("20k..80kFLOPs,1k..9kparams", "has 2 ranges; a front is over one cost: write the others as plain limits"),
        ("70k..80kFLOPs", "the range 70..80kFLOPs is narrow; its upper end must be at least 2 times the lower one"),
        ("10..40FLOPs", "the smallest network of the space micro needs"),
    ],
)
def test_a_budget_without_a_wide_range_is_refused_in_one_line(budget, message, tmp_path, capsys) -> None:
    out = tmp_path / "none"
    assert run(["search", "--pareto", "--budget", budget, "--trials", "2", "--out", str(out)]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert "\n" not in printed
    assert not out.exists()


def test_a_search_for_one_network_cannot_be_resumed_as_one_for_a_front(data, tmp_path, capsys) -> None:
    out = str(tmp_path / "one")
    command = ["search", "--budget", RANGE, "--data", data, "--trials", "1", "--epochs", "1", "--workers", "1"]
    assert run([*command, "--out", out]) == 0
    assert "pareto" not in RunFolder.load(out).report
    assert run(["search", "--resume", "--pareto", "--out", out, "--trials", "2"]) == 2
    assert "was started with pareto False, not True" in capsys.readouterr().err


def test_a_dry_run_states_the_bands(data, capsys) -> None:
    assert run([*SEARCH, "--budget", RANGE, "--data", data, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["bands"], plan["finalists"], plan["first_has_worker"]) == (2, 2, False)


@pytest.mark.long
def test_python_searches_for_a_front_over_parameters_by_another_metric(data, tmp_path) -> None:
    finished_run = lightcnn.search(
        "3k..12kparams,200kFLOPs", pareto=True, data=data, trials=4, epochs=2, workers=1, metric="log_loss",
        finalists=3, out=tmp_path / "run", strategy="evolution",
    )  # fmt: skip
    report = finished_run.report
    assert (report["pareto"]["resource"], report["pareto"]["beside"]) == ("params", [])
    assert len(report["finals"]) == 3
    params = [point["cost"]["params"] for point in report["front"]]
    losses = [point["val"]["log_loss"]["value"] for point in report["front"]]
    assert params == sorted(params)
    assert losses == sorted(losses, reverse=True)
    assert all(3_000 <= count <= 12_000 for count in params)

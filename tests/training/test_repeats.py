"""`lightcnn train --folds K --seeds S`: each image is tested once per seed, by networks not trained on its group."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import lightcnn
from lightcnn.cli.main import run
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.sources.load import load
from lightcnn.data.split import make_split
from lightcnn.recipe import Reading, Recipe
from lightcnn.run_folder import RunFolder

pytestmark = pytest.mark.usefixtures("undrawn_charts")

CLASSES = ("dark", "bright")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe on 96 squares in 32 groups of three, with a manifest that names the groups."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("groups")
    random = np.random.default_rng(0)
    rows = ["path,label,group"]
    for number in range(96):
        group, label = number // 3, number // 3 % 2
        pixels = (random.integers(0, 200, (8, 8)) + 40 * label).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        rows.append(f"{number}.png,{CLASSES[label]},patient{group}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    (folder / "squares.yaml").write_text(
        f"name: squares\ndata: {folder / 'data.csv'}\nnetwork: {{input: [1, 8, 8], stages: [{{kind: conv, width: 4}}], "
        "classes: 2, head: {output: sigmoid}}\naugment: none\ntraining: {epochs: 2, batch: 16}\n"
    )
    return str(folder / "squares.yaml")


@pytest.fixture(scope="module")
def repeated(recipe, tmp_path_factory):
    """Three folds of two seeds."""
    out = tmp_path_factory.mktemp("runs") / "six"
    assert run(["train", recipe, "--folds", "3", "--seeds", "2", "--out", str(out), "--quiet"]) == 0
    return out


def rows(file):
    with open(file, encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def outcome(folder):
    """The results that must be bit-identical."""
    names = [
        "predictions.csv",
        *(str(p.relative_to(folder)) for p in sorted(folder.glob("parts/*/weights.safetensors"))),
    ]
    return {name: (folder / name).read_bytes() for name in names}


def test_every_image_is_tested_once_per_seed(repeated):
    tested = rows(repeated / "predictions.csv")
    assert len(tested) == 192
    assert {row["split"] for row in tested} == {"test"}
    for seed in "01":
        paths = [row["path"] for row in tested if row["seed"] == seed]
        assert len(set(paths)) == len(paths) == 96
        assert {row["fold"] for row in tested if row["seed"] == seed} == {"1", "2", "3"}


def test_no_group_is_tested_by_a_network_trained_on_it(repeated, recipe):
    dataset = find_groups(load(Recipe.load(recipe).data))
    for part in sorted((repeated / "parts").iterdir()):
        part_recipe = Recipe.load(part / "recipe.yaml")
        parts = make_split(dataset, part_recipe.seed, part_recipe.reading)
        predicted = {row["path"] for row in rows(part / "predictions.csv") if row["split"] == "test"}
        assert predicted == {dataset.paths[i] for i in parts.test}
        groups = [set(dataset.groups[getattr(parts, name)]) for name in ("train", "val", "test")]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
        assert all(set(dataset.labels[getattr(parts, name)]) == {0, 1} for name in ("train", "val", "test"))


def test_each_seed_makes_its_own_folds(repeated):
    folds = {(row["seed"], row["path"]): row["fold"] for row in rows(repeated / "predictions.csv")}
    assert any(folds["0", path] != folds["1", path] for _, path in folds)


def test_the_report_agrees_with_the_predictions(repeated):
    report, tested = RunFolder.load(repeated).report, rows(repeated / "predictions.csv")
    accuracy = np.mean([row["label"] == row["prediction"] for row in tested])
    assert report["metrics"]["test"]["accuracy"]["value"] == pytest.approx(accuracy)
    parts = []
    for seed, fold in ((seed, fold) for seed in "01" for fold in "123"):
        of_part = [row for row in tested if (row["seed"], row["fold"]) == (seed, fold)]
        parts.append(np.mean([row["label"] == row["prediction"] for row in of_part]))
    assert report["summary"]["accuracy"]["values"] == pytest.approx(parts)
    assert report["summary"]["accuracy"]["mean"] == pytest.approx(np.mean(parts))
    assert report["summary"]["accuracy"]["sd"] == pytest.approx(np.std(parts, ddof=1))
    assert [(part["seed"], part["fold"]) for part in report["parts"]] == [(s, f) for s in (0, 1) for f in (1, 2, 3)]
    assert report["data"]["counts"]["test"] == 96
    assert report["data"]["groups"]["counts"]["test"] == 32
    assert report["data"]["groups_shared"] == 0
    assert "bootstrap of 32 groups" in report["metrics"]["test"]["accuracy"]["interval"]
    page = (repeated / "report.html").read_text()
    assert "3 folds × 2 seeds" in page
    assert "<dd>96</dd>" in page or '<td class="number">96</td>' in page


def test_the_recipe_of_a_part_repeats_the_part(repeated):
    part = repeated / "parts" / "seed-1-fold-2"
    assert run(["train", str(part / "recipe.yaml"), "--out", "again", "--quiet"]) == 0
    for name in ("weights.safetensors", "predictions.csv"):
        assert Path("again", name).read_bytes() == (part / name).read_bytes()
    assert not (part / "checkpoints").exists()


@pytest.mark.long
def test_the_python_function_gives_the_same_run(repeated, recipe):
    trained = lightcnn.train(recipe, folds=3, seeds=2, out="python")
    assert outcome(trained.path) == outcome(repeated)


@pytest.mark.long
def test_a_killed_run_resumes_to_the_same_result(repeated, recipe):
    command = [sys.executable, "-m", "lightcnn", "train", recipe, "--folds", "3", "--seeds", "2", "--out", "killed"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not Path("killed/parts/seed-0-fold-2/metrics.csv").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not Path("killed/report.json").exists()
    finished = Path("killed/parts/seed-0-fold-1/report.json")
    before = finished.stat().st_mtime_ns
    assert run(["train", "--resume", "--out", "killed", "--quiet"]) == 0
    assert finished.stat().st_mtime_ns == before
    assert outcome(Path("killed")) == outcome(repeated)


def test_seeds_alone_share_one_split(recipe):
    assert run(["train", recipe, "--seeds", "2", "--epochs", "1", "--out", "seeds", "--quiet"]) == 0
    tested = rows("seeds/predictions.csv")
    test_sets = [{row["path"] for row in tested if row["seed"] == seed} for seed in "01"]
    assert test_sets[0] == test_sets[1]
    assert RunFolder.load("seeds").report["data"]["counts"]["test"] == len(test_sets[0])
    weights = [Path(f"seeds/parts/seed-{seed}/weights.safetensors").read_bytes() for seed in "01"]
    assert weights[0] != weights[1]


def test_a_dry_run_includes_all_parts(recipe, capsys):
    assert run(["train", recipe, "--folds", "3", "--seeds", "2", "--dry-run", "--json"]) == 0
    six = json.loads(capsys.readouterr().out)
    assert (six["folds"], six["seeds"], six["data"]["counts"]["test"]) == (3, 2, 96)
    assert six["recipe"]["reading"]["folds"] == 0
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "options, message",
    [
        (["--folds", "0"], "--folds 0: "),
        (["--folds", "1"], "--folds 1: "),
        (["--seeds", "0"], "--seeds 0: "),
        (["--seeds", "2", "--seed", "4294967295"], "the last seed is 4294967295"),
        (["--folds", "17"], "has 48 images in 16 groups, too few to be in all 17 folds; give it images of at least 17 "
                            "groups, make at most 16 folds"),
        (["--folds", "3", "--set", "distill.teacher=somewhere"], "--folds: distill.teacher somewhere was trained on"),
        (["--set", "reading.folds=3"], "reading"),
        (["--set", "reading.folds=3", "--set", "reading.fold=4"], "fold 4 of 3; use a number from 1 to 3"),
        (["--set", "reading.folds=1"], "1 fold leaves nothing to learn from"),
    ],
)  # fmt: skip
def test_invalid_folds_and_seeds_are_an_error_of_one_line(recipe, options, message, capsys):
    assert run(["train", recipe, *options, "--out", "no", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("no").exists()


def test_resuming_with_another_number_of_folds_is_an_error(repeated, capsys):
    assert run(["train", "--resume", "--folds", "4", "--out", str(repeated), "--quiet"]) == 2
    assert "was not started with --folds 4 --seeds 1" in capsys.readouterr().err
    assert (repeated / "report.json").is_file()


def test_edited_predictions_of_a_part_are_an_error(repeated, tmp_path, capsys):
    shutil.copytree(repeated, "edited")
    Path("edited/report.json").unlink()
    table = Path("edited/parts/seed-0-fold-1/predictions.csv")
    table.write_text(table.read_text().replace(",test,", ",val,", 1))
    assert run(["train", "--resume", "--out", "edited", "--quiet"]) == 2
    assert "it was edited after the run" in capsys.readouterr().err
    assert not Path("edited/report.json").exists()


def test_areas_under_curves_rank_images_within_one_network(repeated):
    test = RunFolder.load(repeated).report["metrics"]["test"]
    tested = rows(repeated / "predictions.csv")
    areas = []
    for seed in "01":
        ordered = pairs = 0.0
        for fold in "123":
            part = [row for row in tested if (row["seed"], row["fold"]) == (seed, fold)]
            yes, no = ([float(row["p_bright"]) for row in part if row["label"] == name] for name in ("bright", "dark"))
            ordered += sum((a > b) + (a == b) / 2 for a in yes for b in no)
            pairs += len(yes) * len(no)
        areas.append(ordered / pairs)
    assert test["auc"]["value"] == pytest.approx(np.mean(areas))
    assert test["auc"]["low"] < test["auc"]["value"] < test["auc"]["high"]
    assert test["images"] == 96
    assert sum(scores["images"] for scores in test["per_class"].values()) == 96


def test_operating_points_use_the_thresholds_of_each_part(repeated):
    tested = [row for row in rows(repeated / "predictions.csv") if row["split"] == "test"]
    report = json.loads((repeated / "report.json").read_text())
    second = report["data"]["classes"][1]
    for name, target in (("at_specificity", "0.90"), ("at_sensitivity", "0.95")):
        thresholds = {}
        for part in report["parts"]:
            metrics = json.loads((repeated / part["folder"] / "report.json").read_text())["metrics"]
            thresholds[str(part["seed"]), str(part["fold"])] = metrics["test"][name][target]["threshold"]
        point = report["metrics"]["test"][name][target]
        assert point["threshold"] is None and None not in thresholds.values()
        taken = [float(row[f"p_{second}"]) >= thresholds[row["seed"], row["fold"]] for row in tested]
        for rate, label in (("sensitivity", True), ("specificity", False)):
            correct = [
                took == label for took, row in zip(taken, tested, strict=True) if (row["label"] == second) == label
            ]
            assert point[rate]["value"] == pytest.approx(sum(correct) / len(correct))
            assert point[rate]["low"] <= point[rate]["value"] <= point[rate]["high"]
    assert "each part&#39;s own" in (repeated / "report.html").read_text()


def test_a_fold_of_a_recipe_is_repeated_with_every_seed(recipe):
    fold = ["--set", "reading.folds=3", "--set", "reading.fold=2"]
    assert run(["train", recipe, *fold, "--seeds", "2", "--epochs", "1", "--out", "second", "--quiet"]) == 0
    report = RunFolder.load("second").report
    assert (report["folds"], report["seeds"]) == (0, 2)
    assert [part["fold"] for part in report["parts"]] == [2, 2]


def test_a_test_set_of_enough_groups_has_no_warning(repeated):
    page = (repeated / "report.html").read_text()
    assert RunFolder.load(repeated).report["metrics"]["test"]["warning"] is None
    assert "too few for a reliable result" not in page
    assert "32 groups" in page


def test_a_damaged_repeats_file_is_an_error(recipe, capsys):
    assert run(["train", recipe, "--seeds", "1", "--epochs", "1", "--out", "one", "--quiet"]) == 0
    Path("one/repeats.json").write_text("{")
    Path("one/report.json").unlink()
    assert run(["train", "--resume", "--out", "one", "--quiet"]) == 2
    assert "repeats.json is damaged" in capsys.readouterr().err


def test_a_fold_of_a_recipe_is_checked():
    with pytest.raises(ValueError, match="fold 0 of 3"):
        Reading(folds=3)
    with pytest.raises(ValueError, match="fold 2, but no folds"):
        Reading(fold=2)
    assert Reading(folds=2, fold=2).fold == 2


def test_a_repeated_run_has_no_network_of_its_own(repeated, capsys):
    assert run(["predict", str(repeated), __file__]) == 2
    assert "has no weights.safetensors; give one of its parts/" in capsys.readouterr().err

"""`lightcnn search` from the command line, on small data: what it writes, what it refuses, how it resumes."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pages import read_page
from helpers.searches import timeless
from safetensors.torch import load_file
from sklearn.metrics import f1_score, roc_auc_score

from lightcnn.cli.main import run
from lightcnn.counting.other_tools import fvcore_total, thop_total
from lightcnn.data.preprocess import Preprocess
from lightcnn.data.sources.load import load
from lightcnn.data.tensors import resize
from lightcnn.inference import probabilities
from lightcnn.network import build, fold
from lightcnn.recipe import Reading, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching.report.wording import certainty, comparison_lines, plan_lines
from lightcnn.spec import NetworkSpec
from lightcnn.training.report.wording import METRICS

pytestmark = pytest.mark.usefixtures("undrawn_charts", "one_worker")

BUDGET = "100kFLOPs,8kparams,9KB,4KB-RAM"
STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
SPACE = f"size: [16]\nstem: {STAGE}\nstages: [{STAGE}]\n"
SMALL = ["search", "--budget", BUDGET, "--trials", "3", "--epochs", "4", "--workers", "1"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """80 dark and bright squares in a file with a test set."""
    folder = tmp_path_factory.mktemp("data")
    random = np.random.default_rng(0)
    labels = np.arange(80) % 2
    images = (random.integers(0, 150, (80, 8, 8)) + 80 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        folder / "squares.npz",
        train_images=images[:60], train_labels=labels[:60], test_images=images[60:], test_labels=labels[60:],
        class_names=np.array(["dark", "bright"]),
    )  # fmt: skip
    return str(folder / "squares.npz")


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """One finished search, what it printed as JSON, and what it showed beside that."""
    out = tmp_path_factory.mktemp("runs") / "one"
    with redirect_stdout(io.StringIO()) as printed, redirect_stderr(io.StringIO()) as shown:
        assert run([*SMALL, "--data", data, "--out", str(out), "--json"]) == 0, shown.getvalue()
    return out, printed.getvalue(), shown.getvalue()


def rows(folder, name="trials.csv"):
    with open(folder / name, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_json_is_the_report_and_nothing_else(finished):
    out, printed, shown = finished
    assert json.loads(printed) == RunFolder.load(out).report
    assert "trial 0" in shown


def test_the_plan_is_printed_before_the_first_result(finished):
    shown = finished[2]
    assert 0 < shown.index("plan: about 3 networks are compared") < shown.index("trial 0")


def test_the_page_says_what_was_planned_and_compared_and_how_sure_the_choice_is(finished):
    page, report = read_page((finished[0] / "report.html").read_bytes()), RunFolder.load(finished[0]).report
    sentences = [*plan_lines(report["plan"]), *comparison_lines(report)]
    assert len(sentences) > 3
    for line in (certainty(report), *(f"{line[0].upper()}{line[1:]}" for line in sentences)):
        assert line in page


def test_the_report_has_the_keys_of_the_contract(finished):
    report = RunFolder.load(finished[0]).report
    assert report["command"] == "search"
    assert report["seed"] == 0
    assert report["seconds"] > 0
    assert report["data"]["classes"] == ["dark", "bright"]
    assert report["data"]["counts"] == {"train": 52, "val": 8, "test": 20}
    assert report["data"]["groups"]["known"] is False
    assert report["data"]["groups_shared"] == 0
    assert report["data"]["stand_in"] is False
    assert len(report["data"]["fingerprint"]) == 64
    cost_keys = {"params", "params_with_buffers", "params_deployed", "macs", "peak_activations", "weight_bytes"}
    cost_keys |= {"flash_bytes", "arena_bytes"}
    assert report["network"]["cost"].keys() == cost_keys
    assert report["network"]["cost"]["weight_bytes"].keys() == {"fp32", "int8"}
    assert report["network"]["counters"].keys() == {"fvcore", "thop"}
    assert report["budget"]["macs"] == {"lower": None, "upper": 100_000}
    assert report["strategy"] == "surrogate"
    assert report["counts"].keys() == {"proposed", "trained", "pruned", "duplicates", "failed"}
    assert report["counts"]["proposed"] == 3
    assert report["failures"] == []
    states = {int(row["number"]): (row["state"], row["reason"]) for row in rows(finished[0])}
    assert all(states[final["trial"]] == ("complete", "") for final in report["finals"])
    test = report["best"]["test"]["accuracy"]
    assert test.keys() == {"mean", "sd", "values", "low", "high"}
    assert test["sd"] is None
    assert test["low"] <= test["mean"] <= test["high"]
    assert report["front"]
    assert all(point.keys() == {"cost", "accuracy"} for point in report["front"])
    assert all(len(point) == 2 for point in report["history"])
    compared = report["comparison"]
    assert compared["networks"] == 3
    assert compared["finalists"] == 2
    assert compared["cut_short"] is False
    assert compared["standard_error"] >= 0
    assert compared["unused_seconds"] is None, "there is no time limit"
    again = report["second_seeds"]
    assert [training["trial"] for training in again] == compared["second_seeds"]
    assert sorted(compared["second_seeds"]) == sorted(final["trial"] for final in report["finals"]), "eight images"
    assert all(training["ended"] for training in again)
    rungs = report["fidelity"]["rungs"]
    keys = {"steps", "images", "networks", "rank_correlation", "pairs"}
    assert [rung.keys() for rung in rungs] == [keys] * len(rungs)
    assert rungs[0]["networks"] == 3
    finals = {"finals", "finals_error", "finals_rank_correlation", "finals_end_rank_correlation"}
    finals |= {"finals_rank_correlation_of_scores"}
    assert report["prediction"].keys() == {"left_out", "trials"} | finals
    assert [network["trial"] for network in report["prediction"]["trials"]] == [0, 1, 2]
    assert report["prediction"]["finals"] == [], "three networks predict nothing"
    assert all(entry["predicted"] is None and entry["curve"] for entry in report["prediction"]["trials"])
    assert report["importance"] is None, "three networks do not tell what matters"
    assert {final["trial"] for final in report["finals"]} >= {report["best"]["trial"], 0}


def test_the_network_meets_the_budget_by_every_counter(finished):
    spec = NetworkSpec.load(finished[0] / "spec.yaml")
    report = RunFolder.load(finished[0]).report
    model = build(spec, 0)
    deployed = fold(model)
    counted = {"fvcore": fvcore_total(deployed, spec.input), "thop": thop_total(deployed, spec.input)}
    assert report["network"]["counters"] == counted
    assert max(counted.values()) <= 100_000
    assert report["network"]["cost"]["macs"] <= 100_000
    assert sum(p.numel() for p in model.parameters()) == report["network"]["cost"]["params"] <= 8_000
    weights = sum(p.numel() for p in deployed.parameters() if p.ndim > 1)
    biases = sum(p.numel() for p in deployed.parameters() if p.ndim == 1)
    assert weights + 4 * biases == report["network"]["cost"]["weight_bytes"]["int8"] <= 9_000
    assert report["network"]["cost"]["peak_activations"] <= 4_000


def test_the_run_folder_has_all_its_files(finished):
    out = finished[0]
    expected = {
        "report.json", "report.html", "spec.yaml", "network.svg", "weights.safetensors", "recipe.yaml", "metrics.csv",
        "preprocess.json",
        "predictions.csv", "environment.json", "log.txt", "trials.csv", "study.db", "search.yaml", "plan.yaml", "plots",
    }  # fmt: skip
    assert expected <= {path.name for path in out.iterdir()}
    assert {path.name for path in (out / "plots").iterdir()} == {
        "history.png",
        "front.png",
        "loss.png",
        "confusion.png",
        "learning_curves.png",
    }
    assert len(rows(out, "metrics.csv")) == 4
    assert "test accuracy" in read_page((out / "report.html").read_bytes())


def test_the_page_has_every_score_of_a_training_for_test_and_validation(finished):
    out = finished[0]
    page, metrics = read_page((out / "report.html").read_bytes()), RunFolder.load(out).report["metrics"]
    for name, title in METRICS.items():
        test, val = (f"{metrics[split][name]['value']:.3f}" for split in ("test", "val"))
        assert re.search(
            rf"{re.escape(title)}\W.{{0,80}}{re.escape(test)}.{{0,80}}{re.escape(val)}", page, re.DOTALL
        ), name


def test_weights_and_preprocessing_reproduce_the_predictions(finished, data):
    out = finished[0]
    spec = NetworkSpec.load(out / "spec.yaml")
    model = build(spec)
    model.load_state_dict(load_file(out / "weights.safetensors"))
    stored = json.loads((out / "preprocess.json").read_text())
    preprocess = Preprocess.model_validate_json(
        json.dumps({k: v for k, v in stored.items() if k not in ("temperature", "threshold")})
    )
    dataset = load(data)
    predictions = rows(out, "predictions.csv")
    assert {row["split"] for row in predictions} == {"val", "test"}
    indices = [dataset.paths.index(row["path"]) for row in predictions]
    images = resize(dataset.images[np.array(indices)], preprocess.size)
    expected = np.array([[float(row["p_dark"]), float(row["p_bright"])] for row in predictions])
    np.testing.assert_allclose(probabilities(model, images, preprocess), expected, atol=1e-5)
    correct = [row["label"] == row["prediction"] for row in predictions if row["split"] == "test"]
    assert np.mean(correct) == pytest.approx(RunFolder.load(out).report["best"]["test"]["accuracy"]["mean"])


def test_the_recipe_is_complete(finished):
    recipe = Recipe.load(finished[0] / "recipe.yaml")
    assert recipe.network == NetworkSpec.load(finished[0] / "spec.yaml")
    assert recipe.training.epochs == 4


@pytest.mark.long
def test_the_same_seed_gives_the_same_search(finished, data, tmp_path):
    assert run([*SMALL, "--data", data, "--out", "two", "--quiet"]) == 0
    assert timeless(tmp_path / "two") == timeless(finished[0])
    first, second = (load_file(folder / "weights.safetensors") for folder in (finished[0], tmp_path / "two"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_recipe_trains_the_same_weights_again(finished, tmp_path):
    assert run(["train", str(finished[0] / "recipe.yaml"), "--out", "again", "--quiet"]) == 0
    first, second = (load_file(folder / "weights.safetensors") for folder in (finished[0], tmp_path / "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def timeless_trials(workers, data, kill=0):
    """The trials and the weights of a search by so many workers, one of which is killed `kill` times."""
    out = f"workers-{workers}-{kill}"
    run_search([*SMALL[:-1], str(workers), "--data", data, "--out", out, "--quiet"], [1] * kill)
    return timeless(Path(out)), Path(out, "weights.safetensors").read_bytes()


def run_search(arguments, kills=()):
    """Runs a search in a process. For each of `kills`, a worker is killed once so many states have been on disk."""
    child = subprocess.Popen([sys.executable, "-m", "lightcnn", *arguments])
    trainings = Path(arguments[arguments.index("--out") + 1], "trainings")
    seen, killed = set(), set()

    def workers():
        return {*map(int, Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split())} - killed

    try:
        for states in kills:
            deadline = time.monotonic() + 120
            while len(seen) < states or not workers():
                assert child.poll() is None and time.monotonic() < deadline, (seen, states)
                seen |= {file.name for file in trainings.glob("*-*.safetensors") if "paused" not in file.name}
                time.sleep(0.01)
            worker = min(workers())
            killed.add(worker)
            os.kill(worker, signal.SIGKILL)
        assert child.wait(timeout=250) == 0
    finally:
        child.kill()


def test_the_number_of_workers_changes_neither_trials_nor_weights(finished, data):
    """Whether a worker is killed or not: where workers cannot be found, none is."""
    expected = timeless(finished[0]), (finished[0] / "weights.safetensors").read_bytes()
    assert timeless_trials(2, data, kill=int(Path("/proc").is_dir())) == expected


@pytest.mark.long
def test_two_workers_of_which_none_is_killed_find_the_same(finished, data):
    assert timeless_trials(2, data) == (timeless(finished[0]), (finished[0] / "weights.safetensors").read_bytes())


@pytest.mark.long
def test_four_workers_of_which_some_are_killed_find_the_same(finished, data):
    assert timeless_trials(4, data, kill=2) == (
        timeless(finished[0]),
        (finished[0] / "weights.safetensors").read_bytes(),
    )


@pytest.mark.long
def test_two_workers_propose_the_same_from_scores(tmp_path):
    """The surrogate is fitted to eight scores, and a task knows those of the tasks up to eight before it.

    Two workers are killed in the third search: before the surrogate is fitted, and after it.
    """
    (tmp_path / "space.yaml").write_text(SPACE.replace("high: 8", "high: 16"))
    command = ["search", "--budget", BUDGET, "--space", "space.yaml", "--data", "digits", "--trials", "18", "--quiet"]
    kills = [3, 16] if Path("/proc").is_dir() else []
    for workers, out, killed in (("1", "1", []), ("2", "2", []), ("2", "killed", kills)):
        run_search([*command, "--epochs", "1", "--workers", workers, "--out", out], killed)
    alone = timeless(tmp_path / "1")
    assert alone == timeless(tmp_path / "2") == timeless(tmp_path / "killed")
    assert [row["fidelity"] for row in alone[:10]] == [alone[0]["fidelity"]] * 10, (
        "ten tasks, so the last trials see ten"
    )
    assert len(alone) == 18
    assert len({Path(out, "weights.safetensors").read_bytes() for out in ("1", "2", "killed")}) == 1


@pytest.mark.long
def test_fourteen_seconds_are_enough_for_digits(tmp_path):
    command = ["search", "--budget", "1MFLOPs", "--data", "digits", "--time", "14s", "--out", "brief", "--quiet"]
    assert subprocess.run([sys.executable, "-m", "lightcnn", *command], timeout=250).returncode == 0
    report = RunFolder.load(tmp_path / "brief").report
    accuracy = report["best"]["val"]["accuracy"]
    assert accuracy > 0.9
    assert accuracy > report["best"]["search_score"] - 0.03, "at least what it had in the search, within noise"
    assert report["seconds"] < 30


def test_a_finished_run_shows_its_report_again(finished, capsys):
    before = (finished[0] / "report.json").stat().st_mtime_ns
    assert run(["search", "--resume", "--out", str(finished[0])]) == 0
    printed = capsys.readouterr()
    assert "test accuracy" in printed.out
    assert printed.err == (
        "this search has ended: no network is trained longer, and its result remains; search longer with: "
        f"lightcnn search --resume --out {finished[0]} --trials 6\n"
    )
    assert (finished[0] / "report.json").stat().st_mtime_ns == before


def test_the_study_is_closed_at_the_end(finished):
    assert (finished[0] / "study.db").is_file() and not list(finished[0].glob("study.db-*"))


def test_a_dry_run_of_a_resumed_search_shows_the_plan_that_it_has(finished, capsys):
    out = finished[0]
    before = sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir())
    plans = []
    for more in ([], ["--trials", "9", "--epochs", "8"], ["--time", "5m"]):
        assert run(["search", "--resume", "--out", str(out), "--dry-run", "--json", *more]) == 0
        printed = capsys.readouterr()
        plans.append(json.loads(printed.out)["plan"])
        assert ("note: --trials limits this search no longer" in printed.err) == ("--time" in more)
    stored = RunFolder.load(out).report["plan"]
    assert plans[0] == stored | {"compared_before": RunFolder.load(out).report["comparison"]["networks"]}
    assert all(plan["rungs"] == stored["rungs"] for plan in plans), "what is finished never moves"
    assert plans[1]["networks"] == 9
    assert plans[1]["final"]["images"] == 2 * stored["final"]["images"]
    assert plans[2]["images_per_second"] > 0
    assert before == sorted((path.name, path.stat().st_mtime_ns) for path in out.iterdir())
    assert run(["search", "--resume", "--out", "nowhere", "--dry-run"]) == 2
    assert "nowhere: not a run folder" in capsys.readouterr().err


def test_the_command_that_resumes_has_the_limits_that_the_folder_lacks(finished, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    out = str(finished[0])
    monkeypatch.setattr("lightcnn.searching.job.run", interrupted)
    assert run(["search", "--resume", "--out", out, "--time", "1h", "--finalists", "3"]) == 130
    assert f"resume with: lightcnn search --resume --out {out} --time 3600s --finalists 3" in capsys.readouterr().err


def test_a_finished_search_resumes_with_more_trials(finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "more")
    assert run(["search", "--resume", "--out", "more", "--trials", "4", "--epochs", "6"]) == 0
    report = RunFolder.load("more").report
    assert report["counts"]["proposed"] == 4
    assert report["best"]["epochs"] == 6
    assert report["best"]["test_evaluations"] == 2
    page = (tmp_path / "more" / "report.html").read_text()
    assert "evaluated 2 times, once in each session that came to its end" in page
    assert timeless(tmp_path / "more")[:3] == timeless(finished[0])
    assert "--resume --out more --trials 8" in capsys.readouterr().out
    before = (tmp_path / "more" / "search.yaml").read_text()
    assert run(["search", "--resume", "--out", "more", "--trials", "2000000"]) == 2
    assert (tmp_path / "more" / "search.yaml").read_text() == before


def test_seeds_repeat_the_delivered_training_and_leave_it_as_it_was(finished, tmp_path, capsys):
    shutil.copytree(finished[0], tmp_path / "seeds")
    assert run(["search", "--resume", "--out", "seeds", "--seeds", "3"]) == 0
    printed = capsys.readouterr()
    assert "is trained again with 2 other seeds, which --time does not include" in printed.err
    best = RunFolder.load("seeds").report["best"]
    assert best["test_evaluations"] == 4, "once before, once now, and twice by the other seeds"
    page = (tmp_path / "seeds" / "report.html").read_text(encoding="utf-8")
    assert "4 times, once in each session that came to its end and in each training with another seed" in page
    accuracy = best["test"]["accuracy"]
    mean, sd = np.mean(accuracy["values"]), np.std(accuracy["values"], ddof=1)
    assert f"mean test accuracy of {mean:.2%} (standard deviation {100 * sd:.2f} points)" in printed.out
    assert accuracy["values"][:1] == RunFolder.load(finished[0]).report["best"]["test"]["accuracy"]["values"]
    assert len(accuracy["values"]) == 3
    assert (tmp_path / "seeds" / "weights.safetensors").read_bytes() == (
        finished[0] / "weights.safetensors"
    ).read_bytes()
    repeats = sorted((tmp_path / "seeds" / "trainings").glob("*-seed-*"))
    assert [path.suffix for path in repeats] == [".json", ".json"]
    stored = {json.loads(path.read_text())["seed"]: json.loads(path.read_text())["accuracy"] for path in repeats}
    assert sorted(stored.values()) == sorted(accuracy["values"][1:])
    seed = next(iter(stored))
    assert run(["train", "seeds/recipe.yaml", "--seed", str(seed), "--out", "alone", "--quiet"]) == 0
    assert RunFolder.load("alone").report["metrics"]["test"]["accuracy"]["value"] == stored[seed]
    written = [path.stat().st_mtime_ns for path in repeats]
    assert run(["search", "--resume", "--out", "seeds", "--seeds", "3", "--quiet"]) == 0
    assert [path.stat().st_mtime_ns for path in repeats] == written, "what is done is not trained again"
    assert RunFolder.load("seeds").report["best"]["test_evaluations"] == 5, "the other seeds are not evaluated again"


def test_a_test_set_without_a_class_gets_no_score_of_that_class(tmp_path):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (70, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 2
    np.savez(
        "odd.npz", train_images=images[:60], train_labels=labels, test_images=images[60:], test_labels=np.zeros(10, int)
    )
    command = ["search", "--budget", "50kFLOPs", "--trials", "1", "--epochs", "1", "--data", "odd.npz", "--out", "odd"]
    assert run([*command, "--workers", "1", "--quiet"]) == 0
    assert RunFolder.load("odd").report["metrics"]["test"]["sensitivity"]["value"] is None


def test_class_folders_end_to_end(tmp_path, capsys):
    from PIL import Image

    random = np.random.default_rng(1)
    for name, base in (("dark", 0), ("bright", 110)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(20):
            pixels = (random.integers(0, 140, (30, 24, 3)) + base).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index}.jpg")
    (tmp_path / "photos" / "dark" / "empty.jpg").write_bytes(b"")
    command = ["search", "--budget", "200kFLOPs", "--trials", "1", "--epochs", "4", "--data", "photos", "--out", "run"]
    command += ["--workers", "1"]
    assert run(command) == 2
    assert "1 of 41 files cannot be used: dark/empty.jpg is empty" in capsys.readouterr().err
    assert run([*command, "--skip-corrupt"]) == 0
    report = RunFolder.load("run").report
    assert (
        "each image counts as its own group: the file names show no groups of copies or patients"
        in report["data"]["note"]
    )
    assert Recipe.load("run/recipe.yaml").reading == Reading(skip_corrupt=True, positive="dark", split_seed=0)
    assert report["data"]["counts"] == {"train": 28, "val": 4, "test": 8}
    assert NetworkSpec.load("run/spec.yaml").input[0] == 3
    assert Recipe.load("run/recipe.yaml").augment.flip
    assert "run folder run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--budget is missing"),
        (["--budget", "1M"], "'1M' has no unit"),
        (["--budget", "-1MFLOPs"], "must be at least 1"),
        (["--budget", "1kFLOPs"], r"the smallest network of the space micro needs \d+ FLOPs, over the limit of 1000"),
        (["--budget", "1kFLOPs", "--data", "none.npz"], "the smallest network of the space micro needs"),
        (["--budget", "100MFLOPs,100params", "--data", "none.npz"], "the smallest network of the space micro needs"),
        (["--budget", "11..12GFLOPs", "--data", "none.npz"], "the largest network of the space mobilenet has"),
        (["--budget", "5..6GFLOPs", "--data", "none.npz"], "data none.npz: no such file"),
        (["--budget", "11..11.5Mparams", "--data", "none.npz"], "data none.npz: no such file"),
        (["--budget", "20..21Mparams", "--data", "none.npz"], "the largest network of the space mobilenet has"),
        (["--budget", "1MFLOPs", "--data", "nowhere"], "data 'nowhere': no such folder"),
        (["--budget", "1MFLOPs", "--positive", "3"], "does not have two classes"),
        (["--budget", "1MFLOPs", "--data", "digit"], "did you mean 'digits'"),
        (["--budget", "1MFLOPs", "--data", "none.npz"], "data none.npz: no such file"),
        (["--budget", "1MFLOPs", "--space", "mikro"], "did you mean 'micro'"),
        (["--budget", "1MFLOPs", "--space", "bad.yaml"], r"bad.yaml:4: sise: unknown key 'sise' .*did you mean 'size'"),
        (["--budget", "1MFLOPs", "--time", "10"], "--time '10': not a duration; write it with units"),
        (["--budget", "1MFLOPs", "--time", f"{'9' * 400}h"], "not a duration; write it with units"),
        (["--budget", "1MFLOPs", "--trials", "0"], "--trials"),
        (["--budget", "1MFLOPs", "--trials", "2000000"], "trials: input should be less than or equal to 1000000"),
        (["--budget", "1MFLOPs", "--seed", "99999999999"], "seed: input should be less than 4294967296"),
        (["--budget", "1MFLOPs", "--out", "x" * 300], "cannot be made"),
        (["--budget", "1MFLOPs", "--seed", "-1"], "--seed"),
        (["--budget", "1MFLOPs", "--workers", "0"], "--workers"),
        (["--budget", "1MFLOPs", "--workers", "9"], "--workers"),
        (["--budget", "1MFLOPs", "--seeds", "0"], "--seeds"),
        (
            ["--budget", "1MFLOPs", "--space", "starts.yaml"],
            r"starts.yaml:6: starts.0.stem.wdith: unknown gene; did you mean 'stem.width'",
        ),
        (["--budget", "1MFLOPs", "--finalists", "0"], "--finalists"),
        (["--budget", "1MFLOPs", "--strategy", "magic"], "evolution"),
        (["--budget", "1MFLOPs", "--metric", "acuracy"], "did you mean 'accuracy'"),
        (["--budget", "1MFLOPs", "--set", "training.batch"], "--set training.batch: not an assignment"),
        (["--budget", "1MFLOPs", "--set", "training.batch=1"], "--set training.batch: .* equal to 2, not 1"),
        (["--budget", "1MFLOPs", "--input", "8"], "--input 8: the space micro takes inputs of 16 to 64 pixels"),
        (
            ["--budget", "1MFLOPs", "--space", "micro", "--input", "65"],
            "--input 65: the space micro takes inputs of 16",
        ),
        (["--budget", "1MFLOPs", "--resume"], "--resume: --out is missing"),
        (["--budget", "1MFLOPs", "--resume", "--out", "nothing"], "run nothing: not a run folder"),
        (
            ["--budget", "1MFLOPs", "--out", "taken"],
            "--out taken: already exists; choose a new folder, or use --resume",
        ),
        (["--budget", "1MFLOPs", "--out", "file/run"], "--out file/run: cannot be made"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, capsys):
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "bad.yaml").write_text(SPACE + "sise: [16]\n")
    (tmp_path / "starts.yaml").write_text(SPACE.replace("[16]", "[8, 16]") + "start: {}\nstarts:\n- {stem.wdith: 8}\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert run(["search", *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert error.startswith("lightcnn: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_input_fixes_the_size_of_all_networks(data, tmp_path, capsys):
    assert run([*SMALL, "--data", data, "--input", "20", "--trials", "1", "--epochs", "1", "--out", "fixed"]) == 0
    assert "searching micro (chosen since the budget is at most 30 MFLOPs)" in capsys.readouterr().err
    assert NetworkSpec.load("fixed/spec.yaml").input[1] == 20
    stored = (tmp_path / "fixed" / "search.yaml").read_text()
    assert "size: [20]" in stored and "input: 20" in stored
    assert run(["search", "--resume", "--out", "fixed", "--input", "24"]) == 2
    assert "was started with input 20, not 24" in capsys.readouterr().err
    assert run(["search", "--resume", "--out", "fixed", "--space", "micro", "--input", "20", "--dry-run"]) == 0
    assert run(["search", "--resume", "--out", "fixed", "--space", "auto", "--trials", "2", "--quiet"]) == 0
    assert {row["state"] for row in rows(tmp_path / "fixed")} <= {"complete", "pruned"}


def test_an_input_above_the_sizes_of_micro_chooses_the_other_space(data, capsys):
    arguments = ["search", "--budget", "25MFLOPs", "--input", "96", "--data", data, "--trials", "1", "--workers", "1"]
    assert run([*arguments, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "mobilenet (chosen since inputs have 96 pixels, and the largest input of micro is 64)" in shown
    assert run([*arguments, "--dry-run", "--space", "micro"]) == 2
    assert "--input 96: the space micro takes inputs of 16 to 64 pixels" in capsys.readouterr().err


def test_the_space_is_chosen_by_the_images_that_were_read(data, capsys):
    arguments = ["search", "--data", data, "--trials", "1", "--workers", "1", "--dry-run"]
    assert run([*arguments, "--budget", "40MFLOPs,5kparams"]) == 0
    shown = capsys.readouterr().out
    assert "micro (chosen since the smallest network of mobilenet needs 6766 params, over the limit of 5000)" in shown
    assert run([*arguments, "--budget", "10Mparams", "--space", "auto"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"micro \(chosen since .*, images have 8 pixels, and the smallest input", shown.out)
    assert "warning: The space micro was chosen although it is meant for at most 30 MFLOPs: the budget" in shown.err


def test_a_search_maximises_the_metric_that_is_asked_for(tmp_path, capsys):
    random = np.random.default_rng(0)
    labels = (np.arange(200) % 5 == 0).astype(int)
    images = (random.integers(0, 150, (200, 8, 8)) + 60 * labels[:, None, None]).astype(np.uint8)
    np.savez(
        "rare.npz",
        train_images=images[:150], train_labels=labels[:150], test_images=images[150:], test_labels=labels[150:],
        class_names=np.array(["common", "rare"]),
    )  # fmt: skip
    arguments = [*SMALL, "--data", "rare.npz", "--metric", "balanced_accuracy", "--out", "balanced"]
    assert run(arguments) == 0
    report, (printed, shown) = RunFolder.load("balanced").report, capsys.readouterr()
    balanced = report["metrics"]["val"]["balanced_accuracy"]["value"]
    assert report["metric"] == report["comparison"]["metric"] == "balanced_accuracy"
    assert report["best"]["val"] == {
        "accuracy": report["metrics"]["val"]["accuracy"]["value"], "balanced_accuracy": balanced
    }  # fmt: skip
    second = report["comparison"]["runner_up"]["val"]
    assert second == {"balanced_accuracy": pytest.approx(balanced - report["comparison"]["difference"])}
    assert f"test balanced accuracy {report['metrics']['test']['balanced_accuracy']['value']:.2%}" in printed
    assert "largest_class_share" in {warning["code"] for warning in report["warnings"]}
    warning = "80% of the training images are of class common: accuracy favours it."
    assert f"warning: {warning}" in printed.splitlines(), "without advice that was followed"
    lines = shown.splitlines()
    assert [line for line in lines if warning in line] == [f"warning: {warning}"]
    assert lines.index(f"warning: {warning}") < next(i for i, line in enumerate(lines) if line.startswith("trial 0"))
    assert report["history_metric"] == "balanced_accuracy"
    for point in report["front"]:
        assert point.keys() == {"cost", "accuracy", "balanced_accuracy"}
    scores = [point["balanced_accuracy"] for point in report["front"]]
    assert scores == sorted(set(scores)) and scores[-1] <= report["history"][-1][1] <= 1
    page = Path("balanced/report.html").read_text()
    assert re.search(r"chosen by their validation balanced accuracy, [^,]{1,40}, so that is too high\.", page)
    assert "best validation balanced accuracy so far" in page
    assert "Blue: the best balanced accuracy at each cost. The orange line is a 95 % interval." in page
    assert run(["search", "--resume", "--out", "balanced", "--metric", "auc"]) == 2
    assert "was started with metric 'balanced_accuracy', not 'auc'" in capsys.readouterr().err
    assert run(["search", "--resume", "--out", "balanced", "--trials", "4", "--quiet"]) == 0


@pytest.mark.parametrize("metric", ["auc", pytest.param("f1", marks=pytest.mark.long)])
def test_the_metric_is_that_of_the_positive_class_that_is_named(tmp_path, metric):
    """By default, the positive class is the second one."""
    random = np.random.default_rng(0)
    labels = (np.arange(160) % 4 == 0).astype(int)
    images = (random.integers(0, 200, (160, 8, 8)) + 12 * labels[:, None, None]).astype(np.uint8)
    np.savez("two.npz", train_images=images, train_labels=labels, class_names=np.array(["frequent", "rare"]))
    words = ["--data", "two.npz", "--positive", "frequent", "--metric", metric, "--out", "run"]
    assert run([*SMALL, *words, "--quiet"]) == 0
    report = RunFolder.load("run").report
    assert report["data"]["classes"] == ["rare", "frequent"] and report["metric"] == metric
    for name in ("val", "test"):
        table = [row for row in rows(Path("run"), "predictions.csv") if row["split"] == name]
        actual, predicted = ([row[key] for row in table] for key in ("label", "prediction"))
        probabilities = [float(row["p_frequent"]) for row in table]
        expected = {
            "f1": f1_score(actual, predicted, pos_label="frequent"),
            "auc": roc_auc_score([label == "frequent" for label in actual], probabilities),
        }
        values = report["metrics"][name]
        assert {each: values[each]["value"] for each in expected} == pytest.approx(expected, abs=1e-6)
        assert expected["f1"] != pytest.approx(f1_score(actual, predicted, pos_label="rare"), abs=1e-3)
    assert report["best"]["val"][metric] == report["metrics"]["val"][metric]["value"]


def test_a_space_with_one_network_trains_it_and_says_that_nothing_was_compared(data, tmp_path, capsys):
    stage = "{kind: [conv], width: {low: 4, high: 4}}"
    (tmp_path / "one.yaml").write_text(f"size: [8]\nstem: {stage}\nstages: [{stage}]\n")
    arguments = ["search", "--budget", "100kFLOPs", "--space", "one.yaml", "--data", data, "--trials", "5"]
    assert run([*arguments, "--epochs", "2", "--workers", "1", "--out", "one"]) == 0
    printed = capsys.readouterr()
    assert "searching the given space within 100kFLOPs" in printed.err
    assert "plan: one network is trained, to about" in printed.err
    assert "one network was trained" in printed.out
    assert "nothing was compared: the space has no other" in printed.out + printed.err
    page = (tmp_path / "one" / "report.html").read_text()
    assert "The search trained a single network, so it could not compare it with another one." in page
    assert run([*arguments, "--dry-run"]) == 0
    line = r"ends    after 1 trial, about \d+ seconds without trainings with other seeds; nothing was trained"
    assert re.search(line, capsys.readouterr().out)
    assert [row["state"] for row in rows(tmp_path / "one")] == ["complete"]
    assert int(rows(tmp_path / "one")[0]["macs"]) > 0
    assert run(["search", "--resume", "--out", "one", "--epochs", "3", "--workers", "1", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("workers", "free", "expected"),
    [
        ("1", 1_000_000, "micro: needs at least 1MB of memory, but 80% of the free memory of this machine are 800kB; "),
        ("2", 1_000_000, "micro in 2 workers: needs at least 2MB of memory, but 80% .* are 800kB; "),
        ("2", 2_000_000, r"micro in 2 workers: needs at least 2MB .* are 1\.6MB; use at most --workers 1, or "),
    ],
)
def test_too_little_memory_for_the_workers_is_refused(workers, free, expected, data, capsys, monkeypatch):
    monkeypatch.setattr("lightcnn.searching.preparation.training_bytes", lambda *values: 1_000_000)
    for module in ("devices", "searching.preparation"):
        monkeypatch.setattr(f"lightcnn.{module}.free_memory", lambda device: free)
    command = ["search", "--budget", "1MFLOPs", "--data", data, "--epochs", "1", "--workers", workers]
    assert run([*command, "--trials", "3", "--out", "none"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    remedy = r"reduce the budget, --input or the batch \(8 images, --set training.batch=N\)"
    assert re.fullmatch(f"lightcnn: the first network of space {expected}{remedy}", line), line
    assert not Path("none").exists()
    if free == 2_000_000:
        assert run([*command, "--trials", "1", "--quiet", "--dry-run"]) == 0, "one network is trained at once"


def test_no_permission_to_write(tmp_path, capsys):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    (tmp_path / "closed").mkdir(mode=0o500)
    assert run(["search", "--budget", "1MFLOPs", "--out", "closed/run"]) == 2
    assert "cannot be made (Permission denied)" in capsys.readouterr().err


def test_resuming_as_another_search_is_refused(finished, capsys):
    out = str(finished[0])
    for option, value, name in (
        ("--budget", "2MFLOPs", "budget"),
        ("--seed", "7", "seed"),
        ("--space", "mobilenet", "space"),
        ("--data-dir", "elsewhere", "data_dir"),
        ("--strategy", "tpe", "strategy"),
        ("--metric", "auc", "metric"),
        ("--data", "digits", "data"),
        ("--set", "training.learning_rate=0.5", "set"),
    ):
        assert run(["search", "--resume", "--out", out, option, value]) == 2
        error = capsys.readouterr().err
        assert f"was started with {name}" in error and len(error.splitlines()) == 1


@pytest.mark.long
def test_resuming_with_changed_data_is_refused(data, tmp_path, capsys):
    content = dict(np.load(data))
    np.savez(tmp_path / "mine.npz", **content)
    assert run([*SMALL, "--data", "mine.npz", "--out", "run", "--quiet"]) == 0
    before = {
        name: (tmp_path / "run" / name).read_bytes() for name in ("report.json", "search.yaml", "weights.safetensors")
    }
    content["train_images"][0, 0, 0] ^= 1
    np.savez(tmp_path / "mine.npz", **content)
    assert run(["search", "--resume", "--out", "run", "--trials", "5"]) == 2
    assert "the data have changed since the search started" in capsys.readouterr().err
    assert all((tmp_path / "run" / name).read_bytes() == content for name, content in before.items()), "nothing is lost"


def test_a_folder_in_use_is_refused(finished, capsys):
    (finished[0] / "report.json").rename(finished[0] / "aside.json")
    try:
        with RunFolder.load(finished[0]).locked():
            code = run(["search", "--resume", "--out", str(finished[0])])
    finally:
        (finished[0] / "aside.json").rename(finished[0] / "report.json")
    assert code == 2
    assert "another process works in it" in capsys.readouterr().err


@pytest.mark.parametrize("kills", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_killed_search_resumes_to_the_same_end(kills, finished, data, tmp_path):
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "lightcnn", *SMALL, "--data", data, "--out", str(out), "--quiet"]
    resume = [sys.executable, "-m", "lightcnn", "search", "--resume", "--out", str(out)]
    for trials, arguments in ((1, command), (2, resume))[:kills]:
        child = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and child.poll() is None:
            log = (out / "log.txt").read_text() if (out / "log.txt").exists() else ""
            if log.count("trial ") >= trials:
                break
            time.sleep(0.02)
        child.kill()
        child.wait()
    assert not (out / "report.json").exists()
    assert run(["search", "--resume", "--out", str(out), "--quiet"]) == 0
    assert timeless(out) == timeless(finished[0])
    logged = [line.split(" ", 2)[2] for line in (out / "log.txt").read_text().splitlines()]
    assert len(logged) == len(set(logged)), "no finished training is run twice"
    first, second = (load_file(folder / "weights.safetensors") for folder in (finished[0], out))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_ctrl_c_prints_the_command_that_resumes(data, tmp_path):
    out = tmp_path / "stopped"
    command = [sys.executable, "-m", "lightcnn", *SMALL, "--data", data, "--out", str(out)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (out / "study.db").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"resume with: lightcnn search --resume --out {out}" in error
    assert "Traceback" not in error
    assert run(["search", "--resume", "--out", str(out), "--quiet"]) == 0


@pytest.mark.long
def test_finalists_are_compared_after_quantization(data, tmp_path, capsys):
    command = [*SMALL, "--data", data, "--deploy", "c", "--out", "int8"]
    assert run(command) == 0
    printed = capsys.readouterr()
    assert "the best networks are compared in 8 bits, as in c, which --time does not include" in printed.err
    report = RunFolder.load("int8").report
    networks = report["deploy"]["networks"]
    assert report["deploy"]["format"] == "c"
    assert networks[0]["trial"] == report["best"]["trial"]
    assert networks[0]["val"] == report["best"]["val"]
    assert networks[0]["val_int8"]["accuracy"] >= networks[1]["val_int8"]["accuracy"]
    final = {int(row["number"]): row for row in rows(tmp_path / "int8")}
    for network in networks:
        row = final.pop(network["trial"])
        assert float(row["final_validation"]) == pytest.approx(network["val"]["accuracy"], abs=1e-6)
        assert float(row["final_validation_int8"]) == pytest.approx(network["val_int8"]["accuracy"], abs=1e-6)
    assert {row["final_validation"] + row["final_validation_int8"] for row in final.values()} == {""}
    line = f"validation accuracy after quantization for c: trial {networks[0]['trial']} "
    assert line in printed.out
    assert f"V{line[1:]}" in (tmp_path / "int8" / "report.html").read_text()
    assert "deploy: c\n" in (tmp_path / "int8" / "search.yaml").read_text()

    assert run(["search", "--resume", "--out", "int8", "--deploy", "onnx-int8"]) == 2
    assert "was started with deploy 'c', not 'onnx-int8'; omit --deploy" in capsys.readouterr().err
    assert run(["search", "--resume", "--out", "int8", "--trials", "4", "--quiet"]) == 0
    assert RunFolder.load("int8").report["deploy"]["format"] == "c"


WIDE = """size: [8]
stem: {kind: [conv], width: {low: 4, high: 8}}
stages: [{kind: [mbconv], expand: [6], width: {low: 4, high: 16384, step: 4}, depth: {low: 2, high: 2}}]
"""


def test_a_space_with_networks_that_c_cannot_hold_is_refused(data, tmp_path, capsys):
    (tmp_path / "wide.yaml").write_text(WIDE)
    command = ["search", "--budget", "1GMACs", "--data", data, "--space", "wide.yaml", "--deploy", "c"]
    assert run([*command, "--dry-run"]) == 2
    assert capsys.readouterr().err.strip() == (
        "lightcnn: --deploy c: the space given has networks with more than 65535 channels, rows or columns, which "
        "the generated C cannot hold; limit flash or arena in --budget, or use narrower stages"
    )


def test_dry_run_writes_nothing(data, tmp_path, capsys):
    assert run(["search", "--budget", "100kFLOPs", "--data", data, "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["dry_run"] is True
    assert document["data"]["counts"] == {"train": 52, "val": 8, "test": 20}
    assert document["first"]["macs"] <= 100_000
    assert document["expected_seconds"] is None, "it has a time limit"
    assert document["plan"].keys() == {
        "networks", "rungs", "finalists", "workers", "first_has_worker", "images_per_second", "final",
        "time_seconds", "evaluation_seconds",
        "threads", "worthwhile_networks", "worthwhile_seconds",
    }  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_dry_run_prints_data_space_budget_and_limits(data, tmp_path, capsys):
    arguments = ["search", "--budget", "100kFLOPs", "--data", data, "--trials", "3", "--time", "3m", "--dry-run"]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"data    {data}: 52 train, 8 val, 20 test"
    space = r"space   micro \(chosen since the budget is at most 30 MFLOPs\): 31 genes, [\d.]+k to [\d.]+M FLOPs"
    assert re.fullmatch(space, lines[1])
    assert lines[2] == "budget  100kFLOPs"
    assert lines[3] == "metric  accuracy on validation"
    assert re.match(r"first   [\d.]+k FLOPs, [\d.]+k params, ", lines[4])
    assert lines[5] == "ends    after 3 trials or 180 seconds; nothing was trained"
    assert re.match(r"plan: ", lines[6])
    assert list(tmp_path.iterdir()) == []


def test_check_prints_every_error_of_every_file(tmp_path, capsys):
    (tmp_path / "good.yaml").write_text("input: [1, 8, 8]\nclasses: 2\nstages: [{kind: conv, width: 4}]\n")
    (tmp_path / "bad.yaml").write_text("input: [1, 8, 8]\nclasses: 1\nstages: [{kind: conv, widht: 4}]\n")
    (tmp_path / "odd.yaml").write_text("colour: red\n")
    assert run(["check", "good.yaml", "bad.yaml", "odd.yaml", "missing.yaml"]) == 2
    captured = capsys.readouterr()
    assert captured.out == "good.yaml: a valid spec\n"
    lines = captured.err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["bad.yaml", "bad.yaml", "bad.yaml", "odd.yaml", "missing.yaml"]
    assert any(
        "bad.yaml:3: stages.0.widht: unknown key 'widht' (value 4); did you mean 'width'?" in line for line in lines
    )
    assert run(["check", "good.yaml", "bad.yaml", "--json"]) == 2
    files = json.loads(capsys.readouterr().out)["files"]
    assert [(file["kind"], len(file["errors"])) for file in files] == [("spec", 0), ("spec", 3)]


def test_list_prints_what_is_shipped(capsys):
    for what, name in (("spaces", "micro"), ("recipes", "quick"), ("datasets", "digits"), ("schemas", "spec")):
        assert run(["list", what, "--json"]) == 0
        items = json.loads(capsys.readouterr().out)["items"]
        assert name in {item["name"] for item in items}
        assert all(item["about"] for item in items)
    assert run(["list", "spaces", "--show", "micro"]) == 0
    assert capsys.readouterr().out.endswith("stages.3.kernel: 1\n")
    assert run(["list", "spaces", "--show", "mikro"]) == 2
    assert "did you mean 'micro'" in capsys.readouterr().err

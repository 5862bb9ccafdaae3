"""What a training works on: teachers and pretrained weights, and which of them are errors."""

from __future__ import annotations

import json
import shutil
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.training_runs import rows, write_digits_recipe, write_squares_recipe
from safetensors.torch import load_file

import lightcnn
from lightcnn.cli.main import run
from lightcnn.cost import cost
from lightcnn.data.sources.load import load
from lightcnn.engine.memory import training_bytes
from lightcnn.errors import InputError
from lightcnn.overrides import parse_assignment
from lightcnn.recipe import Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.training.recipe_argument import read_recipe_argument
from lightcnn.training.setup import prepare

pytestmark = pytest.mark.usefixtures("undrawn_charts")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    """A recipe of a tiny network on 240 digits of three classes."""
    return write_digits_recipe(tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    """A recipe of a sigmoid head on dark and bright squares."""
    return write_squares_recipe(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def finished(recipe, tmp_path_factory):
    """The folder of a finished training, in a tuple."""
    out = tmp_path_factory.mktemp("runs") / "one"
    assert run(["train", recipe, "--out", str(out), "--quiet"]) == 0
    return (out,)


class Stop(Exception):  # noqa: N818
    pass


@pytest.fixture
def half(recipe, monkeypatch):
    """A run that ended after two epochs."""
    real = RunFolder.log

    def log(self, message):
        real(self, message)
        if message.startswith("epoch 2"):
            raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "log", log)
        assert run(["train", recipe, "--out", "half", "--quiet"]) == 1
    return Path("half")


def test_a_dry_run_reports_weights_that_do_not_fit(recipe, finished, capsys):
    baseline = ["--set", "network.baseline=timm:resnet10t", "--set", "network.input=[1,32,32]"]
    options = [*baseline, "--set", f"network.weights={finished[0] / 'weights.safetensors'}"]
    assert run(["train", recipe, *options, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "not this backbone" in error
    assert error.count("\n") == 1


def test_a_teacher_may_have_another_input_size_and_is_part_of_the_recipe(finished, recipe):
    sets = [
        "--set",
        f"distill.teacher={finished[0]}",
        "--set",
        "distill.temperature=2",
        "--set",
        "network.input=[1,10,10]",
    ]
    assert run(["train", recipe, *sets, "--epochs", "1", "--out", "taught", "--quiet"]) == 0
    assert Recipe.load("taught/recipe.yaml").distill.temperature == 2
    assert RunFolder.load("taught").report["teacher"] == str(finished[0])
    assert run(["train", recipe, "--set", "network.input=[1,10,10]", "--epochs", "1", "--out", "alone", "--quiet"]) == 0
    assert Path("taught/weights.safetensors").read_bytes() != Path("alone/weights.safetensors").read_bytes()


@pytest.mark.long
def test_a_stopped_training_resumes_without_the_run_of_its_teacher(finished, recipe, monkeypatch):
    shutil.copytree(finished[0], "teacher")
    words = ["train", recipe, "--set", "distill.teacher=teacher", "--epochs", "2", "--quiet", "--out"]
    assert run([*words, "whole"]) == 0
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("lightcnn.training.session.write_report", stop)
        lightcnn.train("whole/recipe.yaml", out="cut")
    shutil.rmtree("teacher")
    assert run(["train", "--resume", "--out", "cut", "--quiet"]) == 0
    assert Path("cut/weights.safetensors").read_bytes() == Path("whole/weights.safetensors").read_bytes()


def test_a_recipe_beside_the_predictions_of_its_teacher_trains_and_resumes(finished, recipe, tmp_path, monkeypatch):
    words = ["train", recipe, "--set", f"distill.teacher={finished[0]}", "--epochs", "2", "--quiet", "--out"]
    assert run([*words, "whole"]) == 0
    Path("beside").mkdir()
    shutil.copy("whole/teacher.safetensors", "beside/teacher.safetensors")
    taught = Recipe.load("whole/recipe.yaml")
    distill = taught.distill.model_copy(update={"teacher": "teacher.safetensors"})
    taught.model_copy(update={"distill": distill}).save("beside/recipe.yaml")
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.chdir("beside")
        stopped.setattr("lightcnn.training.session.write_report", stop)
        lightcnn.train("recipe.yaml", out=tmp_path / "cut")
    assert run(["train", "--resume", "--out", str(tmp_path / "cut"), "--quiet"]) == 0
    assert (tmp_path / "cut/weights.safetensors").read_bytes() == Path("whole/weights.safetensors").read_bytes()


def test_missing_predictions_are_named_with_the_remedy(recipe, capsys):
    assert run(["train", recipe, "--set", "distill.teacher=ensemble-9.safetensors"]) == 2
    error = capsys.readouterr().err
    assert "distill.teacher ensemble-9.safetensors: no such file" in error and "--set distill=null" in error


def test_a_teacher_that_was_trained_on_test_images_is_an_error(finished, recipe, capsys):
    taught = ["train", recipe, "--set", f"distill.teacher={finished[0]}", "--epochs", "1", "--out", "inflated"]
    assert run([*taught, "--seed", "1"]) == 2
    error = capsys.readouterr().err
    assert "was trained on" in error
    assert "of the 48 test images" in error
    assert not Path("inflated").exists()
    shutil.copytree(finished[0], "cut")
    Path("cut/predictions.csv").write_text("path\na.png\n")
    assert run(["train", recipe, "--set", "distill.teacher=cut"]) == 2
    error = capsys.readouterr().err
    assert "lightcnn: distill.teacher: cut" in error and "it was edited after the run" in error


def test_a_teacher_of_other_classes_or_without_a_network_is_an_error(finished, binary, half, capsys):
    assert run(["train", binary, "--set", f"distill.teacher={finished[0]}"]) == 2
    assert "knows the classes o, i, z, but data" in capsys.readouterr().err
    assert run(["train", binary, "--set", "distill.teacher=half"]) == 2
    assert "lightcnn: distill.teacher: run half: not finished" in capsys.readouterr().err
    RunFolder.create("explain", "explain", {"report.json": b"{}"})
    assert run(["train", binary, "--set", "distill.teacher=explain"]) == 2
    assert "lightcnn: distill.teacher: run explain: has no spec.yaml; give the run of a" in capsys.readouterr().err
    shutil.copytree(finished[0], "spoiled")
    Path("spoiled/weights.safetensors").write_bytes(b"\x00")
    assert run(["train", recipe_of(finished), "--set", "distill.teacher=spoiled"]) == 2
    error = capsys.readouterr().err
    assert "lightcnn: distill.teacher: spoiled" in error and "damaged, or no safetensors file" in error


def recipe_of(finished):
    return str(finished[0] / "recipe.yaml")


def test_a_baseline_trains_predicts_and_teaches(recipe):
    sets = ["--set", "network.baseline=timm:mobilenetv3_small_050", "--set", "network.input=[1,32,32]"]
    assert run(["train", recipe, *sets, "--set", "network.head=own", "--epochs", "1", "--out", "large", "--quiet"]) == 0
    trained = lightcnn.Run.load("large")
    cost = trained.report["network"]["cost"]
    assert cost["macs"] > 100_000
    assert 0 < cost["params_deployed"] < cost["params"] < cost["params_with_buffers"]
    assert cost["peak_activations"] > 3 * 16 * 16
    assert cost["weight_bytes"]["fp32"] == 4 * cost["params_deployed"]
    assert "blocks.0" in Path("large/report.html").read_text()
    dataset, predictions = load(Recipe.load(recipe).data), rows(trained.path, "predictions.csv")
    images = [dataset.images[dataset.paths.index(row["path"])] for row in predictions]
    expected = [[float(row[f"p_{name}"]) for name in dataset.classes] for row in predictions]
    np.testing.assert_allclose(trained.predict(images).probabilities, expected, atol=1e-6)
    assert run(["train", recipe, "--set", "distill.teacher=large", "--epochs", "1", "--out", "small", "--quiet"]) == 0


def test_a_baseline_starts_from_a_runs_weights_and_statistics_and_resumes_without_reading_them(
    recipe, monkeypatch, capsys
):
    Path("bare.yaml").write_text("baseline: timm:mobilenetv3_small_050\ninput: [1, 32, 32]\nclasses: 3\n")
    first_run = lightcnn.train(draft_of("bare.yaml", recipe), out="first")
    assert first_run.report["first_weights"] == "random weights"
    rule = json.loads(Path("first/preprocess.json").read_text()) | {"mean": [0.25], "deviation": [0.125]}
    Path("first/preprocess.json").write_text(json.dumps(rule))
    first_recipe = Recipe.load("first/recipe.yaml")
    network = first_recipe.network.model_copy(update={"weights": "first/weights.safetensors", "freeze": True})
    training = first_recipe.training.model_copy(update={"epochs": 2})
    first_recipe.model_copy(update={"network": network, "training": training}).save("two.yaml")
    seen: list[bool] = []
    real = __import__("lightcnn.training.session", fromlist=["build_network"]).build_network
    monkeypatch.setattr(
        "lightcnn.training.session.build_network",
        lambda *arguments, pretrained: seen.append(pretrained) or real(*arguments, pretrained=pretrained),
    )
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("lightcnn.training.session.write_report", stop)
        lightcnn.train("two.yaml", out="second")
    assert run(["train", "--resume", "--out", "second", "--quiet"]) == 0
    assert seen == [True, False]
    second_run = lightcnn.Run.load("second")
    assert "first/weights.safetensors" in second_run.report["first_weights"]
    assert "left out, because they classify" in second_run.report["first_weights"]
    rule = json.loads((second_run / "preprocess.json").read_text())
    assert (rule["mean"], rule["deviation"]) == ([0.25], [0.125])
    assert second_run.report["network"]["cost"] == first_run.report["network"]["cost"], "freezing changes no cost"
    before, after = (load_file(Path(folder, "weights.safetensors")) for folder in ("first", "second"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(name.startswith("head.") for name in changed)
    Path("first/weights.safetensors").unlink()
    capsys.readouterr()
    assert run(["train", "two.yaml"]) == 2
    assert "network.weights: first/weights.safetensors: no such file" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_weights_that_were_trained_on_test_images_are_an_error(recipe, tmp_path, capsys):
    """Weights of a run on the same data are used with the same split; with another they have seen test images."""
    small = ["--set", "network.baseline=timm:mobilenetv3_small_050", "--set", "network.input=[1,32,32]",
             "--set", "network.head=own", "--epochs", "1"]  # fmt: skip
    assert run(["train", recipe, *small, "--quiet", "--out", "first"]) == 0
    onwards = ["train", recipe, *small, "--set", "network.weights=first/weights.safetensors", "--quiet"]
    assert run([*onwards, "--seed", "1", "--out", "inflated"]) == 2
    error = capsys.readouterr().err
    assert "network.weights first: was trained on" in error and "of the 48 test images" in error
    assert run([*onwards, "--folds", "3", "--out", "inflated"]) == 2
    assert "was trained on" in capsys.readouterr().err
    assert not Path("inflated").exists()
    assert run([*onwards, "--out", "second"]) == 0
    assert "was trained on" not in json.loads(Path("second/report.json").read_text())["data"]["note"]


def stop(*_):
    raise KeyboardInterrupt


def draft_of(file, recipe):
    """The recipe of a network alone on the digits of `recipe`, for one epoch."""

    assignments = (f"data={Recipe.load(recipe).data}", "training.epochs=1", "network.sigmoid=false")
    draft = read_recipe_argument(file, [parse_assignment(assignment) for assignment in assignments])
    assert draft.bare
    assert draft.recipe.name == "mobilenetv3_small_050"
    return draft.recipe


def test_all_problems_of_a_recipe_and_its_data_are_reported_at_once(recipe, capsys):
    """Two classes for three, three channels for one, and a teacher and a batch that do not exist."""
    sets = ["network.classes=2", "network.input=[3,8,8]", "training.batch=5000", "distill.teacher=nowhere"]
    assert run(["train", recipe, *(word for value in sets for word in ("--set", value)), "--dry-run"]) == 2
    lines = capsys.readouterr().err.splitlines()
    problems = [line for line in lines if line.startswith("lightcnn: ")]
    beginnings = [
        "network.classes: 2, but data",
        "network.input: 3 channels",
        "training.batch: 5000",
        "distill.teacher: run nowhere",
    ]
    assert [
        problem.removeprefix("lightcnn: ").startswith(b) for problem, b in zip(problems, beginnings, strict=True)
    ] == ([True] * 4)


def test_a_network_that_follows_the_data_is_a_warning(recipe, capsys):
    assert run(["train", recipe, "--data", "digits", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["recipe"]["network"]["classes"] == 10
    (warning,) = plan["warnings"]
    assert (warning["code"], warning["count"]) == ("network_adapted", 1)
    assert "classes 3 → 10;" in warning["message"]


def test_a_default_batch_that_is_too_large_is_reduced_with_a_warning(recipe, capsys):
    """240 digits: 163 or so are for training, and 128 would leave one step of an epoch."""
    Path("default.yaml").write_text(Path(recipe).read_text().replace("batch: 16, ", ""))
    assert run(["train", "default.yaml", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    images = plan["data"]["counts"]["train"]
    assert (plan["recipe"]["training"]["batch"], 128 <= images < 256) == (32, True)
    (warning,) = plan["warnings"]
    assert (warning["code"], warning["count"]) == ("batch_adapted", images)
    assert warning["message"].startswith(f"The batch size was adapted to {images} training images: 128 → 32;")
    assert run(["train", "default.yaml", "--set", "training.batch=256", "--dry-run"]) == 2
    assert "training.batch: 256 images, but the training set" in capsys.readouterr().err


def test_the_memory_of_a_training_is_that_of_the_batch_for_its_data(recipe, capsys, monkeypatch):
    """Of batches of at most 32 images, which are of nearly equal sizes, not of the default of 128."""
    Path("default.yaml").write_text(Path(recipe).read_text().replace("batch: 16, ", ""))
    assert run(["train", "default.yaml", "--dry-run", "--json"]) == 0
    images = json.loads(capsys.readouterr().out)["data"]["counts"]["train"]
    written = read_recipe_argument("default.yaml", ()).recipe
    adapted = written.training.model_copy(update={"batch": 32})
    needed = training_bytes(cost(written.network), adapted, images, "cpu")
    assert needed < 0.5 * training_bytes(cost(written.network), written.training, images, "cpu")
    monkeypatch.setattr("lightcnn.devices.free_memory", lambda device: needed / 0.8 + 10)
    assert run(["train", "default.yaml", "--dry-run", "--quiet"]) == 0
    capsys.readouterr()
    monkeypatch.setattr("lightcnn.devices.free_memory", lambda device: needed / 0.8 - 10)
    assert run(["train", "default.yaml", "--dry-run", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("lightcnn: network: needs at least ")
    assert error.endswith("or the size of its input, or training.batch, which is 32\n")


def test_a_resumed_training_still_warns_that_its_network_was_adapted(half, capsys):
    """Its recipe has the adapted network, so only data.json knows that it was adapted."""
    data = json.loads((half / "data.json").read_text())
    entry = {"code": "network_adapted", "message": "classes 2 → 3", "count": 1}
    (half / "data.json").write_text(json.dumps(data | {"warnings": [entry, {"code": "network_adapted"}, 1]}))
    assert run(["train", "--resume", "--out", "half", "--json", "--quiet"]) == 0
    assert entry in json.loads(capsys.readouterr().out)["warnings"]


def test_the_positive_class_of_a_recipe_is_that_of_its_own_data(binary, recipe):
    """Every run of two classes names one in its recipe, so that a run could not be trained on other classes."""
    Path("named.yaml").write_text(Path(binary).read_text() + "reading: {positive: dark}\n")

    def classes(source, *more):
        changes = [parse_assignment(text) for text in (f"data={source}", *more)]
        return prepare(read_recipe_argument("named.yaml", changes), "cpu").pipeline.dataset.classes

    squares = Recipe.load(binary).data
    assert classes(squares) == ("bright", "dark")
    assert classes(squares, "reading.positive=bright") == ("dark", "bright")
    assert len(classes(Recipe.load(recipe).data)) == 3
    with pytest.raises(InputError, match="positive class 'dark'"):
        classes(Recipe.load(recipe).data, "reading.positive=dark")


# What only the training itself used to check


@pytest.fixture
def offline(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)


@pytest.mark.parametrize("more", [[], ["--seeds", "2"]])
def test_a_dry_run_reports_weights_that_cannot_be_downloaded(more, recipe, offline, capsys):
    sets = [
        "network.baseline=timm:test_vit",
        "network.input=[1,160,160]",
        "network.weights=timm",
        "network.freeze=true",
    ]
    options = [word for value in sets for word in ("--set", value)]
    assert run(["train", recipe, *options, *more, "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "network.weights: timm: the weights of test_vit could not be downloaded" in error
    assert run(["ablate", recipe, *options, "--over", "augmentation", "--dry-run"]) == 2
    assert "could not be downloaded" in capsys.readouterr().err


def test_a_dry_run_reports_what_the_run_would_refuse(recipe, half, capsys):
    """A run of another recipe, a folder that cannot be made, and a device that is missing."""
    assert run(["train", recipe, "--epochs", "7", "--resume", "--out", "half", "--dry-run"]) == 2
    assert "was started with another recipe (training.epochs: 4 in the run, 7 given)" in capsys.readouterr().err
    assert run(["train", recipe, "--resume", "--out", "half", "--dry-run", "--quiet"]) == 0
    assert run(["train", recipe, "--seeds", "2", "--resume", "--out", "half", "--dry-run"]) == 2
    assert "was not started with --folds 0 --seeds 2" in capsys.readouterr().err
    Path("file").write_text("")
    for command in (["train", recipe], ["ablate", recipe, "--over", "augmentation"], ["search", "--budget", "1MFLOPs"]):
        assert run([*command, "--out", "file/out", "--dry-run"]) == 2
        assert "--out file/out: cannot be made" in capsys.readouterr().err
    if not torch.cuda.is_available():
        assert run(["search", "--budget", "1MFLOPs", "--device", "cuda", "--dry-run"]) == 2

"""A search with a teacher: every network learns from it, results repeat, and a teacher that does not fit is refused."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.clocks import replace_clocks
from helpers.pages import read_page
from helpers.training_runs import write_digits_recipe, write_squares_recipe
from PIL import Image
from safetensors.torch import save_file

import lightcnn
from lightcnn.budget import Budget
from lightcnn.cli.main import run
from lightcnn.engine.checkpoints import Checkpoints
from lightcnn.errors import InputError, TrainingError
from lightcnn.latency_model import LatencyModel
from lightcnn.overrides import Override
from lightcnn.run_folder import RunFolder
from lightcnn.searching import job
from lightcnn.searching.latency.models import LatencyModels, TimedMachine
from lightcnn.searching.plan import read_plan
from lightcnn.training.recipe_argument import RecipeDraft, read_recipe_argument
from lightcnn.training.setup import TrainingSetup

pytestmark = pytest.mark.usefixtures("undrawn_charts", "few_parts", "one_worker")

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
SPACE = f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data without a given split, and two trainings on them: a teacher, and one with another seed."""
    path = tmp_path_factory.mktemp("teaching")
    recipe = write_squares_recipe(path)
    write_digits_recipe(path)
    (path / "space.yaml").write_text(SPACE)
    lightcnn.train(recipe, out=path / "teacher")
    return path


def command(folder: Path, *words: str) -> list[str]:
    """The command line of a short search on the data of the teacher."""
    data, space = str(folder / "two.npz"), str(folder / "space.yaml")
    limits = ["--budget", "100kFLOPs", "--trials", "2", "--epochs", "3"]
    return ["search", *limits, "--data", data, "--space", space, "--quiet", *words]


@pytest.fixture(scope="module")
def taught(folder: Path) -> RunFolder:
    """A search with a teacher."""
    words = ["--teacher", str(folder / "teacher"), "--workers", "1", "--out", str(folder / "taught")]
    assert run(command(folder, *words)) == 0
    return RunFolder.load(folder / "taught")


def weights(path: Path | RunFolder) -> bytes:
    """The weights of a run."""
    return (path / "weights.safetensors").read_bytes()


def test_the_report_states_the_teacher_its_scores_and_the_settings(taught: RunFolder, folder: Path) -> None:
    teacher, trained = taught.report["teacher"], RunFolder.load(folder / "teacher")
    assert teacher["run"] == str(folder / "teacher") and teacher["sha256"] == trained.sha256("weights.safetensors")
    assert teacher["test_accuracy"] == trained.report["metrics"]["test"]["accuracy"]["value"]
    assert 0.5 <= teacher["training_accuracy"] <= 1 and teacher["alpha"] and teacher["temperature"]
    text = read_page((taught / "report.html").read_text())
    assert "All networks also learned from the teacher" in text and f"{teacher['test_accuracy']:.2%}" in text


def test_the_recipe_trains_the_same_weights_again_without_the_teacher(
    taught: RunFolder, folder: Path, tmp_path: Path
) -> None:
    (folder / "teacher").rename(folder / "hidden")
    try:
        assert run(["train", str(taught / "recipe.yaml"), "--out", str(tmp_path / "again"), "--quiet"]) == 0
    finally:
        (folder / "hidden").rename(folder / "teacher")
    assert weights(RunFolder(tmp_path / "again")) == weights(taught)


@pytest.mark.long
def test_the_number_of_workers_changes_nothing_but_the_teacher_does(
    taught: RunFolder, folder: Path, tmp_path: Path
) -> None:
    words = ["--workers", "2", "--out", str(tmp_path / "two")]
    assert run(command(folder, "--teacher", str(folder / "teacher"), *words)) == 0
    assert weights(RunFolder(tmp_path / "two")) == weights(taught)
    assert not (tmp_path / "two" / "trainings" / "teacher.npy").exists()
    assert run(command(folder, "--workers", "1", "--out", str(tmp_path / "alone"))) == 0
    assert weights(RunFolder(tmp_path / "alone")) != weights(taught)
    assert "teacher" not in RunFolder.load(tmp_path / "alone").report


def test_a_resumed_search_keeps_its_teacher_and_refuses_another(
    taught: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "teacher", tmp_path / "teacher")
    out, teacher = str(tmp_path / "run"), tmp_path / "teacher"
    short = ["--trials", "1", "--epochs", "1", "--workers", "1"]
    assert run(command(folder, "--teacher", str(teacher), *short, "--out", out)) == 0
    more = ["search", "--resume", "--out", out, "--trials", "2", "--workers", "1", "--quiet"]
    assert run([*more, "--teacher", "other"]) == 2
    assert "was started with teacher" in capsys.readouterr().err
    (teacher / "weights.safetensors").write_bytes(weights(taught))
    assert run(more) == 2
    assert "with a teacher in" in capsys.readouterr().err
    shutil.rmtree(teacher)
    assert run(more) == 0
    assert RunFolder.load(out).report["teacher"]["sha256"] == taught.report["teacher"]["sha256"]


def refused(words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path) -> str:
    """The only line of the error of a search that leaves nothing behind."""
    out = tmp_path / "refused"
    assert run([*words, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and not out.exists()
    return error


def test_what_cannot_teach_these_data_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lightcnn.train(str(folder / "tiny.yaml"), out=tmp_path / "digits")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.safetensors").write_text("no tensors")
    monkeypatch.chdir(tmp_path)
    for teacher, message in {
        "digits": "--teacher digits: knows the classes o, i, z, but data",
        "empty": "--teacher: run empty: not a run folder of lightcnn; name one",
        "missing": "--teacher: run missing: not a run folder of lightcnn; name one",
        "text.safetensors": "--teacher text.safetensors: not the predictions of a teacher",
    }.items():
        assert f"lightcnn: {message}" in refused(command(folder, "--teacher", teacher), capsys, tmp_path)
    assert "only with a teacher" in refused(command(folder, "--set", "distill.alpha=0.3"), capsys, tmp_path)
    words = ["--teacher", str(folder / "teacher"), "--set", "distill.temperature=0"]
    assert "distill.temperature" in refused(command(folder, *words), capsys, tmp_path)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        ("nowhere", "--teacher: run nowhere: not a run folder of lightcnn; name one that a command has written"),
        ("folds", "--teacher: run folds: has no spec.yaml; give one of its parts/"),
        ("explain", "--teacher: run explain: has no spec.yaml; give the run of a command that trains"),
        ("half", "--teacher: run half: not finished, it has no report.json; continue it with --resume"),
        ("timm:", "--teacher timm:: the name of the network is missing; write timm:NAME, as in timm:resnet18"),
        ("timm:=a.safetensors", "the name of the network is missing; write timm:NAME"),
        ("timm:hf-hub:a/b", "hf-hub:a/b is not a name in timm; write timm:NAME, as in timm:resnet18"),
        ("timm:resnt18", r"--teacher timm:resnt18: timm \d.* has no such network; did you mean 'resnet18'\?$"),
        ("timm:nope", r"--teacher timm:nope: timm \d.* has no such network; timm.list_models\(\) lists the names$"),
        ("timm:nope=a.safetensors", "--teacher timm:nope: timm .* has no such network"),
        ("timm:resnet18.nope", "--teacher timm:resnet18.nope: .*; its weights are .*a1_in1k"),
        (
            "timm:test_efficientnet=",
            ": the = is followed by nothing, not .*; name one, or leave the = out, so that timm downloads the weights$",
        ),
        (
            "timm:test_efficientnet=none",
            ": the = is followed by none, not .*; name one, or leave the = out, so that timm downloads the weights$",
        ),
        (
            "timm:test_efficientnet=timm",
            ": the = is followed by timm, not .*; name one, or leave the = out, so that timm downloads the weights$",
        ),
        ("timm:test_efficientnet=a.pth", "a.pth is a pickle, which is not read; convert it with: python "),
        ("timm:test_efficientnet=a.safetensors", "a.safetensors: no such file; name a file of weights"),
        (
            "timm:test_efficientnet=other.safetensors",
            "--teacher timm:test_efficientnet=other.safetensors: network.weights: other.safetensors: not this backbone",
        ),
    ],
)
def test_what_is_no_teacher_is_refused_before_the_data_are_read(
    teacher: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data do not exist, which would be the error if they were read first."""
    monkeypatch.chdir(tmp_path)
    for name, command_of in {"folds": "train", "explain": "explain", "half": "train"}.items():
        RunFolder.create(name, command_of, {} if name == "half" else {"report.json": b"{}"})
    Path("folds/parts").mkdir()
    save_file({"conv.weight": torch.zeros(3)}, "other.safetensors")
    words = ["search", "--budget", "100kFLOPs", "--trials", "2", "--data", "none.npz", "--quiet", "--teacher"]
    state = torch.random.get_rng_state()
    error = refused([*words, teacher], capsys, tmp_path)
    assert re.search(message, error.strip()), error
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_teacher_that_has_seen_the_validation_or_test_images_is_refused(
    taught: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(folder, "--seed", "1", "--teacher")
    error = refused([*words, str(folder / "teacher")], capsys, tmp_path)
    assert "was trained on" in error and "test images" in error and "same seed" in error
    error = refused([*words, str(taught / "teacher.safetensors")], capsys, tmp_path)
    assert "predictions for other training images" in error


def test_a_teacher_of_the_same_images_under_another_name_is_recognised(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "moved.npz").write_bytes((folder / "two.npz").read_bytes())
    words = ["--data", str(tmp_path / "moved.npz"), "--teacher", str(folder / "teacher"), "--workers", "1"]
    assert run(command(folder, *words, "--out", str(tmp_path / "run"))) == 0
    assert "it is unknown" not in RunFolder.load(tmp_path / "run").data["note"]
    error = refused(command(folder, *words, "--seed", "1"), capsys, tmp_path)
    assert "was trained on" in error and "test images (" in error
    with np.load(folder / "two.npz") as file:
        arrays = file["train_images"], file["class_names"][file["train_labels"]]
    settings = {"space": folder / "space.yaml", "trials": 2, "epochs": 3, "workers": 1}
    searched = lightcnn.search(
        "100kFLOPs", data=arrays, teacher=folder / "teacher", out=tmp_path / "arrays", **settings
    )
    assert "it is unknown" not in searched.data["note"]


def test_a_teacher_of_the_same_images_in_files_of_other_names_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is unknown then which of its images were for the test."""
    with np.load(folder / "two.npz") as file:
        images, labels, names = file["train_images"], file["train_labels"], file["class_names"]
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        (tmp_path / "images" / names[label]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / names[label] / f"{index:03}.png")
    kept = [index for name in sorted(names) for index in np.flatnonzero(names[labels] == name)]
    ordered = [sorted(names).index(names[labels[index]]) for index in kept]
    np.savez(tmp_path / "same.npz", train_images=images[kept], train_labels=ordered, class_names=sorted(names))
    data, teacher = str(tmp_path / "images"), str(tmp_path / "teacher")
    lightcnn.train(str(folder / "binary.yaml"), data=tmp_path / "same.npz", out=teacher)
    assert (
        RunFolder.load(teacher).data["fingerprint"] == lightcnn.audit(data, out=tmp_path / "audit").data["fingerprint"]
    )
    error = refused(command(folder, "--data", data, "--teacher", teacher), capsys, tmp_path)
    assert "was trained on the same images under other names" in error and f"train it on {data}" in error


def test_a_teacher_with_other_data_is_a_note(folder: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    images, labels = random.integers(0, 255, (60, 8, 8)).astype(np.uint8), np.arange(60) % 2
    np.savez(tmp_path / "other.npz", train_images=images, train_labels=labels, class_names=["dark", "bright"])
    lightcnn.train(str(folder / "binary.yaml"), data=tmp_path / "other.npz", out=tmp_path / "other")
    words = ["--teacher", str(tmp_path / "other"), "--workers", "1", "--trials", "1", "--epochs", "1"]
    words += ["--out", str(tmp_path / "run")]
    assert run(command(folder, *words)) == 0
    note = RunFolder.load(tmp_path / "run").data["note"]
    assert "--teacher was trained on" in note and "it is unknown" in note


def test_a_damaged_file_of_predictions_is_refused(
    taught: RunFolder, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (taught / "teacher.safetensors").read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    size = header["probabilities"]["data_offsets"]
    table = np.frombuffer(content[end + size[0] : end + size[1]], np.float32) * 2
    damaged = content[: end + size[0]] + table.tobytes() + content[end + size[1] :]
    (tmp_path / "teacher.safetensors").write_bytes(damaged)
    error = refused(command(folder, "--teacher", str(tmp_path / "teacher.safetensors")), capsys, tmp_path)
    assert "its tables are not probabilities" in error


SMALL = "timm:test_efficientnet"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small network of timm with its weights in a file, as an argument of --teacher."""
    timm = pytest.importorskip("timm")
    file = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), file)
    return f"{SMALL}={file}"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Teachers see small images, for two epochs."""
    real = read_recipe_argument

    def read(name: str, changes: list[Override]) -> RecipeDraft:
        more = [Override("", ("network", "input"), [1, 32, 32]), Override("", ("training", "epochs"), 2)]
        return real(name, [*changes, *more])

    monkeypatch.setattr("lightcnn.searching.teaching.read_recipe_argument", read)


@pytest.mark.long
@pytest.mark.usefixtures("short")
def test_a_teacher_of_timm_is_trained_first_and_an_interrupted_one_resumes(
    folder: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = command(folder, "--teacher", pretrained, "--workers", "1", "--out")
    assert run([*words, str(tmp_path / "whole")]) == 0
    trained = RunFolder.load(tmp_path / "whole" / "teacher")
    whole = RunFolder.load(tmp_path / "whole")
    assert whole.report["teacher"]["sha256"] == trained.sha256("weights.safetensors")
    assert trained.report["data"]["fingerprint"] == whole.data["fingerprint"] and not (trained / "checkpoints").exists()
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(
            "lightcnn.training.session.write_report", lambda *values: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        lightcnn.search(
            "100kFLOPs", data=folder / "two.npz", space=str(folder / "space.yaml"), trials=2, epochs=3, workers=1,
            teacher=pretrained, out=tmp_path / "cut",
        )  # fmt: skip
    assert not (tmp_path / "cut" / "teacher.safetensors").exists()
    assert run(["search", "--resume", "--out", str(tmp_path / "cut"), "--quiet"]) == 0
    assert weights(RunFolder(tmp_path / "cut")) == weights(whole)


def test_a_teacher_of_timm_without_weights_or_time_is_refused(
    folder: Path,
    pretrained: str,
    short: None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = refused(command(folder, "--teacher", f"{SMALL}=missing.safetensors"), capsys, tmp_path)
    assert "missing.safetensors: no such file; name a file of weights" in error

    def unreachable(*arguments: object, **named: object) -> None:
        raise urllib.error.URLError("unreachable")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    error = refused(command(folder, "--teacher", SMALL), capsys, tmp_path)
    assert "could not be downloaded" in error and f"give --teacher {SMALL}=FILE.safetensors" in error
    assert "none" not in error
    timed = ["search", "--budget", "100kFLOPs", "--time", "0.001s", "--data", str(folder / "two.npz"), "--quiet"]
    error = refused([*timed, "--teacher", pretrained], capsys, tmp_path)
    assert "more than a third of the time that is left; give --time" in error


@pytest.mark.usefixtures("short")
def test_a_teacher_is_timed_when_nothing_else_runs_and_ends_within_a_third_of_the_time(
    folder: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[str] = []
    limits: list[float] = []

    def estimate(setup: object) -> dict[str, dict[str, float]]:
        events.append("timed")
        return {"estimate": {"seconds": 2.0}}

    def train(*arguments: object, time_limit: float, **others: object) -> None:
        limits.append(time_limit)
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "lightcnn.searching.trainings.pool.WorkerPool.wait_until_idle", lambda pool, limit=0.0: events.append("idle")
    )
    monkeypatch.setattr("lightcnn.searching.teaching.session.estimate", estimate)
    monkeypatch.setattr("lightcnn.searching.teaching.session.train_one", train)
    options = {"data": folder / "two.npz", "space": str(folder / "space.yaml"), "teacher": pretrained, "workers": 2}
    with pytest.raises(KeyboardInterrupt):
        lightcnn.search("100kFLOPs", time=600, out=tmp_path / "timed", **options)  # type: ignore[arg-type]
    assert events == ["idle", "timed"]
    with pytest.raises(KeyboardInterrupt):
        lightcnn.search(out=tmp_path / "timed", resume=True)
    assert len(limits) == 2 and all(100 < limit < 200 for limit in limits)


@pytest.mark.usefixtures("short")
def test_a_dry_run_states_what_remains_of_a_teacher_and_what_was_spent_on_it(
    folder: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr(
            "lightcnn.training.session.write_metrics", lambda *values: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        lightcnn.search(
            "100kFLOPs", data=folder / "two.npz", space=str(folder / "space.yaml"), time=600, teacher=pretrained,
            workers=1, out=tmp_path / "cut",
        )  # fmt: skip
    earlier = Checkpoints(tmp_path / "cut" / "teacher" / "checkpoints").history()
    assert earlier.epoch == 1, "one of two epochs is done"
    monkeypatch.setattr("lightcnn.searching.teaching.session.estimate", None)  # an epoch shows the speed
    assert run(["search", "--resume", "--out", str(tmp_path / "cut"), "--dry-run", "--json"]) == 0
    stated = json.loads(capsys.readouterr().out)["teacher"]
    expected = earlier.seconds + earlier.rows[0].seconds
    assert stated == {"name": pretrained, "epochs": 2, "seconds": pytest.approx(expected, abs=0.051)}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("timing", [150.0, 250.0])
def test_a_teacher_is_planned_for_the_time_that_is_left_when_networks_have_been_timed(
    folder: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timing: float
) -> None:
    """An epoch of the teacher takes 70 s: in a third of the 600 s fit two, in a third of what is left only one."""
    now, limits, epochs = [1000.0], list[float](), list[int]()
    replace_clocks(monkeypatch, lambda: now[0])

    def measured(space: object, budget: Budget, *rest: object) -> LatencyModels:
        now[0] += timing
        model = LatencyModel(runtime="folded", error=0.0, networks=1, rates={"mean calls": 20.0})
        return LatencyModels(machine=TimedMachine.this(budget), models=(model,))

    def train(setup: TrainingSetup, *rest: object, time_limit: float, **others: object) -> None:
        limits.append(time_limit)
        epochs.append(setup.recipe.training.epochs)
        raise KeyboardInterrupt

    monkeypatch.setattr("lightcnn.searching.preparation.measure_models", measured)
    monkeypatch.setattr(
        "lightcnn.searching.teaching.session.estimate", lambda setup: {"estimate": {"seconds": 2 * 70.0}}
    )
    monkeypatch.setattr("lightcnn.searching.teaching.session.train_one", train)
    options = {"data": folder / "two.npz", "space": str(folder / "space.yaml"), "teacher": pretrained, "workers": 1}
    with pytest.raises(KeyboardInterrupt):
        lightcnn.search("100kFLOPs,500ms", time=600, out=tmp_path / "run", **options)  # type: ignore[arg-type]
    assert limits == [pytest.approx((600 - timing) / 3)] and epochs == [1]


def test_a_teacher_that_does_not_fit_is_refused_before_networks_are_timed(
    folder: Path, pretrained: str, short: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(*arguments: object) -> None:
        raise AssertionError("networks are timed")

    monkeypatch.setattr("lightcnn.searching.preparation.measure_models", timed)
    options = {"data": folder / "two.npz", "space": str(folder / "space.yaml"), "time": 600, "out": tmp_path / "run"}
    with pytest.raises(InputError, match="no such file"):
        lightcnn.search("500ms", teacher=f"{SMALL}=missing.safetensors", **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("short")
def test_a_dry_run_prints_the_teacher_and_plans_with_the_time_that_it_takes(
    folder: Path, pretrained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    times, real = list[tuple[float, float]](), job.plans

    def plans(*values: Any, **named: Any) -> object:
        times.append((time.monotonic() - values[5], values[6]))
        return real(*values, **named)

    monkeypatch.setattr(job, "plans", plans)
    monkeypatch.setattr(
        "lightcnn.searching.teaching.session.estimate", lambda setup: {"estimate": {"seconds": 2 * 70.0}}
    )
    words = command(folder, "--workers", "1", "--dry-run", "--time", "10m", "--teacher")
    assert run([*words, pretrained]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"teacher {pretrained}: it is trained first, for 2 epochs, in about 140 s" in lines
    ((spent, teaching),) = times
    assert teaching == 140 and 140 < spent < 200
    without_time = [word for word in words if word not in ("--time", "10m")]
    assert run([*without_time, pretrained]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"teacher {pretrained}: it is trained first, for 2 epochs" in lines
    assert run([*without_time, str(folder / "teacher")]) == 0
    assert f"teacher {folder / 'teacher'}" in capsys.readouterr().out.splitlines()
    assert times[1:] and all(teaching == 0 for _, teaching in times[1:])


def test_the_predictions_of_a_teacher_are_a_part_of_the_time(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 0.25 s for one image they are too long for one minute, and a part of ten."""
    spent, real = list[float](), job.plans

    def plans(*values: Any, **named: Any) -> object:
        spent.append(time.monotonic() - values[5])
        return real(*values, **named)

    monkeypatch.setattr(job, "plans", plans)
    monkeypatch.setattr("lightcnn.teacher.TeacherRun.seconds", lambda *values: 0.25)
    teacher = folder / "teacher"
    images = RunFolder.load(teacher).data["counts"]["train"]
    words = command(folder, "--workers", "1", "--teacher", str(teacher), "--time")
    error = refused([*words, "1m"], capsys, tmp_path)
    assert f"--teacher {teacher}: its predictions for {images} training images take about {images / 4:.0f} s" in error
    assert "more than a third of the time that is left; give --time" in error
    assert run([*words, "10m", "--dry-run"]) == 0
    assert f"teacher {teacher}: its predictions take about {images / 4:.0f} s" in capsys.readouterr().out.splitlines()
    assert images / 4 < spent[0] < images / 4 + 60


@pytest.mark.usefixtures("short")
def test_a_teacher_that_cannot_be_trained_is_named(
    folder: Path, pretrained: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*values: object, **named: object) -> None:
        raise TrainingError("out of memory with batches of 64; try --set training.batch=32")

    monkeypatch.setattr("lightcnn.searching.teaching.session.train_one", fails)
    words = command(folder, "--teacher", pretrained, "--workers", "1", "--out", str(tmp_path / "run"))
    assert run(words) == 1
    error = capsys.readouterr().err
    assert (
        f"--teacher {pretrained}: out of memory with batches of 64; try --set training.batch=32, in a training" in error
    )
    assert "of its own: lightcnn train finetune, then a new search with --teacher RUN" in error


@pytest.mark.usefixtures("short")
def test_a_trained_teacher_needs_its_first_weights_no_more(
    folder: Path, pretrained: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.safetensors"
    shutil.copy(pretrained.partition("=")[2], file)
    with monkeypatch.context() as stopped, pytest.raises(KeyboardInterrupt):
        stopped.setattr("lightcnn.teacher.TeacherRun.predict", lambda *values: (_ for _ in ()).throw(KeyboardInterrupt))
        lightcnn.search(
            "100kFLOPs", data=folder / "two.npz", space=str(folder / "space.yaml"), trials=1, epochs=1, workers=1,
            teacher=f"{SMALL}={file}", out=tmp_path / "cut",
        )  # fmt: skip
    assert (tmp_path / "cut" / "teacher" / "report.json").is_file()
    file.unlink()
    assert lightcnn.search(out=tmp_path / "cut", resume=True).report["teacher"]["run"]


def test_a_teacher_has_the_scale_of_its_training_images(tmp_path: Path) -> None:
    """One test image has larger numbers than all training images, which decide by how much 16 bits are divided."""
    random, rows = np.random.default_rng(0), ["path,label,split"]
    for number in range(48):
        split = "train" if number < 32 else "val" if number < 40 else "test"
        pixels = random.integers(0, 2_000, (8, 8)) + 1_500 * (number % 2)
        pixels[0, 0] = 60_000 if number == 47 else 4_095
        Image.fromarray(pixels.astype(np.uint16)).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},{split}")
    data, space = tmp_path / "images.csv", tmp_path / "space.yaml"
    data.write_text("\n".join(rows))
    space.write_text(SPACE)
    teacher = lightcnn.train(write_squares_recipe(tmp_path), data=data, out=tmp_path / "teacher")
    taught = lightcnn.search(
        "100kFLOPs", data=data, space=space, teacher=teacher, trials=1, epochs=1, workers=1, out=tmp_path / "taught"
    )
    assert taught.report["teacher"]["run"] == str(teacher.path)


@pytest.mark.usefixtures("short")
@pytest.mark.long
def test_the_time_of_a_teacher_is_a_part_of_that_of_the_search(folder: Path, pretrained: str, tmp_path: Path) -> None:
    words = command(folder, "--teacher", pretrained, "--workers", "1", "--time", "20m", "--out", str(tmp_path / "run"))
    assert run(words) == 0
    whole, trained = RunFolder.load(tmp_path / "run"), RunFolder.load(tmp_path / "run" / "teacher")
    plan = read_plan(whole, whole.data["fingerprint"])
    assert plan is not None and 0 < plan.teaching < plan.spent
    assert trained.report["epochs"] == 2 and plan.teaching == trained.report["seconds"]
    assert whole.report["seconds"] > plan.spent

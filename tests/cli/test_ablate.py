"""`lightcnn ablate`: what is changed, that only it is, what is refused, and what is left on disk."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from helpers.specs import random_spec
from rich.console import Console
from sklearn.datasets import load_digits

import lightcnn
from lightcnn.ablating.plan import AblationPlan, Trial, make_plan
from lightcnn.ablating.report import Done, row_of
from lightcnn.ablating.surgery import LEAST, OPERATIONS, NotPossible, operated
from lightcnn.ablating.terminal import AblateView
from lightcnn.baseline_spec import BASELINES, BaselineSpec
from lightcnn.cli.main import run
from lightcnn.comparing.pairs import compared
from lightcnn.comparing.run_predictions import read
from lightcnn.cost import cost
from lightcnn.errors import DocumentError, InputError
from lightcnn.network import build
from lightcnn.recipe import PRESETS, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.spec import (
    ConvBlock,
    HeadSpec,
    InvertedResidualBlock,
    NetworkSpec,
    PoolBlock,
    ResidualBlock,
    SeparableBlock,
    SqueezeExciteBlock,
)
from lightcnn.training.recipe_argument import changed_recipe, differences

DRAWN = [random_spec(Random(seed)) for seed in range(300)]
MICRO = Recipe.load("micrompoxnet")
SMOOTH = {"silu", "hardswish", "gelu", "relu6"}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def units(network: NetworkSpec) -> Iterator[tuple[Any, tuple[int, int, int]]]:
    """Every single block with the shape it gets, those in bodies too."""
    for _, unit, before, _ in network.units():
        yield unit, before
        for part in getattr(unit, "body", ()):
            for inner in part.copies():
                yield inner, before
                before = inner.output_shape(before)


def made(name: str) -> list[tuple[NetworkSpec, NetworkSpec]]:
    """Drawn networks that an operation applies to, before and after."""
    found = []
    for network in DRAWN:
        try:
            found.append((network, operated(network, OPERATIONS[name])))
        except NotPossible:
            continue
    assert len(found) >= 100
    return found


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operated_network_is_one_of_the_same_input_and_classes(name: str) -> None:
    for before, after in made(name):
        assert (after.input, after.classes, after.logits) == (before.input, before.classes, before.logits)
        assert after.digest() != before.digest()
        assert NetworkSpec.model_validate_json(after.model_dump_json()) == after


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operated_network_builds_runs_and_costs_what_is_said(name: str) -> None:
    for _, after in made(name)[:25]:
        model = build(after, seed=0).eval()
        assert sum(parameter.numel() for parameter in model.parameters()) == cost(after).params
        with torch.no_grad():
            assert model(torch.zeros(1, *after.input)).shape == (1, after.logits)


def test_no_se_leaves_none_and_nothing_else_changes() -> None:
    for before, after in made("no-se"):
        assert not any(isinstance(unit, SqueezeExciteBlock) for unit, _ in units(after))
        assert not any(getattr(unit, "se", None) for unit, _ in units(after))
        assert cost(after).params < cost(before).params
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def test_no_residual_leaves_no_sum_and_no_shortcut() -> None:
    for before, after in made("no-residual"):
        for unit, shape in units(after):
            assert not isinstance(unit, ResidualBlock)
            assert not (isinstance(unit, InvertedResidualBlock) and unit.has_skip(shape[0]))
        assert cost(after).params <= cost(before).params
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def test_plain_convolutions_leave_nothing_separable_and_every_sum() -> None:
    for before, after in made("plain-convolutions"):
        for unit, _ in units(after):
            assert not isinstance(unit, (SeparableBlock, InvertedResidualBlock))
            assert getattr(unit, "groups", 1) == 1
        assert sums(after) == sums(before)
        assert list(after.units())[-1][3] == list(before.units())[-1][3]


def sums(network: NetworkSpec) -> int:
    return sum(
        isinstance(unit, ResidualBlock) or (isinstance(unit, InvertedResidualBlock) and unit.has_skip(shape[0]))
        for unit, shape in units(network)
    )


def test_relu_leaves_no_other_activation_and_none_where_there_was_none() -> None:
    for before, after in made("relu"):
        acts = [getattr(unit, "act", "none") for unit, _ in units(after)]
        assert not SMOOTH & {*acts, after.head.act}
        was = [getattr(unit, "act", "none") for unit, _ in units(before)]
        assert [act == "none" for act in acts] == [act == "none" for act in was]
        assert cost(after) == cost(before)


def test_narrower_halves_down_to_eight() -> None:
    for before, after in made("narrower"):
        assert cost(after).params < cost(before).params
        pairs = zip(units(before), units(after), strict=True)
        free = [(old, new) for (old, _), (new, _) in pairs if hasattr(old, "width") and getattr(old, "groups", 1) == 1]
        widths = [(old.width, new.width) for old, new in free]
        assert all(min(old, LEAST) <= new <= old for old, new in widths)
    wide = NetworkSpec(input=(3, 16, 16), classes=3, head=HeadSpec(hidden=(40, 6)), stages=(
        ConvBlock(width=64), ConvBlock(width=64, groups=64), ConvBlock(width=96, groups=4), SeparableBlock(width=10),
    ))  # fmt: skip
    narrow = operated(wide, OPERATIONS["narrower"])
    assert [(block.width, getattr(block, "groups", 0)) for block in narrow.stages] == [
        (32, 1),
        (32, 32),
        (48, 2),
        (8, 0),
    ]
    assert narrow.head.hidden == (20, 6)


def test_shallower_halves_what_is_repeated() -> None:
    for before, after in made("shallower"):
        assert cost(after).params < cost(before).params
        assert len(list(units(after))) < len(list(units(before)))
    repeated = NetworkSpec(input=(3, 16, 16), classes=3, stages=(
        ConvBlock(width=8, stride=2), ConvBlock(width=8), ConvBlock(width=8), PoolBlock(),
        ResidualBlock(body=(SeparableBlock(width=8, depth=4),), depth=2),
    ))  # fmt: skip
    shallow = operated(repeated, OPERATIONS["shallower"])
    assert [getattr(block, "depth", None) for block in shallow.stages] == [2, None, 1]
    assert shallow.stages[0].stride == 2
    assert shallow.stages[2].body[0].depth == 2


def test_the_activation_after_a_sum_moves_to_the_convolution_before_it() -> None:
    body = (ConvBlock(width=4), ConvBlock(width=4, act="none"))
    network = NetworkSpec(input=(4, 8, 8), classes=3, stages=(ResidualBlock(body=body, act="relu"),))
    without = operated(network, OPERATIONS["no-residual"])
    assert [block.act for block in without.stages] == ["silu", "relu"]


def test_an_inverted_residual_without_its_skip_computes_its_own_branch() -> None:
    block = InvertedResidualBlock(width=6, expand=2.0, se=0.25, act="relu")
    network = NetworkSpec(input=(6, 8, 8), classes=3, stages=(block,))
    without = operated(network, OPERATIONS["no-residual"])
    one, other = build(network, seed=0).eval(), build(without, seed=0).eval()
    other.load_state_dict(dict(zip(other.state_dict(), one.state_dict().values(), strict=True)))
    images = torch.rand(2, 6, 8, 8)
    with torch.no_grad():
        branch = one.stages[0](images) - images
        torch.testing.assert_close(other.stages(images), branch)


def test_networks_without_what_is_taken_out_are_said_to_be() -> None:
    bare = NetworkSpec(input=(1, 8, 8), classes=3, stages=(ConvBlock(width=4, act="relu"),))
    for operation in OPERATIONS.values():
        with pytest.raises(NotPossible, match="the network "):
            operated(bare, operation)


def test_the_architecture_of_the_papers_network_has_all_six_changes() -> None:
    plan = make_plan(MICRO, ["architecture"])
    assert [trial.name for trial in plan.trials] == ["unchanged", *OPERATIONS]
    base, *others = (
        cost(trial.recipe.network) for trial in plan.trials if isinstance(trial.recipe.network, NetworkSpec)
    )
    assert len({base.params, *(other.params for other in others)}) == 6, "relu costs what the unchanged one does"
    for trial in plan.trials[1:]:
        assert all(line.startswith("network.") for line in differences(MICRO, trial.recipe))


def test_only_what_is_said_differs_in_hyperparameters() -> None:
    plan = make_plan(Recipe.load("quick"), ["hyperparameters"])
    keys = {
        trial.name: {line.partition(":")[0] for line in differences(plan.trials[0].recipe, trial.recipe)}
        for trial in plan.trials[1:]
    }
    rate = {"training.learning_rate"}
    optimizer = {"training.optimizer", "training.weight_decay"} | rate
    assert keys == {
        "optimizer-adam": optimizer - rate, "optimizer-sgd": optimizer,
        "optimizer-rmsprop": optimizer, "rate-x0.1": rate, "rate-x0.3": rate, "rate-x3": rate,
        "batch-half": {"training.batch"}, "batch-double": {"training.batch"},
    }  # fmt: skip


def test_another_optimizer_gets_a_rate_and_a_decay_of_its_own() -> None:
    by_name = {
        trial.name: trial.recipe.training for trial in make_plan(Recipe.load("quick"), ["hyperparameters"]).trials
    }
    adamw, sgd, rmsprop = by_name["unchanged"], by_name["optimizer-sgd"], by_name["optimizer-rmsprop"]
    assert sgd.learning_rate == pytest.approx(30 * adamw.learning_rate)
    assert sgd.weight_decay * sgd.learning_rate / (1 - sgd.momentum) == pytest.approx(
        adamw.weight_decay * adamw.learning_rate, rel=0.01
    )
    assert rmsprop.learning_rate == pytest.approx(0.1 * adamw.learning_rate)
    back = make_plan(
        Recipe.load("quick").model_copy(update={"training": sgd}), ["hyperparameters"], only=["optimizer-adamw"]
    ).trials[1].recipe.training  # fmt: skip
    assert (back.learning_rate, back.weight_decay) == pytest.approx((adamw.learning_rate, adamw.weight_decay), rel=0.01)


def test_a_rate_above_the_highest_is_left_out_and_the_others_stop_there() -> None:
    quick = Recipe.load("quick")
    hot = quick.model_copy(update={"training": quick.training.model_copy(update={"learning_rate": 5.0})})
    plan = make_plan(hot, ["hyperparameters"])
    assert [(skipped.change, skipped.reason) for skipped in plan.left_out] == [
        ("rate-x3", "a learning rate of 15 is above 10")
    ]
    assert {trial.name: trial.recipe.training.learning_rate for trial in plan.trials}["optimizer-sgd"] == 10


def test_adam_and_adamw_without_decay_are_one() -> None:
    plan = make_plan(MICRO, ["hyperparameters"])
    assert [skipped.change for skipped in plan.left_out] == ["optimizer-adamw"]
    assert {"optimizer-sgd", "optimizer-rmsprop"} < {trial.name for trial in plan.trials}


def test_the_recipes_own_augmentation_is_left_out() -> None:
    plan = make_plan(MICRO, ["augmentation"])
    assert [(skipped.change, skipped.reason) for skipped in plan.left_out] == [("augment-paper", "the recipe as it is")]
    assert [trial.recipe.augment for trial in plan.trials[1:]] == [PRESETS[n] for n in PRESETS if n != "paper"]


def test_all_baselines_stand_in_for_the_network_at_its_own_size() -> None:
    plan = make_plan(MICRO, ["baselines"])
    networks = [trial.recipe.network for trial in plan.trials[1:]]
    assert [network.name for network in networks] == list(BASELINES)
    for network in networks:
        assert isinstance(network, BaselineSpec)
        assert (network.input, network.classes, network.logits, network.weights) == ((3, 128, 128), 2, 1, "none")


def test_a_plan_is_read_back_as_it_was() -> None:
    plan = make_plan(MICRO, ["architecture", "augmentation"], folds=3, seeds=2)
    assert AblationPlan.model_validate_json(plan.model_dump_json()) == plan
    assert plan.trainings == 6


def test_a_file_of_changes_changes_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "changes:\n"
        "  long: {training.epochs: 40, training.patience: 5}\n"
        "  gentle: {augment: light}\n"
        "  deep: {network.stages.1.depth: 3}\n"
        "  same: {training.epochs: 20}\n"
    )
    recipe = Recipe.load("quick")
    plan = make_plan(recipe, ["mine.yaml"])
    assert [(trial.name, trial.about) for trial in plan.trials[1:]] == [
        ("long", "training.epochs=40, training.patience=5"),
        ("gentle", "augment=light"),
        ("deep", "network.stages.1.depth=3"),
    ]
    assert [skipped.change for skipped in plan.left_out] == ["same"]
    assert (plan.trials[1].recipe.training.epochs, plan.trials[1].recipe.training.patience) == (40, 5)
    assert plan.trials[3].recipe.network.stages[1].depth == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("changes: {a: {training.warmpu: 0.1}}", "changes.a.training.warmpu: unknown key 'warmpu' (value 0.1); did"),
        ("changes: {a: {trainnig.warmup: 0.1}}", "changes.a.trainnig.warmup: unknown key 'trainnig' (value {'w"),
        ("changes: {a: {network.stages.9.width: 3}}", "a.network.stages.9.width: network.stages is a list of 4"),
        ("changes: {a: {training.epochs: many}}", "a.training.epochs: input should be a valid integer, not 'many'"),
        ("changes: {a: {seed: 3}}", "changes.a.seed: a change is paired with the unchanged recipe on the same images"),
        ("changes: {a: {augment: heavy}}", "a.augment: 'heavy' is not one of none, light, keras, imgaug, paper"),
        ("chnages: {a: {training.epochs: 3}}", "unknown key 'chnages'"),
        ("changes: {a: {}}", "changes.a: dictionary should have at least 1 item"),
        ("changes: {../a: {training.epochs: 3}}", "bad.yaml:1: changes.../a: a change's name is its folder's: give a "),
        ("changes: {a: {reading.folds: 3}}", "bad.yaml:1: changes.a.reading.folds: a change is paired with"),
        ("changes: {unchanged: {training.epochs: 3}}", "change 'unchanged' has a name that is taken"),
        ("changes: {a: {training.epochs: 20}}", "nothing to change (a: the recipe as it is)"),
        ("changes: 3", "changes: input should be an object, not 3"),
    ],
)  # fmt: skip
def test_a_bad_file_of_changes_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        make_plan(Recipe.load("quick"), ["bad.yaml"])
    told = [str(problem) for problem in getattr(raised.value, "problems", [raised.value])]
    assert any(message in line and line.count("\n") == 0 and "bad.yaml" in line for line in told), told


def test_all_that_is_wrong_with_a_file_of_changes_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "changes:\n  a b: {training.epochs: 3}\n  c:\n    seed: 3\n    data: digits\n"
        f"  d: {{reading.folds: 2}}\n  e: {{}}\n  {'f' * 61}: {{training.epochs: 3}}\nname: x\n"
    )
    with pytest.raises(DocumentError) as raised:
        make_plan(Recipe.load("quick"), ["bad.yaml"])
    told = [str(problem).removeprefix("bad.yaml:") for problem in raised.value.problems]
    assert all("pattern" not in line for line in told)
    places = [":".join(line.split(":")[:2]) for line in told]
    assert sorted(places) == [
        "2: changes.a b", "4: changes.c.seed", "5: changes.c.data", "6: changes.d.reading.folds", "7: changes.e",
        f"8: changes.{'f' * 61}", "9: name",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "over", "only", "message"),
    [
        ("quick", ["architectre"], [], "no such file and none of architecture, .*did you mean 'architecture'"),
        ("quick", [], [], "--over is missing"),
        ("quick", ["architecture"], ["no-es"], "--only no-es: no such change; did you mean 'no-se'"),
        ("micrompoxnet", ["augmentation"], ["augment-paper"], "nothing to change .augment-paper: the recipe as it is"),
        ("study0-feature-transfer", ["architecture"], [], "the network is the baseline mobilenetv2"),
    ],
)
def test_what_cannot_be_changed_is_one_clear_line(recipe: str, over: list[str], only: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(Recipe.load(recipe), over, only=only)


def test_a_change_of_a_recipe_names_what_gave_it() -> None:
    from lightcnn.overrides import Override

    with pytest.raises(DocumentError, match=r"^mine: unknown key 'epoch'"):
        changed_recipe(MICRO, [Override("mine", ("training", "epoch"), 3)], "recipe")


TINY = """
name: tiny
data: {data}
network:
  input: [1, 8, 8]
  stages:
    - {{kind: conv, width: 12, stride: 2}}
    - {{kind: mbconv, width: 12, expand: 2.0, se: 0.25}}
  classes: 3
training: {{epochs: 2, batch: 16, optimizer: adam, weight_decay: 0.0}}
"""


@pytest.fixture(scope="session")
def recipe(tmp_path_factory) -> Path:
    """A recipe of a tiny network on 240 digits of three classes."""
    folder = tmp_path_factory.mktemp("digits")
    digits = load_digits(n_class=3)
    images, labels = digits.images[:240].astype(np.uint8) * 15, digits.target[:240]
    np.savez(folder / "three.npz", train_images=images, train_labels=labels, class_names=np.array(["o", "i", "z"]))
    (folder / "tiny.yaml").write_text(TINY.format(data=folder / "three.npz"))
    return folder / "tiny.yaml"


@pytest.fixture(scope="session")
def finished(recipe: Path, tmp_path_factory) -> Path:
    """An ablation over two changes."""
    folder = tmp_path_factory.mktemp("ablated") / "run"
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se,relu"]
    assert run([*arguments, "--out", str(folder), "--quiet"]) == 0
    return folder


def report_of(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return document


def test_a_finished_ablation_has_a_row_a_change(finished: Path) -> None:
    report = report_of(finished)
    assert report["command"] == "ablate"
    assert [row["change"] for row in report["rows"]] == ["unchanged", "no-se", "relu"]
    for row in report["rows"]:
        part = report_of(finished / "changes" / row["change"])
        assert row["metric"] == part["summary"]["accuracy"]
        assert row["cost"] == part["network"]["cost"]
        assert len(row["metric"]["values"]) == 1 and row["metric"]["sd"] is None
    assert report["rows"][1]["cost"]["params"] < report["rows"][0]["cost"]["params"]
    assert report["failed"] == report["left_out"] == []
    assert not report["data"]["stand_in"]


def test_differences_are_those_from_the_unchanged_recipe(finished: Path) -> None:
    base, *others = report_of(finished)["rows"]
    assert base["difference"] is None
    for row in others:
        assert row["difference"] == pytest.approx(row["metric"]["mean"] - base["metric"]["mean"])
        assert row["low"] <= row["difference"] <= row["high"]
        assert row["p"] <= row["p_adjusted"] <= min(1.0, 2 * row["p"]) + 1e-9, "Holm over two changes"


def test_means_subtract_to_the_difference_where_folds_are_unequal(finished: Path) -> None:
    trained = RunFolder.load(finished / "changes" / "unchanged")
    base, folds = read(trained), np.array([[1] * 8 + [2] * 2])
    asked = replace(
        base, images=base.images[:10], labels=base.labels[:10], groups=base.groups[:10], folds=folds,
        probabilities=base.probabilities[:, :10],
    )  # fmt: skip

    def done(name: str, right: list[int]) -> Done:
        answers = replace(asked, name=name, right=np.array([right], dtype=bool))
        parts = [np.mean(right[:8]), np.mean(right[8:])]
        summary = {"accuracy": {"mean": float(np.mean(parts)), "sd": 0.1, "values": parts}}
        trial = Trial(name=name, about="", recipe=MICRO)
        return Done(trial, dict(trained.report) | {"summary": summary}, answers)

    one, other = done("unchanged", [1] * 8 + [0] * 2), done("worse", [1] * 6 + [0] * 4)
    pairs = compared(other.answers, one.answers, ["accuracy"])
    rows = [row_of(one, pairs), row_of(other, pairs)]
    assert [row["metric"]["mean"] for row in rows] == pytest.approx([0.8, 0.6])
    assert rows[1]["difference"] == pytest.approx(rows[1]["metric"]["mean"] - rows[0]["metric"]["mean"])
    assert rows[1]["metrics"]["accuracy"] == rows[1]["metric"]
    assert rows[1]["metric"]["values"] == [0.75, 0.0] and rows[1]["metric"]["sd"] == 0.1


def test_the_page_and_the_pictures_are_there(finished: Path) -> None:
    text = (finished / "report.html").read_text()
    assert "no-se" in text and "relu" in text and "unchanged" in text
    assert ".wide { overflow-x: auto" in text
    assert text.count('<div class="wide"><table') == text.count("<table") > 0
    pictures = {file.name: file.read_bytes() for file in (finished / "plots").iterdir()}
    assert pictures.keys() == {"differences.png", "macs.png", "params.png"}
    assert len(set(pictures.values())) == 3
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())


def test_a_finished_ablation_is_shown_again_and_not_trained(finished: Path, capsys) -> None:
    before = (finished / "changes" / "no-se" / "report.json").stat().st_mtime_ns
    assert run(["ablate", "--resume", "--out", str(finished), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report_of(finished)
    assert (finished / "changes" / "no-se" / "report.json").stat().st_mtime_ns == before
    assert run(["ablate", "--resume", "--out", str(finished)]) == 0
    printed = capsys.readouterr().out
    assert "unchanged" in printed and "p by Holm" in printed and str(finished) in printed


def test_another_ablation_is_not_gone_on_with(finished: Path, recipe: Path, capsys) -> None:
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se"]
    assert run([*arguments, "--resume", "--out", str(finished)]) == 2
    assert "was begun with other changes" in capsys.readouterr().err
    assert run([*arguments, "--epochs", "9", "--resume", "--out", str(finished)]) == 2
    assert "training.epochs: 2 in the run, 9 given" in capsys.readouterr().err
    assert run([*arguments, "--out", str(finished)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_an_ablation_goes_on_after_kill_9_to_the_same_result(finished: Path, recipe: Path, tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    arguments = ["ablate", str(recipe), "--over", "architecture", "--only", "no-se,relu"]
    child = subprocess.Popen([sys.executable, "-m", "lightcnn", *arguments, "--out", str(folder), "--quiet"])
    deadline = time.monotonic() + 240
    while not (folder / "changes" / "no-se" / "parts" / "seed-0" / "metrics.csv").is_file():
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    trained = (folder / "changes" / "unchanged" / "report.json").stat().st_mtime_ns
    assert not (folder / "report.json").exists()
    assert run(["ablate", "--resume", "--out", str(folder), "--quiet"]) == 0
    assert (folder / "changes" / "unchanged" / "report.json").stat().st_mtime_ns == trained, "not trained again"
    assert unhurried(report_of(folder)) == unhurried(report_of(finished))
    for name in ("unchanged", "no-se", "relu"):
        answers = [(of / "changes" / name / "predictions.csv").read_bytes() for of in (folder, finished)]
        assert answers[0] == answers[1]


def unhurried(report: dict[str, Any]) -> dict[str, Any]:
    """A report without its times."""
    rows = [row | {"seconds": 0} for row in report["rows"]]
    return report | {"seconds": 0, "rows": rows}


def test_a_change_that_fails_is_told_and_the_others_go_on(recipe: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "changes.yaml").write_text(
        "changes:\n  diverges: {training.optimizer: sgd, training.learning_rate: 10}\n  short: {training.epochs: 1}\n"
    )
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--out", "run"]) == 1
    (told,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("lightcnn: ")]
    assert told.startswith("lightcnn: change diverges failed: the loss became ")
    report = report_of(tmp_path / "run")
    assert [row["change"] for row in report["rows"]] == ["unchanged", "short"]
    assert [one["change"] for one in report["failed"]] == ["diverges"]
    assert "the loss became " in (tmp_path / "run" / "report.html").read_text()
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()
    kept = (tmp_path / "run" / "changes" / "short" / "report.json").stat().st_mtime_ns
    assert run(["ablate", "--resume", "--out", "run", "--quiet"]) == 1, "what failed is tried again"
    assert (tmp_path / "run" / "changes" / "short" / "report.json").stat().st_mtime_ns == kept
    assert unhurried(report_of(tmp_path / "run")) == unhurried(report)


def test_an_unchanged_recipe_that_fails_ends_the_ablation(recipe: Path, capsys) -> None:
    hot = ["--set", "training.optimizer=sgd", "--set", "training.learning_rate=10"]
    assert run(["ablate", str(recipe), "--over", "architecture", *hot, "--out", "run"]) == 1
    assert "lightcnn: the loss became " in capsys.readouterr().err
    assert not Path("run/report.json").exists()
    assert not Path("run/changes/no-se").exists()


def test_a_change_that_does_not_fit_the_data_is_left_out(recipe: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "changes.yaml").write_text("changes: {huge: {training.batch: 4096}, short: {training.epochs: 1}}\n")
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "left out: huge: training.batch: 4096 images, but the training set" in printed
    assert run(["ablate", str(recipe), "--over", "changes.yaml", "--only", "huge", "--out", "run"]) == 2
    assert "nothing to change" in capsys.readouterr().err
    assert not Path("run").exists()


def test_a_dry_run_has_exact_costs_and_a_time_and_writes_nothing(recipe: Path, tmp_path: Path, capsys) -> None:
    arguments = ["ablate", str(recipe), "--over", "architecture,augmentation", "--folds", "3", "--seeds", "2"]
    assert run([*arguments, "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["dry_run"], plan["folds"], plan["seeds"]) == (True, 3, 2)
    by_name = {row["change"]: row for row in plan["rows"]}
    assert {"unchanged", "no-se", "augment-none"} < by_name.keys()
    network = Recipe.load(recipe).network
    assert isinstance(network, NetworkSpec)
    assert by_name["no-se"]["cost"] == cost(operated(network, OPERATIONS["no-se"])).document()
    assert plan["estimate"]["seconds"] == pytest.approx(sum(row["seconds"] for row in plan["rows"]), abs=0.01)
    assert all(row["seconds"] > 0 for row in plan["rows"])
    assert list(tmp_path.iterdir()) == []


def test_a_baseline_too_large_for_the_images_is_said_to_be(recipe: Path, capsys) -> None:
    assert run(["ablate", str(recipe), "--over", "baselines", "--only", "vgg16", "--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[1]["change"] == "vgg16" and rows[1]["cost"] is None
    assert "vgg16 cannot take 1×8×8" in rows[1]["reason"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "RECIPE is missing"),
        (["quick"], "--over is missing"),
        (["quick", "--over", "nothing.yaml"], "no such file and none of architecture"),
        (["quick", "--over", "architecture", "--resume"], "--resume: needs --out"),
        (["--resume", "--out", "nowhere", "--over", "architecture"], "run nowhere: "),
        (["quick", "--over", "architecture", "--folds", "1"], "--folds 1"),
        (["quick", "--over", "architecture", "--folds", "2000"], "2000"),
        (["quick", "--over", "architecture", "--seeds", "0"], "--seeds 0"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(arguments: list[str], message: str, capsys) -> None:
    assert run(["ablate", *arguments]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not Path("runs").exists()


def test_a_training_is_no_ablation_to_go_on_with(finished: Path, capsys) -> None:
    assert run(["ablate", "--resume", "--out", str(finished / "changes" / "relu")]) == 2
    assert "not an ablation" in capsys.readouterr().err


def test_python_ablates_too_and_folds_test_every_image(recipe: Path) -> None:
    done = lightcnn.ablate(recipe, over="augmentation", only=["augment-none"], folds=2, out="folded")
    assert done.report["data"]["counts"]["test"] == 240
    assert [len(row["metric"]["values"]) for row in done.report["rows"]] == [2, 2]
    assert all(pair["units"] == 240 for pair in done.report["pairs"])


def test_the_live_view_says_which_change_and_which_training() -> None:
    shown = io.StringIO()
    with AblateView(Console(file=shown, force_terminal=True, width=90), quiet=False) as view:
        view.change(2, 5, "no-se", "without squeeze-and-excitation")
        view.part(3, 6, "seed-1-fold-1")
        view.failed("relu", "out of memory")
    assert "2 of 5, no-se: without squeeze-and-excitation" in shown.getvalue()
    assert "part 3 of 6, seed-1-fold-1" in shown.getvalue()
    assert "relu failed: out of memory" in shown.getvalue()
    silent = io.StringIO()
    with AblateView(Console(file=silent, force_terminal=True), quiet=True) as view:
        view.change(1, 2, "unchanged", "the recipe as it is")
    assert silent.getvalue() == ""


def test_what_is_learned_from_drawn_images_says_so(capsys) -> None:
    arguments = ["ablate", "quick", "--over", "augmentation", "--only", "augment-none", "--dry-run"]
    data = ["--data", "synthetic-lesions:count=60,size=16", "--set", "network.classes=2"]
    assert run([*arguments, *data, "--set", "network.input=[3,16,16]", "--set", "training.batch=8"]) == 0
    assert "STAND-IN" in capsys.readouterr().err

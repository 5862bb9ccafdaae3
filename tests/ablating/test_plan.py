"""The changes of a recipe and the plan of an ablation."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightcnn.ablating.plan import AblationPlan, make_plan
from lightcnn.ablating.surgery import OPERATIONS
from lightcnn.baseline_spec import BASELINES, BaselineSpec
from lightcnn.cost import cost
from lightcnn.errors import DocumentError, InputError
from lightcnn.overrides import Override
from lightcnn.recipe import PRESETS, Recipe
from lightcnn.spec import NetworkSpec
from lightcnn.training.recipe_argument import changed_recipe, differences

MICRO = Recipe.load("micrompoxnet")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_network_of_the_paper_has_all_six_architecture_changes() -> None:
    plan = make_plan(MICRO, ["architecture"])
    assert [trial.name for trial in plan.trials] == ["unchanged", *OPERATIONS]
    base, *others = (
        cost(trial.recipe.network) for trial in plan.trials if isinstance(trial.recipe.network, NetworkSpec)
    )
    assert len({base.params, *(other.params for other in others)}) == 6, "relu costs as much as the unchanged network"
    for trial in plan.trials[1:]:
        assert all(line.startswith("network.") for line in differences(MICRO, trial.recipe))


def test_a_change_of_hyperparameters_sets_only_the_named_keys() -> None:
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


def test_another_optimizer_gets_a_suitable_rate_and_decay() -> None:
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


def test_a_rate_above_the_limit_is_left_out_and_others_are_limited() -> None:
    quick = Recipe.load("quick")
    hot = quick.model_copy(update={"training": quick.training.model_copy(update={"learning_rate": 5.0})})
    plan = make_plan(hot, ["hyperparameters"])
    assert [(skipped.change, skipped.reason) for skipped in plan.left_out] == [
        ("rate-x3", "a learning rate of 15 is above 10")
    ]
    assert {trial.name: trial.recipe.training.learning_rate for trial in plan.trials}["optimizer-sgd"] == 10


def test_adam_and_adamw_are_the_same_without_weight_decay() -> None:
    plan = make_plan(MICRO, ["hyperparameters"])
    assert [skipped.change for skipped in plan.left_out] == ["optimizer-adamw"]
    assert {"optimizer-sgd", "optimizer-rmsprop"} < {trial.name for trial in plan.trials}


def test_the_augmentation_of_the_recipe_is_left_out() -> None:
    plan = make_plan(MICRO, ["augmentation"])
    assert [(skipped.change, skipped.reason) for skipped in plan.left_out] == [
        ("augment-paper", "the same as the unchanged recipe")
    ]
    assert [trial.recipe.augment for trial in plan.trials[1:]] == [PRESETS[n] for n in PRESETS if n != "paper"]


def test_baselines_replace_the_network_at_the_same_input_size() -> None:
    plan = make_plan(MICRO, ["baselines"])
    networks = [trial.recipe.network for trial in plan.trials[1:]]
    assert [network.name for network in networks] == list(BASELINES)
    for network in networks:
        assert isinstance(network, BaselineSpec)
        assert (network.input, network.classes, network.logits, network.weights) == ((3, 128, 128), 2, 1, "none")


def test_a_plan_survives_saving_and_loading() -> None:
    plan = make_plan(MICRO, ["architecture", "augmentation"], folds=3, seeds=2)
    assert AblationPlan.model_validate_json(plan.model_dump_json()) == plan
    assert plan.trainings == 6


def test_a_file_of_changes_changes_the_named_keys(tmp_path: Path) -> None:
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
        ("changes: {a: {seed: 3}}", "changes.a.seed: a change is compared with the unchanged recipe on the same"),
        ("changes: {a: {augment: heavy}}", "a.augment: 'heavy' is not one of none, light, keras, imgaug, paper"),
        ("chnages: {a: {training.epochs: 3}}", "unknown key 'chnages'"),
        ("changes: {a: {}}", "changes.a: must have at least 1 value, not 0"),
        ("changes: {../a: {training.epochs: 3}}",
         "bad.yaml:1: changes.../a: the name of a change becomes the name of a folder: begin with "),
        ("changes: {a: {reading.folds: 3}}", "bad.yaml:1: changes.a.reading.folds: a change is compared with"),
        ("changes: {unchanged: {training.epochs: 3}}", "the change name 'unchanged' is already used"),
        ("changes: {a: {training.epochs: 20}}", "nothing to change (a: the same as the unchanged recipe)"),
        ("changes: 3", "changes: must be a mapping of keys to values, not 3"),
    ],
)  # fmt: skip
def test_an_invalid_file_of_changes_is_reported_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        make_plan(Recipe.load("quick"), ["bad.yaml"])
    messages = [str(problem) for problem in getattr(raised.value, "problems", [raised.value])]
    assert any(message in line and line.count("\n") == 0 and "bad.yaml" in line for line in messages), messages


def test_all_problems_of_a_file_of_changes_are_reported_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "changes:\n  a b: {training.epochs: 3}\n  c:\n    seed: 3\n    data: digits\n"
        f"  d: {{reading.folds: 2}}\n  e: {{}}\n  {'f' * 61}: {{training.epochs: 3}}\nname: x\n"
    )
    with pytest.raises(DocumentError) as raised:
        make_plan(Recipe.load("quick"), ["bad.yaml"])
    messages = [str(problem).removeprefix("bad.yaml:") for problem in raised.value.problems]
    assert all("pattern" not in line for line in messages)
    places = [":".join(line.split(":")[:2]) for line in messages]
    assert sorted(places) == [
        "2: changes.a b", "4: changes.c.seed", "5: changes.c.data", "6: changes.d.reading.folds", "7: changes.e",
        f"8: changes.{'f' * 61}", "9: name",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("recipe", "over", "only", "message"),
    [
        ("quick", ["architectre"], [], "no such file, and not one of architecture, .*did you mean 'architecture'"),
        ("quick", [], [], "--over is missing"),
        ("quick", ["architecture"], ["no-es"], "--only: 'no-es' is not one of "),
        (
            "micrompoxnet",
            ["augmentation"],
            ["augment-paper"],
            "nothing to change .augment-paper: the same as the unchanged recipe",
        ),
        ("study0-feature-transfer", ["architecture"], [], "the network mobilenetv2 has no blocks to change"),
    ],
)
def test_impossible_changes_are_reported_in_one_line(
    recipe: str, over: list[str], only: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(Recipe.load(recipe), over, only=only)


def test_an_error_in_a_changed_recipe_names_the_change() -> None:
    with pytest.raises(DocumentError, match=r"^mine: unknown key 'epoch'"):
        changed_recipe(MICRO, [Override("mine", ("training", "epoch"), 3)], "recipe")


def test_plans_that_differ_only_in_descriptions_train_the_same() -> None:
    plan = make_plan(MICRO, ["architecture"])
    described = [trial.model_copy(update={"about": "in other words"}) for trial in plan.trials]
    assert plan.model_copy(update={"trials": tuple(described)}) != plan
    assert plan.model_copy(update={"trials": tuple(described)}).trains_the_same(plan)
    assert not plan.trains_the_same(make_plan(MICRO, ["architecture"], seeds=2))
    assert not plan.trains_the_same(make_plan(MICRO, ["architecture"], only=["no-se"]))

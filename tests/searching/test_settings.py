"""What a user sets of the trainings of a search: values that change all of them, and those that a search decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lightcnn
from lightcnn.errors import InputError
from lightcnn.recipe import PRESETS, Augment, Optimisation
from lightcnn.recipe_defaults import require_training
from lightcnn.searching.settings import SearchSettings, make_settings
from lightcnn.space import SearchSpace

LABELS = np.arange(60) % 2
IMAGES = (np.random.default_rng(0).integers(0, 100, (60, 8, 8)) + 90 * LABELS[:, None, None]).astype(np.uint8)


def settings(changes: dict[str, Any], **others: Any) -> SearchSettings:
    values = {"budget": "1MFLOPs", "data": "digits", "space": SearchSpace.load("micro"), "set": changes}
    return make_settings(values | others)


def test_values_change_the_defaults_that_follow_from_the_data() -> None:
    changed = settings(
        {"training.learning_rate": 0.002, "training.class_weights": {"a": 1, "b": 2}, "augment.flip": True}
    )
    default = Optimisation(batch=32, label_smoothing=0.1)
    values = changed.training_values(default, Augment(rotate=2.0))
    assert values.augment == Augment(rotate=2.0, flip=True)
    assert values.training == default.model_copy(update={"learning_rate": 0.002, "class_weights": {"a": 1.0, "b": 2.0}})
    assert settings({"augment": "light"}).training_values(default, Augment()).augment == PRESETS["light"]
    assert settings({}).training_values(default, Augment()).training is default


@pytest.mark.parametrize(
    ("changes", "others", "message"),
    [
        ({"seed": 3}, {}, "--set seed: a search takes values of training, augment and distill only"),
        ({"training.epochs": 3}, {}, "--set training.epochs: the epochs of the final training are --epochs"),
        ({"training.schedule": "cosine"}, {}, "--set training.schedule: a search trains in parts and decides it; "),
        ({"training": {"epochs": 3}}, {}, "--set training: a search trains in parts and decides it; values of "),
        ({"training.learning_rate": 99}, {}, "--set training.learning_rate: .* less than or equal to 10, not 99"),
        ({"training.lerning_rate": 1}, {}, "unknown key 'lerning_rate' .* did you mean 'learning_rate'"),
        ({"augment.flip.x": 1}, {}, "--set augment.flip.x: augment.flip is False, which has no keys"),
        ({"training.batch": object()}, {}, "search: set.training.batch"),
        (
            {"training.monitor": "auc"}, {"metric": "f1"},
            "--set training.monitor: auc, but --metric is f1; networks are compared by one metric: omit one",
        ),
    ],
)  # fmt: skip
def test_values_that_a_search_decides_or_that_are_wrong(changes: Any, others: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        settings(changes, **others)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("monitor", "metric"), [("auc", "auc"), ("loss", "log_loss"), ("accuracy", "accuracy")])
def test_the_monitor_of_a_training_is_the_metric_of_the_search(monitor: str, metric: str) -> None:
    assert settings({"training.monitor": monitor}).metric == metric
    assert settings({"training.monitor": monitor}, metric=metric).metric == metric


def test_a_metric_that_is_given_differs_from_the_default_one_even_if_it_has_its_value(tmp_path: Any) -> None:
    message = r"^set=training\.monitor: auc, but metric is accuracy; networks are compared by one metric"
    with pytest.raises(InputError, match=message):
        lightcnn.search("50kFLOPs", metric="accuracy", set={"training.monitor": "auc"}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_search_trains_and_writes_a_recipe_with_the_values(tmp_path: Any) -> None:
    changes = {"training.batch": 10, "training.class_weights": {"0": 1.0, "1": 3.0}, "augment": "none"}
    run = lightcnn.search(
        "50kFLOPs", data=(IMAGES, LABELS), trials=1, epochs=1, workers=1, set=changes, metric="auc",
        out=tmp_path / "run",
    )  # fmt: skip
    recipe = lightcnn.Recipe.load(run / "recipe.yaml")
    assert (recipe.training.batch, recipe.training.class_weights) == (10, {"0": 1.0, "1": 3.0})
    assert recipe.augment == PRESETS["none"]
    with pytest.raises(InputError, match=r"was started with set .*; omit set, or choose a new out"):
        lightcnn.search(data=(IMAGES, LABELS), set={"training.batch": 12}, resume=True, out=run.path)
    with pytest.raises(InputError, match=r"was started with metric 'auc', not 'accuracy'; omit metric, or choose"):
        lightcnn.search(data=(IMAGES, LABELS), metric="accuracy", resume=True, out=run.path)
    again = lightcnn.search(data=(IMAGES, LABELS), set=changes, resume=True, out=run.path)
    assert again.report == run.report


def test_values_that_do_not_fit_the_data_leave_no_run(tmp_path: Any) -> None:
    changes = {"training.class_weights": {"0": 1.0, "2": 3.0}}
    with pytest.raises(InputError, match=r"class .1. has no weight; give a weight for each of 0, 1"):
        lightcnn.search("50kFLOPs", data=(IMAGES, LABELS), trials=1, set=changes, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(InputError, match=r"training\.batch: 50 images, but the training set of data x has 40"):
        require_training(Optimisation(batch=50), "x", ["a", "b"], 40)

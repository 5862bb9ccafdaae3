"""The recipe that a search delivers trains the delivered weights again, wherever they come from."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lightcnn import document
from lightcnn.cli.main import run
from lightcnn.run_folder import RunFolder
from lightcnn.searching import session
from lightcnn.searching.report import report
from lightcnn.searching.trainings import choice
from lightcnn.searching.trainings.choice import Weights

pytestmark = pytest.mark.usefixtures("undrawn_charts")

STAGE = "{kind: [conv], width: {low: 4, high: 8}}"
COMMAND = ["search", "--budget", "100kFLOPs", "--space", "space.yaml", "--data", "digits", "--workers", "1"]
LIMITS = ["--trials", "2", "--epochs", "3"]


@dataclass(frozen=True)
class Delivered:
    """All weights that a search could deliver, its run folder, and the other arguments of `delivered_recipe`."""

    folder: Path
    weights: Sequence[Weights]
    settings: Any
    plan: Any
    values: Any


def with_all_stages(stages: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """`_stages` whose earlier ones rank above the end, so that the weights of all of them are evaluated."""
    return lambda *arguments: [
        stage._replace(ranks=(float(place), float(place))) for place, stage in enumerate(stages(*arguments))
    ]


def watched(function: Callable[..., Any], seen: list[Any]) -> Callable[..., Any]:
    """The function, whose positional arguments are kept."""

    def wrapper(*arguments: Any, **options: Any) -> Any:
        seen.append(arguments)
        return function(*arguments, **options)

    return wrapper


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """A search on digits; its networks count as equal within noise, so that each is trained with a second seed."""
    folder, seen = tmp_path_factory.mktemp("search"), list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(choice, "_stages", with_all_stages(choice._stages))
        patch.setattr(choice, "STANDARD_ERRORS", 1e9)
        patch.setattr(session, "choose", watched(session.choose, seen))
        patch.setattr(report, "delivered_recipe", watched(report.delivered_recipe, seen))
        Path("space.yaml").write_text(f"size: [8]\nstem: {STAGE}\nstages: [{STAGE}]\n")
        assert run([*COMMAND, *LIMITS, "--out", "run", "--quiet"]) == 0
    (weights, *_), (settings, plan, _, values) = seen
    return Delivered(folder / "run", weights, settings, plan, values)


def test_the_epochs_end_with_the_delivered_weights(search: Delivered) -> None:
    assert any(not each.ended and each.step < each.progress.last_step for each in search.weights), "earlier weights"
    for weights in search.weights:
        whole = weights.step // search.plan.steps_per_epoch
        epochs = report.delivered_epochs(RunFolder(search.folder), weights)
        assert [number for number, *_ in epochs] == list(range(1, whole + 1))


def train_again(recipe: Path, out: Path) -> dict[str, torch.Tensor]:
    assert run(["train", str(recipe), "--out", str(out), "--quiet"]) == 0
    return load_file(out / "weights.safetensors")


def require_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_recipe_in_the_run_folder_trains_the_delivered_weights_again(search: Delivered, tmp_path: Path) -> None:
    delivered = load_file(search.folder / "weights.safetensors")
    require_equal(train_again(search.folder / "recipe.yaml", tmp_path / "again"), delivered)


@pytest.mark.parametrize(
    "origin",
    [
        pytest.param(lambda each: each.ended and each.averaged and not each.progress.second, id="end"),
        pytest.param(
            lambda each: each.ended and not each.averaged and not each.progress.second,
            id="end, live",
            marks=pytest.mark.long,
        ),
        pytest.param(lambda each: each.averaged and each.step == each.progress.first_step, id="last rung"),
        pytest.param(
            lambda each: each.averaged and not each.ended and each.step > each.progress.first_step > 0,
            id="before the learning rate falls",
        ),
        pytest.param(lambda each: each.ended and each.averaged and each.progress.taught_by, id="second seed"),
    ],
)
def test_the_recipe_of_other_weights_would_train_them_again(
    search: Delivered, origin: Callable[[Weights], bool], tmp_path: Path
) -> None:
    weights = next(each for each in search.weights if origin(each))
    recipe = report.delivered_recipe(search.settings, search.plan, weights, search.values)
    (predictions,) = search.folder.glob("ensemble-*.safetensors")
    shutil.copy(predictions, tmp_path)
    (tmp_path / "recipe.yaml").write_text(document.dump(recipe, exclude_defaults=False))
    model = weights.model.state_dict()
    require_equal(train_again(tmp_path / "recipe.yaml", tmp_path / "again"), dict(model))

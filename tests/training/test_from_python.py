"""`lightcnn.train` and `lightcnn.ablate` from Python report their progress."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.training_runs import write_digits_recipe

import lightcnn

pytestmark = pytest.mark.usefixtures("undrawn_charts")

Calls = list[tuple[str, int, int]]


def test_a_training_reports_images_and_epochs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe, calls = write_digits_recipe(tmp_path), Calls()
    lightcnn.train(recipe, out=tmp_path / "run", progress=lambda *call: calls.append(call))
    assert [call for call in calls if call[0] == "training"] == [("training", epoch, 4) for epoch in range(5)]
    assert any(total == 240 for _, _, total in calls)
    assert capsys.readouterr() == ("", "")


def test_an_error_of_the_function_ends_the_training_which_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_digits_recipe(tmp_path)

    def stop(step: str, done: int, total: int) -> None:
        if (step, done) == ("training", 2):
            raise ValueError("enough")

    with pytest.raises(ValueError, match="enough"):
        lightcnn.train(recipe, out=tmp_path / "run", progress=stop)
    lightcnn.train(recipe, out=tmp_path / "run", resume=True, progress=True)
    assert "resuming after epoch 2" in capsys.readouterr().err


def test_parts_are_in_the_name_of_the_step(tmp_path: Path) -> None:
    recipe, calls = write_digits_recipe(tmp_path), Calls()
    lightcnn.train(recipe, seeds=2, out=tmp_path / "run", progress=lambda *call: calls.append(call))
    steps = list(dict.fromkeys(step for step, _, _ in calls if step.startswith("training")))
    assert len(steps) == 2
    assert steps[1].startswith("training, part 2 of 2, ")


def test_a_training_on_arrays_is_compared_with_one_on_the_same_file(tmp_path: Path) -> None:
    recipe = write_digits_recipe(tmp_path)
    with np.load(tmp_path / "three.npz") as file:
        arrays = file["train_images"], file["train_labels"]
    np.savez(tmp_path / "same.npz", train_images=arrays[0], train_labels=arrays[1])
    for name, data in (("arrays", arrays), ("file", tmp_path / "same.npz")):
        lightcnn.train(recipe, data=data, out=tmp_path / name)
    report = lightcnn.compare([tmp_path / "arrays", tmp_path / "file"], out=tmp_path / "compared").report
    assert [each["name"] for each in report["runs"]] == ["arrays", "file"]
    assert {pair["difference"] for pair in report["pairs"]} == {0.0}, "the same weights on the same images"


def test_an_ablation_reports_recipes(tmp_path: Path) -> None:
    recipe, calls = write_digits_recipe(tmp_path), Calls()
    lightcnn.ablate(
        recipe, over="hyperparameters", only=["optimizer-sgd"], out=tmp_path / "run",
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    assert [call for call in calls if call[0] == "training recipes"] == [
        ("training recipes", 0, 2), ("training recipes", 1, 2),
    ]  # fmt: skip


def test_an_audit_reports_its_steps(tmp_path: Path) -> None:
    calls, images = Calls(), np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    images[1] = images[0]
    lightcnn.audit((images, np.arange(40) % 2), out=tmp_path / "run", progress=lambda *call: calls.append(call))
    assert ("drawing contact sheets", 0, 2) in calls

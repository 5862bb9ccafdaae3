"""`--seeds`: trainings with other seeds, in parts that may have a time limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from searching.trainings.test_finals import FakeExecutor
from searching.trainings.test_pool import SPEC

from lightcnn.recipe import Augment, Optimisation, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings import repeats

RECIPE = Recipe(
    data="digits", network=SPEC, augment=Augment(),
    training=Optimisation(epochs=30, steps=105, schedule="warmup-stable-decay", decay_steps=20),
)  # fmt: skip


@pytest.fixture(autouse=True)
def untested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are not built."""
    monkeypatch.setattr(repeats, "_test_accuracy", lambda folder, pipeline, recipe, trial, seed: seed / 10)


def accuracies(executor: FakeExecutor, folder: RunFolder) -> list[float]:
    return repeats.repeat_training(executor, folder, None, RECIPE, 3, [5, 6], workers=1)  # type: ignore[arg-type]


def test_trainings_with_other_seeds_run_in_parts_which_continue(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    executor = FakeExecutor(folder)
    assert accuracies(executor, folder) == [0.5, 0.6]
    first = [job for job in executor.jobs if job.seed == 5]
    assert [job.until for job in first] == [*range(11, 105, 11), 105]
    assert [job.source for job in first] == ["", *(job.target for job in first[:-1])]
    assert {job.training for job in first} == {RECIPE.training}
    assert accuracies(executor, folder) == [0.5, 0.6]
    assert len(executor.jobs) == 2 * len(first), "what is done is not trained again"


def test_a_training_of_which_a_part_fails_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    executor = FakeExecutor(folder, fails=3, failing_job=12)
    assert accuracies(executor, folder) == [0.5]
    assert "trial 3 with seed 6 failed: it failed" in (folder / "log.txt").read_text()

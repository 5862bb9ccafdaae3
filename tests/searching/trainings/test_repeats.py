"""`--seeds`: trainings with other seeds, in parts that may have a time limit."""

from __future__ import annotations

from pathlib import Path

import pytest
from searching.trainings.test_finals import FakeExecutor
from searching.trainings.test_pool import SPEC

from lightcnn.recipe import Augment, Optimisation, Recipe
from lightcnn.run_folder import RunFolder
from lightcnn.searching.trainings import repeats
from lightcnn.searching.trainings.jobs import TrainingJob

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


def count_evaluations(executor: FakeExecutor, folder: RunFolder, seeds: list[int]) -> int:
    """How often the test set is evaluated for trainings with these seeds."""
    evaluations: list[None] = []
    repeats.repeat_training(
        executor, folder, None, RECIPE, 3, seeds, workers=1,  # type: ignore[arg-type]
        evaluating=lambda: evaluations.append(None),
    )  # fmt: skip
    return len(evaluations)


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


def test_an_interrupted_training_continues_with_its_next_part(tmp_path: Path) -> None:
    class Interrupted(FakeExecutor):
        def submit(self, job: TrainingJob) -> None:
            if job.seed == 6 and job.until == 44:
                raise KeyboardInterrupt
            super().submit(job)

    folder = RunFolder.create(tmp_path / "run", "search", {})
    with pytest.raises(KeyboardInterrupt):
        accuracies(Interrupted(folder), folder)
    executor = FakeExecutor(folder)
    assert accuracies(executor, folder) == [0.5, 0.6]
    assert [job.until for job in executor.jobs] == [*range(44, 105, 11), 105]
    assert executor.jobs[0].source == executor.jobs[0].target
    other = RECIPE.model_copy(update={"training": RECIPE.training.model_copy(update={"decay_steps": 21})})
    again = FakeExecutor(folder)
    repeats.repeat_training(again, folder, None, other, 3, [6], workers=1)  # type: ignore[arg-type]
    assert again.jobs[0].until == 11 and not again.jobs[0].source, "another recipe begins again"


def test_a_training_of_which_a_part_fails_is_left_out(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    executor = FakeExecutor(folder, fails=3, failing_job=12)
    assert accuracies(executor, folder) == [0.5]
    assert "trial 3 with seed 6 failed: it failed" in (folder / "log.txt").read_text()


def test_only_trainings_that_are_new_are_evaluations_on_the_test_set(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run", "search", {})
    executor = FakeExecutor(folder)
    assert count_evaluations(executor, folder, [5, 6]) == 2
    assert count_evaluations(executor, folder, [5, 6]) == 0, "both are stored"
    assert count_evaluations(executor, folder, [5, 6, 7]) == 1
    failing = FakeExecutor(folder, fails=3)
    assert count_evaluations(failing, folder, [8]) == 0, "a training that failed was not evaluated"


def test_an_evaluation_is_counted_before_it_may_be_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(repeats, "_test_accuracy", interrupt)
    folder, counted = RunFolder.create(tmp_path / "run", "search", {}), list[int]()
    with pytest.raises(KeyboardInterrupt):
        repeats.repeat_training(
            FakeExecutor(folder), folder, None, RECIPE, 3, [5], workers=1,  # type: ignore[arg-type]
            evaluating=lambda: counted.append(1),
        )  # fmt: skip
    assert counted == [1]

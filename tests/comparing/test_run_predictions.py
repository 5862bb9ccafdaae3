"""Reading the predictions of a run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.prediction_runs import COUNT, predicted, write_run

from lightcnn.comparing import run_predictions as module
from lightcnn.comparing.run_predictions import read_run
from lightcnn.errors import RunError


def test_folds_are_read_for_every_image(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "a", predicted([1])[None], pooled=[(7, 4)]))
    assert (run.fold_count, run.seeds.tolist()) == (4, [7])
    assert run.images == tuple(sorted(run.images))
    assert (run.folds[0] == np.arange(COUNT) * 4 // COUNT + 1).all()


def test_pooled_tables_must_be_complete(tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", np.stack([predicted([1]), predicted([2])]), pooled=[(0, 1), (1, 1)], sealed=False)
    file = run / "predictions.csv"
    text = file.read_text()
    file.write_text(re.sub(r".*0007.png,test,7,well,well,1,1.*\n", "", text))
    with pytest.raises(RunError, match="the images, groups or labels of seed 1 are not those of seed 0"):
        read_run(run)
    file.write_text(text.replace("well,well,1,1", "well,well,-1,1"))
    with pytest.raises(RunError, match="seed '-1' is not a whole number"):
        read_run(run)


def test_too_many_seeds_are_refused(tmp_path: Path) -> None:
    table = predicted([], 2)
    run = write_run(tmp_path / "a", np.stack([table] * 1001), pooled=[(n, 1) for n in range(1001)])
    with pytest.raises(RunError, match="1,001 seeds, but at most 1,000 can be read"):
        read_run(run)


def test_the_number_of_passes_over_the_rows_does_not_depend_on_the_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "a", np.stack([predicted([], 4)] * 200), pooled=[(n, 1) for n in range(200)])
    reads = 0

    class CountedRow(module._Row):
        def __getattribute__(self, name: str) -> Any:
            nonlocal reads
            reads += name == "seed"
            return super().__getattribute__(name)

    monkeypatch.setattr(module, "_Row", CountedRow)
    assert len(read_run(run).seeds) == 200
    assert reads < 10 * 800


def test_predictions_that_contradict_their_probabilities_are_refused(tmp_path: Path) -> None:
    table = np.tile([[0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]], (10, 1))
    run = write_run(tmp_path / "three", table, classes=("a", "b", "c"), sealed=False)
    file = run / "predictions.csv"
    file.write_text(file.read_text().replace("0001.png,test,1,b,b", "0001.png,test,1,b,c"))
    with pytest.raises(RunError, match=r"csv:\d+: prediction 'c' is not the most probable class; .*damaged or edited"):
        read_run(run)


def test_predictions_of_two_classes_must_follow_a_threshold(tmp_path: Path) -> None:
    two = np.stack([predicted([]), predicted([])])
    run = write_run(tmp_path / "a", two, pooled=[(0, 2), (1, 2)], sealed=False)
    file = run / "predictions.csv"
    text = file.read_text()
    second_class = re.sub(r",(ill|well),1,2,", ",well,1,2,", text)
    file.write_text(second_class)
    assert read_run(run).correct.sum() == 3 * COUNT // 2 + COUNT // 4, "a threshold of 0 for one seed and fold"
    file.write_text(text.replace("0007.png,test,7,well,well,1,", "0007.png,test,7,well,ill,1,"))
    with pytest.raises(
        RunError, match=r"no threshold on the second class separates images/.* damaged or edited"
    ) as raised:
        read_run(run)
    assert "\n" not in str(raised.value)

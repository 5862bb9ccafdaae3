"""The images and the tables of imbalance.py."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

with pytest.MonkeyPatch.context() as patch:  # the scripts import each other by name, as they do when they are run
    patch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    imbalance, search_rows = import_module("imbalance"), import_module("search_rows")


@pytest.mark.parametrize(("shares", "counts"), [("90:10", [18, 2]), ("70:20:10", [14, 4, 2])])
def test_classes_have_their_shares_and_patients_one_class(shares: str, counts: list[int]) -> None:
    images, names, patients = imbalance.lesions(shares, 20, 0)
    assert images.shape == (20, imbalance.SIZE, imbalance.SIZE, 3)
    assert np.unique(names, return_counts=True)[1].tolist() == counts
    assert all(len(set(names[patients == patient])) == 1 for patient in patients)
    positive = imbalance.rare_is_positive(names)
    assert (positive and positive.positive) == ("ragged" if len(counts) == 2 else None)


def test_a_table_has_means_with_their_errors_and_what_a_metric_gains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, zeros = tmp_path / "rows.jsonl", dict.fromkeys(imbalance.METRICS, 0.0)
    for metric, of_seeds in (("accuracy", (0.5, 0.7)), ("f1", (0.6, 0.9))):
        for seed, value in enumerate(of_seeds):
            row = imbalance.Row("90:10", metric, "1m", seed)
            search_rows.append_row(file, row, {"values": zeros | {"f1": value}})
    finished = search_rows.read_rows(file, imbalance.Row)
    assert imbalance.Row("90:10", "f1", "1m", 1) in finished and len(finished) == 4
    imbalance.print_tables(list(finished.values()))
    lines = capsys.readouterr().out.splitlines()
    columns = lines[3].split(" | ")
    rows = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in lines[5:]}
    assert rows["accuracy"][columns.index("F1")] == "60.00% (10.00%)"  # 0.5 and 0.7: a deviation of 0.1414 over √2
    assert rows["F1"][-1].rstrip(" |") == "15.00% (5.00%)"  # 0.1 and 0.2
    assert rows["AUC"][1:3] == ["0", "–"]

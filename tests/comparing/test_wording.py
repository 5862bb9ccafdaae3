"""What a comparison states in words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers.prediction_runs import predicted, write_run

import lightcnn
from lightcnn.comparing.pairs import compare_pair
from lightcnn.comparing.run_predictions import read_run
from lightcnn.comparing.wording import sentence


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", predicted([3, 10]))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_run(tmp_path / "bad", predicted(range(20, 40)))


def test_a_shown_difference_is_stated_with_its_direction(good: Path, bad: Path) -> None:
    for a, b in ((good, bad), (bad, good)):
        (pair,) = compare_pair(read_run(a), read_run(b), ["accuracy"])
        assert sentence(pair).startswith("good is better than bad in accuracy by 15.0 points (95 % interval ")
        assert sentence(pair).endswith(", p < 0.001; 120 images).")


def test_no_difference_is_never_called_equality(good: Path, tmp_path: Path) -> None:
    (pair,) = compare_pair(read_run(good), read_run(write_run(tmp_path / "b", predicted([4, 11, 12]))), ["accuracy"])
    text = sentence(pair)
    assert text.startswith("good and b: no difference in accuracy could be shown (+0.8 points, 95 % interval -")
    assert re.search(
        r"p = 1.000\); with 120 images a difference under \d\.\d points would be missed at least one", text
    )
    assert "equal" not in text and "same" not in text


def test_notes_state_the_assumptions(good: Path, tmp_path: Path) -> None:
    unsealed = write_run(tmp_path / "unsealed", predicted([5]), sealed=False)
    notes = " ".join(lightcnn.compare([good, unsealed], out=tmp_path / "out").report["notes"])
    assert "No checksum was recorded for the predictions of unsealed, so" in notes
    assert "each image counts as independent" in notes
    synthetic = [write_run(tmp_path / n, predicted([5]), stand_in=True, groups=["x", "y"] * 60) for n in ("d", "e")]
    notes = " ".join(lightcnn.compare(synthetic, out=tmp_path / "out2").report["notes"])
    assert notes.startswith("STAND-IN")
    assert "counts as independent" not in notes


def test_enough_images_have_no_note_on_too_few(good: Path, bad: Path, tmp_path: Path) -> None:
    assert "too few" not in " ".join(lightcnn.compare([good, bad], out=tmp_path / "out").report["notes"])

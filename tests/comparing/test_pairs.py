"""Differences between two runs: which test and interval applies, and what counts as independent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.prediction_runs import COUNT, predicted, write_run

import lightcnn
from lightcnn.comparing.pairs import compare_pair, holm
from lightcnn.comparing.run_predictions import read_run
from lightcnn.comparing.wording import sentence


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write_run(tmp_path / "good", predicted([3, 10]))


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return write_run(tmp_path / "bad", predicted(range(20, 40)))


def test_few_groups_cannot_show_any_difference(tmp_path: Path) -> None:
    groups = [f"patient {i % 5}" for i in range(COUNT)]
    a, b = (
        write_run(tmp_path / name, predicted(wrong), groups=groups) for name, wrong in (("a", []), ("b", range(60)))
    )
    (pair,) = compare_pair(read_run(a), read_run(b), ["accuracy"])
    assert pair.test.p == 2 / 2**5
    assert "with 5 groups no difference, however large, would be shown" in sentence(pair)


def test_images_of_one_group_are_not_independent(tmp_path: Path) -> None:
    """Twenty wrong predictions for one patient count as one observation."""
    groups = [f"patient {i // 20}" for i in range(COUNT)]
    a, b = (write_run(tmp_path / n, predicted(wrong), groups=groups) for n, wrong in (("a", []), ("b", range(20, 40))))
    (pair,) = compare_pair(read_run(a), read_run(b), ["accuracy"])
    assert (pair.test.name, pair.test.p, pair.units, pair.unit) == ("sign flips, all", 1, 6, "sources")
    assert pair.discordant is None
    (ungrouped,) = compare_pair(
        *(replace(read_run(run), groups=np.array([str(i) for i in range(COUNT)])) for run in (a, b)), ["accuracy"]
    )
    assert ungrouped.test.name == "McNemar, exact"
    assert ungrouped.test.p < 1e-5
    assert compare_pair(read_run(a), read_run(b), ["auc"])[0].test.name == "DeLong, clustered"


def test_seeds_are_averaged_and_may_differ_in_number(tmp_path: Path) -> None:
    three = np.stack([predicted([1]), predicted([1, 2]), predicted([1, 2, 3])])
    a = read_run(write_run(tmp_path / "a", three, pooled=[(0, 1), (1, 1), (2, 1)]))
    b = read_run(write_run(tmp_path / "b", predicted([])))
    assert (a.correct.shape, a.probabilities.shape, a.seeds.tolist()) == ((3, COUNT), (3, COUNT, 2), [0, 1, 2])
    pair = compare_pair(a, b, ["accuracy"])[0]
    assert pair.estimate.difference == pytest.approx(-2 / COUNT)
    assert pair.test.name == "sign flips, all"
    assert pair.test.p == 2 / 2**3


def test_holm_corrects_for_the_pairs_of_one_metric(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / f"r{n}", predicted(range(40, 40 + n))) for n in (0, 6, 20)]
    report = lightcnn.compare(runs, out=tmp_path / "out").report
    pairs = [pair for pair in report["pairs"] if pair["metric"] == "accuracy"]
    assert [(pair["a"], pair["b"]) for pair in pairs] == [("r0", "r6"), ("r0", "r20"), ("r6", "r20")]
    p = [pair["p"] for pair in pairs]
    assert p == pytest.approx([2 / 2**6, 2 / 2**20, 2 / 2**14])
    assert [pair["p_adjusted"] for pair in pairs] == pytest.approx([p[0], 3 * p[1], 2 * p[2]])
    assert "Holm-corrected for 3 pairs" in pairs[0]["sentence"]
    (pair,) = compare_pair(read_run(runs[0]), read_run(runs[1]), ["accuracy"])
    assert holm([pair, pair])[0].p_adjusted == 2 * pair.p_adjusted
    assert holm([pair, pair])[0].detectable > pair.detectable  # type: ignore[operator]


def test_the_order_of_rows_does_not_matter(good: Path, bad: Path, tmp_path: Path) -> None:
    lines = (bad / "predictions.csv").read_text().splitlines(keepends=True)
    shuffled = write_run(tmp_path / "again", predicted(range(20, 40)), sealed=False)
    (shuffled / "predictions.csv").write_text("".join([lines[0], *sorted(lines[1:], key=lambda line: line[::-1])]))
    in_order, in_disorder = (compare_pair(read_run(good), read_run(run))[0] for run in (bad, shuffled))
    assert replace(in_order, b="again") == in_disorder

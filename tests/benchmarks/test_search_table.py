"""The statistics of search.py, compared with numbers that were computed by hand, its file of rows, and its networks."""

from __future__ import annotations

import lzma
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightcnn.budget import Budget
from lightcnn.cost import cost
from lightcnn.run_folder import environment

with pytest.MonkeyPatch.context() as patch:  # the scripts import each other by name, as they do when they are run
    patch.setattr(sys, "path", [*sys.path, str(Path(__file__).parent)])
    networks, rows, table = (import_module(f"search_{name}") for name in ("networks", "rows", "table"))
    search = import_module("search")


def stored(correct: list[int], groups: str, seed: int = 0, arm: str = "ours") -> dict[str, Any]:
    """A row with one test image for each letter of `groups`."""
    packed = rows.packed(np.array(correct, dtype=bool), list(groups), [f"image {n}" for n in range(len(groups))])
    key = {"data": "digits", "budget": "1MFLOPs", "minutes": 3, "arm": arm, "seed": seed, "device": "cpu"}
    return (
        key | packed | {"test": {"value": float(np.mean(correct))}, "networks": 1, "seconds": 1.0, "cpu_seconds": 2.0}
    )


def test_images_of_one_group_count_as_one_in_the_error() -> None:
    # Differences 1, 1, -1, 0 in the groups a, a, b, b. Two pseudo-groups of two images, one in favour of each arm, make
    # the centre 1 / (4 + 2 * 2) = 1/8. The sums around it, in 64ths: a 14, b -10, the pseudo-groups -18 and 14.
    first, second = stored([1, 1, 0, 0], "aabb"), stored([0, 0, 1, 0], "aabb")
    result = table.paired({0: first}, {0: second})
    assert result.value == 0.25
    assert result.over_images == pytest.approx(np.sqrt(4 / 3 * (14**2 + 10**2 + 18**2 + 14**2)) / 64)  # 0.515
    assert result.over_seeds is None
    assert result.error == result.over_images


def test_an_image_that_two_seeds_test_is_one_cluster() -> None:
    # Both seeds differ by 1, 0, 0, -1 on the same four images, each a group: the sums per image are 2, 0, 0, -2. Two
    # pseudo-groups of 2 images make the divisor 8 + 2 * 2 = 12. As eight clusters the error would be 0.26.
    first = {seed: stored([1, 0, 0, 0], "abcd", seed) for seed in (0, 1)}
    second = {seed: stored([0, 0, 0, 1], "abcd", seed) for seed in (0, 1)}
    result = table.paired(first, second)
    assert (result.value, result.over_seeds, result.seeds) == (0.0, 0.0, 2)
    assert result.over_images == pytest.approx(np.sqrt(6 / 5 * 4 * 2**2) / 12)  # 0.365


def test_the_error_over_seeds_is_used_if_it_is_larger() -> None:
    differences = [np.full(1_000, value) for value in (0.01, 0.02, 0.06)]
    result = table.difference(differences, [np.arange(1_000).astype(str)] * 3)
    # Mean 0.03, deviations -0.02, -0.01, 0.03: variance 0.0014 / 2, divided by three seeds.
    assert result.value == pytest.approx(0.03)
    assert result.over_seeds == pytest.approx(np.sqrt(0.0014 / 2 / 3))
    assert result.over_images < result.over_seeds == result.error


@pytest.mark.parametrize(
    ("value", "over_images", "over_seeds", "not_worse"),
    [
        (-0.003, 0.001, 0.0, True),  # within the margin of 0.3 point
        (-0.0031, 0.001, 0.0, False),
        (-0.009, 0.005, 0.001, True),  # within two standard errors over images
        (-0.009, 0.001, 0.005, True),  # within two standard errors over seeds
        (-0.0101, 0.005, None, False),
        (0.02, 0.001, None, True),
    ],
)
def test_the_verdict(value: float, over_images: float, over_seeds: float | None, not_worse: bool) -> None:
    assert table.Difference(value, over_images, over_seeds, 2).not_worse is not_worse


def test_only_seeds_of_both_arms_are_compared() -> None:
    first = {seed: stored([1, 0], "ab", seed) for seed in (0, 1)}
    assert table.paired(first, {1: stored([0, 0], "ab", 1)}).seeds == 1
    assert table.paired(first, {}) is None


def test_other_test_images_are_refused() -> None:
    with pytest.raises(ValueError, match="the test images or their groups differ"):
        table.paired({0: stored([1, 0], "ab")}, {0: stored([1, 0], "aa")})


def test_the_interval_of_a_mean_is_wilson_s_for_images_of_their_own() -> None:
    value, low, high = table.mean_accuracy({0: stored([1] * 9 + [0], "abcdefghij")})
    assert (value, round(low, 4), round(high, 4)) == (0.9, 0.5958, 0.9821)


def test_finished_rows_are_read_and_a_line_that_was_cut_off_is_measured_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.jsonl"
    row = stored([1, 0, 1, 1, 0, 0, 1, 0, 1], "aabbccdde")
    rows.append_row(file, rows.key(row), row)
    with file.open("a") as text:
        text.write('{"data": "dig')
    second = row | {"seed": 1}
    rows.append_row(file, rows.key(second), second)
    finished = rows.read_rows(file)
    assert "rows.jsonl:2: not a whole row" in capsys.readouterr().err
    assert [key.seed for key in finished] == [0, 1]
    assert rows.correctness(finished[rows.key(row)]).tolist() == [1, 0, 1, 1, 0, 0, 1, 0, 1]
    assert "".join(rows.groups(finished[rows.key(row)])) == "aabbccdde"
    compressed = tmp_path / "rows.jsonl.xz"
    compressed.write_bytes(lzma.compress(file.read_bytes()))
    assert rows.read_rows(compressed) == finished


def test_the_rows_are_those_of_the_issue() -> None:
    core, around = rows.planned("core", "cpu"), rows.planned("around", "cpu")
    assert len(core) == len(set(core)) == 3 + 15 + 8
    one_core = rows.planned("one-core", "cpu")
    assert {row.arm for row in one_core} == {"ours", "one trial"}
    assert len(one_core) == len(set(one_core)) == 2 * (3 + 2 + 2)
    assert len(around) == len(set(around)) == 6 * (2 + 2 + 3)
    assert {row.seconds for row in rows.planned("quick", "cuda")} == {20}


@pytest.mark.parametrize("outline", [(1, 10, 16), pytest.param((1, 10, 28), marks=pytest.mark.long), (3, 6, 32)])
def test_hand_made_networks_use_the_budget(outline: tuple[int, int, int]) -> None:
    for budget in map(Budget.parse, ("0.3MFLOPs", "4MFLOPs")):
        made = networks.networks(*outline, budget)
        assert len(made) == 4
        assert all(0.75 < budget.used_share(cost(spec)) <= 1 for spec in made.values())


def test_tables_and_goals_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    second = stored([0, 0, 1, 0], "aabb", arm="one trial")
    table.print_tables([on("a CPU", row) for row in (stored([1, 1, 0, 0], "aabb"), second)])
    text = capsys.readouterr().out
    assert "| digits | 1MFLOPs | 3 | 50.00 (" in text
    assert "| digits | 1MFLOPs | 3 | one trial | 1 | +25.00 (-78.08 to +128.08) | 51.54 |  | not worse |" in text
    assert "not worse than one trial, everywhere: 1 of 1, of 8 setups planned: met" in text


def test_arms_of_different_machines_are_not_compared(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = stored([1, 1, 0, 0], "aabb"), stored([0, 0, 1, 0], "aabb", arm="one trial")
    for other, title in ((on("B", second), "B, 2 cores"), (on("A", second, cores=4), "A, 4 cores")):
        table.print_tables([on("A", first), other])
        text = capsys.readouterr().out
        titles = [line for line in text.splitlines() if line.startswith("##")]
        assert titles == ["## cpu, A, 2 cores", f"## cpu, {title}"]
        assert text.count("not worse than one trial, everywhere: no rows") == 2


def test_setups_of_one_core_are_counted_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    second = stored([0, 0, 1, 0], "aabb", arm="one trial")
    table.print_tables([on("A", row, cores=1) for row in (stored([1, 1, 0, 0], "aabb"), second)])
    assert "not worse than one trial, everywhere: 1 of 1, of 3 setups planned: met" in capsys.readouterr().out


def test_rows_of_another_machine_are_not_continued() -> None:
    here = environment()["processor"]
    first, second = (stored([1], "a", seed=seed) for seed in (0, 1))
    search.require_machine([on(here, first)], 2)
    with pytest.raises(SystemExit, match=rf"its rows are of B \(2 cores\), not of {re.escape(here)} \(2 cores\);"):
        search.require_machine([on(here, first), on("B", second)], 2)
    with pytest.raises(SystemExit, match=r"its rows are of .* \(2 cores\), not of .* \(1 cores\); "):
        search.require_machine([on(here, first)], 1)
    with pytest.raises(SystemExit, match=r"its rows are of .* \(2 cores\), not of .* \(all cores\); "):
        search.require_machine([on(here, first)], None)


def on(processor: str, row: dict[str, Any], cores: int = 2) -> dict[str, Any]:
    """The row, measured on so many cores of a machine with such a processor."""
    machine = {"processor": processor, "affinity": cores, "cores": 8, "packages": {}, "commit": "abc"}
    return row | {"machine": machine}

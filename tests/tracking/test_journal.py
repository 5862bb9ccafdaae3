"""What a tracker has received, in the run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightcnn.errors import RunError
from lightcnn.run_folder import RunFolder
from lightcnn.tracking.journal import Journal


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def test_it_is_read_back(folder: RunFolder) -> None:
    journal = Journal(folder, "mlflow")
    journal.started("", "0123abcd")
    journal.started("trial-0003", "4567")
    for step in (100, 300):
        journal.scored("trial-0003", step)
    journal.summarised("", 0, journal.digest({"a": 1.0}))
    assert Journal(folder, "wandb").ids == {}
    again = Journal(folder, "mlflow")
    assert again.ids == {"": "0123abcd", "trial-0003": "4567"}
    assert again.steps == {"trial-0003": 300}
    assert again.summaries == {"": (0, again.digest({"a": 1.0}))} != {"": (0, again.digest({"a": 2.0}))}
    assert again.count == 2
    again.clear()
    assert vars(Journal(folder, "mlflow")) == vars(again)
    assert again.ids == {} and again.count == 0


def test_other_lines_are_ignored(folder: RunFolder) -> None:
    (folder.path / "tracking").mkdir()
    lines = [
        '{"part": "../x", "step": 1}', '{"part": "a", "id": "../../x"}', '{"part": "a", "step": -1}', "[1]", "3",
        '{"part": "a", "step": true}', '{"part": 3, "step": 3}', '{"part": "a", "number": 1e3}', '{"part": "b", "st',
    ]  # fmt: skip
    (folder.path / "tracking/mlflow.jsonl").write_text("\n".join(['{"part": "a", "step": 7}', *lines]))
    journal = Journal(folder, "mlflow")
    assert (journal.ids, journal.steps, journal.summaries, journal.count) == ({}, {"a": 7}, {}, 1)


def test_a_link_is_refused(folder: RunFolder, tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text("")
    (folder.path / "tracking").mkdir()
    (folder.path / "tracking/mlflow.jsonl").symlink_to(other)
    with pytest.raises(RunError, match=r"tracking/mlflow\.jsonl is a link"):
        Journal(folder, "mlflow")

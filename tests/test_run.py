"""`lightcnn.Run`: what it prints, and one image without brackets."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lightcnn
from lightcnn.errors import InputError, RunError

REPORT = {
    "command": "search",
    "metrics": {"test": {"accuracy": {"value": 0.9123, "low": 0.9, "high": 0.92}}},
    "network": {"cost": {"macs": 996_300, "params": 38_892}},
}


def finished(folder: Path, report: Any) -> lightcnn.Run:
    return lightcnn.Run.create(folder, "search", {"report.json": json.dumps(report).encode()})


def test_a_run_prints_its_accuracy_and_cost(tmp_path: Path) -> None:
    run = finished(tmp_path / "a <b>", REPORT)
    assert run.accuracy == 0.9123
    facts = "search, test accuracy 91.23% (95 % interval 90.00% to 92.00%), 996.3k FLOPs, 38.89k params"
    assert repr(run) == f"Run({tmp_path / 'a <b>'}: {facts})"


def test_a_notebook_shows_a_card_with_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    card = finished(Path("javascript:a <b>"), REPORT)._repr_html_()
    assert ">91.23%</b> test accuracy<br>95 % interval 90.00% to 92.00%<br>996.3k FLOPs · 38.89k params<br>" in card
    assert '<a href="./javascript%3Aa%20%3Cb%3E/report.html">javascript:a &lt;b&gt;/report.html</a>' in card
    stopped = lightcnn.Run.create(tmp_path / "stopped", "train", {})._repr_html_()
    assert "no finished run" in stopped and "href" not in stopped and "accuracy" not in stopped
    assert "href" in finished(tmp_path / "audit", {"command": "audit"})._repr_html_()


@pytest.mark.parametrize(
    "report",
    [
        {"command": "profile"},
        {"command": "train", "metrics": {"test": {"accuracy": 3}}},
        {"command": "train", "metrics": []},
        {"command": "train", "metrics": {"test": {"accuracy": {"value": None}}}},
    ],
)
def test_a_run_without_an_accuracy_has_a_text_all_the_same(tmp_path: Path, report: dict[str, Any]) -> None:
    run = finished(tmp_path / "other", report)
    assert repr(run) == f"Run({tmp_path / 'other'}: {report['command']})"
    with pytest.raises(RunError, match="it has no test accuracy"):
        _ = run.accuracy


def test_an_unfinished_or_damaged_run_has_a_text(tmp_path: Path) -> None:
    run = lightcnn.Run.create(tmp_path / "stopped", "train", {"train.yaml": b""})
    assert repr(run) == f"Run({tmp_path / 'stopped'}: no finished run)"
    assert "no finished run" in repr(finished(tmp_path / "list", {"metrics": [1]}))


@pytest.mark.parametrize(
    ("images", "count"),
    [
        ("a.png", 1),
        (Path("a.png"), 1),
        (np.zeros((8, 8), np.uint8), 1),
        (np.zeros((8, 8, 1), np.uint8), 1),
        (np.zeros((8, 8, 3), np.uint8), 1),
        (Image.new("RGB", (8, 8)), 1),
        (["a.png", "b.png"], 2),
        ([Image.new("L", (8, 8)), "a.png", np.zeros((8, 8), np.uint8)], 3),
        (iter(["a.png", "b.png"]), 2),
        (np.zeros((5, 8, 8), np.uint8), 5),
        (np.zeros((5, 8, 8, 3), np.uint8), 5),
    ],
)
def test_one_image_needs_no_brackets(images: Any, count: int, tmp_path: Path) -> None:
    run = finished(tmp_path / "run", REPORT)
    seen: list[Any] = []
    run.__dict__["trained"] = SimpleNamespace(
        predict=lambda several, abstain_below: seen.extend(several), preprocess=SimpleNamespace(channels=1)
    )
    run.predict(images)
    assert len(seen) == count


@pytest.mark.parametrize(
    ("shape", "channels", "message"),
    [
        ((8, 8, 4), 1, r"images: an array of shape \(8, 8, 4\) may be an image with transparency; give one as"),
        ((8, 8, 2), 3, "may be an image with transparency; give one as"),
        ((3, 8, 8), 3, "may be one image with its channels first; give one as .*, and several grey ones as a list"),
    ],
)
def test_an_array_that_may_be_one_image_is_not_taken_for_several(
    shape: tuple[int, ...], channels: int, message: str, tmp_path: Path
) -> None:
    run = finished(tmp_path / "run", REPORT)
    run.__dict__["trained"] = SimpleNamespace(predict=None, preprocess=SimpleNamespace(channels=channels))
    with pytest.raises(InputError, match=message):
        run.predict(np.zeros(shape, np.uint8))


def test_an_untrusted_report_prints_no_control_characters(tmp_path: Path) -> None:
    run = finished(tmp_path / "run", {"command": "a\x1b[31m\nb"})
    assert "\x1b" not in repr(run)
    assert "\n" not in repr(run)

"""The settings of an audit, and the public function."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.audited_images import use_quick_search, write_clean

import lightcnn
from lightcnn import document
from lightcnn.auditing.settings import FINDINGS, AuditSettings
from lightcnn.errors import InputError
from lightcnn.recipe import Reading


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_quick_search(tmp_path, monkeypatch)


def test_python_audits_and_the_run_folder_has_the_settings() -> None:
    run = lightcnn.audit(write_clean(), fast=True, augment="light", data_dir="data", out="audited")
    assert isinstance(run, lightcnn.Run)
    assert run.path == Path("audited")
    assert run.report["fast"] is True
    assert (run / "plots" / "augment.png").is_file()
    settings = AuditSettings(source="clean", reading=Reading(data_dir="data"), fast=True, augment="light")
    assert document.load(AuditSettings, run / "audit.yaml") == settings


def test_the_report_has_every_finding() -> None:
    report = lightcnn.audit(write_clean(), out="audited").report
    assert FINDINGS.keys() < report.keys()
    assert FINDINGS.keys() < report["counts"].keys()


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(InputError, match=r"audit: augment: 'ligth' is not one of none, .*; did you mean 'light'\?$"):
        lightcnn.audit("clean", augment="ligth")

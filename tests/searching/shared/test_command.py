"""`lightcnn search --storage`: the command, from the first machine to the last."""

from __future__ import annotations

import json
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from helpers.postgres import Cluster

from lightcnn.cli.main import run
from lightcnn.searching.final_phase import FinalPhase
from lightcnn.searching.shared.job import SharedEnd
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trainings.pool import WorkerPool
from lightcnn.searching.trials.place import JOBS

pytestmark = pytest.mark.usefixtures("undrawn_charts")

COMMON = ["--data", "synthetic-lesions:count=40,size=16", "--epochs", "1", "--workers", "1", "--study", "lesions"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LIGHTCNN_STORAGE", cluster.url)


def stored(url: str) -> list[tuple[str, dict[str, Any], list[optuna.trial.FrozenTrial]]]:
    """Names, attributes and trials of all studies of the storage."""
    with closing(SharedPlace(SharedSettings(url, "lesions"))) as place:
        names = sorted(optuna.get_all_study_names(place.storage))
        loaded = [optuna.load_study(study_name=name, storage=place.storage) for name in names]
        return [(study.study_name, study.user_attrs, study.get_trials()) for study in loaded]


def test_a_search_is_shared_and_found_finished(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["search", "--budget", "100kFLOPs", "--trials", "1", *COMMON, "--out", "first"]) == 0
    assert "run folder first" in capsys.readouterr().out
    report = json.loads(Path("first/report.json").read_text())
    assert report["machines"] == {"members": 1, "repeated_trainings": 0}
    assert not Path("first/study.db").exists()
    assert run(["search", "--resume", "--out", "first", "--trials", "5"]) == 2
    assert "the study of first is shared; resume it with --storage postgresql" in capsys.readouterr().err

    assert run(["search", "--budget", "100kFLOPs", "--trials", "1", *COMMON, "--out", "second"]) == 0
    assert "the search has ended; its run folder is " in capsys.readouterr().out
    assert not Path("second").exists()

    before = stored(cluster.url)
    resumed = ["search", "--resume", *COMMON, "--out", "second", "--dry-run"]
    assert run([*resumed, "--trials", "4"]) == 0
    assert "plan: about 4 networks are compared (1 of them in earlier sessions)" in capsys.readouterr().out
    with monkeypatch.context() as patched:
        patched.setattr("lightcnn.data.dataset.Dataset.fingerprint", "0" * 64)
        assert run(resumed) == 2
    assert "the search of other images (fingerprint " in capsys.readouterr().err
    assert not Path("second").exists() and stored(cluster.url) == before

    assert run(["search", "--budget", "200kFLOPs", "--trials", "1", *COMMON]) == 2
    error = capsys.readouterr().err
    assert "was started with budget '100kFLOPs', not '200kFLOPs'; omit --budget, or choose another --study" in error

    assert run(["search", "--budget", "100kFLOPs", "--space", "mobilenet", "--trials", "1", *COMMON]) == 2
    assert "was started with space 'micro', not 'mobilenet'" in capsys.readouterr().err
    assert stored(cluster.url) == before

    assert run(["search", "--trials", "2", "--workers", "1", "--study", "lesions"]) == 2
    assert "was started with trials 1, not 2" in capsys.readouterr().err


def test_an_interrupted_machine_prints_the_command_that_continues_it(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    Path("states").mkdir()
    limits = ["--trials", "1", "--trial-timeout", "30m", "--artifacts", "states"]
    command = ["search", "--budget", "100kFLOPs", *limits, *COMMON[:-1], "stopped", "--out", "run"]
    with monkeypatch.context() as patched:
        patched.setattr(FinalPhase, "run", interrupted)
        assert run(command) == 130
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "resume with: " in line]
    options = "--resume --out run --storage {} --study stopped --artifacts states --trial-timeout 1800s"
    assert line == f"lightcnn: interrupted; resume with: lightcnn search {options.format(cluster.url)}"
    shared = SharedSettings(cluster.url, "stopped", artifacts=Path("states"), trial_timeout=1800.0)
    assert Path("run/shared.yaml").read_bytes() == shared.yaml()
    Path("run/shared.yaml").write_bytes(shared.yaml(result="lead on node3"))  # an earlier session did not lead
    limits_of_trainings: list[float | None] = []
    with monkeypatch.context() as patched:
        patched.setattr(
            "lightcnn.searching.job.WorkerPool",
            lambda *values: limits_of_trainings.append(values[3]) or WorkerPool(*values),
        )
        assert run([*shlex.split(line.partition("resume with: lightcnn ")[2]), "--workers", "1"]) == 0
    assert limits_of_trainings == [1800.0]
    assert "result" not in Path("run/shared.yaml").read_text()
    assert "run folder run" in capsys.readouterr().out
    assert "<span>--artifacts</span> <span>states</span>" in Path("run/report.html").read_text()
    for path in Path("run").rglob("*"):
        assert path.is_dir() or bytes(Path.cwd()) not in path.read_bytes(), f"{path} has a path of this machine"


def test_a_machine_that_did_not_lead_names_the_folder_of_the_other(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own folder may have the same name, and an earlier report."""
    command = ["search", "--budget", "100kFLOPs", "--trials", "1", *COMMON[:-1], "same", "--out", "run"]
    assert run(command) == 0
    folder = Path("run").absolute()
    end = SharedEnd(host="other", folder=str(folder), digest="", in_training=True)
    monkeypatch.setattr("lightcnn.searching.shared.job.finished", lambda *_: None)
    monkeypatch.setattr("lightcnn.searching.job.run_shared", lambda *_, **__: (None, end))
    capsys.readouterr()
    assert run(["search", "--resume", *command[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["host"], printed["folder"], printed["in_training"]) == ("other", str(folder), True)
    assert printed.keys() == {"lightcnn", "command", "study", "host", "folder", "in_training"}


def test_the_folder_of_a_machine_that_did_not_lead_names_the_result(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = SharedEnd(host="node3", folder="/data/runs/lead", digest="")
    monkeypatch.setattr("lightcnn.searching.job.take_part", lambda *_: (end, False))
    command = ["search", "--budget", "100kFLOPs", "--trials", "1", *COMMON[:-1], "member", "--out", "runs/mine"]
    assert run(command) == 0
    capsys.readouterr()
    assert run(["list", "runs"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "member of member: for the result, see lead on node3"


def test_a_dry_run_makes_no_study(capsys: pytest.CaptureFixture[str], cluster: Cluster) -> None:
    assert run(["search", "--budget", "100kFLOPs", "--trials", "1", *COMMON[:-1], "dry", "--dry-run"]) == 0
    assert "100kFLOPs" in capsys.readouterr().out
    with closing(SharedPlace(SharedSettings(cluster.url, "dry"))) as place:
        assert "dry" not in [study.study_name for study in place.storage.get_all_studies()]


@pytest.mark.long
def test_a_finished_search_is_continued_with_more_trials(capsys: pytest.CaptureFixture[str]) -> None:
    first = ["search", "--budget", "100kFLOPs", "--trials", "1", "--epochs", "1", "--workers", "1", "--study", "longer"]
    assert run([*first, "--out", "first", "--quiet"]) == 0
    capsys.readouterr()
    resumed = ["search", "--resume", "--trials", "2", "--workers", "1", "--study", "longer", "--out", "third"]
    assert run([*resumed, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["counts"]["trained"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--budget", "5ms"], "the budget 5ms has a latency, which is that of one machine"),
        (["--budget", "1MFLOPs", "--teacher", "timm:resnet18"], "is for a search on one machine"),
        (["--budget", "1MFLOPs", "--storage", "grpc://127.0.0.1:1"], "grpc://127.0.0.1:1: cannot be reached"),
        (
            ["--budget", "1MFLOPs", "--storage", "postgresql+psycopg://anna:secret@127.0.0.1:1/x"],
            r"postgresql+psycopg://anna:***@127.0.0.1:1/x: cannot be reached",
        ),
        (["--budget", "1MFLOPs", "--trial-timeout", "soon"], "--trial-timeout 'soon': not a duration"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lightcnn.searching.shared.place.CONNECT_SECONDS", 0.2)
    assert run(["search", *options, "--trials", "1", *COMMON, "--study", "refused"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert "secret" not in line
    assert not Path("runs").exists()


def test_a_proxy_of_a_proxy_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["storage", "serve", "grpc://127.0.0.1:13000"]) == 2
    assert "a proxy itself" in capsys.readouterr().err


@pytest.mark.long
def test_a_machine_with_two_workers_trains_two_networks_at_once(
    capsys: pytest.CaptureFixture[str], cluster: Cluster
) -> None:
    limits = ["--trials", "2", "--epochs", "1", "--finalists", "1", "--workers", "2", "--study", "two"]
    assert run(["search", "--budget", "100kFLOPs", *limits, "--out", "run", "--quiet", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["trained"] == 2
    assert report["machines"] == {"members": 1, "repeated_trainings": 0}
    with closing(SharedPlace(SharedSettings(cluster.url, f"two{JOBS}"))) as place:
        jobs = optuna.load_study(storage=place.storage, study_name=place.study).get_trials()
    assert {job.state.name for job in jobs} == {"COMPLETE"}
    first, second = sorted(jobs, key=lambda job: job.datetime_start)[:2]
    assert second.datetime_start < first.datetime_complete

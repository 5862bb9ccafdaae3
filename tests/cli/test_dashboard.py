"""`lightcnn dashboard`: what it shows of a study, that nothing is written, and its errors in one line."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

import optuna
import pytest
from helpers.served import Client
from helpers.serving_process import serving_process

from lightcnn.cli.main import run
from lightcnn.errors import RunError
from lightcnn.searching.trials import dashboard
from lightcnn.searching.trials.place import STUDY_NAME
from lightcnn.searching.trials.shown_study import StudyCopy

pytestmark = pytest.mark.usefixtures("undrawn_charts")

needs_dashboard = pytest.mark.skipif(
    importlib.util.find_spec("optuna_dashboard") is None, reason="the extra lightcnn[dashboard] is not installed"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder whose study has a trial at each state of a search."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "environment.json").write_text("{}")
    study = optuna.create_study(
        storage=f"sqlite:///{out}/study.db", study_name=STUDY_NAME, direction="maximize",
        sampler=optuna.samplers.RandomSampler(0),
    )  # fmt: skip
    study.set_user_attr("fingerprint", {"rungs": [100, 200]})
    for accuracies, tasks in (((0.6,), 1), ((0.7, 0.8), 2), ((0.65,), 2), ((), 0)):
        add_trial(study, accuracies, tasks)
    study.tell(3, state=optuna.trial.TrialState.FAIL)
    study._storage.remove_session()
    return out


def add_trial(study: optuna.Study, accuracies: tuple[float, ...], tasks: int) -> None:
    """A trial with these scores, which has been trained, or is being trained, to so many rungs."""
    trial = study.ask({"width": optuna.distributions.IntDistribution(4, 48)})
    trial.set_constraint("macs", -0.25)
    trial.set_constraint("params", -0.5)
    images = (100, 200)
    trial.set_user_attr("utilities", {str(images[i]): value for i, value in enumerate(accuracies)})
    trial.set_user_attr("tasks", {str(images[i]): trial.number for i in range(tasks)})
    for number, value in zip(images, accuracies, strict=False):
        trial.report(value, number)


@contextmanager
def serving(target: str, tmp_path: Path) -> Iterator[Client]:
    """Serves a study in a thread."""
    from optuna_dashboard import wsgi

    (tmp_path / "copies").mkdir()
    app = dashboard.read_only(wsgi(dashboard.open_studies(target, tmp_path / "copies")))
    with dashboard._listen(app, 0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Client(server.server_port)
        server.shutdown()


@pytest.fixture
def client(folder: Path, tmp_path: Path) -> Iterator[Client]:
    with serving(str(folder), tmp_path) as served:
        yield served


def shown(client: Client) -> dict[int, dict[str, Any]]:
    """The trials of the first study, by number."""
    answer = client.ask("GET", "/api/studies/1", Accept_Encoding="identity")
    assert answer.status == 200, answer.content
    return {trial["number"]: trial for trial in answer.json["trials"]}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The files of a folder, with the times of their last changes."""
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in [folder, *folder.iterdir()]
        if path.is_file()
    }


@needs_dashboard
def test_trials_have_ended_and_constraints_have_names(client: Client) -> None:
    trials = shown(client)
    assert {number: trial["state"] for number, trial in trials.items()} == {
        0: "Pruned",
        1: "Complete",
        2: "Running",
        3: "Fail",
    }
    assert trials[1]["values"] == [0.8] and trials[0]["values"] == [0.6]
    assert [each["value"] for each in trials[1]["intermediate_values"]] == [0.7, 0.8]
    for trial in trials.values():
        assert trial["constraints"] == [-0.25, -0.5]
        attributes = {each["key"]: each["value"] for each in trial["user_attrs"]}
        assert attributes["constraint macs (at most 0)"] == "-0.25"
        assert attributes["constraint params (at most 0)"] == "-0.5"
    best = client.ask("GET", "/api/studies/1").json["best_trials"]
    assert [trial["number"] for trial in best] == [1]


@needs_dashboard
def test_nothing_is_written_to_the_run_folder(folder: Path, client: Client) -> None:
    before = contents(folder)
    assert len(shown(client)) == 4
    assert client.ask("GET", "/dashboard").status == 200
    for method, path in (("DELETE", "/api/studies/1"), ("PUT", "/api/studies/1/note"), ("POST", "/api/studies")):
        answer = client.ask(method, path, b"{}")
        assert (answer.status, answer.json["reason"]) == (403, "lightcnn dashboard shows studies and changes nothing")
    assert contents(folder) == before and len(before) == 2


@needs_dashboard
def test_another_site_is_refused(client: Client) -> None:
    answer = client.ask("GET", "/api/studies", Host="rebound.example:80")
    assert (answer.status, "unknown host" in answer.json["reason"]) == (400, True)
    assert client.ask("GET", "/api/studies", Host=f"localhost:{client.port}").status == 200


@needs_dashboard
def test_a_search_that_runs_is_watched(folder: Path, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search has the study open and writes to its log; the page reads again after two seconds at the latest."""
    monkeypatch.setattr("optuna_dashboard._app.get_trials", lambda cache, storage, study: storage.get_all_trials(study))
    from lightcnn.searching.trials.place import StudyFile

    connection = StudyFile(folder / "study.db")._connect()
    assert len(shown(client)) == 4
    study = optuna.load_study(storage=f"sqlite:///{folder}/study.db", study_name=STUDY_NAME)
    add_trial(study, (0.9,), 1)
    assert (folder / "study.db-wal").stat().st_size > 0
    before = contents(folder)
    assert shown(client)[4]["values"] == [0.9]
    assert contents(folder) == before
    assert shown(client)[4]["state"] == "Pruned"
    study._storage.set_trial_user_attr(study.trials[4]._trial_id, "final", 150)
    assert shown(client)[4]["state"] == "Complete", "it has ended a final training"
    study._storage.remove_session()
    connection.close()


def test_a_file_that_changes_while_it_is_copied_is_copied_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = []
    real = shutil.copyfile

    def slow(source: Path, target: Path, **options: Any) -> None:
        real(source, target, **options)
        if not copies:
            os.utime(source, ns=(0, 0))
        copies.append(source)

    monkeypatch.setattr(shutil, "copyfile", slow)
    copy = StudyCopy(folder / "study.db", tmp_path)
    for _ in range(2):
        copy.connect().close()
    assert len(copies) == 2
    (folder / "study.db").unlink()
    with pytest.raises(RunError, match=r"study\.db: cannot be read \(No such file or directory\)"):
        copy.connect()


@needs_dashboard
def test_other_studies_of_optuna_are_shown_as_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.db"
    optuna.create_study(storage=url).optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    with serving(url, tmp_path) as client:
        assert {trial["state"] for trial in shown(client).values()} == {"Complete"}


@needs_dashboard
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "run nothing: not a run folder of lightcnn; name one that a command has written"),
        (["folder"], "folder/study.db: not a file; name the run folder of a search, or the URL of a storage"),
        (["sqlite:///nothing.db"], "nothing.db: not a file; name an SQLite file, as in sqlite:///study.db"),
        (["sqlite:///text.db"], "sqlite:///text.db: not a study of Optuna that can be read (file is not a database)"),
        (["nosuch://host/x"], "nosuch://host/x: not a study of Optuna that can be read ("),
        (["mysql+x://me:secret@host/x"], "mysql+x://me:***@host/x: not a study of Optuna that can be read ("),
        (["postgresql+psycopg://me:secret@host:xx/x"], "dashboard postgresql+psycopg://me:***@host:***/x: the port is"),
        (["postgresql+psycopg://me:sec@secret@host/x"], "dashboard postgresql+psycopg://me:***@host/x: has more than"),
        (["grpc://me:secret@host:13000"], "grpc://me:***@host:13000: a proxy; name the database behind it"),
        (["grpc://127.0.0.1:13000"], "grpc://127.0.0.1:13000: a proxy; name the database behind it"),
        (["sqlite:///study.db", "--port", "70000"], "--port 70000: must be a number from 0 to 65535"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/environment.json").write_text("{}")
    (tmp_path / "text.db").write_text("no database\n" * 100)
    optuna.create_study(storage="sqlite:///study.db")
    assert run(["dashboard", *arguments]) == 2
    out, error = capsys.readouterr()
    assert (out, error.count("\n")) == ("", 1)
    assert error.startswith(f"lightcnn: {message}")
    assert "secret" not in error


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_password_is_not_printed(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = "postgresql+psycopg://anna:secret@127.0.0.1:1/optuna"

    def ready(target: str, *, port: int, on_ready: Callable[[str], object]) -> None:
        assert target == url
        on_ready("http://127.0.0.1:8080/")

    monkeypatch.setattr(dashboard, "run", ready)
    assert run(["dashboard", url, *options]) == 0
    out, error = capsys.readouterr()
    assert "secret" not in out + error
    shown = "postgresql+psycopg://anna:***@127.0.0.1:1/optuna"
    assert json.loads(out)["study"] == shown if options else f"showing {shown} on http" in out.replace("\n", " ")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(dashboard.importlib.util, "find_spec", lambda name: None)
    assert run(["dashboard", "runs/mine"]) == 2
    expected = "lightcnn: dashboard: optuna-dashboard is not installed; pip install 'lightcnn[dashboard]'\n"
    assert capsys.readouterr().err == expected


@needs_dashboard
def test_a_port_that_is_used_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with dashboard._listen(lambda environ, start: [], 0) as server:
        assert isinstance(server, WSGIServer)
        assert run(["dashboard", str(folder), "--port", str(server.server_port)]) == 2
    assert f"--port {server.server_port}: cannot be used (" in capsys.readouterr().err


@needs_dashboard
def test_the_process_ends_with_zero_after_a_signal(folder: Path) -> None:
    with serving_process(["dashboard", str(folder), "--port", "0"]) as (process, document):
        client = Client(int(document["address"].rpartition(":")[2].strip("/")))
        assert len(shown(client)) == 4
        process.send_signal(signal.SIGINT)
        rest, error = process.communicate(timeout=60)
    assert (process.returncode, rest, error) == (0, "", "")

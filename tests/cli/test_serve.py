"""`lightcnn serve`: its options, its errors in one line, and its end by a signal."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from helpers.exported_files import trained_network, write_exported
from helpers.served import Client, image_bytes

from lightcnn import interrupt
from lightcnn.cli.main import run
from lightcnn.errors import InputError
from lightcnn.serving import job, settings
from lightcnn.serving.explainers.file_explainer import FileExplainer
from lightcnn.serving.settings import Limits, ServeSettings

TOKEN = "0123456789abcdef"


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_exported(tmp_path / "model.onnx", trained_network()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "serve: no network is given; name the folder of a run or an ONNX file"),
        (["nothing"], "run nothing: "),
        (["nothing.onnx"], "nothing.onnx: cannot be read (No such file or directory)"),
        (["x", "--host", "0.0.0.0"], "--host 0.0.0.0: other machines could reach the server; give --token T, or "),
        (["x", "--name", "proxy.example"], "--name proxy.example: other machines could reach the server; give --token"),
        (["x", "--name", "https://proxy.example"], "--name https://proxy.example: must be the name of a machine, "),
        (["x", "--token", "short"], "--token: must be 16 or more letters, digits or ._~+/=-; "),
        (["x", "--port", "70000"], "--port 70000: must be a number from 0 to 65535"),
        (["x", "--input", "3x4"], "--input 3x4: not an input size"),
        (["x", "--max-images", "0"], "--max-images 0: must be a number above 0"),
        (["x", "--max-megabytes", "nan"], "--max-megabytes nan: must be a number above 0"),
        (["x", "--labels", "missing.txt"], "--labels missing.txt: cannot be read (No such file or directory)"),
    ],
)
def test_wrong_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(["serve", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.startswith(f"lightcnn: {message}") and error.count("\n") == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use_is_one_line(model: str, host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert run(["serve", model, "--host", host, "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"lightcnn: --port {port}: cannot be used on {host} (Address already in use); give another, or 0 for any "
        "that is free\n"
    )


def test_a_port_of_a_server_that_is_starting_is_in_use() -> None:
    with job._listening("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: cannot be used"), job._listening("127.0.0.1", port):
            pass


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_an_address_of_ipv6_is_in_brackets_once(host: str) -> None:
    try:
        with job._listening(host, 0) as listener:
            port = listener.getsockname()[1]
            assert job.address(ServeSettings(Path("x"), host), listener) == f"http://[::1]:{port}/"
    except InputError:
        pytest.skip("needs IPv6")


def test_an_unknown_host_is_one_line(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", model, "--host", "no such host", "--allow-remote"]) == 2
    assert capsys.readouterr().err == "lightcnn: --host no such host: is not the address of this machine\n"


def test_a_missing_package_is_one_line(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "PACKAGES", {"no_such_module": "no-such-package", "json": "json"})
    assert run(["serve", model]) == 2
    assert capsys.readouterr().err == (
        "lightcnn: serve: no-such-package not installed; pip install 'lightcnn[serve]'\n"
    )


def test_a_file_needs_onnx_runtime(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert run(["serve", model]) == 2
    error = capsys.readouterr().err
    assert error == f"lightcnn: {model}: ONNX Runtime is not installed; pip install onnxruntime\n"


def test_a_file_without_metadata_names_the_options(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    bare = onnx.load(model)
    del bare.metadata_props[:]
    onnx.save(bare, model)
    assert run(["serve", model]) == 2
    error = capsys.readouterr().err
    assert "has no metadata of lightcnn" in error and "give --labels FILE and --input CxHxW" in error
    assert error.count("\n") == 1


def test_the_openapi_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--openapi"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"/predict", "/explain", "/model", "/healthz", "/metrics"} <= document["paths"].keys()


def test_the_options_are_the_settings(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[ServeSettings] = []
    monkeypatch.setattr(job, "run", lambda settings, on_ready: given.append(settings))
    monkeypatch.setenv("LIGHTCNN_TOKEN", TOKEN)
    assert (
        run(["serve", model, "--host", "::", "--port", "0", "--max-images", "3", "--input", "1x8x8", "--name", "a"])
        == 0
    )
    expected = ServeSettings(Path(model), "::", 0, TOKEN, names=("a",), input=(1, 8, 8), limits=Limits(images=3))
    assert given == [expected]


def test_the_address_is_printed_as_json(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(job, "run", lambda settings, on_ready: on_ready("http://127.0.0.1:1/"))
    assert run(["serve", model, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["address"]) == ("serve", "http://127.0.0.1:1/")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_zero(
    number: int, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An explanation that runs when the signal arrives is completed; new connections are refused."""
    started, signalled = threading.Event(), threading.Event()
    explain = FileExplainer.explain

    def slow(*arguments: Any) -> dict[str, Any]:
        started.set()
        assert signalled.wait(30)
        return explain(*arguments)

    def signal_when_it_runs() -> None:
        assert started.wait(30)
        os.kill(os.getpid(), number)
        signalled.set()

    def ask() -> None:
        while not (printed := re.search(r":(\d+)/", capsys.readouterr().out)):
            time.sleep(0.02)
        clients.append(Client(int(printed[1])))
        statuses.append(clients[0].ask("GET", "/healthz").status)
        statuses.append(clients[0].send("/explain", [("a.png", image_bytes())]).status)

    monkeypatch.setattr(FileExplainer, "explain", slow)
    clients: list[Client] = []
    statuses: list[int] = []
    threads = [threading.Thread(target=target) for target in (ask, signal_when_it_runs)]
    for thread in threads:
        thread.start()
    assert run(["serve", model, "--port", "0"]) == 0
    for thread in threads:
        thread.join(30)
    assert statuses == [200, 200]
    with pytest.raises(ConnectionRefusedError):
        clients[0].ask("GET", "/healthz")


def test_signals_that_are_ignored_stay_so() -> None:
    """As under nohup, which ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = SimpleNamespace(should_exit=False)
        with interrupt.ending(lambda: setattr(server, "should_exit", True)):
            os.kill(os.getpid(), signal.SIGHUP)
            assert not server.should_exit
            os.kill(os.getpid(), signal.SIGTERM)
            assert server.should_exit
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_process_ends_with_zero(model: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lightcnn", "serve", model, "--port", "0", "--token", TOKEN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert re.fullmatch(
            rf"serving {re.escape(model)} on http://127\.0\.0\.1:\d+/#token=\.\.\.; end with Ctrl-C\n", line
        )
        process.send_signal(signal.SIGTERM)
        rest, error = process.communicate(timeout=60)
    assert (process.returncode, rest, error) == (0, "", "")

"""The recipe of two machines in docs/guides/cluster.md, on two networks of this machine that a cable connects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from helpers.paths import ROOT
from helpers.postgres import USER, Cluster

from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings
from lightcnn.searching.trials.place import MEMBERS

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]
NAMES = ("lightcnn-a", "lightcnn-b")
ADDRESSES = ("10.77.31.1", "10.77.31.2")
TRIALS = 40
STARTED: list[subprocess.Popen[bytes]] = []


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def inside(name: str) -> tuple[str, ...]:
    """The beginning of a command that is run on the network of that name, by a machine with that name."""
    entered = ("ip", "netns", "exec", name, "unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
    return (*entered, "sh", "-c", f'hostname {name}; exec "$@"', "sh")


@dataclass(frozen=True)
class Cable:
    """The connection of the two networks."""

    def set(self, state: str) -> None:
        ip("-n", NAMES[1], "link", "set", "cable", state)


@pytest.fixture
def cable() -> Iterator[Cable]:
    if os.getuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("only root can make networks, with the programs ip and unshare")
    try:
        for name in NAMES:
            ip("netns", "add", name)
        ip("-n", NAMES[0], "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", NAMES[1])
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            ip("-n", name, "address", "add", f"{address}/24", "dev", "cable")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "cable", "up")
    except subprocess.CalledProcessError as error:
        ended()
        pytest.skip(f"no networks can be made here: {error.stderr.decode()}")
    yield Cable()
    ended()


def ended() -> None:
    for name in NAMES:
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@pytest.fixture
def server(cable: Cable) -> Iterator[Cluster]:
    """The database, on the first machine."""
    cluster = Cluster.start(ADDRESSES[0], ("ip", "netns", "exec", NAMES[0]))
    yield cluster
    while STARTED:
        process = STARTED.pop()
        process.kill()  # and with it all processes of its machine
        process.wait()
    cluster.remove()


def search(name: str, folder: Path, server: Cluster, trials: int) -> subprocess.Popen[bytes]:
    """The command of the guide, on the digits; what it prints is in FOLDER.log."""
    command = [
        *inside(name), sys.executable, "-m", "lightcnn", "search", "--budget", "100kFLOPs", "--trials", str(trials),
        "--epochs", "20", "--workers", "1", "--study", "moles", "--artifacts", str(folder.parent / "artifacts"),
        "--out", str(folder),
    ]  # fmt: skip
    settings = {"LIGHTCNN_STORAGE": server.url, "LIGHTCNN_CACHE": str(folder.parent / f"cache of {name}")}
    environment = os.environ | settings | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with folder.with_suffix(".log").open("wb") as log:
        STARTED.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    return STARTED[-1]


def members(server: Cluster) -> list[str]:
    """The states of all members, by number; the database is reached by its socket, from the network of this process."""
    url = f"postgresql+psycopg://{USER}@/postgres?host={server.folder}&port={server.port}"
    with closing(SharedPlace(SharedSettings(url, "moles"))) as place:
        study = optuna.create_study(storage=place.storage, study_name=f"moles{MEMBERS}", load_if_exists=True)
        return [trial.state.name for trial in study.get_trials(deepcopy=False)]


def until(server: Cluster, states: list[str], seconds: float = 60.0) -> None:
    """Waits until the members are in these states."""
    end = time.monotonic() + seconds
    while members(server) != states:
        assert time.monotonic() < end, members(server)
        time.sleep(0.5)


@pytest.fixture
def machines(tmp_path: Path, server: Cluster) -> list[subprocess.Popen[bytes]]:
    """Two machines that search; the first one leads."""
    (tmp_path / "artifacts").mkdir()
    first = search(NAMES[0], tmp_path / "first", server, TRIALS)
    until(server, ["RUNNING"])
    second = search(NAMES[1], tmp_path / "second", server, TRIALS)
    until(server, ["RUNNING", "RUNNING"])
    return [first, second]


def test_two_machines_share_a_search_though_their_cable_is_out_for_a_while(
    tmp_path: Path, cable: Cable, server: Cluster, machines: list[subprocess.Popen[bytes]]
) -> None:
    time.sleep(10)
    cable.set("down")
    until(server, ["RUNNING", "FAIL"])  # the second one is found dead
    cable.set("up")
    assert [process.wait(600) for process in machines] == [0, 0]
    shown = (tmp_path / "second.log").read_text()
    assert f"led by {NAMES[0]}" in shown
    assert "waiting for the storage" in shown
    assert f"{NAMES[0]} trains the final networks, and the result will be in {tmp_path / 'first'} there" in shown
    assert len((tmp_path / "first" / "trials.csv").read_text().splitlines()) == TRIALS + 1
    assert json.loads((tmp_path / "first" / "report.json").read_text())["machines"]["members"] == 3


def test_a_machine_that_loses_its_power_is_found_dead_within_a_minute(
    server: Cluster, machines: list[subprocess.Popen[bytes]]
) -> None:
    machines[1].kill()
    machines[1].wait()
    began = time.monotonic()
    until(server, ["RUNNING", "FAIL"], 90)
    assert time.monotonic() - began < 60

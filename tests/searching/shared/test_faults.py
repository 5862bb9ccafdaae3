"""Real processes and a real server: kill -9 at bad moments, SIGTERM, restarts of the servers, and a wrong clock."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.postgres import Cluster
from helpers.searches import timeless

from lightcnn.searching.shared.job_queue import JobQueue
from lightcnn.searching.shared.place import SharedPlace
from lightcnn.searching.shared.settings import SharedSettings

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]
TRIALS = 8
STARTED: list[subprocess.Popen[str]] = []
PROGRAM = (
    "from lightcnn.searching.shared import members; members.SILENT_SECONDS, members.BEAT_SECONDS = 8.0, 1.0; "
    "from lightcnn.__main__ import main; main()"
)
DIES_AFTER_REPORT = f"""
import os, optuna
report = optuna.Trial.report
optuna.Trial.report = lambda *values: (report(*values), os.kill(os.getpid(), 9))
{PROGRAM}
"""
"""A leader, or a search on one machine, that dies once it has reported its first score."""
DIES_BEFORE_TELL = f"""
import os
from lightcnn.searching.shared.job_queue import JobQueue
def finish(queue, claim, result):
    queue._storage.set_trial_user_attr(claim.trial_id, "result", result.model_dump_json())
    os.kill(os.getpid(), 9)
JobQueue.finish = finish
{PROGRAM}
"""
"""A machine that dies once it has stored the result of its first job, before the job counts as done."""


def start(
    folder: Path, *options: str, url: str = "", program: str = PROGRAM, before: tuple[str, ...] = ()
) -> subprocess.Popen[str]:
    """A machine: a process on the digits, whose trainings take some seconds. What it prints is in FOLDER.log."""
    command = [*before, sys.executable, "-c", program, "search", *options, "--out", str(folder), "--quiet"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LIGHTCNN_STORAGE": url, "OMP_NUM_THREADS": "1"}
    with folder.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True, start_new_session=True)
    STARTED.append(process)
    return process


def settings(trials: int = TRIALS, workers: int = 1) -> list[str]:
    """The options of a search."""
    return ["--budget", "100kFLOPs", "--trials", str(trials), "--epochs", "20", "--workers", str(workers)]


WRONG_CLOCK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static time_t begin;
static int jumped(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    if (!begin) begin = now.tv_sec;
    return now.tv_sec - begin >= atoi(getenv("CLOCK_JUMPS_AFTER"));
}
int clock_gettime(clockid_t clock, struct timespec *t) {
    int code = syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME && jumped()) t->tv_sec += 3600;
    return code;
}
int gettimeofday(struct timeval *t, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""
"""The clock jumps forward by an hour after some seconds of a process, when it trains.

With libfaketime, Python 3.11 would also wait for an hour wherever it waits.
"""


def wrong_clock(folder: Path) -> tuple[str, ...]:
    """The beginning of a command whose clock jumps after 20 seconds. Needs gcc, which .ci/system installs."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed (.ci/system installs it)")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(WRONG_CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    show = [sys.executable, "-c", "import time; first = time.time(); time.sleep(1.5); print(time.time() - first)"]
    shown = subprocess.run(
        ["env", f"LD_PRELOAD={library}", "CLOCK_JUMPS_AFTER=1", *show], capture_output=True, check=True
    )
    assert 3_600 < float(shown.stdout) < 3_610
    return "env", f"LD_PRELOAD={library}", "CLOCK_JUMPS_AFTER=20"


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Ends what a test that failed has left."""
    yield
    while STARTED:
        kill(STARTED.pop())


class Server:
    """What machines connect to: the database, or Optuna's proxy of it."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self._cluster = cluster
        self._proxy: subprocess.Popen[str] | None = None
        self.url = cluster.url
        if name == "proxy":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._port = free.getsockname()[1]
            self.url = f"grpc://127.0.0.1:{self._port}"
            self._serve()

    def restart(self) -> None:
        """Ends the database and its proxy at once, and starts them some seconds later."""
        if self._proxy is not None:
            kill(self._proxy)
        self._cluster.stop()
        time.sleep(3)
        self._cluster.resume()
        if self._proxy is not None:
            self._serve()

    def jobs(self, study: str) -> list[tuple[str, str, int | None]]:
        """Target, state and member of every job of a study."""
        with closing(SharedPlace(SharedSettings(self._cluster.url, study))) as place:
            trials = JobQueue(place)._study.get_trials(deepcopy=False)
            return [(t.user_attrs["target"], t.state.name, t.user_attrs.get("member")) for t in trials]

    def is_training(self, study: str, member: int) -> bool:
        """Whether that member has a job."""
        return any(state == "RUNNING" and each == member for _, state, each in self.jobs(study))

    def _serve(self) -> None:
        command = [sys.executable, "-m", "lightcnn", "storage", "serve", self._cluster.url, "--port", str(self._port)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self._proxy = subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True, env=environment)
        STARTED.append(self._proxy)
        assert self._proxy.stdout is not None
        assert "{" in self._proxy.stdout.readline()


@pytest.fixture(params=["database", "proxy"])
def server(cluster: Cluster, request: pytest.FixtureRequest) -> Server:
    return Server(cluster, request.param)


def until(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.1)


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process without any warning; its workers end since their input ends."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def result(folder: Path) -> tuple[list[dict[str, str]], bytes]:
    """trials.csv without times, and the weights."""
    return timeless(folder), (folder / "weights.safetensors").read_bytes()


def workers_of(process: subprocess.Popen[str]) -> set[int]:
    """The processes that train for a search."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_text() for child in children}
    return {child for child, command in commands.items() if "sys.path[:] =" in command}


def printed(*folders: Path) -> str:
    return "\n".join(folder.with_suffix(".log").read_text() for folder in folders)


def test_four_machines_with_all_faults_train_every_network_once(tmp_path: Path, server: Server) -> None:
    study, trials = f"four-{server.name}", 16
    folders = [tmp_path / name for name in "abcd"]
    common = [*settings(trials), "--study", study]
    leader = start(folders[0], *common, url=server.url)
    until(lambda: server.is_training(study, 0))
    untold = start(folders[1], *common, url=server.url, program=DIES_BEFORE_TELL)
    others = [start(folders[2], *common, url=server.url, before=wrong_clock(tmp_path))]
    others.append(start(folders[3], *common, url=server.url))
    assert untold.wait(400) == -signal.SIGKILL, printed(folders[1])
    until(lambda: server.is_training(study, 3) and server.is_training(study, 0))
    kill(leader)
    server.restart()
    assert [process.wait(900) for process in others] == [0, 0], printed(*folders)

    (finished,) = [folder for folder in folders if (folder / "report.json").is_file()]
    assert finished in folders[2:]
    rows, _ = result(finished)
    assert [row["number"] for row in rows] == [str(number) for number in range(trials)]
    jobs = server.jobs(study)
    assert set(Counter(target for target, state, _ in jobs if state == "COMPLETE").values()) == {1}
    killed = [member for _, state, member in jobs if state == "FAIL"]
    assert len(killed) == 2 and 0 in killed, "only what two killed machines had started is trained again"
    assert json.loads((finished / "report.json").read_text())["machines"]["members"] == 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> tuple[list[dict[str, str]], bytes]:
    """The result of a shared search of one machine without faults."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert start(folder, *settings(), "--study", "undisturbed", url=cluster.url).wait(900) == 0, printed(folder)
    return result(folder)


def test_one_machine_with_all_faults_finds_what_it_finds_without(
    tmp_path: Path, server: Server, undisturbed: tuple[list[dict[str, str]], bytes]
) -> None:
    study = f"one-{server.name}"
    folders = [tmp_path / str(number) for number in range(5)]
    common = [*settings(), "--study", study]

    def session(number: int, *, program: str = PROGRAM, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        return start(folders[number], *common, url=server.url, program=program, before=before)

    assert session(0, program=DIES_BEFORE_TELL).wait(400) == -signal.SIGKILL, printed(folders[0])
    assert session(1, program=DIES_AFTER_REPORT).wait(400) == -signal.SIGKILL, printed(folders[1])
    training = session(2, before=wrong_clock(tmp_path))
    until(lambda: server.is_training(study, 2))
    kill(training)
    restarted = session(3)
    until(lambda: server.is_training(study, 3))
    server.restart()
    known = len(server.jobs(study))
    until(lambda: len(server.jobs(study)) > known and server.is_training(study, 3))
    began = time.monotonic()
    restarted.send_signal(signal.SIGTERM)
    assert restarted.wait(60) == 143, printed(folders[3])
    assert time.monotonic() - began < 10
    assert session(4).wait(900) == 0, printed(folders[4])
    assert result(folders[4]) == undisturbed


def test_four_workers_of_one_search_with_all_faults_find_what_they_find_without(tmp_path: Path) -> None:
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    assert start(undisturbed, *settings(workers=4)).wait(900) == 0, printed(undisturbed)

    def trained() -> int:
        log = folder / "log.txt"
        return log.read_text().count(" images") if log.exists() else 0

    assert start(folder, *settings(workers=4), program=DIES_AFTER_REPORT).wait(400) == -signal.SIGKILL, printed(folder)
    resumed = start(folder, "--resume", before=wrong_clock(tmp_path))
    until(lambda: trained() >= 3)
    workers = workers_of(resumed)
    assert len(workers) == 4
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(workers_of(resumed)) == 4 and not workers & workers_of(resumed))
    until(lambda: trained() >= 6)
    kill(resumed)
    assert start(folder, "--resume").wait(900) == 0, printed(folder)
    assert result(folder) == result(undisturbed)


def test_a_killed_leader_continues_its_final_trainings_in_its_folder(tmp_path: Path, cluster: Cluster) -> None:
    folder = tmp_path / "run"
    file = folder / "trainings" / "000000-final.json"

    def parts() -> list[dict[str, object]]:
        return json.loads(file.read_text())["parts"] if file.is_file() else []

    shared = ["--workers", "1", "--study", "killed"]
    leader = start(folder, "--budget", "100kFLOPs", "--trials", "1", "--epochs", "60", *shared, url=cluster.url)
    until(lambda: len(parts()) >= 2)
    kill(leader)
    before = parts()
    assert start(folder, "--resume", *shared, url=cluster.url).wait(400) == 0, printed(folder)
    assert parts()[: len(before)] == before, "with their seconds: no part is trained again"
    assert len(parts()) > len(before)
    assert json.loads((folder / "report.json").read_text())["machines"] == {"members": 2, "repeated_trainings": 0}

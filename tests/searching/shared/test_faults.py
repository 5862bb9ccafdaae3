"""Real processes on a real server: kill -9, SIGTERM, a restart of the server, and a clock that is wrong."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.postgres import Cluster

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


def start(
    folder: Path, url: str, study: str, *, before: tuple[str, ...] = (), trials: int = TRIALS
) -> subprocess.Popen[str]:
    """A machine: a process of one worker on the digits, whose trainings take some seconds."""
    command = [
        *before, sys.executable, "-c", PROGRAM, "search", "--budget", "100kFLOPs", "--trials", str(trials),
        "--epochs", "20", "--workers", "1", "--study", study, "--out", str(folder), "--quiet",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LIGHTCNN_STORAGE": url, "OMP_NUM_THREADS": "1"}
    with folder.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, text=True, start_new_session=True)
    STARTED.append(process)
    return process


WRONG_CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t clock, struct timespec *t) {
    int code = syscall(SYS_clock_gettime, clock, t);
    if (clock == CLOCK_REALTIME) t->tv_sec += 3600;
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
"""Sets the clock forward by an hour. With libfaketime, Python 3.11 would also wait for an hour wherever it waits."""


def wrong_clock(folder: Path) -> tuple[str, ...]:
    """The beginning of a command that runs with a wrong clock. Needs gcc, which .ci/system installs."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed (.ci/system installs it)")
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(WRONG_CLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    command = ("env", f"LD_PRELOAD={library}")
    shown = subprocess.run([*command, sys.executable, "-c", "import time; print(time.time())"], capture_output=True)
    assert 3_500 < float(shown.stdout) - time.time() < 3_700
    return command


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """Ends what a test that failed has left."""
    yield
    while STARTED:
        process = STARTED.pop()
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.1)


def kill(process: subprocess.Popen[str]) -> None:
    """Ends a process without any warning; its workers end since their input ends."""
    process.kill()
    process.wait()


def jobs(url: str, study: str) -> list[tuple[str, str, int | None]]:
    """Target, state and member of every job of a study."""
    with closing(SharedPlace(SharedSettings(url, study))) as place:
        trials = JobQueue(place)._study.get_trials(deepcopy=False)
        return [(t.user_attrs["target"], t.state.name, t.user_attrs.get("member")) for t in trials]


def running(url: str, study: str, member: int) -> bool:
    """Whether that member trains."""
    return any(state == "RUNNING" and each == member for _, state, each in jobs(url, study))


def timeless(folder: Path) -> list[dict[str, str]]:
    """trials.csv without times."""
    with (folder / "trials.csv").open(newline="") as file:
        return [{name: value for name, value in row.items() if "seconds" not in name} for row in csv.DictReader(file)]


def error(folder: Path) -> str:
    return folder.with_suffix(".log").read_text()


def test_four_machines_two_of_which_are_killed_and_one_has_a_wrong_clock(tmp_path: Path, cluster: Cluster) -> None:
    folders = [tmp_path / name for name in "abcd"]
    processes = [start(folders[0], cluster.url, "four")]
    until(lambda: running(cluster.url, "four", 0))
    processes.append(start(folders[1], cluster.url, "four"))
    until(lambda: running(cluster.url, "four", 1))
    kill(processes[1])  # while it trains
    processes.append(start(folders[2], cluster.url, "four", before=wrong_clock(tmp_path)))
    processes.append(start(folders[3], cluster.url, "four"))
    until(lambda: running(cluster.url, "four", 3))
    kill(processes[0])  # the leader
    cluster.stop()
    time.sleep(3)
    cluster.resume()
    assert [process.wait(900) for process in processes[2:]] == [0, 0], "\n".join(map(error, folders))
    (finished,) = [folder for folder in folders if (folder / "report.json").is_file()]
    assert finished in folders[2:]
    rows = timeless(finished)
    assert [row["number"] for row in rows] == [str(number) for number in range(TRIALS)]
    done = Counter(target for target, state, _ in jobs(cluster.url, "four") if state == "COMPLETE")
    assert set(done.values()) == {1}
    machines = json.loads((finished / "report.json").read_text())["machines"]
    assert machines["members"] == 4


def test_one_machine_with_faults_finds_what_it_finds_without(tmp_path: Path, cluster: Cluster) -> None:
    assert start(tmp_path / "undisturbed", cluster.url, "undisturbed").wait(900) == 0, error(tmp_path / "undisturbed")
    first = start(tmp_path / "first", cluster.url, "disturbed")
    until(lambda: len(jobs(cluster.url, "disturbed")) >= 3)
    kill(first)
    second = start(tmp_path / "second", cluster.url, "disturbed")
    until(lambda: len(jobs(cluster.url, "disturbed")) >= 6)
    cluster.stop()
    time.sleep(2)
    cluster.resume()
    until(lambda: len(jobs(cluster.url, "disturbed")) >= 7)
    began = time.monotonic()
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 143
    assert time.monotonic() - began < 10
    assert start(tmp_path / "third", cluster.url, "disturbed").wait(900) == 0, error(tmp_path / "third")
    assert timeless(tmp_path / "third") == timeless(tmp_path / "undisturbed")
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("third", "undisturbed")]
    assert weights[0] == weights[1]


@contextmanager
def proxy(cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
    """`lightcnn storage serve`."""
    command = [sys.executable, "-m", "lightcnn", "storage", "serve", cluster.url, "--port", "13579", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        STARTED.append(process)
        assert process.stdout is not None
        try:
            assert "{" in process.stdout.readline()
            yield process
        finally:
            process.terminate()


def test_machines_join_through_optunas_proxy_which_is_restarted(tmp_path: Path, cluster: Cluster) -> None:
    url = "grpc://127.0.0.1:13579"
    with proxy(cluster) as serving:
        first = start(tmp_path / "first", url, "proxied", trials=4)
        until(lambda: running(cluster.url, "proxied", 0))
        second = start(tmp_path / "second", url, "proxied", trials=4)
        until(lambda: running(cluster.url, "proxied", 1))
        kill(first)  # the leader
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0
    time.sleep(2)
    with proxy(cluster):
        assert second.wait(900) == 0, error(tmp_path / "second")
    assert len(timeless(tmp_path / "second")) == 4
    done = Counter(target for target, state, _ in jobs(cluster.url, "proxied") if state == "COMPLETE")
    assert set(done.values()) == {1}

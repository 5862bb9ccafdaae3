"""Real faults of searches: a full disk, no memory, NaN, a block that raises an error, and two searches in one folder.

Workers that are killed, as the kernel does if memory runs out, are in tests/cli/test_search.py; another space or budget
under the name of a study is in tests/searching/shared/test_command.py.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import faults
from helpers.paths import ROOT, TESTS
from helpers.postgres import Cluster
from helpers.searches import timeless

from lightcnn.blocks import ConvNormAct
from lightcnn.cli.main import run
from lightcnn.data.sources.load import load

pytestmark = pytest.mark.usefixtures("undrawn_charts")

SPACE = """size: [8]
act: [relu, silu]
stem: {kind: [conv], width: {low: 4, high: 8}}
stages: [{kind: [conv], width: {low: 4, high: 8}}]
"""
WIDE = """size: [32]
act: [relu]
stem: {kind: [conv], kernel: [1], width: {low: 4, high: 4}}
stages: [{kind: [mbconv], expand: [1, 16], width: {low: 4, high: 4}, depth: {low: 1, high: 5}}]
"""
"""Half of the networks keep several activations of 270 MB each for a batch of 1,024 images, the others of 17 MB."""
LARGE_BATCHES = ("--space", "wide.yaml", "--set", "training.batch=1024")
DIVERGING = ("--set", "training.learning_rate=10", "--set", "training.weight_decay=10")
"""The largest values of both: every step multiplies the weights by -99."""
PROGRAM = """
from lightcnn.searching.trainings import pool
pool.PROGRAM = pool.PROGRAM.replace("main()", "from helpers import faults; faults.{fault}; main()")
from lightcnn.__main__ import main
main()
"""
"""A search whose workers, and no other process, have a fault."""
FULL = r"lightcnn: {out}/\S+: .*(full|No space left|disk I/O).*; check the free disk space.*, then (use|continue with) "
SECONDS = 240.0

Start = Callable[..., "subprocess.Popen[str]"]
Delivered = tuple[list[dict[str, str]], bytes]
"""The trials of a search without times, and the weights."""


@dataclass(frozen=True)
class Ended:
    """How a search has ended."""

    code: int
    output: str
    error: str

    @property
    def message(self) -> str:
        """The only line that it printed."""
        assert self.output == "", self
        (line,) = self.error.splitlines()
        return line


def new(out: Path, *options: str) -> list[str]:
    """The options of a new search."""
    limits = ["--budget", "1GFLOPs", "--space", "space.yaml", "--trials", "4", "--epochs", "1"]
    return [*limits, "--out", str(out), "--quiet", *options]


def resumed(out: Path) -> list[str]:
    """The options that continue it."""
    return ["--resume", "--out", str(out), "--quiet"]


def here(options: list[str], capsys: pytest.CaptureFixture[str]) -> Ended:
    """Runs a search in this process."""
    code = run(["search", *options])
    printed = capsys.readouterr()
    return Ended(code, printed.out, printed.err)


def ended(process: subprocess.Popen[str]) -> Ended:
    """Waits for the end of a process."""
    output, error = process.communicate(timeout=SECONDS)
    return Ended(process.returncode, output, error)


def until(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Waits for something that a process does before it ends."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def delivered(out: Path) -> Delivered:
    return timeless(out), (out / "weights.safetensors").read_bytes()


def failed_trials(out: Path) -> set[str]:
    """The reasons of the trials that have failed; others have not, and report.json counts both and names them."""
    rows, report = timeless(out), json.loads((out / "report.json").read_text())
    reasons = {int(row["number"]): row["reason"] for row in rows if row["state"] == "failed"}
    assert 0 < len(reasons) == report["counts"]["failed"] < len(rows) == report["counts"]["proposed"]
    assert report["failures"] == [{"trial": trial, "reason": reason} for trial, reason in reasons.items()]
    return set(reasons.values())


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files of both spaces, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTCNN_CACHE", str(cache))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{TESTS}")
    Path("space.yaml").write_text(SPACE)
    Path("wide.yaml").write_text(WIDE)


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a search as a process, whose workers have a `fault` if one is given; ends it after the test."""
    started: list[subprocess.Popen[str]] = []

    def begin(options: list[str], fault: str = "") -> subprocess.Popen[str]:
        program = ["-c", PROGRAM.format(fault=fault)] if fault else ["-m", "lightcnn"]
        process = subprocess.Popen(
            [sys.executable, *program, "search", *options], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB; skips the test where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system may be mounted here ({error})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, room: int = 0) -> None:
    """Takes all space of a file system but `room` bytes."""
    filler = disk / "filler"
    with suppress(OSError), open(filler, "wb", buffering=0) as file:
        while True:
            file.write(bytes(4_096))
    with open(filler, "r+b") as file:
        file.truncate(filler.stat().st_size - room)


def scores(out: Path) -> list[str]:
    """The scores of trials in log.txt."""
    return re.findall(r"trial \d+: running, validation accuracy .*", (out / "log.txt").read_text())


def test_a_full_disk_ends_the_search_which_can_be_resumed(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = disk / "run"
    fill(disk, room=300_000)
    end = here(new(out, "--workers", "1"), capsys)
    assert end.code == 1
    assert re.fullmatch(FULL.format(out=out) + "--resume", end.message), end.message
    (disk / "filler").unlink()
    again = here(resumed(out), capsys)
    assert (again.code, again.error) == (0, "")
    assert len(timeless(out)) == 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Delivered:
    """What the search finds if nothing happens."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "space.yaml").write_text(SPACE)
    options = new(folder / "run", "--workers", "1", "--space", str(folder / "space.yaml"))
    subprocess.run([sys.executable, "-m", "lightcnn", "search", *options], check=True, cwd=ROOT)
    return delivered(folder / "run")


@pytest.mark.long
@pytest.mark.parametrize(
    ("moment", "workers"),
    [
        ("search.yaml", 2),
        ("study.db", 1),
        ("trainings/000000-*.safetensors", 1),
        ("trainings/000000-*.safetensors", 2),
        ("trainings/*-final.json", 1),
        ("trainings/*-final.json", 2),
        ("trials.csv", 1),
    ],
)
def test_whenever_a_disk_becomes_full_nothing_that_has_ended_is_lost(
    moment: str, workers: int, start: Start, disk: Path, undisturbed: Delivered
) -> None:
    out = disk / "run"
    process = start(new(out, "--workers", str(workers)))
    until(lambda: list(out.glob(moment)), process)
    fill(disk)
    end = ended(process)
    assert end.code == 1, end
    assert re.fullmatch(FULL.format(out=out) + "--resume", end.message), end.message
    assert not (out / "report.json").exists()
    (disk / "filler").unlink()
    again = ended(start(resumed(out)))
    assert (again.code, again.error) == (0, "")
    assert delivered(out) == undisturbed
    assert len(scores(out)) == len(set(scores(out))), "no training that has ended is run again"


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("full", ["leader", "member"])
def test_a_shared_search_continues_without_the_machine_whose_disk_is_full(
    full: str, start: Start, disk: Path, tmp_path: Path, cluster: Cluster
) -> None:
    long = ["--trials", "16", "--epochs", "20", "--set", "training.batch=4"]  # trainings are left for the member
    shared = ["--storage", cluster.url, "--study", f"full-{full}", "--workers", "1", "--finalists", "1", *long]
    outs = [disk / "run", tmp_path / "run"] if full == "leader" else [tmp_path / "run", disk / "run"]
    leader = start(new(outs[0], *shared))
    until((outs[0] / "plan.yaml").exists, leader)
    member = start(new(outs[1], *shared))
    until((outs[1] / "trainings").exists, member)
    fill(disk)
    end, rest = map(ended, (leader, member) if full == "leader" else (member, leader))
    assert end.code == 1, end
    assert re.match(rf"lightcnn: .*{disk}/run.*(full|No space left).*free.* space", end.message), end.message
    assert rest.code == 0, rest
    rows = timeless(tmp_path / "run")
    assert [row["number"] for row in rows] == [str(number) for number in range(16)]
    assert {row["state"] for row in rows} <= {"complete", "pruned", "duplicate"}
    assert json.loads((tmp_path / "run/report.json").read_text())["machines"]["members"] == 2


NO_MEMORY = (
    r"out of memory with batches of 1024 \(.*can't allocate memory: you tried to allocate \d+ bytes.*\); "
    "lower training.batch or --workers"
)


def test_a_search_that_has_no_memory_for_any_network_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load("digits")  # which imports packages
    before = faults.limit_memory(200_000_000)
    try:
        end = here(new(tmp_path / "run", "--workers", "1", "--trials", "1", *LARGE_BATCHES), capsys)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert end.code == 1
    assert re.fullmatch(rf"lightcnn: run .*/run: no trial succeeded; the reasons: {NO_MEMORY}", end.message), end


@pytest.mark.long
def test_trainings_of_workers_without_memory_fail_and_the_others_continue(start: Start, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(new(out, "--workers", "2", "--trials", "6", *LARGE_BATCHES), fault="limit_memory(900_000_000)")
    end = ended(process)
    assert (end.code, end.error) == (0, "")
    assert all(re.fullmatch(NO_MEMORY, reason) for reason in failed_trials(out))


DIVERGED = (
    r"(?:the loss became (?:nan|inf) in epoch \d; lower training.learning_rate, or clip gradients with "
    r"training.clip_norm=1; images of the batch: \d+ images|the network predicts numbers that are not finite)"
)


def test_a_search_whose_trainings_all_diverge_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = here(new(tmp_path / "run", "--workers", "1", "--epochs", "6", *DIVERGING), capsys)
    assert end.code == 1
    assert re.fullmatch(
        f"lightcnn: run .*/run: no trial succeeded; the reasons: {DIVERGED}(; {DIVERGED})*(; and 1 more)?", end.message
    )
    log = (tmp_path / "run/log.txt").read_text()
    assert re.findall(r"trial (\d): " + DIVERGED, log) == ["0", "1", "2", "3"]


def test_networks_that_diverge_in_their_final_training_are_delivered_as_they_were_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    end = here(new(out, "--workers", "1", "--trials", "1", *DIVERGING), capsys)
    assert (end.code, end.error) == (0, "")
    assert re.search(f"trial 0: the final training failed: {DIVERGED}", (out / "log.txt").read_text())
    best = json.loads((out / "report.json").read_text())["best"]
    assert 427 <= best["images"] < 1_221, "those of the rung, or of a part that did not diverge"


def test_a_block_that_raises_an_error_fails_its_trials_and_the_others_continue(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConvNormAct, "forward", faults.forward_or_error)
    out = tmp_path / "run"
    end = here(new(out, "--workers", "1"), capsys)
    assert (end.code, end.error) == (0, "")
    assert failed_trials(out) == {"RuntimeError: this block is broken"}
    assert timeless(out)[0]["state"] == "failed", "also of the first trial"
    assert "faults.py" in (out / "log.txt").read_text(), "with the traceback"


@pytest.mark.long
def test_a_block_that_raises_an_error_in_workers_fails_the_same_trials(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ConvNormAct, "forward", faults.forward_or_error)
    assert here(new(tmp_path / "here", "--workers", "1"), capsys).code == 0
    end = ended(start(new(tmp_path / "workers", "--workers", "2"), fault="break_blocks()"))
    assert (end.code, end.error) == (0, "")
    assert failed_trials(tmp_path / "workers") == {"RuntimeError: this block is broken"}
    assert delivered(tmp_path / "workers") == delivered(tmp_path / "here")


@pytest.mark.long
@pytest.mark.parametrize("how", ["new", "resumed", "shared"])
def test_of_two_searches_that_start_in_one_folder_at_once_one_is_refused(
    how: str, start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    out = tmp_path / "run"
    options, refusal = new(out, "--workers", "1"), f"--out {out}: already exists; choose a new folder"
    if how == "shared":
        cluster: Cluster = request.getfixturevalue("cluster")
        options += ["--storage", cluster.url, "--study", "one-folder"]
    if how == "resumed":
        killed = start(options)
        until((out / "study.db").exists, killed)
        killed.kill()
        killed.wait()
        options = resumed(out)
        refusal = f"run {out}: another process works in it; wait for it or end it"
    both = [start(options) for _ in range(2)]
    refused, finished = sorted(map(ended, both), key=lambda end: -end.code)
    assert (refused.code, finished.code) == (2, 0), (refused, finished)
    assert refused.message.startswith(f"lightcnn: {refusal}"), refused.message
    assert len(timeless(out)) == 4
    if how == "shared":
        assert json.loads((out / "report.json").read_text())["machines"]["members"] == 1

"""Is a search worth its time? Arms with the same training function, machine and time, compared on the same test images.

    python tests/benchmarks/search.py run --rows core --out evidence.jsonl --fashion fashion_mnist.npz
    python tests/benchmarks/search.py table evidence.jsonl

Arms: `ours`, lightcnn search with its defaults; `one trial`, the same with --trials 1; `optuna`, plain Optuna;
`random`, --strategy random; `hand-made`, the best of four networks on validation. search_arms.py describes what runs in
the third and the fifth, search_rows.py lists the rows, search_table.py computes the table.

Rows are run one after another, each in a process of its own, on the first two cores that this process may use (no such
limit with --device cuda), those of one-core on the first one; rows of one core and of a GPU form tables of their own.
A row is data, budget, minutes, arm and seed. Finished rows are added to --out and skipped when the script is started
again, so it can be ended at any time and loses one row. --rows core takes about 7 hours, around 2 hours, one-core 90
minutes, quick 2 minutes. In the background, with nothing else running:

    nohup python tests/benchmarks/search.py run --rows core --out evidence.jsonl > evidence.log 2>&1 &
    tail -f evidence.log

Of --rows one-core, both arms can run at once, each on a core of its own if 0 and 1 are not threads of one core:

    taskset -c 0 python tests/benchmarks/search.py run --rows one-core --arms ours --out ours.jsonl &
    taskset -c 1 python tests/benchmarks/search.py run --rows one-core --arms "one trial" --out one.jsonl

The rows that docs/reference/measurements.md describes lie beside this script, a file for each processor and number of
cores, and each is continued on such a machine only; same_day_rows has arms of one day, on slower cores:

    python tests/benchmarks/search.py table tests/benchmarks/search_rows_*.jsonl.xz
    python tests/benchmarks/search.py table tests/benchmarks/same_day_rows_epyc.jsonl.xz
    xz -dc tests/benchmarks/search_rows_epyc.jsonl.xz > evidence.jsonl

The test set is predicted once per row, after the network is chosen; here it is only read from finished rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from search_rows import ARMS, SETUPS, SOURCES, Row, append_row, packed, planned, read_rows
from search_table import print_tables

from lightcnn.comparing.run_predictions import read_run
from lightcnn.run_folder import environment

HERE = Path(__file__).parent
CORES = {"one-core": 1}
"""Cores of a CPU on which rows run, where they are not two."""
SPARE_FACTOR, SPARE_SECONDS = 2.0, 900
"""An arm is ended without a row after so many times its time and so many seconds more, for data and reports."""
NOT_STORED = ("data", "metrics", "network", "predictions", "history", "front")
"""Keys of a search's report that its row does not store."""
SEARCH_OPTIONS = {"one trial": ["--trials", "1"], "random": ["--strategy", "random"]}


def run(options: argparse.Namespace) -> int:
    """Runs the rows that are not finished; returns the number of those that failed."""
    sources = SOURCES | ({"fashion-mnist": options.fashion} if options.fashion else {})
    device = options.device
    cores = CORES.get(options.rows, 2) if device == "cpu" else None
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    finished = read_rows(options.out)
    require_machine(finished.values(), cores)
    rows = [row for row in planned(options.rows, device) if row.arm in (options.arms or ARMS)]
    todo = [row for row in rows if row not in finished]
    minutes = sum(row.minutes for row in todo)
    print(f"{len(todo)} of {len(rows)} rows, {minutes:.0f} minutes and the time to read data", flush=True)
    failed = 0
    for number, row in enumerate(todo, 1):
        try:
            values = measured(row, sources[row.data], cores)
        except (subprocess.SubprocessError, OSError, ValueError) as error:
            failed += 1
            print(f"{number}/{len(todo)} {row}: FAILED: {error}", flush=True)
            continue
        append_row(options.out, row, values)
        val, test = values["val"]["value"], values["test"]["value"]
        print(f"{number}/{len(todo)} {row}: validation {val:.2%}, test {test:.2%}, {values['networks']} networks, "
              f"{values['seconds']:.0f} s", flush=True)  # fmt: skip
    return failed


def require_machine(finished: Iterable[dict[str, Any]], cores: int | None) -> None:
    """Raises: SystemExit if there are rows of another processor or number of cores, which are not comparable."""
    here = (environment()["processor"], cores)
    if others := {(row["machine"]["processor"], row["machine"]["affinity"]) for row in finished} - {here}:
        texts = [f"{processor} ({number or 'all'} cores)" for processor, number in (*sorted(others, key=str), here)]
        raise SystemExit(f"--out: its rows are of {', '.join(texts[:-1])}, not of {texts[-1]}; give another file")


def measured(row: Row, source: str, cores: int | None) -> dict[str, Any]:
    """The values of a row. Raises: SubprocessError if its process fails or takes far too long."""
    machine = environment() | {"commit": commit(), "affinity": cores}
    with tempfile.TemporaryDirectory() as scratch:
        began, cpu_before = time.monotonic(), cpu_seconds()
        if row.arm in ("optuna", "hand-made"):
            out = Path(scratch) / "result.json"
            command = [sys.executable, str(HERE / "search_arms.py"), row.arm, "--data", source, "--budget", row.budget,
                       "--seconds", str(row.seconds), "--seed", str(row.seed), "--device", row.device,
                       "--out", str(out)]  # fmt: skip
            call(command, row, cores, Path(scratch) / "log")
            values = json.loads(out.read_text())
        else:
            out = Path(scratch) / "run"
            command = search_command(row, source)
            call([*command, "--out", str(out)], row, cores, Path(scratch) / "log")
            values = values_of_run(out)
        spent = {"wall_seconds": time.monotonic() - began, "cpu_seconds": cpu_seconds() - cpu_before}
    named = [Path(part).name if Path(part).is_absolute() else part for part in command]
    return values | spent | {"command": named, "machine": machine, "finished": time.time()}


def cpu_seconds() -> float:
    """Seconds of CPU of all processes that have ended: less than those of the cores if others use the machine too."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def search_command(row: Row, source: str) -> list[str]:
    """The command of an arm that is a search of lightcnn."""
    return [sys.executable, "-m", "lightcnn", "search", "--budget", row.budget, "--data", source,
               "--time", f"{row.seconds}s", "--seed", str(row.seed), "--device", row.device, "--quiet",
               *SEARCH_OPTIONS.get(row.arm, [])]  # fmt: skip


def call(command: list[str], row: Row, cores: int | None, log: Path) -> None:
    """Runs a command in a process group of its own, which ends with this process. Raises: SubprocessError."""
    environ = None if cores is None else os.environ | {"OMP_NUM_THREADS": str(cores)}
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environ, start_new_session=True)
    try:
        code = process.wait(SPARE_FACTOR * row.seconds + SPARE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise subprocess.SubprocessError(f"exit code {code}: {log.read_text(errors='replace')[-2000:].strip()}")


def values_of_run(folder: Path) -> dict[str, Any]:
    """What a row stores of a finished search."""
    predictions = read_run(folder)
    report = json.loads((folder / "report.json").read_text())
    names = ("value", "low", "high")
    of_sets = {split: {name: report["metrics"][split]["accuracy"][name] for name in names} for split in ("val", "test")}
    return {
        **of_sets,
        **packed(predictions.correct[0], predictions.groups.tolist(), predictions.images),
        "seconds": report["seconds"],
        "networks": report["counts"]["trained"],
        "network": {"cost": report["network"]["cost"]},
        "search": {name: value for name, value in report.items() if name not in NOT_STORED},
    }


def commit() -> str:
    """The commit of the code that is measured, with a note if files differ from it."""
    changed = git("status", "--porcelain", "--untracked-files=no").strip()
    return git("rev-parse", "HEAD").decode().strip() + (", changed" if changed else "")


def git(*arguments: str) -> bytes:
    """What a git command prints. Raises: SubprocessError."""
    return subprocess.run(["git", "-C", str(HERE), *arguments], check=True, capture_output=True).stdout


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="measure the rows that --out lacks")
    running.add_argument("--rows", choices=SETUPS, required=True)
    running.add_argument("--out", type=Path, required=True, help="JSON-lines file of finished rows")
    running.add_argument("--fashion", help="SOURCE of Fashion-MNIST, such as a .npz file (default: fashion-mnist)")
    running.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    running.add_argument("--arms", nargs="+", choices=ARMS, help="only these arms")
    table = commands.add_parser("table", help="print the tables and the goals")
    table.add_argument("file", type=Path, nargs="+")
    return top


def main() -> int:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    options = parser().parse_args()
    if options.command == "table":
        print_tables([row for file in options.file for row in read_rows(file).values()])
        return 0
    try:
        with FileLock(f"{options.out}.lock", timeout=0):
            return 1 if run(options) else 0
    except Timeout:
        print(f"{options.out}: another process adds rows to this file; wait for it, or end it", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

"""Sends signals to a training at random moments, and prints how many were swallowed.

    python tests/benchmarks/interrupt.py [MOMENTS]

Half of the moments get SIGINT twice within 50 ms, the others once; every fifth gets SIGTERM, every seventh SIGHUP. A
signal is swallowed if the process ends with another exit code than that of the signal, or without the command that
resumes.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def start(out: Path) -> subprocess.Popen[str]:
    """A training that would run for hours, once its settings are on disk."""
    command = [sys.executable, "-m", "lightcnn", "train", "quick", "--epochs", "5000", "--out", str(out)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (out / "log.txt").exists() and child.poll() is None:
        time.sleep(0.02)
    return child


def swallowed(out: Path, moment: int, chance: random.Random) -> str:
    """What was wrong after one moment; an empty text if nothing was."""
    child = start(out)
    time.sleep(chance.uniform(0, 2))
    number = signal.SIGTERM if moment % 5 == 4 else signal.SIGHUP if moment % 7 == 6 else signal.SIGINT
    child.send_signal(number)
    if number == signal.SIGINT and moment % 2:
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(number)
    try:
        _, error = child.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        child.kill()
        return f"{number.name}: still running after 60 s"
    right = child.returncode == CODES[number] and "resume with: lightcnn train --resume" in error
    return "" if right else f"{number.name}: exit code {child.returncode}, {error.strip()[-300:]}"


def main() -> None:
    moments, chance = int(sys.argv[1]) if len(sys.argv) > 1 else 50, random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        faults = [swallowed(Path(folder) / str(moment), moment, chance) for moment in range(moments)]
    for fault in filter(None, faults):
        print(fault)
    print(f"{moments} moments, {sum(map(bool, faults))} swallowed")


if __name__ == "__main__":
    main()

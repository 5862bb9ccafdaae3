"""Sends signals to trainings and searches at random moments, and prints how many were swallowed.

    python tests/benchmarks/interrupt.py [MOMENTS]

Trainings and searches alternate. A third of the moments are before the run folder exists, while PyTorch is imported or
the data are read; the others are within the first seconds after it was written. Of each three signals two are SIGINT,
one of them twice within 50 ms; the third is SIGTERM or SIGHUP. A signal is swallowed if the process ends with another
exit code than that of the signal, with other lines on stderr than the one that reports it, or without the command that
resumes although there is a run folder.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
COMMANDS = {
    "train": (["train", "quick", "--epochs", "5000"], "train.yaml"),
    "search": (["search", "--budget", "1MFLOPs", "--time", "2h"], "search.yaml"),
}
"""Commands that would run for hours, and the file that makes their run folder one that can be resumed."""
FIRST_SECONDS = 0.5
"""Python needs this long until lightcnn handles signals; before, the system ends the process as any other."""


def wait(child: subprocess.Popen[str], file: Path, early: bool, chance: random.Random) -> None:
    """Waits until the moment of the signal."""
    if early:
        time.sleep(FIRST_SECONDS + chance.uniform(0, 4))
        return
    while not file.exists() and child.poll() is None:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 5))


def fault(folder: Path, moment: int, chance: random.Random, seen: Counter[str]) -> str:
    """What was wrong after one moment; an empty text if nothing was."""
    name = ("train", "search")[moment % 2]
    arguments, settings = COMMANDS[name]
    out = folder / str(moment)
    number = (signal.SIGINT, signal.SIGINT, (signal.SIGTERM, signal.SIGHUP)[moment // 3 % 2])[moment % 3]
    command = [sys.executable, "-m", "lightcnn", *arguments, "--out", str(out), "--quiet"]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait(child, out / settings, moment // 2 % 3 == 0, chance)
    child.send_signal(number)
    if moment % 3 == 1:
        time.sleep(chance.uniform(0, 0.05))
        child.send_signal(number)
    try:
        _, error = child.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        child.kill()
        return f"{name}, {number.name}: still running after 120 s"
    line = f"interrupted; resume with: lightcnn {name} --resume --out {out}" if out.exists() else "interrupted"
    seen[f"{name} {'with' if out.exists() else 'before'} a run folder"] += 1
    right = child.returncode == CODES[number] and error == f"lightcnn: {line}\n"
    left = [path.name for path in folder.glob(".*")]
    return "" if right and not left else f"{name}, {number.name}: {child.returncode}, {left}, {error.strip()[-300:]}"


def main() -> None:
    moments, chance, seen = int(sys.argv[1]) if len(sys.argv) > 1 else 50, random.Random(0), Counter[str]()
    # Under nohup and in the background of a shell, processes ignore these signals, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with tempfile.TemporaryDirectory() as folder:
        faults = [fault(Path(folder), moment, chance, seen) for moment in range(moments)]
    for line in filter(None, faults):
        print(line)
    print(f"{moments} moments ({', '.join(f'{count} {where}' for where, count in sorted(seen.items()))}), "
          f"{sum(map(bool, faults))} swallowed")  # fmt: skip


if __name__ == "__main__":
    main()

"""How long `lightcnn profile` takes, part by part, for its 12 networks, and how much memory.

    python tests/benchmarks/profiling.py

The seconds of each network's count; counting without times, the whole default profile, and ONNX Runtime beside it.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

from lightcnn.profiling.job import Settings, conduct
from lightcnn.profiling.subjects import subjects


def main() -> None:
    for one in subjects((), baselines=False, input=None, accuracies={}):
        begin = time.perf_counter()
        told = one.profile().count
        print(f"{one.name:<18} built and counted {time.perf_counter() - begin:5.1f} s: {told.macs:,}")
    with tempfile.TemporaryDirectory() as folder:
        onnx = Settings(runtimes=("folded", "onnx", "onnx-int8"))
        ways = {"without times": Settings(latency=False), "whole": Settings(), "with ONNX": onnx}
        for name, settings in ways.items():
            begin = time.perf_counter()
            conduct((), settings, out=Path(folder) / name)
            held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
            print(f"{name:<18} {time.perf_counter() - begin:6.1f} s, {held:.2f} GiB resident at most so far")


if __name__ == "__main__":
    main()

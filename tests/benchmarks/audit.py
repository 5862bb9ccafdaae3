"""Speed and memory of `lightcnn audit` on synthetic photographs.

    python tests/benchmarks/audit.py [--count 10000] [--size 128] [--files 600]

Two measurements: files of 224×224 per second through decoding, hashing and format checks (`--fast`), and a whole audit
of many images, near duplicates included. Both run the command as a user does, each in a separate process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from lightcnn.data.sources.lesion_painter import paint_lesions


def photographs(folder: Path, count: int, size: int) -> None:
    """Writes JPEG files of synthetic patients into two class folders; one file in four is a rotated copy."""
    lesions = paint_lesions(count=-(-count * 3 // 4), size=size, seed=1)
    written = 0
    for number, image in enumerate(lesions.images):
        target = folder / lesions.classes[lesions.labels[number]]
        target.mkdir(parents=True, exist_ok=True)
        photograph = Image.fromarray(image)
        copies = [photograph, photograph.rotate(17)] if number % 3 == 0 else [photograph]
        for turn, copy in enumerate(copies):
            if written < count:
                copy.save(target / f"{np.random.default_rng([number, turn]).bytes(6).hex()}.jpg", quality=90)
                written += 1


def audit(folder: Path, *options: str) -> tuple[dict, float, float]:
    """The report, seconds and peak memory in GB of one audit in a fresh process with an empty cache."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "lightcnn",
            "audit",
            str(folder),
            "--json",
            "--out",
            f"{scratch}/out",
            *options,
        ]
        start = time.perf_counter()
        process = subprocess.run(
            command, check=True, capture_output=True, text=True, env=os.environ | {"LIGHTCNN_CACHE": scratch}
        )
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return json.loads(process.stdout), seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="images of the whole audit")
    parser.add_argument("--size", type=int, default=128, help="height and width of these images")
    parser.add_argument("--files", type=int, default=1_500, help="images of 224×224 for the first measurement")
    options = parser.parse_args()
    scratch = Path(tempfile.mkdtemp())
    try:
        print(f"{'':44}{'images':>8}{'seconds':>9}{'per second':>12}{'peak GB':>9}")
        photographs(scratch / "large", options.files, 224)
        for name, more in (("224×224, --fast, start and imports included", ["--fast"]), ("the same, whole audit", [])):
            report, seconds, peak = audit(scratch / "large", *more)
            count = report["counts"]["images"]
            print(f"{name:44}{count:8,}{seconds:9.1f}{count / seconds:12.0f}{peak:9.2f}", flush=True)
        photographs(scratch / "many", options.count, options.size)
        report, seconds, peak = audit(scratch / "many")
        count = report["counts"]["images"]
        name = f"{options.size}×{options.size}, whole audit"
        print(f"{name:44}{count:8,}{seconds:9.1f}{count / seconds:12.0f}{peak:9.2f}")
        print(f"{len(report['near_duplicates']):,} clusters found, {len(report['cross_class']):,} under two classes")
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()

"""Few images: a search against its first network alone, for the same time.

    python tests/benchmarks/few_images.py [--seeds 3] [--time 3m]

Both are trained on 2,040 synthetic lesions of six classes, and judged by 3,000 others, which neither has seen. Each
seed takes twice the time and a minute of two cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from lightcnn import Run
from lightcnn.data.sources.lesion_painter import paint_lesions

CLASSES, SIZE = 6, 64
DATA = f"synthetic-lesions:classes={CLASSES},size={SIZE},count=3000"
OTHERS, OTHER_SEED = 3_000, 7
"""Images on which the networks are compared."""


def search(out: Path, time: str, seed: int, *options: str) -> Run:
    """A finished search."""
    command = ["search", "--budget", "1MFLOPs", "--data", DATA, "--time", time, "--fast", "--seed", str(seed)]
    arguments = [*command, "--out", str(out), "--quiet", *options]
    subprocess.run([sys.executable, "-m", "lightcnn", *arguments], check=True, stdout=subprocess.DEVNULL)
    return Run.load(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--time", default="3m")
    options = parser.parse_args()
    lesions = paint_lesions(count=OTHERS, size=SIZE, classes=CLASSES, seed=OTHER_SEED)
    names = [lesions.classes[label] for label in lesions.labels]
    print("| seed | networks compared | search | first network alone | difference |\n" + "|---" * 5 + "|")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            ours = search(Path(folder) / "ours", options.time, seed)
            alone = search(Path(folder) / "alone", options.time, seed, "--trials", "1")
            first, second = (
                100 * np.mean(np.array(run.predict(list(lesions.images)).predictions) == names) for run in (ours, alone)
            )
            networks = ours.report["comparison"]["networks"]
        print(f"| {seed} | {networks} | {first:.2f} % | {second:.2f} % | {first - second:+.2f} |", flush=True)


if __name__ == "__main__":
    main()

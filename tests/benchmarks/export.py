"""What the files of `lightcnn export` predict, how large and how fast they are, and whether the C is exact.

    python tests/benchmarks/export.py [RUN ...] [--skip-micrompoxnet]

Without a RUN, the recipe `quick` is trained on digits first. For each run: one row per format, with the accuracy on the
test set and its 95 % interval, the points that it loses to PyTorch, bytes, and the median time of one image. Formats
whose packages are not installed are listed with the reason. Then the C, compiled for this computer, is compared with
the NumPy reference: on all test images of each run, and on 200 images for MicroMPoxNet with random weights.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from exported_networks import ExportedNetwork, given_runs, micrompoxnet, of_run

import lightcnn
from lightcnn.errors import InputError
from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.exporting.formats import FORMATS
from lightcnn.integer import reference

COMPARED = r"""
#include <stdio.h>
#include "model.h"
int main(void)
{
    while (fread(model_input(), MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH * MODEL_INPUT_CHANNELS, 1, stdin) == 1) {
        model_predict();
        fwrite(model_logits(), MODEL_LOGITS, 1, stdout);
    }
    return 0;
}
"""


def print_formats(run: Path, folder: Path) -> None:
    """One row per format of a run."""
    formats, missing = [], []
    for name, row in FORMATS.items():
        try:
            row.require_installed()
            formats.append(name)
        except InputError as error:
            missing.append(str(error))
    report = lightcnn.export(run, to=formats, out=folder / f"export-{run.name}").report
    print(f"\n{run.name}\n\n| format | bytes | of weights | agreement | accuracy (95 % interval) | points lost | ms |")
    print("|---|---|---|---|---|---|---|")
    before = report["pytorch"]["accuracy"]["value"]
    parity = {"agreement": 1.0}
    for entry in ({"format": "PyTorch", "bytes": 0, "parity": parity} | report["pytorch"], *report["formats"]):
        print(_row(entry, before))
    for reason in (*missing, *(refusal["reason"] for refusal in report["refused"])):
        print(f"left out: {reason}")


def _row(entry: Mapping[str, Any], before: float) -> str:
    accuracy, latency = entry["accuracy"], entry["latency_ms"]
    cells = (
        entry["format"], f"{entry['bytes']:,}", f"{entry['weight_bytes']:,}", f"{entry['parity']['agreement']:.2%}",
        f"{accuracy['value']:.2%} ({100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f})",
        f"{100 * (before - accuracy['value']):+.2f}", "–" if latency is None else f"{latency['median']:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def print_equality(network: ExportedNetwork, folder: Path) -> None:
    """How many images have the codes of the NumPy reference in compiled C."""
    place = folder / f"c-{network.name}"
    place.mkdir()
    facts = CFacts(tuple(map(str, range(network.spec.classes))))
    for name, content in (c_files(network.integer, facts) | {"compared.c": COMPARED.encode()}).items():
        (place / name).write_bytes(content)
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2")
    subprocess.run(["gcc", *flags, "-o", "compared", "compared.c", "model.c", "weights.c"], cwd=place, check=True)
    output = subprocess.run([place / "compared"], input=network.images.tobytes(), capture_output=True, check=True)
    expected = reference.run(network.integer, network.images)
    computed = np.frombuffer(output.stdout, np.int8).reshape(expected.shape)
    equal = int((computed == expected).all(1).sum())
    print(f"{network.name}: the C gives the codes of the NumPy reference for {equal:,} of {len(expected):,} images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--skip-micrompoxnet", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = given_runs(options.runs, folder)
        for run in runs:
            print_formats(run, folder)
        print()
        for run in runs:
            print_equality(of_run(run), folder)
        if not options.skip_micrompoxnet:
            print_equality(micrompoxnet(), folder)


if __name__ == "__main__":
    main()

"""What the files of `lightcnn export` predict, how large and how fast they are, and whether the C is exact.

    python tests/benchmarks/export.py [RUN ...] [--data SOURCE] [--trainings FOLDER]

For each RUN, for the recipe `quick` (mbconv blocks, one with squeeze-and-excitation) trained on SOURCE (digits without
it), and for MicroMPoxNet trained on synthetic lesions: one row per format, with the accuracy on the test set, its 95 %
interval, the points that it loses to PyTorch, bytes, and the median time of one image on one thread. For MicroMPoxNet,
whose test set is small, also the points that `onnx-int8` loses on other images. Then the memory of the C, with the
stack on an emulated Cortex-M4, and the arena of TensorFlow Lite Micro. Last, the C, compiled for this computer, is
compared with the NumPy reference on all test images. Formats whose packages are not installed, and the emulator if it
is not, are listed with the reason.

The trainings take 20 minutes of one core; runs that are finished in FOLDER are not trained again, others are resumed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from exported_networks import ExportedNetwork, of_run, trained_runs

import lightcnn
from lightcnn import ExportedModel, Run
from lightcnn.data.sources.lesion_painter import paint_lesions
from lightcnn.errors import InputError
from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.exporting.device import check
from lightcnn.exporting.formats import FORMATS
from lightcnn.integer import reference
from lightcnn.searching.trainings.judge import paired_error

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


NEW_IMAGES, NEW_SEED = 2_000, 2
"""Synthetic lesions of other patients than those that MicroMPoxNet is trained and tested on."""
EMULATED_IMAGES = 1
"""One image of MicroMPoxNet takes 1.8 billion instructions; the stack does not depend on the image."""


def print_formats(title: str, run: Path, folder: Path) -> None:
    """One row per format of a run, and the arena of TensorFlow Lite Micro."""
    formats, missing = [], []
    for name, row in FORMATS.items():
        try:
            row.require_installed()
            formats.append(name)
        except InputError as error:
            missing.append(str(error))
    report = lightcnn.export(run, to=formats, max_loss_points=100, out=folder / f"export-{run.name}").report
    print(f"\n{title}: {report['data']['counts']['test']:,} test images\n")
    print(
        "| format | bytes | of weights | agreement | accuracy (95 % interval) | points lost | ms |\n" + "|---" * 7 + "|"
    )
    before = report["pytorch"]["accuracy"]["value"]
    parity = {"agreement": 1.0}
    for entry in ({"format": "PyTorch", "bytes": 0, "parity": parity} | report["pytorch"], *report["formats"]):
        print(_row(entry, before), flush=True)
    for entry in report["formats"]:
        if "tflm_arena_bytes" in entry["details"]:
            arena, activations = (entry["details"][f"tflm_{name}_bytes"] for name in ("arena", "activation"))
            print(f"{entry['format']}: TensorFlow Lite Micro's arena {arena:,} B, of it {activations:,} of activations")
    for reason in (*missing, *(refusal["reason"] for refusal in report["refused"])):
        print(f"left out: {reason}")


def _row(entry: Mapping[str, Any], before: float) -> str:
    accuracy, latency = entry["accuracy"], entry["latency_ms"]
    cells = (
        entry["format"], f"{entry['bytes']:,}", f"{entry['weight_bytes']:,}", f"{entry['parity']['agreement']:.2%}",
        f"{accuracy['value']:.2%} ({100 * accuracy['low']:.2f} to {100 * accuracy['high']:.2f})",
        f"{100 * (before - accuracy['value']):+.2f}",
        "–" if latency is None else f"{'~' * latency['unstable']}{latency['median']:.2f}",
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def print_new_images(run: Path, exported: Path) -> None:
    """The points that `onnx-int8` loses to PyTorch on images that neither training nor calibration has seen."""
    if not (file := exported / "model.int8.onnx").exists():
        return  # the reason is printed above
    lesions = paint_lesions(count=NEW_IMAGES, seed=NEW_SEED)
    names = [lesions.classes[label] for label in lesions.labels]
    correct = [
        np.array(predictor.predict(list(lesions.images)).predictions) == names
        for predictor in (Run.load(run), ExportedModel(file))
    ]
    before, after = (each.mean() for each in correct)
    error = 1.96 * paired_error(*correct, lesions.patients)
    patients = len(set(lesions.patients))
    print(
        f"{NEW_IMAGES:,} other images of {patients:,} patients: {before:.2%} in PyTorch, {after:.2%} by onnx-int8, "
        f"{100 * (before - after):.2f} points lost (95 % interval {100 * (before - after - error):.2f} to "
        f"{100 * (before - after + error):.2f})"
    )


def print_memory(network: ExportedNetwork, files: Mapping[str, bytes]) -> None:
    """Arena, stack and flash of the C on an emulated Cortex-M4."""
    images = network.images[:EMULATED_IMAGES]
    try:
        device = check(files, "cortex-m4", images=images, expected=reference.run(network.integer, images))
    except InputError as error:
        print(f"left out: {error}")
        return
    print(f"c: arena {device.arena_bytes:,} B, stack {device.stack_bytes:,} B, flash {device.flash_bytes:,} B")


def print_equality(network: ExportedNetwork, files: Mapping[str, bytes], folder: Path) -> None:
    """How many images have the codes of the NumPy reference in compiled C."""
    place = folder / f"c-{network.name}"
    place.mkdir()
    for name, content in {**files, "compared.c": COMPARED.encode()}.items():
        (place / name).write_bytes(content)
    flags = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O2")
    subprocess.run(["gcc", *flags, "-o", "compared", "compared.c", "model.c", "weights.c"], cwd=place, check=True)
    output = subprocess.run([place / "compared"], input=network.images.tobytes(), capture_output=True, check=True)
    expected = reference.run(network.integer, network.images)
    computed = np.frombuffer(output.stdout, np.int8).reshape(expected.shape)
    equal = int((computed == expected).all(1).sum())
    print(f"the C gives the codes of the NumPy reference for {equal:,} of {len(expected):,} images", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--data", default="digits", metavar="SOURCE")
    parser.add_argument("--trainings", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {run.name: run for run in options.runs} | trained_runs(options.trainings or folder, options.data)
        for title, run in runs.items():
            print_formats(title, run, folder)
            if run.name == "micrompoxnet":
                print_new_images(run, folder / f"export-{run.name}")
            network = of_run(run)
            files = c_files(network.integer, CFacts(tuple(map(str, range(network.spec.classes)))))
            print_memory(network, files)
            print_equality(network, files, folder)


if __name__ == "__main__":
    main()

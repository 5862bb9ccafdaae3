"""What networks need on a microcontroller: memory beside that of other tools, and instructions.

    python tests/benchmarks/device.py [RUN ...] [--skip-micrompoxnet] [--emx PROGRAM]

Without a RUN, the recipe `quick` (mbconv blocks, one with squeeze-and-excitation) is trained on digits first. The first
table has the arena of the generated C beside int8 `peak_activations`, the arena of TensorFlow Lite Micro for the same
integers (extra `tflite`) and for the same shapes with ReLU, and flash and stack of what emx-onnx-cgen (PyPI) generates
from our ONNX in fp32 and in int8, with its buffers on the stack. The second table has flash, stack and instructions on
three emulated processors. An emulator counts instructions, not cycles.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from exported_networks import ExportedNetwork, given_runs, micrompoxnet, of_run, with_relu

from lightcnn.cost import cost
from lightcnn.errors import LightcnnError
from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.exporting.device import check
from lightcnn.exporting.settings import COMPILER, PROCESSORS
from lightcnn.exporting.tflite.micro import MicroInterpreter
from lightcnn.exporting.tflite.operators import int8_bytes
from lightcnn.integer import reference
from lightcnn.memory_plan import plan_memory

RUN_IMAGES = {"micrompoxnet": 1}
"""Images that are emulated; 5 of other networks."""
EMX_SECONDS = 240


def arenas(network: ExportedNetwork) -> list[str]:
    """Cells: peak activations, our arena, and TensorFlow Lite Micro's; then its arena and our share of it with ReLU."""
    ours = plan_memory(network.integer.program).arena_bytes
    cells = [f"{cost(network.spec).peak_activations:,}", f"{ours:,}"]
    try:
        arena = MicroInterpreter(int8_bytes(network.integer)).arena()
        relu = MicroInterpreter(int8_bytes(with_relu(network))).arena()["total"]
    except LightcnnError as error:
        return [*cells, f"left out: {error}", *["–"] * 5]
    total, head = arena["total"], arena["head"]
    shares = [f"{ours / total:.3f}", f"{ours / head:.2f}", f"{relu:,}", f"{ours / relu:.2f}"]
    return [*cells, f"{total:,}", f"{head:,}", *shares]


def emx(network: ExportedNetwork, folder: Path, program: str | None) -> list[str]:
    """Cells: flash and stack of what emx-onnx-cgen generates in fp32 and in int8."""
    if not program:
        return ["left out: emx-onnx-cgen is not installed", "–"]
    from lightcnn.onnxfiles.quantization import observe_activations, quantize_network
    from lightcnn.onnxfiles.write import onnx_bytes

    data = onnx_bytes(network.deployed, network.spec.input)
    images = np.random.default_rng(0).normal(size=(8, *network.spec.input)).astype(np.float32)
    int8 = quantize_network(data, observe_activations(data, images).ranges())
    cells = []
    for name, content in (("fp32", data), ("int8", int8)):
        (folder / f"{name}.onnx").write_bytes(content)
        try:
            cells.append(_emx(program, folder, name))
        except subprocess.TimeoutExpired:
            cells.append(f"left out: took over {EMX_SECONDS} s")
        except subprocess.CalledProcessError as error:
            cells.append(f"left out: {Path(error.cmd[0]).name} failed")
    return cells


def _emx(program: str, folder: Path, name: str) -> str:
    """Flash and largest stack frame on a Cortex-M4 at -Os, for one image; every temporary is on the stack."""
    import onnx

    batch = onnx.load(folder / f"{name}.onnx").graph.input[0].type.tensor_type.shape.dim[0].dim_param
    options = ("--large-temp-threshold", "0", "--large-weight-threshold", "0", "--input-dim", f"{batch}=1")
    calls = (
        [program, "compile", *options, f"{name}.onnx", f"{name}.c"],
        [COMPILER, "-mcpu=cortex-m4", "-mthumb", "-Os", "-ffreestanding", "-fstack-usage", "-w", "-c", f"{name}.c"],
    )
    for call in calls:
        subprocess.run(call, cwd=folder, check=True, capture_output=True, timeout=EMX_SECONDS)
    sizes = subprocess.run(
        ["arm-none-eabi-size", "-A", "-d", f"{name}.o"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    flash = sum(int(size) for size in re.findall(r"^\.(?:text|rodata)\S*\s+(\d+)", sizes, re.MULTILINE))
    frames = [int(row.split("\t")[1]) for row in (folder / f"{name}.su").read_text().splitlines()]
    return f"{flash:,} / {max(frames):,}"


def print_processors(network: ExportedNetwork) -> None:
    """One row per processor and option of the compiler."""
    facts = CFacts(tuple(map(str, range(network.spec.classes))))
    files, images = c_files(network.integer, facts), network.images[: RUN_IMAGES.get(network.name, 5)]
    expected = reference.run(network.integer, images)
    for target in PROCESSORS:
        for optimization in ("-Os", "-O2"):
            device = check(files, target, images=images, expected=expected, optimization=optimization)
            cells = (
                network.name, target, optimization, f"{device.flash_bytes:,}", f"{device.code_bytes:,}",
                f"{device.arena_bytes:,}", f"{device.stack_bytes:,}", f"{device.instructions:,}",
                "yes" if device.answers_equal else "NO",
            )  # fmt: skip
            print(f"| {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN")
    parser.add_argument("--skip-micrompoxnet", action="store_true")
    parser.add_argument("--emx", default=shutil.which("emx-onnx-cgen"), metavar="PROGRAM")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        networks = [of_run(run) for run in given_runs(options.runs, folder)]
        networks += [] if options.skip_micrompoxnet else [micrompoxnet()]
        titles = ("network", "peak activations", "our arena", "TFLM", "its activations", "ours / TFLM",
                  "ours / its activations", "TFLM with ReLU", "ours / it", "emx fp32: flash / stack",
                  "emx int8: flash / stack")  # fmt: skip
        print(f"| {' | '.join(titles)} |\n|" + "---|" * len(titles))
        for network in networks:
            cells = [network.name, *arenas(network), *emx(network, folder, options.emx)]
            print(f"| {' | '.join(cells)} |", flush=True)
        print("\n| network | processor | option | flash | of it code | arena | stack | instructions | equal |\n|"
              + "---|" * 9)  # fmt: skip
        for network in networks:
            print_processors(network)


if __name__ == "__main__":
    main()

"""Compiles generated C on this machine, and runs it on images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.integer.network import IntegerNetwork
from lightcnn.program import Program

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror")
SANITIZED = ("-O1", "-fsanitize=undefined,address", "-fno-sanitize-recover=all")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

TRACE = """\
#include "model.c"
#include <stdio.h>

/* For each image: the output of every layer, and the class. */
int main(void)
{
    const size_t size = MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH * MODEL_INPUT_CHANNELS;
    static uint8_t pixels[MODEL_INPUT_HEIGHT * MODEL_INPUT_WIDTH * MODEL_INPUT_CHANNELS];
    while (fread(pixels, 1, size, stdin) == size) {
        size_t index;
        for (index = 0; index < size; index++)
            model_input()[index] = pixels[index];
        for (index = 0; index < MODEL_LAYERS; index++) {
            const Layer *layer = &layers[index];
            run(layer);
            fwrite(arena + layer->output, (size_t)layer->out_height * layer->out_width, layer->out_channels, stdout);
        }
        for (index = 0; index < size; index++)
            model_input()[index] = pixels[index];
        putchar(model_predict());
    }
    return 0;
}
"""


def facts_of(network: IntegerNetwork, *, temperature: float = 1.0, threshold: float = 0.5) -> CFacts:
    """Facts with classes named by letters."""
    logits = network.program.elements(network.program.output)
    return CFacts(tuple(f"class {index}" for index in range(max(2, logits))), temperature, threshold)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


def compile_c(folder: Path, *sources: str, flags: tuple[str, ...] = SANITIZED, compiler: str = "gcc") -> Path:
    """The program of C files in a folder, compiled strictly."""
    program = folder / "program"
    command = [compiler, *STRICT, *flags, "-o", program, *sources]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return program


def trace(
    folder: Path, network: IntegerNetwork, pixels: NDArray[np.uint8], facts: CFacts, flags: tuple[str, ...] = SANITIZED
) -> tuple[list[NDArray[np.int8]], list[int]]:
    """The tensors (N, H, W, C) that the C of a network computes, in the order of the steps, and the classes."""
    write_files(folder, c_files(network, facts) | {"trace.c": TRACE.encode()})
    program = compile_c(folder, "trace.c", "weights.c", flags=flags)
    result = subprocess.run([program], input=pixels.tobytes(), capture_output=True, timeout=60)
    assert result.returncode == 0, result.stderr.decode()
    return _parse(network.program, np.frombuffer(result.stdout, np.int8).reshape(len(pixels), -1))


def _parse(program: Program, rows: NDArray[np.int8]) -> tuple[list[NDArray[np.int8]], list[int]]:
    tensors, start = [], 0
    for step in program.steps:
        channels, height, width = program.shapes[step.output]
        end = start + channels * height * width
        tensors.append(rows[:, start:end].reshape(-1, height, width, channels))
        start = end
    return tensors, rows[:, start:].astype(np.uint8).ravel().tolist()

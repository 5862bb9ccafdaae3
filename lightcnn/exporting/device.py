"""Compiles generated C for a Cortex-M, runs it in an emulator on real images, and compares its answers.

The network's flash and RAM are regions of the linker script, as long as the budget, so a network that exceeds it does
not link. The emulator counts instructions, not cycles, and so they are called.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError, LightcnnError
from lightcnn.exporting.c.source_files import shipped
from lightcnn.exporting.settings import COMPILER, EMULATOR, PROCESSORS, require_tools

BOARD_BYTES = 4 * 2**20 - 64 * 1024
"""Flash, and RAM, that the boards leave to the network."""
INSTRUCTIONS_PER_TICK = 40
"""The timer counts 25 million ticks a second, and the emulator runs one instruction per nanosecond."""
SECONDS = 300
"""Limit of each tool."""


@dataclass(frozen=True)
class DeviceFacts:
    """What a compiler, a linker and an emulator state about a network.

    Args:
        target: The processor.
        optimization: The option of the compiler, such as -Os.
        flash_bytes: Bytes of the network in flash, as linked; the program that runs it here is not included.
        constant_bytes: The part of them that is weights, tables and records.
        code_bytes: The part of them that is instructions.
        arena_bytes: The static memory.
        stack_bytes: The deepest stack of a call of `model_predict`, measured by painting the stack before each call.
        instructions: Mean number of instructions per image, exact to 40.
        images: Number of images.
        answers_equal: Whether the codes of all logits equal the expected ones.
    """

    target: str
    optimization: str
    flash_bytes: int
    constant_bytes: int
    code_bytes: int
    arena_bytes: int
    stack_bytes: int
    instructions: int
    images: int
    answers_equal: bool

    def document(self) -> dict[str, Any]:
        """The facts as the `device` of export.json."""
        return asdict(self)


def check(
    files: Mapping[str, bytes],
    target: str,
    *,
    images: NDArray[np.uint8],
    expected: NDArray[np.int8],
    optimization: str = "-Os",
    flash: int | None = None,
    ram: int | None = None,
) -> DeviceFacts:
    """Compiles a network for a processor, and runs it on images.

    Args:
        files: The files of `c_files` by name.
        target: A key of `PROCESSORS`.
        images: uint8 (N, H, W, C) of the network's size.
        expected: int8 (N, logits): the codes of the logits by the NumPy reference.
        optimization: An option of the compiler.
        flash: Bytes of flash for code and constants; None: what the board has.
        ram: Bytes of RAM for static memory; None: what the board has.

    Raises: InputError if a tool is missing or the network does not fit; LightcnnError if a tool fails.
    """
    require_tools(target)
    with TemporaryDirectory(prefix="lightcnn-device-") as name:
        folder = Path(name)
        _build(folder, files, target, optimization, (flash, ram))
        results = _emulate(folder, target, images, expected.shape[1])
        sizes = {file: _sections(folder, file) for file in ("model.o", "weights.o", "program.elf")}
    objects = [item for file in ("model.o", "weights.o") for item in sizes[file].items()]
    constants, code = (sum(size for name, size in objects if name.startswith(kind)) for kind in (".rodata", ".text"))
    return DeviceFacts(
        target, optimization, sizes["program.elf"][".network"], constants, code, sizes["program.elf"][".network_data"],
        int(results["stack"].max()), int(results["ticks"].astype(np.int64).mean() * INSTRUCTIONS_PER_TICK), len(images),
        bool(np.array_equal(results["logits"], expected)),
    )  # fmt: skip


def _build(
    folder: Path, files: Mapping[str, bytes], target: str, optimization: str, budget: tuple[int | None, int | None]
) -> None:
    """Compiles and links program.elf. Raises: InputError if it exceeds the budget."""
    for name in ("model.h", "model.c", "weights.c"):
        (folder / name).write_bytes(files[name])
    (folder / "harness.c").write_text(shipped("harness.c"), encoding="utf-8")
    flash, ram = (min(size or BOARD_BYTES, BOARD_BYTES) for size in budget)
    script = shipped("harness.ld").replace("@FLASH@", str(flash)).replace("@RAM@", str(ram))
    (folder / "harness.ld").write_text(script, encoding="utf-8")
    compile_command = [
        COMPILER,
        f"-mcpu={target}",
        "-mthumb",
        "-ffreestanding",
        "-fdata-sections",
        "-std=c99",
        optimization,
    ]
    objects = [f"{name}.o" for name in ("model", "weights", "harness")]
    for name in objects:
        _call([*compile_command, "-c", name.replace(".o", ".c"), "-o", name], folder)
    link = [*compile_command, "-nostdlib", "-T", "harness.ld", *objects, "-o", "program.elf"]
    result = _run(link, folder)
    if result.returncode:
        raise _over_budget(target, result.stderr, {"FLASH": flash, "RAM": ram}) or _failure(link, result.stderr)


def _over_budget(target: str, message: str, lengths: Mapping[str, int]) -> InputError | None:
    """The error for a region that is too short, from the words of the linker."""
    over = re.findall(r"region `(FLASH|RAM)' overflowed by (\d+) byte", message)
    if not over:
        return None
    needs = " and ".join(
        f"{lengths[region] + int(excess):,} bytes of {'flash' if region == 'FLASH' else 'RAM'}, "
        f"{int(excess):,} more than the {lengths[region]:,} given"
        for region, excess in dict(over).items()
    )
    return InputError(
        f"--check {target}: the network does not link: it needs {needs}; raise the budget or use a smaller network"
    )


def _emulate(folder: Path, target: str, images: NDArray[np.uint8], logits: int) -> NDArray[np.void]:
    """One row per image: class, ticks, stack and logits."""
    (folder / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
    command = [
        EMULATOR, "-machine", PROCESSORS[target], "-kernel", "program.elf", "-icount", "shift=0", "-display", "none",
        "-monitor", "none", "-serial", "none", "-nic", "none", "-semihosting-config", "enable=on,target=native",
    ]  # fmt: skip
    _call(command, folder)
    kind = np.dtype([("class", "<i4"), ("ticks", "<u4"), ("stack", "<u4"), ("logits", "i1", (logits,))])
    content = (folder / "results.bin").read_bytes()
    if len(content) != kind.itemsize * len(images):
        raise LightcnnError(f"--check {target}: the emulated program wrote results of another length")
    return np.frombuffer(content, kind)


def _sections(folder: Path, name: str) -> dict[str, int]:
    """The sizes in bytes of the sections of a file."""
    output = _call(["arm-none-eabi-size", "-A", "-d", name], folder)
    return {row[0]: int(row[1]) for row in map(str.split, output.splitlines()) if row and row[0].startswith(".")}


def _call(command: Sequence[str], folder: Path) -> str:
    result = _run(command, folder)
    if result.returncode:
        raise _failure(command, result.stderr)
    return result.stdout


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise LightcnnError(f"{command[0]} took over {SECONDS} s; use fewer images or a smaller network") from None


def _failure(command: Sequence[str], message: str) -> LightcnnError:
    lines = message.strip().splitlines()
    return LightcnnError(f"{command[0]} failed: {lines[-1] if lines else 'no message'}")

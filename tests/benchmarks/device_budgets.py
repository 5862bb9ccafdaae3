"""Searches within random limits of flash and arena, exports each network as C, and links it within these limits.

python tests/benchmarks/device_budgets.py [--searches 20] [--seed 0] [--time 6s]

The limits are lengths of regions of the linker script, so a network over them does not link. On 2026-11-27, 20 of 20
linked, with a median of 99.7 % of the tighter limit in use. It needs
gcc-arm-none-eabi and qemu-system-arm; the linked program also runs on one image, and its answer is compared.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

import lightcnn
from lightcnn.errors import LightcnnError
from lightcnn.exporting import device
from lightcnn.exporting.c.generate import quantized
from lightcnn.exporting.c.source_files import CFacts, c_files
from lightcnn.exporting.subject import load_subject
from lightcnn.integer import reference
from lightcnn.run_folder import RunFolder

PROCESSOR = "cortex-m4"
KILOBYTES_OF_FLASH, KILOBYTES_OF_ARENA = (12, 160), (2, 24)
"""The ranges of the limits, drawn uniformly in their logarithms."""


@dataclass(frozen=True)
class Row:
    """The limits of a search, what it promised, and what the linker stated; `problem` if it did not link."""

    flash_limit: int
    arena_limit: int
    promised: dict[str, Any]
    flash: int = 0
    arena: int = 0
    problem: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--time", default="6s")
    options = parser.parse_args()
    random, rows = Random(options.seed), []
    for number in range(options.searches):
        limits = tuple(
            round(1000 * low * (high / low) ** random.random())
            for low, high in (KILOBYTES_OF_FLASH, KILOBYTES_OF_ARENA)
        )
        rows.append(searched(limits, number, options.time))
        print(f"{number + 1} of {options.searches}: {rows[-1].problem or 'links'}", flush=True)
    print_table(rows)


def searched(limits: tuple[int, ...], seed: int, time: str) -> Row:
    """One search within the limits, exported and linked within them."""
    flash, arena = limits
    with TemporaryDirectory(prefix="device-budgets-") as name:
        folder = Path(name) / "run"
        budget = f"{flash}B-flash,{arena}B-arena"
        run = lightcnn.search(budget, time=time, seed=seed, workers=1, deploy="c", out=folder)
        promised = run.report["network"]["cost"]
        try:
            facts = linked(folder, flash, arena)
        except LightcnnError as error:
            return Row(flash, arena, promised, problem=str(error))
    return Row(flash, arena, promised, facts.flash_bytes, facts.arena_bytes, "" if facts.answers_equal else "differs")


def linked(folder: Path, flash: int, arena: int) -> device.DeviceFacts:
    """What the linker states about the C of a run within the limits. Raises: InputError if it does not link."""
    subject = load_subject(RunFolder.load(folder))
    assert subject.test is not None
    network, rules = quantized(subject), subject.preprocess
    images = np.ascontiguousarray(subject.test.images[:1].movedim(1, 3).numpy())
    files = c_files(network, CFacts(rules.classes, rules.temperature, rules.threshold))
    return device.check(
        files, PROCESSOR, images=images, expected=reference.run(network, images), flash=flash, ram=arena
    )


def print_table(rows: list[Row]) -> None:
    print(f"\n{'flash: limit':>12} {'promised':>9} {'linked':>9}   {'arena: limit':>12} {'promised':>9} {'linked':>9}")
    for row in rows:
        print(
            f"{row.flash_limit:>12,} {row.promised['flash_bytes']:>9,} {row.flash:>9,}   "
            f"{row.arena_limit:>12,} {row.promised['arena_bytes']:>9,} {row.arena:>9,} {row.problem}"
        )
    linked_rows = [row for row in rows if not row.problem]
    shares = [max(row.flash / row.flash_limit, row.arena / row.arena_limit) for row in linked_rows]
    print(f"{len(linked_rows)} of {len(rows)} networks link within the limits of their search")
    print(f"share of the tighter limit that the linked network uses: median {np.median(shares):.1%}")


if __name__ == "__main__":
    main()

"""Memory and processor time of reading, of the search for near duplicates, and of an epoch, by the number of images.

    python tests/benchmarks/scale_data.py [--counts 1000 10000] [--duplicates 1000 4000] [--block 1000] [--size 64]
        [--keep-pixels] [--scratch FOLDER]

Generates so many images, one in ten a mirrored copy of another, as class folders and as tar shards, and runs each step
in a process of its own. `peak` is the largest resident memory of the process, `anonymous` that without mapped files,
which the system drops if memory is short; both after the libraries are loaded. Seconds are those of the processor, in
all threads. A straight line through the measured points gives bytes per image, and memory and time at 1,000,000 images.

Decoded and prepared images and features stay in memory up to fixed limits (KEPT_BYTES, MEMORY_BYTES, SPOOLED_BYTES).
They are set to 0 here, so that what grows is visible; `--keep-pixels` leaves them as they are. The search compares each
block of images with every other, so that its time is not a line: comparing takes as long as the square of the number of
images. It is extrapolated from the largest number of images, if they are two blocks or more of the size that the search
has without `--block`. That option makes small blocks, to show that the memory depends on them alone.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

CLASSES = 4
PER_SHARD = 1_000
INPUT = 32
BATCH = 128
TARGET = 1_000_000
STEPS = ("read folder", "read shards", "groups, --fast", "epoch, folder", "epoch, shards", "duplicates")


def image_files(count: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Class and JPEG of each image: smooth random shapes of several scales, and their mirrored copies."""
    pixels = np.zeros((size, size, 3), np.uint8)
    for number in range(count):
        if number % 10 == 9:
            pixels = np.ascontiguousarray(pixels[:, ::-1])
        else:
            random = np.random.default_rng(number)
            noise = [random.normal(0, 60 / depth, (4 * depth, 4 * depth, 3)) for depth in (1, 2, 4)]
            layers = [cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC) for layer in noise]
            pixels = np.clip(128 + sum(layers), 0, 255).astype(np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG", quality=90)
        yield number % CLASSES, content.getvalue()


def generate(root: Path, count: int, size: int) -> tuple[Path, Path]:
    """The folder of class folders, and the folder of shards."""
    folder, shards = root / "folder", root / "shards"
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    shards.mkdir()
    files = enumerate(image_files(count, size))
    for start in range(0, count, PER_SHARD):
        with tarfile.open(shards / f"data-{start // PER_SHARD:06}.tar", "w") as archive:
            for number, (label, content) in itertools.islice(files, PER_SHARD):
                (folder / f"class{label}" / f"{number:07}.jpg").write_bytes(content)
                for suffix, data in (("jpg", content), ("cls", str(label).encode())):
                    entry = tarfile.TarInfo(f"{number:07}.{suffix}")
                    entry.size = len(data)
                    archive.addfile(entry, io.BytesIO(data))
    return folder, shards


class Memory:
    """Peaks of this process since it was made, in bytes; read from /proc, so on Linux only."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self.before = self._now()
        self.anonymous = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    @staticmethod
    def _now() -> dict[str, int]:
        lines = Path("/proc/self/status").read_text().splitlines()
        return {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith(" kB")}

    def _sample(self) -> None:
        while not self._ended.wait(0.02):
            self.anonymous = max(self.anonymous, self._now()["RssAnon"])

    def anonymous_now(self) -> int:
        return self._now()["RssAnon"] - self.before["RssAnon"]

    def peaks(self) -> dict[str, int]:
        self._ended.set()
        self._thread.join()
        return {
            "peak": self._now()["VmHWM"] - self.before["VmRSS"],
            "anonymous": max(0, self.anonymous - self.before["RssAnon"]),
        }


def run_step(step: str, source: str, block: int | None, keep_pixels: bool) -> dict[str, float]:
    """Processor seconds of all threads and peaks of one step, with the reading that it needs, but without imports."""
    import torch
    from torch import nn

    from lightcnn.data import store
    from lightcnn.data.grouping import feature_file
    from lightcnn.data.grouping.groups import find_groups
    from lightcnn.data.grouping.similar import BLOCK_IMAGES, COMPARING, VERIFYING, find_similar
    from lightcnn.data.pipeline import Pipeline
    from lightcnn.data.sources import read_files
    from lightcnn.data.sources.load import load
    from lightcnn.data.split import make_split
    from lightcnn.engine.loop import fit
    from lightcnn.progress import DUPLICATES_STEP
    from lightcnn.recipe import PRESETS, Optimisation

    if not keep_pixels:
        read_files.KEPT_BYTES = store.MEMORY_BYTES = 0
        feature_file.SPOOLED_BYTES = 3  # 0 is no limit
    memory, start, more = Memory(), time.process_time(), {}
    dataset = load(source)
    if step == "duplicates":
        ends: dict[str, float] = {}
        start = time.process_time()
        find_similar(
            dataset.images, block=block or BLOCK_IMAGES,
            progress=lambda what, *_: ends.update({what: time.process_time() - start}),
        )  # fmt: skip
        more = {"extract": ends[DUPLICATES_STEP], "compare": ends[COMPARING] - ends[DUPLICATES_STEP]}
        assert VERIFYING in ends
    elif not step.startswith("read"):
        dataset = find_groups(dataset, "none")
    if step.startswith("epoch"):
        pipeline = Pipeline(dataset, make_split(dataset, 0), torch.device("cpu"))
        train = pipeline.split.train
        images, preprocess = pipeline.images(train, INPUT), pipeline.preprocess(INPUT)
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(16, CLASSES),
        )  # fmt: skip
        marks: list[int] = []
        fit(
            model, images, pipeline.labels(train), preprocess=preprocess, settings=Optimisation(epochs=1, batch=BATCH),
            augmentation=PRESETS["light"], seed=0, on_batch=lambda _: marks.append(memory.anonymous_now()),
        )  # fmt: skip
        more = {"first": max(marks[: len(marks) // 10 + 1]), "last": max(marks[-(len(marks) // 10 + 1) :])}
    return {"images": len(dataset), "seconds": time.process_time() - start, **memory.peaks(), **more}


def measured(step: str, sources: tuple[Path, Path], options: argparse.Namespace, scratch: str) -> dict[str, float]:
    """The result of a step in a new process with an empty cache."""
    source = sources["shards" in step]
    command = [sys.executable, __file__, "--step", step, "--source", str(source)]
    command += ["--block", str(options.block)] if options.block else []
    command += ["--keep-pixels"] if options.keep_pixels else []
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        process = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | {"LIGHTCNN_CACHE": cache}
        )
    return json.loads(process.stdout.splitlines()[-1])


def line(points: list[dict[str, float]], key: str) -> tuple[float, float]:
    """Slope per image, and the value at TARGET images, of the straight line through the points."""
    slope, intercept = np.polyfit([each["images"] for each in points], [each[key] for each in points], 1)
    return float(slope), float(slope * TARGET + intercept)


def print_extrapolation(step: str, points: list[dict[str, float]], block: int | None) -> None:
    """What a step needs per image, and for TARGET images."""
    if step == "duplicates":
        print_search(points[-1], block)
        return
    values = {key: line(points, key) for key in ("peak", "anonymous", "seconds")}
    print(
        f"  {values['peak'][0]:,.0f} bytes per image, {values['anonymous'][0]:,.0f} anonymous; at {TARGET:,} images: "
        f"{values['peak'][1] / 1e6:,.0f} MB, {values['anonymous'][1] / 1e6:,.0f} MB anonymous, "
        f"{values['seconds'][1]:,.0f} s"
    )


def print_search(last: dict[str, float], block: int | None) -> None:
    """The time of a search among TARGET images, from the largest measured one; its memory is that of two blocks."""
    from lightcnn.data.grouping.similar import BLOCK_IMAGES

    factor = TARGET / last["images"]
    line = f"  at {TARGET:,} images: {last['extract'] * factor:,.0f} s for features"
    if block in (None, BLOCK_IMAGES) and last["images"] >= 2 * BLOCK_IMAGES:
        line += f", {last['compare'] * factor**2:,.0f} s for comparing blocks of {BLOCK_IMAGES:,} images"
    print(line)


def table(options: argparse.Namespace, scratch: str) -> None:
    counts = sorted({*options.counts, *options.duplicates})
    results: dict[str, list[dict[str, float]]] = {step: [] for step in STEPS}
    print(f"{'':18}{'images':>10}{'seconds':>9}{'peak MB':>9}{'anonymous MB':>14}{'first, last tenth of epoch':>28}")
    for count in counts:
        with tempfile.TemporaryDirectory(dir=scratch) as root:
            sources = generate(Path(root), count, options.size)
            for step in STEPS:
                if count not in (options.duplicates if step == "duplicates" else options.counts):
                    continue
                result = measured(step, sources, options, scratch)
                results[step].append(result)
                epoch = f"{result['first'] / 1e6:.0f}, {result['last'] / 1e6:.0f}" if "first" in result else ""
                print(
                    f"{step:18}{count:10,}{result['seconds']:9.1f}{result['peak'] / 1e6:9.0f}"
                    f"{result['anonymous'] / 1e6:14.0f}{epoch:>28}", flush=True,
                )  # fmt: skip
    for step, points in results.items():
        if len(points) > 1:
            print(step)
            print_extrapolation(step, points, options.block)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="*", default=[1_000, 10_000], help="numbers of images")
    parser.add_argument("--duplicates", type=int, nargs="*", default=[1_000, 4_000], help="those of the search")
    parser.add_argument("--block", type=int, help="images that the search compares at once")
    parser.add_argument("--size", type=int, default=64, help="height and width of the images")
    parser.add_argument("--keep-pixels", action="store_true", help="keep pixels in memory up to the usual limits")
    parser.add_argument("--scratch", help="folder for images and caches, on a disk")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(run_step(options.step, options.source, options.block, options.keep_pixels)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        table(options, scratch)


if __name__ == "__main__":
    main()

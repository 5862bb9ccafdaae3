"""How many images a second `lightcnn serve` predicts, next to bare calls of ONNX Runtime.

    python tests/benchmarks/serve.py [MODEL.onnx ...] [--seconds 60] [--clients 64]

Without a file it takes MicroMPoxNet and a network of 1 MFLOPs that `lightcnn search` chose, both with random weights.

The server and the bare calls each have core 0 and one thread, the clients core 1. Every client sends an image of its
own again and again, over one connection, and compares every answer with what the file returns for this image. Bare
calls are timed with one image and with as many as the server runs at once at most. It prints one table, and fails if
a request has an error, an answer is wrong, or MicroMPoxNet has less than 0.7 of the throughput of the bare calls. On a
machine with other work, compare the time of the processor: it counts none of theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lightcnn.data.stream import PreparedImage, prepared_image
from lightcnn.exported_model import ExportedModel
from lightcnn.serving.batching import MAX_BATCH
from lightcnn.serving.settings import Limits
from lightcnn.serving.uploads import Upload

SERVER_CORE, CLIENT_CORE = {0}, {1}
PIXELS = 256
"""Width and height of the images that are sent."""
NETWORKS = ("micrompoxnet", "1-mflop")
MIN_SHARES = {"micrompoxnet": 0.7}
"""Smallest throughput, as a share of the better of the bare calls. For a small network, HTTP takes most of the time."""
Result = TypeVar("Result")
BOUNDARY = "f00d"
TOLERANCE = 1e-5
"""Largest difference of a probability: sums of a batch are rounded in another order."""


@dataclass(frozen=True)
class Bare:
    """What calls of ONNX Runtime with so many images at once need."""

    images: int
    rate: float
    processor_seconds: float


@dataclass
class Outcome:
    """What the clients saw: the seconds of each request, errors, and wrong answers; and the server's processor time.

    `elapsed` are the seconds until the last client had its last answer.
    """

    processor_seconds: float = 0.0
    elapsed: float = 0.0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f}; {arguments.clients} clients, {arguments.seconds:g} s\n")
    print("| network | | images/s | processor per image, ms | request, s: median | 99th percentile |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        paths = arguments.files or written_networks(Path(folder))
        failures = [failure for path in paths for failure in measure(path, arguments.clients, arguments.seconds)]
    sys.exit("\n".join(["", *failures]) if failures else 0)


def written_networks(folder: Path) -> list[Path]:
    """The networks with random weights, which a process of its own writes, since this one does not load torch."""
    program = Path(__file__).with_name("served_networks.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True)
    return [folder / f"{name}.onnx" for name in NETWORKS]


def measure(path: Path, clients: int, seconds: float) -> list[str]:
    """Prints the rows of a file; returns what failed."""
    images = [photograph(seed) for seed in range(clients)]
    expected, *bare = on_server_core(
        lambda: (expectations(path, images), bare_calls(path, images, 1), bare_calls(path, images, MAX_BATCH))
    )
    for each in bare:
        print(f"| {path.stem} | ONNX Runtime, images at once: {each.images} | {each.rate:.1f} "
              f"| {1000 * each.processor_seconds:.2f} | | |", flush=True)  # fmt: skip
    outcome = load(path, images, expected, seconds)
    return report(path.stem, outcome, min(bare, key=lambda each: each.processor_seconds))


def photograph(seed: int) -> bytes:
    """A JPEG file with random, smooth colours."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(stream, format="JPEG", quality=90)
    return stream.getvalue()


def on_server_core(work: Callable[[], Result]) -> Result:
    """The result of `work` on the core of the server, with one thread."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, SERVER_CORE)
    try:
        return work()
    finally:
        os.sched_setaffinity(0, before)


def prepared(model: ExportedModel, content: bytes) -> PreparedImage[NDArray[np.uint8]]:
    """An image as the server prepares it."""
    decoded = Upload("a.jpg", content).decode(model.rule, Limits())
    return prepared_image(decoded.pixels, model.prepare, decoded.conversion)


def expectations(path: Path, images: list[bytes]) -> list[NDArray[np.float64]]:
    """The probabilities of each image."""
    model = ExportedModel(path, threads=1)
    return [model.evaluate([prepared(model, content)])[0].probabilities for content in images]


def bare_calls(path: Path, images: list[bytes], count: int, seconds: float = 10) -> Bare:
    """Calls of ONNX Runtime alone for so many seconds, each with `count` decoded images."""
    model = ExportedModel(path, threads=1)
    pixels = [prepared(model, content).pixels for content in images] * count
    batches = [np.stack(pixels[start : start + count]) for start in range(len(images))]
    began, processor, calls = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        model._run(batches[calls % len(batches)])
        calls += 1
    done = calls * count
    return Bare(count, done / (time.perf_counter() - began), (time.process_time() - processor) / done)


def processor_seconds(number: int) -> float:
    """The processor time of a process until now."""
    fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(path: Path, images: list[bytes], expected: list[NDArray[np.float64]], seconds: float) -> Outcome:
    """Starts the server, lets all clients send images for so many seconds, and ends it by SIGTERM."""
    command = [sys.executable, "-m", "lightcnn", "serve", str(path), "--port", "0", "--max-requests-per-second", "1e9"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, SERVER_CORE),
    ) as server:  # fmt: skip
        assert server.stdout is not None
        line = re.search(r":(\d+)/", server.stdout.readline())
        assert line is not None
        os.sched_setaffinity(0, CLIENT_CORE)
        before = processor_seconds(server.pid)
        outcome = asyncio.run(all_clients(int(line[1]), images, expected, seconds))
        outcome.processor_seconds = processor_seconds(server.pid) - before
        server.send_signal(signal.SIGTERM)
        code = server.wait(60)
    if code:
        outcome.errors.append(f"the server ended with {code}")
    return outcome


async def all_clients(port: int, images: list[bytes], expected: list[NDArray[np.float64]], seconds: float) -> Outcome:
    """What all clients saw."""
    outcome, began = Outcome(), time.perf_counter()
    clients = (client(port, *each, began + seconds, outcome) for each in zip(images, expected, strict=True))
    await asyncio.gather(*clients)
    outcome.elapsed = time.perf_counter() - began
    return outcome


async def client(port: int, image: bytes, expected: NDArray[np.float64], end: float, outcome: Outcome) -> None:
    """Sends its image until the end."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n\r\n'.encode()
    body = head + image + f"\r\n--{BOUNDARY}--\r\n".encode()
    request = (
        f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while time.perf_counter() < end:
            began = time.perf_counter()
            writer.write(request)
            answer = await response(reader)
            outcome.seconds.append(time.perf_counter() - began)
            probabilities = list(answer["predictions"][0]["probabilities"].values())
            outcome.wrong += int(np.abs(np.array(probabilities) - expected).max() > TOLERANCE)
    except (OSError, EOFError, ValueError, KeyError) as error:
        outcome.errors.append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


async def response(reader: asyncio.StreamReader) -> dict:  # type: ignore[type-arg]
    """The JSON document of one response. Raises: ValueError if its status is not 200."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = re.search(r"content-length: (\d+)", head)
    content = await reader.readexactly(int(length[1]) if length else 0)
    if not head.startswith("HTTP/1.1 200"):
        raise ValueError(f"{head.splitlines()[0]}: {content.decode()}")
    document: dict = json.loads(content)  # type: ignore[type-arg]
    return document


def report(name: str, outcome: Outcome, bare: Bare) -> list[str]:
    """Prints the row of the server and a line below the table; returns what failed."""
    requests = len(outcome.seconds)
    rate, cost = requests / outcome.elapsed, outcome.processor_seconds / max(1, requests)
    p50, p99 = np.percentile(np.array(outcome.seconds or [np.nan]), [50, 99])
    share = rate / bare.rate
    print(f"| {name} | lightcnn serve | {rate:.1f} | {1000 * cost:.2f} | {p50:.3f} | {p99:.3f} |")
    print(f"| | share of the better bare calls | {share:.2f} | {bare.processor_seconds / cost:.2f} | | |")
    counts = f"{requests:,}, {len(outcome.errors)}, {outcome.wrong}"
    print(f"| | requests, errors, wrong answers | {counts} | | | |", flush=True)
    failures = [f"{name}: {error}" for error in sorted(set(outcome.errors))[:5]]
    if outcome.wrong:
        failures.append(f"{name}: {outcome.wrong} wrong answers")
    if share < MIN_SHARES.get(name, 0):
        failures.append(f"{name}: {share:.2f} of the throughput of the bare calls, below {MIN_SHARES[name]}")
    return failures


if __name__ == "__main__":
    main()

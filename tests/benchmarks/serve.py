"""How many images a second `lightcnn serve` predicts, next to a bare call of ONNX Runtime.

    python tests/benchmarks/serve.py [micrompoxnet | MODEL.onnx] [--seconds 60] [--clients 64]

The server and the bare call each have core 0, the clients core 1. Every client sends an image of its own again and
again, over one connection, and compares every answer with what the file returns for this image. `micrompoxnet` is
that network with random weights. It prints the throughput, the times of the requests, errors and wrong answers, and
fails if there is one. On a machine with other work, compare the time of the processor: it counts none of theirs.
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
from lightcnn.serving.settings import Limits
from lightcnn.serving.uploads import Upload

SERVER_CORE, CLIENT_CORE = {0}, {1}
PIXELS = 256
"""Width and height of the images that are sent."""
Result = TypeVar("Result")
BOUNDARY = "f00d"
TOLERANCE = 1e-5
"""Largest difference of a probability: sums of a batch are rounded in another order."""


@dataclass
class Outcome:
    """What the clients saw: the seconds of each request, errors, and wrong answers; and the server's processor time."""

    processor_seconds: float = 0.0
    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    wrong: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="micrompoxnet")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(arguments.network)
        path = path if path.suffix == ".onnx" else write_micrompoxnet(Path(folder))
        images = [photograph(seed) for seed in range(arguments.clients)]
        expected, bare = on_server_core(lambda: (expectations(path, images), bare_throughput(path, images)))
        outcome = load(path, images, expected, arguments.seconds)
    report(outcome, bare, arguments.seconds)
    if outcome.errors or outcome.wrong:
        sys.exit(1)


def write_micrompoxnet(folder: Path) -> Path:
    """MicroMPoxNet with random weights, as an exported file."""
    from lightcnn import document
    from lightcnn.data.preprocess import Preprocess
    from lightcnn.exporting.onnx_formats.onnx_file import exported_metadata, network_bytes
    from lightcnn.exporting.subject import ExportSubject
    from lightcnn.network import build, fold
    from lightcnn.onnxfiles.assembly import assemble
    from lightcnn.recipe import Recipe
    from lightcnn.run_folder import RunFolder
    from lightcnn.spec import NetworkSpec
    from lightcnn.trained_network import TrainedNetwork

    spec = document.load(Recipe, document.find("recipes", "micrompoxnet")).network
    assert isinstance(spec, NetworkSpec)
    rule = Preprocess(size=spec.input[1], channels=3, shorter_side=256, mean=(0.5,) * 3, deviation=(0.25,) * 3,
                      classes=("Monkeypox", "Normal"))  # fmt: skip
    model = build(spec, seed=0).eval()
    subject = ExportSubject(RunFolder(folder), TrainedNetwork(spec, model, rule), fold(model))
    path = folder / "micrompoxnet.onnx"
    path.write_bytes(assemble(network_bytes(subject), exported_metadata(subject, "onnx")))
    return path


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
    decoded = Upload("a.jpg", content).decode(model.rule.scale, Limits())
    return prepared_image(decoded.pixels, model.prepare, decoded.conversion)


def expectations(path: Path, images: list[bytes]) -> list[NDArray[np.float64]]:
    """The probabilities of each image."""
    model = ExportedModel(path, threads=1)
    return [model.evaluate([prepared(model, content)])[0].probabilities for content in images]


def bare_throughput(path: Path, images: list[bytes], seconds: float = 10) -> tuple[float, float]:
    """Images a second of ONNX Runtime alone, one decoded image after the other, and processor seconds of an image."""
    model = ExportedModel(path, threads=1)
    pixels = [prepared(model, content).pixels[None] for content in images]
    began, processor, count = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - began < seconds:
        model._run(pixels[count % len(pixels)])
        count += 1
    return count / (time.perf_counter() - began), (time.process_time() - processor) / count


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
    outcome, end = Outcome(), time.perf_counter() + seconds
    clients = (client(port, *each, end, outcome) for each in zip(images, expected, strict=True))
    await asyncio.gather(*clients)
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


def report(outcome: Outcome, bare: tuple[float, float], seconds: float) -> None:
    """Prints the figures."""
    (bare_rate, bare_cost), cost = bare, outcome.processor_seconds / max(1, len(outcome.seconds))
    rate, times = len(outcome.seconds) / seconds, np.array(outcome.seconds or [np.nan]) * 1000
    p50, p99 = np.percentile(times, [50, 99])
    print(f"load average: {os.getloadavg()[0]:.1f}")
    print(f"bare ONNX Runtime: {bare_rate:.1f} images/s; {1000 * bare_cost:.2f} ms of the processor per image")
    print(f"lightcnn serve:    {rate:.1f} images/s; {1000 * cost:.2f} ms of the processor per image")
    print(f"share of the bare throughput: {rate / bare_rate:.2f}, by the processor's time {bare_cost / cost:.2f}")
    print(f"seconds of a request: p50 {p50 / 1000:.3f}, p99 {p99 / 1000:.3f}")
    print(f"{len(outcome.seconds):,} requests, {len(outcome.errors)} errors, {outcome.wrong} wrong answers")
    for error in sorted(set(outcome.errors))[:5]:
        print(f"error: {error}")


if __name__ == "__main__":
    main()

"""What runs a network that is timed: PyTorch with its norms folded or as given, ONNX Runtime in fp32 and in int8."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.counting.folding import FoldablePair, fold_pairs
from lightcnn.errors import InputError
from lightcnn.measurement.latency import TimedModel, warm_up
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.read import Graph
from lightcnn.onnxfiles.runtime import open_session, quantize, session_outputs
from lightcnn.onnxfiles.write import onnx_bytes
from lightcnn.spec import Shape

RUNTIMES = ("folded", "eager", "onnx", "onnx-int8")
ONNX, INT8 = RUNTIMES[2:]
OUTPUT_TOLERANCE = 1e-3
"""Of the largest answer, or of 1 where that is less: as far apart torch and ONNX Runtime may be."""


def require_runtimes(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once. Raises: InputError for one that is not there, or whose extra is not installed."""
    if not names:
        raise InputError(f"--runtime: names none; there are: {', '.join(RUNTIMES)}")
    for name in names:
        if name not in RUNTIMES:
            raise InputError(f"--runtime {name}: no such runtime; there are: {', '.join(RUNTIMES)}")
        if name in (ONNX, INT8):
            require_onnx(f"--runtime {name}")
    return tuple(dict.fromkeys(names))


def timed_models(
    model: nn.Module,
    found: Sequence[FoldablePair],
    shape: Shape,
    *,
    runtimes: Sequence[str],
    device: torch.device,
    batch: int,
    threads: int,
) -> list[TimedModel]:
    """Copies of the model as each runtime runs it, warmed up; ONNX Runtime's on the CPU.

    Raises: LightcnnError where it cannot be written as ONNX or run there.
    """
    ready = {
        runtime: _of_torch(
            fold_pairs(model, found) if runtime == "folded" else eval_copy(model), shape, runtime, device, batch
        )
        for runtime in runtimes
        if runtime not in (ONNX, INT8)
    }
    if set(runtimes) & {ONNX, INT8}:
        subject = fold_pairs(model, found).cpu()
        file = onnx_bytes(subject, shape)
        if ONNX in runtimes:
            ready[ONNX] = _of_session(
                open_session(file, threads), ONNX, _images(subject, shape, batch), _parity(subject)
            )
        if INT8 in runtimes:
            small = open_session(quantize(file, shape), threads)
            ready[INT8] = _of_session(small, INT8, _images(subject, shape, batch))
    return [ready[runtime] for runtime in runtimes]


def timed_file(graph: Graph, *, batch: int, threads: int) -> TimedModel:
    """An ONNX file as ONNX Runtime runs it, one image after another where it takes no more. Raises: LightcnnError."""
    return _of_session(open_session(graph.data, threads), ONNX, graph.images(batch if graph.free else 1))


def _of_torch(subject: nn.Module, shape: Shape, runtime: str, device: torch.device, batch: int) -> TimedModel:
    """In the faster memory layout."""
    subject = subject.to(device)
    ways = []
    for layout in (torch.contiguous_format, torch.channels_last):
        ways.append((warm_up(_timed(subject.to(memory_format=layout), shape, 1, device, layout)), layout))
    layout = min(ways, key=lambda way: way[0])[1]
    subject = subject.to(memory_format=layout)
    return TimedModel(
        runtime=runtime,
        layout="channels_last" if layout is torch.channels_last else "contiguous",
        device=str(device),
        batch=batch,
        run=_timed(subject, shape, 1, device, layout),
        many=_twice(_timed(subject, shape, batch, device, layout)),
    )


def _of_session(
    running: Any, runtime: str, images: NDArray[Any], note: Callable[[Any, NDArray[Any]], str] = lambda *_: ""
) -> TimedModel:
    """`note` looks at the session's answers to `images` (N, C, H, W) before they are timed."""

    def timed(given: NDArray[Any]) -> Callable[[], float]:
        def run() -> float:
            begin = time.perf_counter()
            session_outputs(running, given)
            return 1000 * (time.perf_counter() - begin)

        return run

    def many() -> float:
        found = _twice(timed(images))()
        session_outputs(running, images[:1], shrink=True)  # what many images needed is not held while others are timed
        return found

    one = timed(images[:1])
    told = note(running, images[:1])
    warm_up(one)
    return TimedModel(
        runtime=runtime, layout="contiguous", device="cpu", batch=len(images), run=one, many=many, note=told
    )


def _twice(run: Callable[[], float]) -> Callable[[], float]:
    return lambda: min(run(), run())


def _parity(subject: nn.Module) -> Callable[[Any, NDArray[Any]], str]:
    """Says where ONNX Runtime's answers are not those of torch; '' where they are."""

    def note(running: Any, images: NDArray[Any]) -> str:
        with torch.inference_mode():
            expected = subject(torch.from_numpy(images))
        apart = float((torch.from_numpy(session_outputs(running, images)[0]) - expected).abs().max())
        if apart <= OUTPUT_TOLERANCE * max(1.0, float(expected.abs().max())):
            return ""
        return f"ONNX Runtime's answers differ from torch's by up to {apart:.2g}"

    return note


def _images(subject: nn.Module, shape: Shape, batch: int) -> NDArray[Any]:
    return _noise(subject, shape, batch).numpy()


def _noise(subject: nn.Module, shape: Shape, batch: int) -> Tensor:
    """Images (N, C, H, W) from 0 to 1, of the subject's type, on the CPU."""
    first = next((held for held in subject.parameters() if held.is_floating_point()), torch.zeros(1))
    return torch.rand((batch, *shape), generator=torch.Generator().manual_seed(0)).to(first.dtype)


def _timed(
    model: nn.Module, shape: Shape, batch: int, device: torch.device, layout: torch.memory_format
) -> Callable[[], float]:
    images = _noise(model, shape, batch).to(device).to(memory_format=layout)

    def run() -> float:
        with torch.inference_mode():
            return _events(model, images) if device.type == "cuda" else _clock(model, images, device)

    return run


def _clock(model: nn.Module, images: Tensor, device: torch.device) -> float:
    begin = time.perf_counter()
    model(images)
    if device.type == "mps":
        torch.mps.synchronize()
    return 1000 * (time.perf_counter() - begin)


def _events(model: nn.Module, images: Tensor) -> float:
    """By CUDA's own clock: from the first kernel's start to the last one's end."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    model(images)
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end))

"""Prepares networks to be timed: in PyTorch with folded norms or as given, in ONNX Runtime in fp32 or int8."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lightcnn.counting.copies import eval_copy
from lightcnn.counting.folding import FoldablePair, fold_pairs
from lightcnn.errors import InputError
from lightcnn.measurement.latency import TimedModel, warm_up
from lightcnn.measurement.runtime_names import FOLDED, ONNX, ONNX_INT8, RUNTIMES
from lightcnn.onnxfiles.extra import require_onnx
from lightcnn.onnxfiles.read import Graph
from lightcnn.onnxfiles.runtime import open_session, quantize, session_outputs
from lightcnn.onnxfiles.write import onnx_bytes
from lightcnn.spec import Shape
from lightcnn.text import not_one_of

OUTPUT_TOLERANCE = 1e-3
"""How far outputs of torch and ONNX Runtime may differ, relative to the largest output or to 1 if that is larger."""

MIN_LAYOUT_ROUNDS, MAX_LAYOUT_ROUNDS, LAYOUT_SECONDS = 2, 50, 0.1
"""Rounds in which both memory layouts are run twice, between these numbers, and about so long."""


def require_runtimes(names: Sequence[str]) -> tuple[str, ...]:
    """The names without repetition.

    Raises: InputError if there is no name, if a name is unknown, or if the extra that it needs is not installed.
    """
    if not names:
        raise InputError(f"--runtime: is empty; give one or more of: {', '.join(RUNTIMES)}")
    for name in names:
        if name not in RUNTIMES:
            raise InputError(f"--runtime: {not_one_of(name, RUNTIMES)}")
        if name in (ONNX, ONNX_INT8):
            require_onnx(f"--runtime {name}")
    return tuple(dict.fromkeys(names))


def timed_models(
    model: nn.Module,
    pairs: Sequence[FoldablePair],
    shape: Shape,
    *,
    runtimes: Sequence[str],
    device: torch.device,
    batch: int,
    threads: int,
) -> list[TimedModel]:
    """Copies of a model, one for each runtime, warmed up; those of ONNX Runtime are on the CPU.

    `pairs` are folded, `shape` is that of an image (C, H, W), `batch` the number of images for the throughput.

    Raises: LightcnnError if the model cannot be exported to ONNX or run by ONNX Runtime.
    """
    ready = {
        runtime: _torch_model(
            fold_pairs(model, pairs) if runtime == FOLDED else eval_copy(model), shape, runtime, device, batch
        )
        for runtime in runtimes
        if runtime not in (ONNX, ONNX_INT8)
    }
    if set(runtimes) & {ONNX, ONNX_INT8}:
        deployed = fold_pairs(model, pairs).cpu()
        file = onnx_bytes(deployed, shape)
        images = _noise(deployed, shape, batch).numpy()
        if ONNX in runtimes:
            ready[ONNX] = _session_model(open_session(file, threads), ONNX, images, _difference_note(deployed))
        if ONNX_INT8 in runtimes:
            ready[ONNX_INT8] = _session_model(open_session(quantize(file, shape), threads), ONNX_INT8, images)
    return [ready[runtime] for runtime in runtimes]


def timed_file(graph: Graph, *, batch: int, threads: int) -> TimedModel:
    """An ONNX file in ONNX Runtime; its throughput is measured one image at a time if it takes no more.

    Raises: LightcnnError if ONNX Runtime cannot run it.
    """
    return _session_model(open_session(graph.data, threads), ONNX, graph.images(batch if graph.free else 1))


def _torch_model(model: nn.Module, shape: Shape, runtime: str, device: torch.device, batch: int) -> TimedModel:
    """A model in PyTorch, in the faster memory layout."""
    model = model.to(device)
    models = {torch.channels_last: copy.deepcopy(model), torch.contiguous_format: model}
    runs = {layout: _timed(each.to(memory_format=layout), shape, 1, device, layout) for layout, each in models.items()}
    for run in runs.values():
        warm_up(run)
    layout = _fastest(runs)
    return TimedModel(
        runtime=runtime,
        layout="channels_last" if layout is torch.channels_last else "contiguous",
        device=str(device),
        batch=batch,
        run=runs[layout],
        many=_better_of_two(_timed(models[layout], shape, batch, device, layout)),
    )


def _fastest(runs: Mapping[torch.memory_format, Callable[[], float]]) -> torch.memory_format:
    """The layout with the shortest run; they take turns, since the machine may be slower for seconds."""
    shortest, end = dict.fromkeys(runs, math.inf), time.monotonic() + LAYOUT_SECONDS
    for number in range(MAX_LAYOUT_ROUNDS):
        if number >= MIN_LAYOUT_ROUNDS and time.monotonic() > end:
            break
        for layout, run in runs.items():
            shortest[layout] = min(shortest[layout], run(), run())
    return min(shortest, key=shortest.__getitem__)


def _session_model(
    session: Any, runtime: str, images: NDArray[Any], describe: Callable[[Any, NDArray[Any]], str] = lambda *_: ""
) -> TimedModel:
    """A session of ONNX Runtime; `describe` returns a note from the session and an image before it is timed."""

    def timed(batch: NDArray[Any]) -> Callable[[], float]:
        def run() -> float:
            start = time.perf_counter()
            session_outputs(session, batch)
            return 1000 * (time.perf_counter() - start)

        return run

    def many() -> float:
        milliseconds = _better_of_two(timed(images))()
        session_outputs(session, images[:1], shrink=True)  # frees what many images needed while others are timed
        return milliseconds

    run = timed(images[:1])
    note = describe(session, images[:1])
    warm_up(run)
    return TimedModel(
        runtime=runtime, layout="contiguous", device="cpu", batch=len(images), run=run, many=many, note=note
    )


def _better_of_two(run: Callable[[], float]) -> Callable[[], float]:
    return lambda: min(run(), run())


def _difference_note(model: nn.Module) -> Callable[[Any, NDArray[Any]], str]:
    """A function that reports if ONNX Runtime's outputs differ from the model's; '' if they agree."""

    def describe(session: Any, images: NDArray[Any]) -> str:
        with torch.inference_mode():
            expected = model(torch.from_numpy(images))
        difference = float((torch.from_numpy(session_outputs(session, images)[0]) - expected).abs().max())
        if difference <= OUTPUT_TOLERANCE * max(1.0, float(expected.abs().max())):
            return ""
        return f"ONNX Runtime's outputs differ from torch's by up to {difference:.2g}"

    return describe


def _noise(model: nn.Module, shape: Shape, batch: int) -> Tensor:
    """Images (N, C, H, W) from 0 to 1 with the model's dtype, on the CPU."""
    first = next((tensor for tensor in model.parameters() if tensor.is_floating_point()), torch.zeros(1))
    return torch.rand((batch, *shape), generator=torch.Generator().manual_seed(0)).to(first.dtype)


def _timed(
    model: nn.Module, shape: Shape, batch: int, device: torch.device, layout: torch.memory_format
) -> Callable[[], float]:
    """A function that runs `batch` images once and returns milliseconds."""
    images = _noise(model, shape, batch).to(device).to(memory_format=layout)

    def run() -> float:
        with torch.inference_mode():
            return _events(model, images) if device.type == "cuda" else _clock(model, images, device)

    return run


def _clock(model: nn.Module, images: Tensor, device: torch.device) -> float:
    """Milliseconds by the wall clock."""
    start = time.perf_counter()
    model(images)
    if device.type == "mps":
        torch.mps.synchronize()
    return 1000 * (time.perf_counter() - start)


def _events(model: nn.Module, images: Tensor) -> float:
    """Milliseconds by CUDA's clock, from the start of the first kernel to the end of the last."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    start.record()
    model(images)
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))

"""ONNX Runtime on the CPU: sessions with settings for timing, and int8 files to be timed."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightcnn.errors import InputError, LightcnnError
from lightcnn.text import first_line

CALIBRATION_IMAGES = 2
"""Number of noise images from which the ranges of activations are taken."""
LOG_ERRORS_ONLY, LOG_NOTHING = 3, 4
"""ONNX Runtime's log levels that print errors and nothing else, and nothing: errors are raised as well."""
MAX_FILE_BYTES = 2_000_000_000
"""Maximum bytes of a file: what protobuf can hold."""
MAX_MESSAGE = 300
"""Characters of an error of ONNX Runtime that are shown; some contain whole lists of types."""


def open_session(file: bytes | str, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` of a file (or its path): sequential, on `threads` threads, without spinning.

    Raises: LightcnnError if ONNX Runtime cannot run the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = LOG_ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise LightcnnError(f"ONNX Runtime cannot run it: {first_line(error)}") from error


def open_file(path: Path, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` of a file from someone else, which may take images of any size.

    ONNX Runtime itself refuses tensors in files outside of its folder (tested with 1.24.1 and 1.32). `threads` is 0 for
    as many as there are cores that this process may use. Raises: InputError, one line that begins with the path.
    """
    try:
        import onnxruntime
    except ImportError:
        raise InputError(f"{path}: ONNX Runtime is not installed; pip install onnxruntime") from None
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if not path.is_file():
        raise InputError(f"{path}: is not a file; give an ONNX file")
    if size > MAX_FILE_BYTES:
        raise InputError(f"{path}: has {size:,} bytes, at most {MAX_FILE_BYTES:,} are read")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or _usable_cores()
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.enable_mem_pattern = False  # it would be planned again for every new size of an image
    options.enable_cpu_mem_arena = False  # it would keep the memory of the largest image
    options.log_severity_level = LOG_NOTHING
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common base
        raise InputError(f"{path}: ONNX Runtime cannot read it: {first_line(error)[:MAX_MESSAGE]}") from None


def _usable_cores() -> int:
    """The number of cores that this process may use; ONNX Runtime would count all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_session(session: Any, outputs: list[str], images: NDArray[Any], name: str) -> list[NDArray[Any]]:
    """The named outputs of a session for a batch of images. Raises: InputError that begins with `name`."""
    try:
        arrays: list[NDArray[Any]] = session.run(outputs, {session.get_inputs()[0].name: images})
    except Exception as error:  # its errors have no common base
        size = "×".join(map(str, images.shape))
        reason = first_line(error)[:MAX_MESSAGE]
        raise InputError(f"{name}: ONNX Runtime cannot run it with images of {size}: {reason}") from None
    if not all(isinstance(array, np.ndarray) and array.dtype.kind == "f" for array in arrays):
        raise InputError(f"{name}: its outputs are not arrays of floats; only classifiers are run")
    return arrays


def session_outputs(session: Any, images: NDArray[Any], *, shrink: bool = False) -> list[NDArray[Any]]:
    """The outputs of a session for images (N, C, H, W); `shrink` frees memory that an earlier, larger run needed.

    Raises: LightcnnError if the run fails.
    """
    import onnxruntime

    options = onnxruntime.RunOptions() if shrink else None
    if options:
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    try:
        outputs: list[NDArray[Any]] = session.run(None, {session.get_inputs()[0].name: images}, options)
    except Exception as error:
        raise LightcnnError(f"ONNX Runtime cannot run it: {first_line(error)}") from error
    return outputs


def quantize(data: bytes, shape: tuple[int, int, int]) -> bytes:
    """The file in int8, only to be timed: weights per channel, activations by the ranges that noise images give.

    Its predictions are meaningless: a file that is to be used needs calibration on real images.

    Raises: LightcnnError if the file cannot be quantized.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    with tempfile.TemporaryDirectory() as folder, quiet_quantization():
        target = Path(folder) / "int8.onnx"
        try:
            proto = onnx.load_model_from_string(data)
            add_pre_process_metadata(proto)  # torch's exporter has already folded all that can be folded
            norms = [node.name for node in proto.graph.node if node.op_type == "LayerNormalization"]
            quantization.quantize_static(
                proto, target, _reader(proto.graph.input[0].name, shape), per_channel=True, nodes_to_exclude=norms,
                activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            )  # fmt: skip
            return target.read_bytes()
        except Exception as error:  # its errors have no common base
            raise LightcnnError(f"cannot be written in int8: {first_line(error)}") from error


@contextmanager
def quiet_quantization() -> Iterator[None]:
    """Silences what ONNX Runtime's quantization logs about weights that it does not change."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _reader(name: str, shape: tuple[int, int, int]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Noise(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = _noise(name, shape)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            return next(self.images, None)

    return Noise()


def _noise(name: str, shape: tuple[int, int, int]) -> Iterator[dict[str, NDArray[np.float32]]]:
    random = np.random.default_rng(0)
    for _ in range(CALIBRATION_IMAGES):
        yield {name: random.standard_normal((1, *shape), dtype=np.float32)}

"""The names of what can run a network that is timed. No torch."""

from __future__ import annotations

from typing import Literal, get_args

Runtime = Literal["folded", "eager", "onnx", "onnx-int8"]
"""PyTorch with folded norms, PyTorch as given, ONNX Runtime in fp32, ONNX Runtime in int8."""
RUNTIMES: tuple[str, ...] = get_args(Runtime)
FOLDED, EAGER, ONNX, ONNX_INT8 = RUNTIMES
MAX_THREADS = 1024
"""Most threads of one inference: OpenMP ends the process if it cannot start as many as it was asked for."""

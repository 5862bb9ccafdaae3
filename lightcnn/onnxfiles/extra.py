"""The extra `onnx`: ONNX, ONNX Runtime, and what torch writes ONNX files with. Only this package imports them."""

from __future__ import annotations

from importlib import import_module

from lightcnn.errors import InputError

PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def require_onnx(wanted_by: str) -> None:
    """Raises: InputError where a part is missing, with how to get it; `wanted_by` is what the user typed."""
    for part in PACKAGES:
        try:
            import_module(part)
        except ImportError:
            raise InputError(f'{wanted_by}: {part} is not installed; pip install "lightcnn[onnx]"') from None

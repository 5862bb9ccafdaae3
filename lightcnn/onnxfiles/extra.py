"""The extra `onnx`: ONNX, ONNX Runtime, and the package with which torch exports. Only this package imports them."""

from __future__ import annotations

from importlib import import_module

from lightcnn.errors import InputError

PACKAGES = ("onnx", "onnxruntime", "onnxscript")


def require_onnx(option: str) -> None:
    """Checks that the extra is installed; `option` is what the user typed that needs it.

    Raises: InputError that names the missing package and the pip command.
    """
    for package in PACKAGES:
        try:
            import_module(package)
        except ImportError:
            raise InputError(f'{option}: {package} is not installed; pip install "lightcnn[onnx]"') from None


def runtime_version() -> str:
    """The version of ONNX Runtime, which must be installed."""
    return str(import_module("onnxruntime").__version__)

"""Where networks run."""

from __future__ import annotations

import torch

from lightcnn.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """`auto` is CUDA, else Apple's MPS, else the CPU. Raises: InputError where the named device is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    if name not in available:
        raise InputError(f"--device {name}: not a device; there are: auto, {', '.join(available)}")
    if not available[name]:
        raise InputError(f"--device {name}: not on this machine; use --device auto")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What it is called: `cpu`, or `cuda` with the name of the graphics card."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type

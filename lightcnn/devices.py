"""The devices that networks run on. Their names need no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from lightcnn.errors import InputError

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is CUDA if available, else Apple's MPS, else the CPU.

    Raises: InputError if the name is unknown or the device is not available.
    """
    if name not in DEVICES:
        raise InputError(f"--device {name}: unknown device; choose one of {', '.join(DEVICES)}")
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    if not available[name]:
        raise InputError(f"--device {name}: not on this machine; use --device auto")
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """The name of a device for people: `cpu`, or `cuda` with the name of the graphics card."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type

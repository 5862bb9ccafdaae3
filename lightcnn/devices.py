"""The devices that networks run on, and their free memory. Their names need no torch."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from lightcnn.budget import human
from lightcnn.errors import InputError
from lightcnn.text import not_one_of

if TYPE_CHECKING:
    import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[DeviceName, ...] = get_args(DeviceName)
MEMORY_SHARE = 0.8
"""Share of the free memory that a network may need."""
SMALLER_NETWORK = "reduce its widths, its depths or the size of its input"
"""What to do about a network that does not fit."""
MAX_WORKERS = 8
"""The most processes of one search."""
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "bad_alloc")
"""What messages of torch contain if memory ran out; on a CPU it raises a plain RuntimeError."""
GROUPS = Path("/sys/fs/cgroup")
"""The folder in which Linux lists the limits of containers."""
PROCESS_GROUPS = Path("/proc/self/cgroup")
"""The file in which Linux lists the control groups of this process."""


class GroupFiles(NamedTuple):
    """The files with a limit of memory and with the memory in use, and the cached part of it in memory.stat."""

    limit: str
    used: str
    cached: str


VERSION_1 = GroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = GroupFiles("memory.max", "memory.current", "inactive_file")
"""Names in the two versions of control groups."""


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; `auto` is CUDA if available, else Apple's MPS, else the CPU.

    Raises: InputError if the name is unknown or the device is not available.
    """
    if name not in DEVICES:
        raise InputError(f"--device: {not_one_of(name, DEVICES)}")
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, is_available in available.items() if is_available))
    if not available[name]:
        raise InputError(f"--device {name}: not on this machine; use --device auto")
    return torch.device(name)


def default_workers(device: torch.device) -> int:
    """Processes that train at once: one for each core that this process may use, or for each GPU; at most 8."""
    return min(MAX_WORKERS, available_cores() if device.type == "cpu" else count_gpus(device))


def available_cores() -> int:
    """The cores that this process may use: those of its affinity, and no more than a container may use at once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [limit for folder, is_first in _group_folders("cpu") if (limit := _cores(folder, is_first)) is not None]
    return max(1, min([cores, *map(int, limits)]))


def count_gpus(device: torch.device) -> int:
    """The devices of the kind of this GPU that this process may use."""
    import torch

    return max(1, torch.cuda.device_count()) if device.type == "cuda" else 1


def require_workers(workers: int | None, device: torch.device) -> int:
    """The number of processes that train: `workers`, or the default. Raises: InputError if there are fewer GPUs."""
    if workers is None:
        return default_workers(device)
    if device.type != "cpu" and workers > (gpus := count_gpus(device)):
        raise InputError(
            f"--workers {workers}: a GPU trains one network at a time, and there {'are' if gpus > 1 else 'is'} {gpus}; "
            f"use --workers {gpus}, or --device cpu"
        )
    return workers


def gpu_variables(number: int) -> dict[str, str]:
    """The environment of a process that sees one GPU alone: of those that this process sees, the one with that number.

    Raises: IndexError if there is none.
    """
    name = "CUDA_VISIBLE_DEVICES"
    seen = os.environ.get(name)
    return {name: str(number) if seen is None else seen.split(",")[number].strip()}


def device_name(device: torch.device) -> str:
    """The name of a device for people: `cpu`, or `cuda` with the name of the graphics card."""
    import torch

    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def require_memory(network: str, needed: int, device: torch.device, *, remedy: str = SMALLER_NETWORK) -> None:
    """Checks that `needed` bytes are at most `MEMORY_SHARE` of the free memory of the device.

    Raises: InputError that begins with `network`, the place of the network in words, and ends with the `remedy`.
    """
    free = free_memory(device)
    if free is not None and needed > MEMORY_SHARE * free:
        where = "the graphics card" if device.type == "cuda" else "this machine"
        raise InputError(
            f"{network}: needs at least {human(needed)}B of memory, but {MEMORY_SHARE:.0%} of the free memory of "
            f"{where} are {human(int(MEMORY_SHARE * free))}B; {remedy}"
        )


def free_memory(device: torch.device) -> int | None:
    """Free bytes of a graphics card, or of the main memory within the limit of a container; None if not known."""
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    sizes = [size for size in (_available(), _within_group()) if size is not None]
    return min(sizes, default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on whatever device. Needs no torch."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if not isinstance(error, RuntimeError):
        return isinstance(error, MemoryError)
    return type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in OUT_OF_MEMORY)


def _available() -> int | None:
    """What Linux calls available; elsewhere the whole main memory."""
    available = _fields(Path("/proc/meminfo")).get("MemAvailable:")
    if available is not None:
        return 1024 * available
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _within_group() -> int | None:
    """What is left of the lowest limit of the control groups of this process and their parents, if there is a limit."""
    folders = _group_folders("memory")
    left = [_left(folder, VERSION_1 if is_first else VERSION_2) for folder, is_first in folders]
    return min((size for size in left if size is not None), default=None)


def _group_folders(controller: str) -> list[tuple[Path, bool]]:
    """The folders of the control groups of this process and their parents, and whether they are of version 1.

    Lines are as `4:memory:/a/b` or `0::/a/b`; those of version 1 that do not have the controller are left out. In a
    container the group may be named as on the host; the container's limit is then that of the root.
    """
    try:
        lines = PROCESS_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    folders: list[tuple[Path, bool]] = []
    for line in lines:
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = GROUPS / controller if controllers else GROUPS
        group = root / name.lstrip("/")
        parents = [folder for folder in (group, *group.parents) if folder.is_relative_to(root)]
        folders += [(folder, bool(controllers)) for folder in parents]
    return folders


def _cores(folder: Path, is_first: bool) -> float | None:
    """The cores that one control group may use at once; None if it has no limit."""
    try:
        if is_first:
            quota, period = (
                (folder / name).read_text(encoding="utf-8") for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            )
        else:
            quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
        cores = int(quota) / int(period)
    except (OSError, ValueError, ArithmeticError):  # no such group, or the limit is "max"
        return None
    return cores if cores > 0 else None


def _left(folder: Path, files: GroupFiles) -> int | None:
    """What is left of the limit of one control group; None if it has none."""
    try:
        limit, used = (int((folder / name).read_text(encoding="utf-8")) for name in (files.limit, files.used))
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return None
    return max(0, limit - used + _fields(folder / "memory.stat").get(files.cached, 0))


def _fields(file: Path) -> dict[str, int]:
    """The numbers of a file of the kernel, by the word before each."""
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return {}
    return {line[0]: int(line[1]) for line in lines if len(line) > 1 and line[1].isdigit()}

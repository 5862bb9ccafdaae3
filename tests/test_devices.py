"""Devices and their free memory: networks that do not fit are refused before they are built."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from lightcnn import devices
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.cli import main
from lightcnn.cost import cost
from lightcnn.counting.count import count
from lightcnn.devices import free_memory, is_out_of_memory, require_memory
from lightcnn.errors import InputError
from lightcnn.network import build
from lightcnn.spec import ConvBlock, NetworkSpec

CPU = torch.device("cpu")
HUGE = "input: [1, 16, 16]\nstages: [{kind: conv, width: 16384, depth: 64}]\nclasses: 10\n"


def test_a_network_may_need_four_fifths_of_the_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_memory", lambda device: 1000)
    require_memory("network", 800, CPU)
    with pytest.raises(InputError, match=r"^stem: needs at least 801B of memory, but 80% .* are 800B; reduce its"):
        require_memory("stem", 801, CPU)
    monkeypatch.setattr(devices, "free_memory", lambda device: None)
    require_memory("network", 10**15, CPU)


def write_group(folder: Path, limit: str, used: int, cached: int, version: int = 2) -> None:
    """The files of a control group."""
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 600\n{names[2]} {cached}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up tree of control groups, `tree`, and the file `process` with those of the process."""
    monkeypatch.setattr(devices, "GROUPS", tmp_path / "tree")
    monkeypatch.setattr(devices, "PROCESS_GROUPS", tmp_path / "process")
    return tmp_path


@pytest.mark.parametrize(
    ("process", "files", "cores"),
    [
        ("0::/a/b\n", {"a/cpu.max": "250000 100000\n"}, 2),
        ("0::/a/b\n", {"cpu.max": "max 100000\n", "a/b/cpu.max": "400000 100000\n", "a/cpu.max": "damaged"}, 4),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "1600000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "1 0\n"}, 8),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 3),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("4:memory:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
    ],
)
def test_a_container_may_use_fewer_cores_than_the_machine_has(
    groups: Path, monkeypatch: pytest.MonkeyPatch, process: str, files: dict[str, str], cores: int
) -> None:
    """The machine has eight."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    (groups / "process").write_text(process)
    for name, content in files.items():
        (groups / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / "tree" / name).write_text(content)
    assert devices.available_cores() == devices.default_workers(CPU) == cores


@pytest.mark.parametrize(("limit", "free"), [("1000", 1000 - 900 + 300), ("100", 0), ("max", None)])
@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_container_bounds_the_free_memory(
    groups: Path, version: int, limit: str, free: int | None
) -> None:
    (groups / "process").write_text("9:cpu,cpuacct:/none\n4:memory:/box/in\n" if version == 1 else "0::/box/in\n")
    root = groups / "tree" / ("memory" if version == 1 else "")
    write_group(root / "box/in", limit, 900, 300, version)
    assert devices._within_group() == free
    assert free_memory(CPU) == free or free is None


@pytest.mark.parametrize("version", [1, 2])
def test_the_lowest_limit_of_a_group_and_its_parents_counts(groups: Path, version: int) -> None:
    (groups / "process").write_text(
        "1:name=systemd:/a/b/c\n12:cpu,memory:/a/b/c\n0::/\n" * (version == 1) or "0::/a/b/c"
    )
    root = groups / "tree" / ("memory" if version == 1 else "")
    write_group(root / "a/b/c", "9000", 100, 0, version)
    write_group(root / "a/b", "1000", 300, 50, version)  # 750 are left
    write_group(root / "a", "max" if version == 2 else "9223372036854771712", 2000, 0, version)
    assert devices._within_group() == 750
    write_group(root / "a", "2500", 2000, 100, version)  # 600 are left
    assert devices._within_group() == 600
    write_group(root, "700", 200, 0, version)  # the limit of a container that sees the names of its host
    assert devices._within_group() == 500
    (groups / "process").write_text("3:memory:/of/the/host\n" if version == 1 else "0::/of/the/host\n")
    assert devices._within_group() == 500


def test_a_process_without_control_groups_has_no_limit(groups: Path) -> None:
    assert devices._within_group() is None
    assert free_memory(CPU) is not None
    (groups / "process").write_text("7:freezer:/a\n0::/../b\n")
    assert devices._within_group() is None


def test_networks_that_do_not_fit_are_refused_before_they_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    small = NetworkSpec(input=(3, 8, 8), stages=(ConvBlock(width=4),), classes=2)
    weights = 4 * cost(small).params_with_buffers
    monkeypatch.setattr(devices, "free_memory", lambda device: weights / 0.8 + 1)
    build(small)
    monkeypatch.setattr(devices, "free_memory", lambda device: weights / 0.8 - 2)
    for spec in (small, BaselineSpec(baseline="mobilenetv2", input=(3, 32, 32), classes=2)):
        with pytest.raises(InputError, match=r"needs at least .*B of memory"):
            build_network(spec, pretrained=False)
        with torch.device("meta"):
            assert next(build_network(spec, pretrained=False).parameters()).is_meta


def test_a_network_that_does_not_fit_is_counted_without_the_tool_that_needs_its_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Flatten(), nn.Linear(8 * 6 * 6, 1000))
    monkeypatch.setattr(devices, "free_memory", lambda device: 1_000_000)
    counts = count(model, (1, 8, 8))
    assert (counts.macs, counts.thop, counts.fvcore) == (8 * 9 * 36 + 288 * 1000, 8 * 9 * 36 + 288 * 1000, None)
    (note,) = counts.notes  # 4 * (80 + 289,000) bytes
    assert note.startswith("fvcore cannot count it: a copy with values: needs at least 1.156MB of memory")


@pytest.mark.parametrize(
    "command",
    [
        ["train", "SPEC", "--data", "digits"], ["train", "SPEC", "--data", "digits", "--dry-run"],
        ["profile", "SPEC"], ["profile", "SPEC", "--no-latency", "--memory"],
        ["ablate", "RECIPE", "--over", "hyperparameters"],
        ["search", "--budget", "9000Gparams", "--space", "SPACE"],
        ["search", "--budget", "9000Gparams", "--space", "SPACE", "--dry-run"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_commands_refuse_such_a_network_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("huge.yaml").write_text(HUGE)
    Path("space.yaml").write_text(
        "name: wide\nsize: [16]\nstem: {kind: [conv], width: {low: 4, high: 4}, kernel: [3]}\n"
        "stages:\n  - {kind: [conv], width: {low: 16384, high: 16384}, "
        "depth: {low: 64, high: 64}, kernel: [3]}\n"
    )
    Path("recipe.yaml").write_text("data: digits\nnetwork:\n" + "".join(f"  {line}\n" for line in HUGE.splitlines()))
    names = {"SPEC": "huge.yaml", "RECIPE": "recipe.yaml", "SPACE": "space.yaml"}
    assert main.run([names.get(word, word) for word in command]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "of memory, but 80% of the free memory of" in error
    assert not Path("runs").exists()


def test_a_search_has_a_worker_for_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    gpu = torch.device("cuda")
    assert (devices.require_workers(None, gpu), devices.require_workers(2, gpu)) == (3, 2)
    with pytest.raises(InputError, match=r"^--workers 4: .* there are 3; use --workers 3, or --device cpu$"):
        devices.require_workers(4, gpu)
    with pytest.raises(InputError, match="there is 1; use --workers 1"):
        devices.require_workers(2, torch.device("mps"))
    assert devices.require_workers(64, CPU) == 64


@pytest.mark.parametrize(("seen", "expected"), [(None, "1"), ("4,6", "6"), ("GPU-a, GPU-b", "GPU-b")])
def test_a_worker_sees_one_of_the_gpus_of_its_search(
    monkeypatch: pytest.MonkeyPatch, seen: str | None, expected: str
) -> None:
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    assert devices.gpu_variables(1) == {"CUDA_VISIBLE_DEVICES": expected}


@pytest.mark.parametrize(
    ("error", "is_one"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), True),
        (torch.OutOfMemoryError("no memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes"), True),
        (RuntimeError("std::bad_alloc"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.ENOSPC, "No space left on device"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_mean_that_memory_ran_out(error: Exception, is_one: bool) -> None:
    assert is_out_of_memory(error) == is_one

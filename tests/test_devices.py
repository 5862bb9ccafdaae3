"""Devices and their free memory: networks that do not fit are refused before they are built."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lightcnn import devices
from lightcnn.baseline_spec import BaselineSpec
from lightcnn.baselines import build_network
from lightcnn.cli import main
from lightcnn.cost import cost
from lightcnn.devices import free_memory, require_memory
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


def test_the_limit_of_a_container_bounds_the_free_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = free_memory(CPU)
    assert alone is not None and alone > 10**6
    monkeypatch.setattr(devices, "GROUPS", tmp_path)
    group = Path("/proc/self/cgroup").read_text().split("::")[1].strip().lstrip("/") if alone else ""
    folder = tmp_path / group
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.current").write_text("900\n")
    (folder / "memory.stat").write_text("anon 600\ninactive_file 300\n")
    for limit, free in (("1000\n", 1000 - 900 + 300), ("100\n", 0), ("max\n", None)):
        (folder / "memory.max").write_text(limit)
        assert devices._within_group() == free
    assert free_memory(CPU) is not None


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


@pytest.mark.parametrize(
    "command",
    [
        ["train", "SPEC", "--data", "digits"], ["train", "SPEC", "--data", "digits", "--dry-run"],
        ["profile", "SPEC"], ["profile", "quick", "SPEC", "--no-latency", "--memory"],
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

"""Generated C on emulated processors: equal codes, sizes as planned, and budgets that the linker enforces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from helpers.c_code import facts_of
from helpers.export_subjects import extract_training
from helpers.integer_networks import random_network, random_pixels
from helpers.specs import random_spec

from lightcnn import document
from lightcnn.budget import Budget
from lightcnn.cli import main
from lightcnn.errors import InputError
from lightcnn.exporting import settings
from lightcnn.exporting.c.source_files import c_files
from lightcnn.exporting.device import DeviceFacts, check
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import constant_bytes, flash_bytes, plan_memory
from lightcnn.program import program
from lightcnn.searching.budgeted_space import BudgetedSpace
from lightcnn.space import SearchSpace
from lightcnn.spec import NetworkSpec

DATA = "synthetic-lesions:count=40,size=16"
"""What the run of the fixture was trained on."""


def _tools_missing() -> str:
    try:
        settings.require_tools("cortex-m4")
    except InputError as error:
        return str(error)
    return ""


needs_tools = pytest.mark.skipif(bool(_tools_missing()), reason=_tools_missing() or "the tools are installed")


def _checked(network: IntegerNetwork, target: str = "cortex-m4", **limits: int) -> DeviceFacts:
    images = random_pixels(network.program, 2, 0)
    files = c_files(network, facts_of(network))
    return check(files, target, images=images, expected=reference.run(network, images), **limits)


@needs_tools
@pytest.mark.parametrize("seed", range(6))
def test_the_linker_states_what_is_planned(seed: int) -> None:
    network = random_network(program(random_spec(Random(seed))), seed)
    facts = _checked(network)
    assert facts.answers_equal
    assert facts.constant_bytes == constant_bytes(network.program)
    assert facts.arena_bytes == plan_memory(network.program).arena_bytes
    assert facts.constant_bytes + facts.code_bytes <= facts.flash_bytes <= flash_bytes(network.program)
    assert 100 < facts.stack_bytes < 512
    assert facts.instructions > 1000


BLOCKS: dict[str, dict[str, Any]] = {
    "depthwise": {"kind": "separable", "width": 5},
    "add": {"kind": "residual", "body": ({"kind": "conv", "width": 4},)},
    "avgpool": {"kind": "pool", "op": "avg"},
}


@needs_tools
@pytest.mark.parametrize("kernels", ["mean", "maxpool", "add maxpool", "depthwise mean", "avgpool maxpool"])
def test_the_allowance_suffices_for_sets_of_kernels_that_spare_least(kernels: str) -> None:
    """These five of 48 sets leave 16 to 32 bytes, of which the linker may need some for alignment."""
    blocks = ({"kind": "conv", "width": 4}, *(BLOCKS[name] for name in kernels.split() if name in BLOCKS))
    head = {"pool": "avg" if "mean" in kernels else "max"}
    spec = NetworkSpec.model_validate({"input": (1, 9, 8), "stages": blocks, "classes": 3, "head": head})
    network = random_network(program(spec), 1)
    assert {step.operator for step in network.program.steps} == {"input", "conv", *kernels.split()}
    spare = flash_bytes(network.program) - _checked(network).flash_bytes
    assert 0 <= spare <= 40


@needs_tools
@pytest.mark.parametrize("target", ["cortex-m3", "cortex-m7"])
def test_other_processors_give_equal_codes(target: str) -> None:
    assert _checked(random_network(program(random_spec(Random(3))), 3), target).answers_equal


@needs_tools
def test_a_network_over_its_budget_does_not_link() -> None:
    network = random_network(program(random_spec(Random(3))), 3)
    arena, flash = plan_memory(network.program).arena_bytes, _checked(network).flash_bytes
    assert _checked(network, flash=flash, ram=arena).answers_equal
    with pytest.raises(InputError, match=rf"needs {flash:,} bytes of flash, 1 more than"):
        _checked(network, flash=flash - 1)
    with pytest.raises(InputError, match=rf"needs {arena:,} bytes of RAM, 1 more than"):
        _checked(network, ram=arena - 1)


STEM = "{kind: [conv], width: {low: 4, high: 64}}"
KERNEL_SETS = {
    "maxpool mean": "{kind: [conv], width: {low: 4, high: 64}, down: [maxpool]}",
    "depthwise avgpool mean": "{kind: [separable], width: {low: 4, high: 64}, down: [avgpool]}",
    "depthwise add mean": "{kind: [mbconv], width: {low: 4, high: 64}, depth: {low: 2, high: 2}, expand: [2]}",
    "depthwise mean scale": "{kind: [mbconv], width: {low: 4, high: 64}, expand: [3], se: [0.25]}",
}


@needs_tools
@pytest.mark.parametrize("kernels", KERNEL_SETS)
def test_a_network_that_was_fitted_to_a_budget_links_within_it(kernels: str) -> None:
    stage = KERNEL_SETS[kernels]
    space = document.parse(SearchSpace, f"size: [12]\nchannels: 1\nstem: {STEM}\nstages: [{STEM}, {stage}]\n")
    fitted = BudgetedSpace(space, Budget.parse("12kB-flash,12kB-arena")).fit(space.draw(Random(1)))
    assert fitted is not None
    flash, arena = fitted.cost.flash_bytes, fitted.cost.arena_bytes
    assert flash is not None
    assert arena is not None
    assert max(flash / 12_000, arena / 12_000) > 0.9
    network = random_network(program(fitted.spec), 0)
    assert set(kernels.split()) <= {step.operator for step in network.program.steps}
    assert _checked(network, flash=flash, ram=arena).answers_equal
    with pytest.raises(InputError, match=rf"needs {arena:,} bytes of RAM, 1 more than"):
        _checked(network, flash=flash, ram=arena - 1)


def test_missing_tools_and_unknown_processors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--check z80: unknown processor; use one of cortex-m3, cortex-m4, cortex-m7"):
        settings.require_tools("z80")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"apt-get install .*gcc-arm-none-eabi qemu-system-arm"):
        settings.require_tools("cortex-m4")


@needs_tools
def test_the_command_links_within_the_budget_of_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The network, its report and its budget are those of a run folder; nothing is left if it does not link."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightcnn.exporting.comparison.TIMING_SECONDS", 0.0)
    run = extract_training(tmp_path)
    report = json.loads((run / "report.json").read_text())
    arguments = ["export", str(run), "--to", "c", "--check", "cortex-m4", "--data", DATA, "--out", "out", "--json"]
    codes = []
    for arena in (1, 1_000_000):
        limited = report | {"budget": {"arena_bytes": {"lower": None, "upper": arena}}}
        (run / "report.json").write_text(json.dumps(limited))
        codes.append(main.run([*arguments, "--max-loss-points", "100"]))
        if arena == 1:
            error = capsys.readouterr().err
            assert re.fullmatch(
                r"lightcnn: --check cortex-m4: the network does not link: it needs [\d,]+ bytes of RAM, [\d,]+ more "
                r"than the 1 given; raise the budget or use a smaller network\n",
                error,
            ), error
            assert not Path("out").exists()
    assert codes == [2, 0]
    (entry,) = json.loads(capsys.readouterr().out)["formats"]
    assert entry["device"]["limits"] == {"arena_bytes": 1_000_000} and entry["device"]["answers_equal"]

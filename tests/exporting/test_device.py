"""Generated C on emulated processors: equal codes, sizes as planned, and budgets that the linker enforces."""

from __future__ import annotations

from random import Random

import pytest
from helpers.c_code import facts_of
from helpers.integer_networks import random_network, random_pixels
from helpers.specs import random_spec

from lightcnn.errors import InputError
from lightcnn.exporting import settings
from lightcnn.exporting.c.source_files import c_files
from lightcnn.exporting.device import DeviceFacts, check
from lightcnn.integer import reference
from lightcnn.integer.network import IntegerNetwork
from lightcnn.memory_plan import constant_bytes, flash_bytes, plan_memory
from lightcnn.program import program


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


def test_missing_tools_and_unknown_processors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="--check z80: unknown processor; use one of cortex-m3, cortex-m4, cortex-m7"):
        settings.require_tools("z80")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"apt-get install .*gcc-arm-none-eabi qemu-system-arm"):
        settings.require_tools("cortex-m4")

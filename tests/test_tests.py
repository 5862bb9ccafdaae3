"""What tests must not do, since others run in the same process."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.paths import ROOT

REPLACED_CLOCK = re.compile(r"""setattr\(\s*(?:time,|["'][\w.]*\btime\.)""")


def test_no_test_replaces_the_clock_of_the_process() -> None:
    """The event loop of a server that is open meanwhile would sleep until the hour that it saw: `replace_clocks`."""
    assert REPLACED_CLOCK.search('monkeypatch.setattr(time, "monotonic", now)')
    assert REPLACED_CLOCK.search('monkeypatch.setattr("lightcnn.searching.trials.clock.time.monotonic", now)')
    files = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert [str(path.relative_to(ROOT)) for path in files if REPLACED_CLOCK.search(path.read_text())] == []

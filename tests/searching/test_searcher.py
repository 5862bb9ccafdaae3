"""The search loop over a table: it knows nothing of networks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from helpers.paths import TESTS
from searching.table_space import Point, TableSpace, TinySpace, UnlimitedClock, score, table_searcher, timeless


def test_violations_are_stored_as_constraints_and_not_trained(tmp_path):
    class OverBudgetSpace(TableSpace):
        def candidate(self, shape, random):
            return Point(dict(shape), {"macs": 0.5 if shape["x"] < 50 else -0.5, "params": -0.2})

    trained = []
    searcher = table_searcher(tmp_path, OverBudgetSpace(), strategy="random")
    searcher.run(
        lambda point, fidelity: trained.append(point.shape["x"]) or score(point, fidelity),
        trials=20,
        clock=UnlimitedClock(),
    )
    assert trained
    assert min(trained) >= 50
    broken = [o for o in searcher.outcomes() if o.shape["x"] < 50]
    assert broken
    assert all(o.state == "pruned" and o.reason == "over budget: macs" and not o.scores for o in broken)
    constraints = [trial.constraints for trial in searcher.study.trials]
    assert all(c.keys() == {"macs", "params"} for c in constraints)
    assert {c["macs"] for c in constraints} == {0.5, -0.5}


def test_duplicates_are_not_trained_again(tmp_path):
    calls = []
    searcher = table_searcher(tmp_path, TinySpace(), strategy="random")
    searcher.run(
        lambda point, fidelity: calls.append((point.key, fidelity.epochs)) or score(point, fidelity),
        trials=12,
        clock=UnlimitedClock(),
    )
    outcomes = searcher.outcomes()
    duplicates = [o for o in outcomes if o.state == "duplicate"]
    assert len(calls) == len(set(calls))
    assert len(duplicates) == 12 - len({o.key for o in outcomes})
    for duplicate in duplicates:
        original = next(o for o in outcomes if o.key == duplicate.key)
        assert duplicate.scores == original.scores
        assert duplicate.reason == f"the same network as trial {original.number}"


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError("no room"), FloatingPointError("nan")])
def test_a_failing_trial_is_recorded_and_the_search_continues(tmp_path, error):
    def failing_scorer(point, fidelity):
        if point.shape["kind"] == "c":
            raise error
        return score(point, fidelity)

    searcher = table_searcher(tmp_path, strategy="random")
    searcher.run(failing_scorer, trials=12, clock=UnlimitedClock())
    failed = [o for o in searcher.outcomes() if o.state == "failed"]
    assert failed
    assert len(searcher.outcomes()) == 12
    assert {o.reason for o in failed} == {f"{type(error).__name__}: {error}"}
    assert searcher.best().shape["kind"] != "c"


def test_an_interrupted_search_resumes_to_the_same_end(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    undisturbed = table_searcher(tmp_path / "undisturbed")
    undisturbed.run(score, trials=12, clock=UnlimitedClock())
    calls = []
    interruptions = 0
    while True:
        countdown = [3]

        def interrupted_scorer(point, fidelity, countdown=countdown):
            countdown[0] -= 1
            if countdown[0] < 0:
                raise KeyboardInterrupt
            calls.append((point.key, fidelity.epochs))
            return score(point, fidelity)

        searcher = table_searcher(tmp_path)
        try:
            searcher.run(interrupted_scorer, trials=12, clock=UnlimitedClock())
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 4
    assert timeless(searcher.outcomes()) == timeless(undisturbed.outcomes())
    assert len(calls) == len(set(calls)), "no finished training is repeated"


SCRIPT = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from searching.table_space import UnlimitedClock, score, table_searcher

    def slow_scorer(point, fidelity):
        time.sleep(0.03 * fidelity.epochs)
        with open({log!r}, "a") as file:
            file.write(f"{{point.key}} {{fidelity.epochs}}\\n")
        return score(point, fidelity)

    table_searcher(Path({folder!r})).run(slow_scorer, trials=10, clock=UnlimitedClock())
"""


def test_a_killed_search_resumes_to_the_same_end(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    undisturbed = table_searcher(tmp_path / "undisturbed")
    undisturbed.run(score, trials=10, clock=UnlimitedClock())
    log = tmp_path / "log"
    script = textwrap.dedent(SCRIPT).format(tests=str(TESTS), log=str(log), folder=str(tmp_path))
    for lines in (2, 5):
        child = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while not (log.exists() and len(log.read_text().splitlines()) >= lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    before = timeless(table_searcher(tmp_path).outcomes())
    assert 0 < len(before) < 10
    assert subprocess.run([sys.executable, "-c", script], check=True, timeout=120).returncode == 0
    after = timeless(table_searcher(tmp_path).outcomes())
    assert after == timeless(undisturbed.outcomes())
    assert after[: len(before)] == before
    finished = log.read_text().splitlines()
    # A training that was not yet stored when the process died is repeated: at most one for each kill.
    assert len(finished) - len(set(finished)) <= 2


def test_at_least_one_trial_is_run_however_short_the_time(tmp_path):
    class ExpiredClock(UnlimitedClock):
        def allows(self, seconds):
            return False

    searcher = table_searcher(tmp_path)
    searcher.run(score, trials=None, clock=ExpiredClock())
    assert [(o.number, o.state, o.epochs) for o in searcher.outcomes()] == [(0, "pruned", 1)]


def test_an_exhausted_space_ends_the_search(tmp_path):
    searcher = table_searcher(tmp_path, TinySpace(), strategy="random")
    searcher.run(score, trials=1_000, clock=UnlimitedClock())
    assert len({o.key for o in searcher.outcomes()}) == 4
    assert 50 < len(searcher.outcomes()) < 100

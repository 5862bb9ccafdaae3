"""The searcher over a space of three lines and a table: it knows nothing of networks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from lightcnn.errors import InputError, RunError
from lightcnn.searching.searcher import Fidelity, Outcome, Rungs, Searcher
from lightcnn.space import Gene

RUNGS = Rungs((1, 3, 9))


@dataclass(frozen=True)
class Point:
    """A candidate of the fake space."""

    shape: dict
    violations: dict = field(default_factory=lambda: {"macs": -0.1})

    @property
    def key(self) -> str:
        return f"{self.shape['x']}/{self.shape['kind']}"


class Table:
    """Two genes; the best entry of the table is x = 70 of kind b."""

    def genes(self):
        return Gene("x", tuple(range(100)), True), Gene("kind", ("a", "b", "c"))

    def first(self):
        return {"x": 10, "kind": "a"}

    def draw(self, random: Random):
        return {gene.name: random.choice(gene.options) for gene in self.genes()}

    def mutate(self, shape, random: Random):
        return {**shape, "x": min(99, max(0, shape["x"] + random.choice((-5, -2, -1, 1, 2, 5))))}

    def candidate(self, shape, random: Random):
        return Point(dict(shape))


class Free:
    """A clock that always allows."""

    def elapsed(self) -> float:
        return 0.0

    def allows(self, seconds: float) -> bool:
        return True


def value(point: Point, fidelity: Fidelity) -> float:
    noise = Random(fidelity.seed).random() / (100 * fidelity.epochs)
    return 1 - abs(point.shape["x"] - 70) / 100 - 0.2 * (point.shape["kind"] != "b") + noise


def searcher(folder: Path, space=None, strategy="evolution", seed=0, fingerprint=None) -> Searcher:
    return Searcher(
        space or Table(),
        folder / "study.db",
        strategy=strategy,
        seed=seed,
        rungs=RUNGS,
        fingerprint=fingerprint or {"a": 1},
    )


def told(outcomes: list[Outcome]) -> list[tuple]:
    return [(o.number, o.state, o.reason, o.key, tuple(o.scores.items())) for o in outcomes]


@pytest.mark.parametrize("strategy", ["evolution", "tpe", "random"])
def test_finds_good_entries_and_is_deterministic(tmp_path, strategy):
    results = []
    for name in "ab":
        (tmp_path / name).mkdir()
        found = searcher(tmp_path / name, strategy=strategy)
        found.run(value, trials=40, clock=Free())
        results.append(told(found.outcomes()))
        assert found.best().score > {"evolution": 0.9, "tpe": 0.85, "random": 0.8}[strategy]
    assert results[0] == results[1]
    assert len(results[0]) == 40
    assert results[0][0][3] == "10/a", "the space's own start is tried first"


def test_another_seed_searches_elsewhere(tmp_path):
    (tmp_path / "b").mkdir()
    one, other = searcher(tmp_path), searcher(tmp_path / "b", seed=1)
    for found in (one, other):
        found.run(value, trials=5, clock=Free())
    assert [o.key for o in one.outcomes()][1:] != [o.key for o in other.outcomes()][1:]


def test_halving_promotes_the_best_third_and_trains_from_the_first_rung_up(tmp_path):
    calls = []

    def counted(point, fidelity):
        calls.append((point.key, fidelity.epochs))
        return value(point, fidelity)

    found = searcher(tmp_path)
    found.run(counted, trials=30, clock=Free())
    outcomes = found.outcomes()
    reached = {
        epochs: [o for o in outcomes if epochs in o.scores and o.state != "duplicate"] for epochs in RUNGS.epochs
    }
    assert len(reached[1]) == 30 - sum(o.state == "duplicate" for o in outcomes)
    assert len(reached[9]) <= len(reached[3]) <= len(reached[1])
    assert 1 < len(reached[3]) <= 15
    assert sorted(calls) == sorted((o.key, epochs) for o in outcomes if o.state != "duplicate" for epochs in o.scores)
    for outcome in reached[3]:
        earlier = [o.scores[1] for o in reached[1] if o.number < outcome.number]
        better = sum(score >= outcome.scores[1] for score in earlier)
        assert better < max(1, (len(earlier) + 1) // 3)


def test_violations_are_reported_as_constraints_and_not_trained(tmp_path):
    class Broken(Table):
        def candidate(self, shape, random):
            return Point(dict(shape), {"macs": 0.5 if shape["x"] < 50 else -0.5, "params": -0.2})

    trained = []
    found = searcher(tmp_path, Broken(), strategy="random")
    found.run(lambda point, f: trained.append(point.shape["x"]) or value(point, f), trials=20, clock=Free())
    assert trained
    assert min(trained) >= 50
    broken = [o for o in found.outcomes() if o.shape["x"] < 50]
    assert broken
    assert all(o.state == "pruned" and o.reason == "over budget: macs" and not o.scores for o in broken)
    constraints = [trial.constraints for trial in found.study.trials]
    assert all(c.keys() == {"macs", "params"} for c in constraints)
    assert {c["macs"] for c in constraints} == {0.5, -0.5}


def test_duplicates_are_answered_from_memory(tmp_path):
    class Tiny(Table):
        def genes(self):
            return Gene("x", (1, 2), True), Gene("kind", ("a", "b"))

        def first(self):
            return {"x": 1, "kind": "a"}

        def mutate(self, shape, random):
            return dict(shape)

    calls = []
    found = searcher(tmp_path, Tiny(), strategy="random")
    found.run(lambda point, f: calls.append((point.key, f.epochs)) or value(point, f), trials=12, clock=Free())
    outcomes = found.outcomes()
    duplicates = [o for o in outcomes if o.state == "duplicate"]
    assert len(calls) == len(set(calls))
    assert len(duplicates) == 12 - len({o.key for o in outcomes})
    for duplicate in duplicates:
        original = next(o for o in outcomes if o.key == duplicate.key)
        assert duplicate.scores == original.scores
        assert duplicate.reason == f"the network of trial {original.number}"


@pytest.mark.parametrize("fault", [ValueError("bad"), MemoryError("no room"), FloatingPointError("nan")])
def test_a_failing_trial_is_recorded_and_the_search_goes_on(tmp_path, fault):
    def faulty(point, fidelity):
        if point.shape["kind"] == "c":
            raise fault
        return value(point, fidelity)

    found = searcher(tmp_path, strategy="random")
    found.run(faulty, trials=12, clock=Free())
    failed = [o for o in found.outcomes() if o.state == "failed"]
    assert failed
    assert len(found.outcomes()) == 12
    assert {o.reason for o in failed} == {f"{type(fault).__name__}: {fault}"}
    assert found.best().shape["kind"] != "c"


def test_a_score_that_is_no_number_fails_the_trial(tmp_path):
    found = searcher(tmp_path)
    found.run(lambda point, f: float("nan") if point.shape["kind"] == "a" else value(point, f), trials=6, clock=Free())
    assert found.outcomes()[0].state == "failed"
    assert "nan" in found.outcomes()[0].reason
    assert found.best() is None or found.best().shape["kind"] != "a"


def test_interrupted_anywhere_it_goes_on_to_the_same_end(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = searcher(tmp_path / "whole")
    whole.run(value, trials=12, clock=Free())
    calls = []
    interruptions = 0
    while True:
        countdown = [3]

        def sometimes(point, fidelity, countdown=countdown):
            countdown[0] -= 1
            if countdown[0] < 0:
                raise KeyboardInterrupt
            calls.append((point.key, fidelity.epochs))
            return value(point, fidelity)

        found = searcher(tmp_path)
        try:
            found.run(sometimes, trials=12, clock=Free())
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 4
    assert told(found.outcomes()) == told(whole.outcomes())
    assert len(calls) == len(set(calls)), "no finished training is repeated"


SCRIPT = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, {tests!r})
    from test_searcher import searcher, value, Free

    def slow(point, fidelity):
        time.sleep(0.03 * fidelity.epochs)
        with open({log!r}, "a") as file:
            file.write(f"{{point.key}} {{fidelity.epochs}}\\n")
        return value(point, fidelity)

    searcher(Path({folder!r})).run(slow, trials=10, clock=Free())
"""


def test_killed_it_goes_on_to_the_same_end(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = searcher(tmp_path / "whole")
    whole.run(value, trials=10, clock=Free())
    log = tmp_path / "log"
    script = textwrap.dedent(SCRIPT).format(tests=str(Path(__file__).parent), log=str(log), folder=str(tmp_path))
    for lines in (2, 5):
        child = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while not (log.exists() and len(log.read_text().splitlines()) >= lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    before = told(searcher(tmp_path).outcomes())
    assert 0 < len(before) < 10
    assert subprocess.run([sys.executable, "-c", script], check=True, timeout=120).returncode == 0
    after = told(searcher(tmp_path).outcomes())
    assert after == told(whole.outcomes())
    assert after[: len(before)] == before
    finished = log.read_text().splitlines()
    # A training that was done but not yet stored when the process died is done again; at most one for each kill.
    assert len(finished) - len(set(finished)) <= 2


def test_the_clock_ends_the_search_and_forbids_long_trainings(tmp_path):
    class Short(Free):
        def __init__(self, answers):
            self.left = answers

        def allows(self, seconds):
            self.left -= 1
            return self.left >= 0

    reasons, counts = set(), []
    for answers in range(8):
        (tmp_path / str(answers)).mkdir()
        found = searcher(tmp_path / str(answers))
        found.run(value, trials=None, clock=Short(answers))
        reasons.add(found.outcomes()[-1].reason)
        counts.append(len(found.outcomes()))
    assert "no time for a longer training" in reasons
    assert counts == sorted(counts)
    assert 1 == counts[0] < counts[-1]


def test_a_study_of_another_search_is_refused_with_the_difference(tmp_path):
    searcher(tmp_path, fingerprint={"budget": "1M", "seed": 0})
    with pytest.raises(RunError, match=r"study\.db: holds another search: its budget is '1M', not '2M'"):
        searcher(tmp_path, fingerprint={"budget": "2M", "seed": 0})


def test_a_damaged_study_is_refused(tmp_path):
    (tmp_path / "study.db").write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(RunError, match=r"study\.db: not a study of lightcnn"):
        searcher(tmp_path)


def test_a_locked_study_is_refused(tmp_path):
    import sqlite3

    searcher(tmp_path)
    holder = sqlite3.connect(tmp_path / "study.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RunError, match=r"study\.db: the study's storage cannot be used \(database is locked\)"):
            searcher(tmp_path)
    finally:
        holder.close()


def test_an_unknown_strategy_names_those_there_are(tmp_path):
    with pytest.raises(InputError, match="evolution, tpe, random"):
        searcher(tmp_path, strategy="annealing")


def test_one_trial_at_least_is_made_however_short_the_time(tmp_path):
    class Never(Free):
        def allows(self, seconds):
            return False

    found = searcher(tmp_path)
    found.run(value, trials=None, clock=Never())
    assert [(o.number, o.state, o.epochs) for o in found.outcomes()] == [(0, "pruned", 1)]


def test_an_exhausted_space_ends_the_search(tmp_path):
    class Two(Table):
        def genes(self):
            return Gene("x", (1, 2), True), Gene("kind", ("a", "b"))

        def first(self):
            return {"x": 1, "kind": "a"}

        def mutate(self, shape, random):
            return dict(shape)

    found = searcher(tmp_path, Two(), strategy="random")
    found.run(value, trials=1_000, clock=Free())
    assert len({o.key for o in found.outcomes()}) == 4
    assert 50 < len(found.outcomes()) < 100

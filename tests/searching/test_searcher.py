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
from searching.table_space import (
    Point,
    TableSpace,
    TinySpace,
    UnlimitedClock,
    best,
    run,
    score,
    table_searcher,
    timeless,
)

from lightcnn.searching.trials.halving import FunctionEvaluator, Rungs
from lightcnn.searching.trials.loop import MAX_FAILED, run_trials
from lightcnn.searching.trials.place import StudyFile
from lightcnn.searching.trials.searcher import Searcher


class OverBudgetSpace(TableSpace):
    """Half of the table is over the budget."""

    def candidate(self, shape, random):
        return self.inspect(shape)

    def inspect(self, shape):
        return Point(dict(shape), {"macs": 0.5 if shape["x"] < 50 else -0.5, "params": -0.2})


def test_violations_are_stored_as_constraints_and_not_trained(tmp_path):
    trained = []
    searcher = table_searcher(tmp_path, OverBudgetSpace(), strategy="random")
    run(searcher, lambda point, fidelity: trained.append(point.shape["x"]) or score(point, fidelity), trials=20)
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
    run(
        searcher,
        lambda point, fidelity: calls.append((point.key, fidelity.images)) or score(point, fidelity),
        trials=12,
    )
    outcomes = searcher.outcomes()
    duplicates = [o for o in outcomes if o.state == "duplicate"]
    assert len(calls) == len(set(calls))
    assert len(duplicates) == 12 - len({o.key for o in outcomes})
    for duplicate in duplicates:
        original = next(o for o in outcomes if o.key == duplicate.key)
        assert not duplicate.scores
        assert duplicate.reason == f"the same network as trial {original.number}"


@pytest.mark.parametrize("error", [ValueError("bad"), MemoryError("no room"), FloatingPointError("nan")])
def test_a_failing_trial_is_recorded_and_the_search_continues(tmp_path, error):
    def failing_scorer(point, fidelity):
        if point.shape["kind"] == "c":
            raise error
        return score(point, fidelity)

    searcher = table_searcher(tmp_path, strategy="random")
    run(searcher, failing_scorer, trials=12)
    failed = [o for o in searcher.outcomes() if o.state == "failed"]
    assert failed
    assert len(searcher.outcomes()) == 12
    assert {o.reason for o in failed} == {f"{type(error).__name__}: {error}"}
    assert best(searcher).shape["kind"] != "c"


def test_an_interrupted_search_resumes_to_the_same_end(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    undisturbed = table_searcher(tmp_path / "undisturbed", lag=8)
    run(undisturbed, score, trials=12)
    calls = []
    interruptions = 0
    while True:
        countdown = [3]

        def interrupted_scorer(point, fidelity, countdown=countdown):
            countdown[0] -= 1
            if countdown[0] < 0:
                raise KeyboardInterrupt
            calls.append((point.key, fidelity.images))
            return score(point, fidelity)

        searcher = table_searcher(tmp_path, lag=8)
        try:
            run(searcher, interrupted_scorer, trials=12)
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
    from searching.table_space import run, score, table_searcher

    def slow_scorer(point, fidelity):
        time.sleep(0.03 * fidelity.images)
        with open({log!r}, "a") as file:
            file.write(f"{{point.key}} {{fidelity.images}}\\n")
        return score(point, fidelity)

    run(table_searcher(Path({folder!r}), lag=8), slow_scorer, trials=10)
"""


def test_a_killed_search_resumes_to_the_same_end(tmp_path):
    (tmp_path / "undisturbed").mkdir()
    undisturbed = table_searcher(tmp_path / "undisturbed", lag=8)
    run(undisturbed, score, trials=10)
    log = tmp_path / "log"
    script = textwrap.dedent(SCRIPT).format(tests=str(TESTS), log=str(log), folder=str(tmp_path))
    for lines in (2, 5):
        child = subprocess.Popen([sys.executable, "-c", script])
        deadline = time.monotonic() + 60
        while not (log.exists() and len(log.read_text().splitlines()) >= lines) and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    before = [o for o in table_searcher(tmp_path).outcomes() if o.scores]
    assert len(before) > 0
    assert subprocess.run([sys.executable, "-c", script], check=True, timeout=120).returncode == 0
    outcomes = table_searcher(tmp_path).outcomes()
    after = timeless(outcomes)
    assert after == timeless(undisturbed.outcomes())
    assert all(o.scores.items() <= later.scores.items() for o, later in zip(before, outcomes, strict=False))
    finished = log.read_text().splitlines()
    # A training that was not yet stored when the process died is repeated: at most one for each kill.
    assert len(finished) - len(set(finished)) <= 2


def test_at_least_one_trial_is_run_however_short_the_time(tmp_path):
    class ExpiredClock(UnlimitedClock):
        def allows(self, seconds):
            return False

    searcher = table_searcher(tmp_path)
    run(searcher, score, trials=None, clock=ExpiredClock())
    assert [(o.number, o.state, o.images) for o in searcher.settled()] == [(0, "pruned", 1)]
    searcher.store_final(0, 1)
    assert [(o.state, o.reason) for o in searcher.settled()] == [("pruned", "not continued after 1 images")]
    searcher.store_final(0, 2)
    assert [(o.state, o.reason) for o in searcher.settled()] == [("complete", "")], "it was trained further"


def test_an_exhausted_space_ends_the_search(tmp_path):
    searcher = table_searcher(tmp_path, TinySpace(), strategy="random")
    run(searcher, score, trials=1_000)
    assert len({o.key for o in searcher.outcomes()}) == 4
    assert 50 < len(searcher.outcomes()) < 100


class LastFirst(FunctionEvaluator):
    """Scores first what was added last, as workers of different speeds may."""

    def wait(self):
        self._waiting.rotate(1)
        return super().wait()


def failing(point, fidelity):
    """As `score`, but networks of one kind fail."""
    if point.shape["kind"] == "c":
        raise RuntimeError("out of memory")
    return score(point, fidelity)


@pytest.mark.parametrize("strategy", ["surrogate", pytest.param("evolution", marks=pytest.mark.long)])
@pytest.mark.parametrize(("function", "counts"), [(score, (1, 2, 3, 8)), (failing, (1, 8))])
def test_the_search_depends_neither_on_the_number_of_workers_nor_on_which_ends_first(
    tmp_path, strategy, function, counts
):
    results = []
    for workers in counts:
        evaluator = FunctionEvaluator if workers in (1, 3) else LastFirst
        folder = tmp_path / str(workers)
        folder.mkdir()
        searcher = table_searcher(folder, strategy=strategy, lag=8)
        run_trials(searcher, evaluator(function, workers), trials=30, clock=UnlimitedClock())
        results.append(timeless(searcher.outcomes()))
    assert all(result == results[0] for result in results)
    assert len({len(scores) for *_, scores in results[0]}) >= 3, "some networks were promoted"
    assert any(state == "failed" for _, state, *_ in results[0]) == (function is failing)


def broken(point, fidelity):
    """Every network fails."""
    raise RuntimeError("no memory")


@pytest.mark.parametrize(("workers", "space"), [(1, TableSpace()), (8, TableSpace()), (2, OverBudgetSpace())])
def test_a_search_ends_when_all_of_its_first_networks_have_failed(tmp_path, workers, space):
    searcher = table_searcher(tmp_path, space, strategy="random")
    run(searcher, broken, trials=None, workers=workers)
    states = [outcome.state for outcome in searcher.outcomes() if outcome.state != "pruned"]
    assert states.count("failed") == len(states)
    assert MAX_FAILED <= len(states) < MAX_FAILED + workers, "those that were trained then fail as well"
    assert (len(states) < len(searcher.outcomes())) == isinstance(space, OverBudgetSpace)


def test_the_number_of_workers_does_not_change_when_a_search_ends_whose_networks_all_fail(tmp_path):
    results = []
    for workers in (1, 2, 8):
        (tmp_path / str(workers)).mkdir()
        searcher = table_searcher(tmp_path / str(workers), strategy="random", lag=8)
        run(searcher, broken, trials=40, workers=workers)
        results.append(timeless(searcher.outcomes()))
    assert all(result == results[0] for result in results)
    assert len(results[0]) == MAX_FAILED + 7, "a task knows what tasks up to eight before it have done"


def test_a_task_knows_only_the_results_of_tasks_before_its_lag(tmp_path, monkeypatch):
    searcher = table_searcher(tmp_path, lag=8)
    known = []
    ask = searcher.ask
    monkeypatch.setattr(
        searcher,
        "ask",
        lambda visible, clock: known.append(sum(map(bool, [o.scores for o in visible]))) or ask(visible, clock),
    )
    run(searcher, trials=12)
    assert known[:8] == [0] * 8
    assert known[-1] >= 1


def test_the_first_network_ends_once_when_no_rung_is_left_for_it_and_is_not_continued_afterwards(tmp_path):
    class RungClock(UnlimitedClock):
        def allows(self, seconds):
            return time_left

    time_left, ended = True, []
    searcher = Searcher(
        TableSpace(), StudyFile(tmp_path / "study.db"), strategy="random", seed=0,
        rungs=Rungs((1, 3, 9), first_always=True), fingerprint={}, lag=None,
    )  # fmt: skip

    def end(outcome):
        ended.append((outcome.number, outcome.images))
        searcher.close(outcome.number)

    def scorer(point, fidelity):
        nonlocal time_left
        time_left = len(searcher.outcomes()) < 6 and not (fidelity.trial == 0 and fidelity.images == 3)
        return score(point, fidelity)

    evaluator = FunctionEvaluator(scorer)
    run_trials(searcher, evaluator, trials=None, clock=RungClock(), first_ended=end)
    assert ended == [(0, 3)], "the clock ended it at the second rung"
    time_left = True
    assert searcher.next_rung(searcher.outcomes()[0], RungClock()) is None


def test_a_search_that_is_resumed_with_more_time_continues_trials_that_had_ended(tmp_path):
    class ShortClock(UnlimitedClock):
        def allows(self, seconds):
            return len(searcher.outcomes()) < 6

    calls = []

    def counting_scorer(point, fidelity):
        calls.append((fidelity.trial, fidelity.images))
        return score(point, fidelity)

    searcher = table_searcher(tmp_path, strategy="random")
    run(searcher, counting_scorer, trials=None, clock=ShortClock())
    before = searcher.settled()
    assert {outcome.state for outcome in before} <= {"complete", "pruned"}
    searcher = table_searcher(tmp_path, strategy="random")
    searcher.close(1)
    run(searcher, counting_scorer, trials=30)
    after = searcher.settled()
    continued = [o.number for o, later in zip(before, after, strict=False) if len(later.scores) > len(o.scores)]
    assert continued and 1 not in continued, "the final training of trial 1 is under way"
    assert len(calls) == len(set(calls)), "what was trained is not trained again"
    assert len(after) == 30


def test_parts_of_final_trainings_are_kept_and_change_what_is_promised(tmp_path):
    asked = []

    def predict(outcomes, images):
        asked.append({outcome.number: dict(outcome.off_rung) for outcome in outcomes})
        return [outcome.utilities[outcome.images] + sum(outcome.off_rung.values()) for outcome in outcomes]

    searcher = table_searcher(tmp_path)
    run(searcher, score, trials=3)
    searcher.predictor = predict
    before = searcher.promises(searcher.outcomes())
    assert searcher.promises(searcher.outcomes()) == before and not asked, "nothing has changed"
    searcher.store_part(0, 100, 2.0)
    searcher.store_part(0, 200, 3.0)
    after = searcher.promises(searcher.outcomes())
    assert len(asked) == 1 and after == before | {0: before[0] + 5.0}
    again = table_searcher(tmp_path)
    assert again.outcomes()[0].off_rung == {100: 2.0, 200: 3.0}
    assert again.outcomes()[0].within_rungs().off_rung == {}

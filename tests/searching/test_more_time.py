"""A search that is resumed with more time: how much of it is for comparing, and what the plan says."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
from helpers.clocks import replace_clocks
from searching.table_space import TableSpace, score

from lightcnn.errors import RunError
from lightcnn.searching.plan import Plan, make_plan
from lightcnn.searching.report.wording import plan_lines
from lightcnn.searching.trials.clock import Past, SearchClock
from lightcnn.searching.trials.halving import Fidelity, Score
from lightcnn.searching.trials.loop import run_trials
from lightcnn.searching.trials.place import StudyFile
from lightcnn.searching.trials.searcher import Searcher
from lightcnn.searching.trials.shown_study import read_past

LIMIT, SPEED = 600.0, 1_000.0


class TimedEvaluator:
    """Scores entries of the table one after the other, each in the time of its images; may be interrupted."""

    workers, lends_workers = 1, False

    def __init__(self, now: list[float], rungs: tuple[int, ...], interrupted_at: float) -> None:
        self._now, self._rungs, self._interrupted_at = now, rungs, interrupted_at
        self._waiting: deque = deque()

    def begin(self, candidate, fidelity: Fidelity) -> None:
        self._waiting.append((candidate, fidelity))

    def wait(self) -> tuple[Fidelity, Score]:
        candidate, fidelity = self._waiting.popleft()
        before = self._rungs[fidelity.rung - 1] if fidelity.rung else 0
        seconds = (fidelity.images - before) / SPEED
        if self._now[0] + seconds > self._interrupted_at:
            raise KeyboardInterrupt
        self._now[0] += seconds
        value = score(candidate, fidelity)
        return fidelity, Score(value, value, seconds)


class Sessions:
    """Sessions of a search of a table, the rest of whose time is for final trainings."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, plan: Plan) -> None:
        self.place = StudyFile(folder / "study.db")
        self.plan = plan
        self.now = [0.0]
        replace_clocks(monkeypatch, lambda: self.now[0])

    def run(self, limit: float, interrupted_at: float = float("inf")) -> tuple[Plan, int, float]:
        """The plan, the networks that have been compared, and the second by which the last of them was."""
        searcher = Searcher(
            TableSpace(), self.place, strategy="random", seed=0, rungs=self.plan.halving(limit), fingerprint={"a": 1},
            lag=None,
        )  # fmt: skip
        past = searcher.past(limit)
        plan = self.plan.after(past, limit, None, None)
        clock = SearchClock(limit, plan.search_seconds(limit, None), past.seconds, self.now[0])
        searcher.store_limit(limit, past.since)
        try:
            run_trials(searcher, TimedEvaluator(self.now, plan.rungs, interrupted_at), trials=None, clock=clock)
        except KeyboardInterrupt:
            return plan, searcher.past(limit).networks, clock.elapsed()
        ended = clock.elapsed()
        self.now[0] += max(0.0, limit - ended)
        searcher.store_seconds(clock.elapsed())
        return plan, searcher.past(limit).networks, ended


def one_worker(limit: float = LIMIT, images: int = 50_000, **more: float) -> Plan:
    return make_plan(
        fingerprint="a", images=images, workers=1, finalists=1, limit=limit, epochs=None, images_per_second=SPEED,
        evaluation=3.0, spent=1.0, **more,
    )  # fmt: skip


@pytest.fixture
def sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    return Sessions(tmp_path, monkeypatch, one_worker())


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(2_500, id="longest final training", marks=pytest.mark.long),
        pytest.param(50_000, id="no longest final training"),
    ],
)
def test_every_doubling_of_the_time_compares_more_networks_and_leaves_time_for_a_final_training(
    images: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(tmp_path, monkeypatch, one_worker(images=images))
    _, compared, _ = sessions.run(LIMIT)
    first_final = sessions.plan.final_images(LIMIT, None) / SPEED
    for limit in (2 * LIMIT, 4 * LIMIT):
        plan, more, ended = sessions.run(limit)
        assert more >= compared + 4
        assert plan.networks(limit, None, None) == pytest.approx(more, rel=0.35)
        assert ended + first_final + plan.evaluation <= limit, "a network that is new can be trained as long"
        compared = more


def test_the_time_of_the_plan_is_that_of_a_new_search_after_the_sessions_before() -> None:
    plan = one_worker()
    for limit in (LIMIT, 2 * LIMIT, 10 * LIMIT):
        new = one_worker(limit).search_seconds(limit, None)
        resumed = plan.after(Past(LIMIT, LIMIT, 5), LIMIT + limit, None, None)
        assert resumed.search_seconds(LIMIT + limit, None) == pytest.approx(LIMIT + new)


def test_a_final_training_that_begins_in_a_later_session_is_as_long_as_its_time_allows() -> None:
    """A network that is found after the limit was doubled gets the share of the second half: it is not cut short."""
    plan = one_worker(images=51_000)
    new = plan.final_images(LIMIT, None)
    resumed = plan.after(Past(LIMIT, LIMIT, 5), 2 * LIMIT, None, None)
    assert resumed.final_images(2 * LIMIT, None) > 1.5 * new
    assert resumed.least_final_images(2 * LIMIT, None) == pytest.approx(new, rel=0.1)
    assert plan.least_final_images(LIMIT, None) == new


def test_an_interruption_moves_no_time_from_the_final_training_to_comparing(sessions: Sessions) -> None:
    whole, _, _ = sessions.run(LIMIT, interrupted_at=60)
    again, compared, ended = sessions.run(LIMIT)
    assert again.search_seconds(LIMIT, None) == whole.search_seconds(LIMIT, None) >= ended
    assert sessions.run(LIMIT)[1] == compared, "the time is used"
    limit, second = 2 * LIMIT, sessions.now[0] + 60
    raised, _, _ = sessions.run(limit, interrupted_at=second)
    again, more, ended = sessions.run(limit)
    assert again.search_seconds(limit, None) == raised.search_seconds(limit, None) >= ended
    assert more > compared
    lowered, _, _ = sessions.run(1.5 * LIMIT)
    assert lowered.search_seconds(1.5 * LIMIT, None) <= 1.5 * LIMIT


def test_a_dry_run_reads_what_a_session_would(sessions: Sessions) -> None:
    assert read_past(sessions.place, LIMIT) == Past()
    sessions.run(LIMIT)
    files = {path.name: path.read_bytes() for path in sessions.place.path.parent.iterdir()}
    same, more = read_past(sessions.place, LIMIT), read_past(sessions.place, 2 * LIMIT)
    assert {path.name: path.read_bytes() for path in sessions.place.path.parent.iterdir()} == files
    assert (same.seconds, same.since, more.since) == (LIMIT, 0.0, LIMIT)
    assert same.networks == more.networks > 1
    damaged = StudyFile(sessions.place.path.with_name("damaged.db"))
    damaged.path.write_bytes(b"no database")
    with pytest.raises(RunError, match=r"damaged\.db: .*file is not a database"):
        read_past(damaged, LIMIT)


def test_a_study_without_a_limit_gives_all_that_is_left_to_the_session_that_brings_one(sessions: Sessions) -> None:
    sessions.run(LIMIT)
    searcher = Searcher(
        TableSpace(), sessions.place, strategy="random", seed=0, rungs=sessions.plan.halving(LIMIT),
        fingerprint={"a": 1},
    )  # fmt: skip
    searcher.study.set_user_attr("limit", "ten minutes")
    assert searcher.past(LIMIT).since == searcher.past(LIMIT).seconds == LIMIT
    assert searcher.past(None).since == 0


def test_the_first_network_is_trained_alone_again_if_more_time_is_not_enough_to_compare() -> None:
    alone = one_worker(30, alone=True)
    short, long = (alone.after(Past(30, 30, 1), limit, None, None) for limit in (45, 600))
    assert (short.alone, long.alone) == (True, False)
    assert short.final_images(45, None) == alone.final_images(45, None)
    assert plan_lines(short.document(45, None, None))[0].startswith("plan: there is no time to compare networks")
    assert "networks are compared (1 of them in earlier sessions) at" in plan_lines(long.document(600, None, None))[0]


def test_the_plan_of_a_resumed_search_counts_what_was_compared_before_and_what_there_is_time_for() -> None:
    plan, past = one_worker(), Past(LIMIT, LIMIT, 7)
    limits = (2 * LIMIT, None, None)
    document = plan.after(past, *limits).document(*limits)
    assert document["compared_before"] == 7
    assert document["networks"] == pytest.approx(7 + plan.networks(LIMIT, None, None), abs=1)
    (line, enough) = plan_lines(document)
    assert line.startswith(
        f"plan: about {document['networks']} networks are compared (7 of them in earlier sessions) at"
    )
    assert enough.endswith("would be enough to compare 30") and document["worthwhile_seconds"] > 2 * LIMIT
    (line, _) = plan_lines(plan.after(past, LIMIT + 5, None, None).document(LIMIT + 5, None, None))
    assert line.startswith("plan: no network is added to the 7 of earlier sessions; 1 of them is trained to about")
    for trials in (1, 5, 7):
        line, *_ = plan_lines(plan.after(past, None, None, trials).document(None, None, trials))
        assert line.startswith("plan: no network is added to the 7 of earlier sessions; ")
    fewer = plan.after(past, 2 * LIMIT, None, 9).document(2 * LIMIT, None, 9)
    assert fewer["networks"] == 9


def test_the_first_network_leaves_its_worker_once_it_has_been_trained_to_its_longest_length() -> None:
    plan = make_plan(
        fingerprint="a", images=1_221, workers=2, finalists=2, limit=LIMIT, epochs=None, images_per_second=SPEED,
        evaluation=3.0, spent=1.0,
    )  # fmt: skip
    limit = 2 * LIMIT
    resumed = plan.after(Past(LIMIT, LIMIT, 20), limit, None, None)
    seconds = resumed.search_seconds(limit, None) - LIMIT
    assert resumed.comparing_seconds(limit, None, LIMIT) == pytest.approx(2 * seconds)

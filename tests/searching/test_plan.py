"""The plan of a search: what fits into the time, and what does not depend on the machine."""

from __future__ import annotations

from random import Random

import pytest

from lightcnn.errors import LightcnnError, RunError
from lightcnn.run_folder import RunFolder
from lightcnn.searching.plan import (
    GOOD_STEPS,
    MIN_BESIDE,
    MIN_NETWORKS,
    MIN_STEPS,
    RUNG_COST,
    Beside,
    Plan,
    make_plan,
    read_plan,
    write_plan,
)
from lightcnn.searching.report.wording import plan_lines
from lightcnn.searching.trials.storage import Outcome


def timed(
    limit: float, speed: float, images: int = 50_000, workers: int = 2, finalists: int = 2, **more: float
) -> Plan:
    return make_plan(
        fingerprint="a", images=images, workers=workers, finalists=finalists, limit=limit, epochs=None,
        images_per_second=speed, evaluation=more.get("evaluation", 3.0), spent=more.get("spent", 1.0),
        teaching=more.get("teaching", 0.0),
    )  # fmt: skip


def test_ten_minutes_of_two_cores_compare_a_dozen_networks_beside_the_training_of_the_first() -> None:
    plan = timed(600, 2_400)
    assert plan.final_images(600, None) == int(0.93 * (0.75 * 600 - 3) * 2_400)
    assert plan.search_seconds(600, None) == pytest.approx(600 - 0.75 * 600, abs=1)
    assert plan.networks(600, None, None) == 1 + int(149 * 2_400 / (RUNG_COST * plan.rungs[0])) == 12
    assert [plan.steps(rung) for rung in plan.rungs] == [MIN_STEPS, 3 * MIN_STEPS, 9 * MIN_STEPS]


def test_a_plan_never_needs_more_than_its_time() -> None:
    random = Random(0)
    compared = 0
    for _ in range(500):
        limit, speed, images = 10 ** random.uniform(0.5, 4), 10 ** random.uniform(0, 5), random.randint(20, 200_000)
        workers = random.randint(1, 8)
        plan = timed(limit, speed, images, workers, random.randint(1, 8), evaluation=0.01 * limit)
        final, search = plan.final_images(limit, None), plan.search_seconds(limit, None)
        assert search is not None
        after = plan.finalists - plan.first_is_before(limit)
        assert search + max(1, after / workers) * final / speed <= limit * 1.01 or final == 1
        assert list(plan.rungs) == sorted(plan.rungs)
        assert plan.steps(plan.rungs[0]) <= max(1, plan.steps(final) / 2)
        assert [plan.images_at(plan.steps(rung)) for rung in plan.rungs] == list(plan.rungs), "whole steps"
        assert 1 <= plan.warmup_steps <= max(1, plan.steps(plan.rungs[0]))
        networks = plan.networks(limit, None, None)
        assert networks == 1 or networks >= (MIN_BESIDE if plan.first_has_worker(limit) else MIN_NETWORKS)
        compared += networks > 1
        assert plan_lines(plan.document(limit, None, None))
    assert 50 < compared < 450


def test_the_time_is_spare_that_continuing_the_finalists_does_not_need() -> None:
    plan = timed(120, 1_300, images=1_221)
    fast, slow = (scored(18_315, 18_315 / speed) for speed in (2_400, 1_800))
    search, spare = plan.search_seconds(120, None), plan.spare_seconds(120, None, [fast, slow])
    assert search is not None and spare > 10
    seconds = (122_100 - 18_315) / 1_800
    assert search + spare + seconds / 0.93 + plan.evaluation == pytest.approx(120)
    assert plan.spare_seconds(120, None, [fast]) > spare
    assert plan.spare_seconds(120, None, []) == plan.spare_seconds(120, None, [scored(6_105, 10.0)]) == 0
    assert plan.spare_seconds(120, 2, [scored(6_105, 10.0)]) <= 120 - (plan.search_seconds(120, 2) or 0.0)


def test_the_time_of_a_second_seed_is_not_spare() -> None:
    plan = timed(300, 2_400, images=1_221)
    search, spare = plan.search_seconds(300, None), plan.spare_seconds(300, None, [scored(122_100, 50.0)])
    assert search is not None
    assert 300 - search - spare == pytest.approx(122_100 / 2_400 / 0.93 + 2 * plan.evaluation)


def scored(images: int, seconds: float) -> Outcome:
    """A trial whose network was trained for so many seconds, to a rung of so many images."""
    return Outcome(1, "running", "", "a", {}, {images: 0.5}, seconds, 1.0, {images: 0.5})


def test_the_final_training_leaves_time_to_compare_after_a_teacher() -> None:
    """A third of the time went into the teacher; the rest is shared as without one."""
    plan = timed(600, 2_400, spent=201, teaching=200)
    assert plan.final_images(600, None) == int(0.93 * (0.75 * 400 - 3) * 2_400)
    assert plan.search_seconds(600, None) == pytest.approx(600 - 0.75 * 400, abs=1)
    assert plan.networks(600, None, None) >= 5


def test_without_time_to_compare_the_first_network_is_trained_alone() -> None:
    plan = timed(20, 300)
    assert plan.networks(20, None, None) == 1
    lines = plan_lines(plan.document(20, None, None))
    assert lines[0].startswith("plan: there is no time to compare networks, so the first one is trained alone")
    assert lines[1].startswith("about ")
    assert lines[1].endswith("would be enough to compare 30")


@pytest.mark.parametrize("minutes", [15, 30, 60, 240])
def test_long_searches_compare_more_networks_longer_and_the_final_training_ends_after_a_million_images(minutes) -> None:
    limit, before = 60.0 * minutes, timed(600, 2_400)
    plan = timed(limit, 2_400)
    assert plan.final_images(limit, None) == 20 * 50_000
    assert plan.networks(limit, None, None) > before.networks(600, None, None)
    assert plan.rungs[0] > before.rungs[0]
    assert len(plan.rungs) >= 2, "networks are compared at two lengths and more"
    assert plan.search_seconds(limit, None) >= 0.49 * limit
    assert plan.final_images(limit, 30) == min(30 * 50_000, plan.final_images(limit, 10**5))


def test_the_time_that_is_worthwhile_is_that_of_the_trials_that_are_wanted() -> None:
    documents = [timed(120, 1_400).document(120, None, trials) for trials in (None, 100, 9, 1)]
    assert [document["worthwhile_networks"] for document in documents] == [30, 30, 9, 1]
    all_thirty, as_many, fewer, none = (document["worthwhile_seconds"] for document in documents)
    assert all_thirty == as_many > fewer > 0 and none is None


@pytest.mark.parametrize(("minutes", "kept"), [(29, 1), (32, 2)])
def test_time_for_second_trainings_is_kept_if_half_is_left_for_comparing(minutes: int, kept: int) -> None:
    plan, limit = timed(600, 2_400), 60.0 * minutes
    final = 1_000_000 / 2_400 / 0.93 + 3
    assert plan.search_seconds(limit, None) == pytest.approx(limit - kept * final)
    assert plan.search_seconds(limit, None) >= limit / 2


@pytest.mark.parametrize("speed", [600, 1_400, 2_400, 10_000])
@pytest.mark.parametrize("networks", [10, 30])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_time_that_is_worthwhile_is_enough(speed: float, networks: int, workers: int) -> None:
    limit = timed(120, speed, workers=workers).worthwhile_seconds(120, None, networks)
    plan = timed(limit, speed, workers=workers)
    assert plan.networks(limit, None, None) >= 0.9 * networks
    assert plan.steps(plan.rungs[0]) * 30 >= 0.9 * networks * GOOD_STEPS


def test_what_is_worthwhile_does_not_depend_on_whether_there_is_time_to_compare() -> None:
    compared = timed(120, 2_000)
    beside = Beside(workers=2, finalists=2, images_per_second=2_000)
    alone = make_plan(
        fingerprint="a", images=50_000, workers=1, finalists=1, limit=120, epochs=None, threads=2,
        images_per_second=2_600, evaluation=3.0, spent=1.0, alone=True,
    ).model_copy(update={"beside": beside})  # fmt: skip
    assert alone.worthwhile_seconds(120, None, 30) == pytest.approx(
        compared.worthwhile_seconds(120, None, 30), rel=0.02
    )


def test_a_network_that_is_learning_sees_at_most_four_hundred_epochs() -> None:
    plan = timed(600, 2_400, images=1_000)
    assert (plan.longest_images(None), plan.most_images(None)) == (100_000, 400_000)
    assert plan.longest_images(30) == plan.most_images(30) == 30_000


def test_a_long_evaluation_is_stated() -> None:
    lines = plan_lines(timed(120, 20, evaluation=80.0).document(120, None, None))
    assert "evaluating networks at the end takes about 80 seconds of 2:00" in " ".join(lines)
    assert "evaluating" not in " ".join(plan_lines(timed(120, 20).document(120, None, None)))


def test_small_data_are_seen_600_thousand_times_and_a_hundred_epochs_at_most() -> None:
    assert timed(36_000, 2_400, images=12_000).final_images(36_000, None) == 600_000
    assert timed(36_000, 2_400, images=1_221).final_images(36_000, None) == 122_100


def test_the_worker_of_the_first_network_compares_others_when_that_is_trained() -> None:
    plan = timed(3_600, 2_400)
    seconds = plan.search_seconds(3_600, None) - plan.spent
    assert plan.comparing_seconds(3_600, None) == pytest.approx(2 * seconds - 1_000_000 / 2_400)


@pytest.mark.parametrize("finalists", [2, 3])
def test_one_worker_compares_between_the_first_final_training_and_the_others(finalists: int) -> None:
    limit, final = 1_700, 1_000_000 / 2_400
    plan = timed(limit, 2_400, workers=1, finalists=finalists)
    assert plan.final_images(limit, None) == 1_000_000
    search = plan.search_seconds(limit, None)
    assert search == pytest.approx(limit - (finalists - 1) * final / 0.93 - 3)
    assert plan.comparing_seconds(limit, None) == pytest.approx(search - 1 - final)
    assert timed(800, 2_400, workers=1, finalists=finalists).networks(800, None, None) == 1, "no time for two"


def test_a_network_alone_is_trained_for_the_whole_time() -> None:
    plan = make_plan(
        fingerprint="a", images=50_000, workers=1, finalists=3, limit=600, epochs=None, images_per_second=2_400,
        evaluation=3.0, spent=1.0, alone=True,
    )  # fmt: skip
    assert plan.final_images(600, None) == int(0.93 * 596 * 2_400)
    assert plan.final_images(36_000, None) == 100 * 50_000
    assert plan.networks(600, None, 1) == 1
    assert plan_lines(plan.document(600, None, 1)) == [
        "plan: one network is trained, to about 1.33M images (26.6 epochs, 10,403 steps)"
    ]


def test_a_first_rung_has_a_hundred_steps_if_the_final_training_allows() -> None:
    plan = timed(120, 2_400)
    assert plan.steps(plan.rungs[0]) == MIN_STEPS


def test_without_a_time_limit_nothing_depends_on_the_machine() -> None:
    plans = [
        make_plan(fingerprint="a", images=1221, workers=workers, finalists=2, limit=None, epochs=None)
        for workers in (1, 8)
    ]
    assert plans[0].model_copy(update={"workers": 8}) == plans[1]
    assert plans[0].final_images(None, None) == 100 * 1221
    assert plans[0].networks(None, None, 12) == 12
    assert plans[0].search_seconds(None, None) is None
    short = make_plan(fingerprint="a", images=1221, workers=1, finalists=2, limit=None, epochs=2)
    assert short.final_images(None, 2) == 2442
    assert short.rungs == (794,)  # 13 of 20 steps of an epoch


def test_a_plan_is_read_back_and_refused_for_other_data_or_from_an_earlier_version(tmp_path) -> None:
    run = RunFolder.create(tmp_path / "run", "search", {})
    assert read_plan(run, "a") is None
    plan = timed(600, 2_400)
    write_plan(run, plan)
    assert read_plan(run, "a") == plan
    with pytest.raises(RunError, match="the data have changed since the search started"):
        read_plan(run, "b")
    run.write_bytes("plan.yaml", b"fingerprint: a\nimages: 52\nepochs: [1, 3, 9]\nkeep: 3\nfinal_epochs: 4\n")
    with pytest.raises(RunError, match=r"the search is of an earlier state of lightcnn"):
        read_plan(run, "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("images_per_second: 2400", "images_per_second: 1e308"), "images_per_second"),
        (("batch: 128", "batch: 1"), "batch"),
        (("workers: 2", "workers: 1000"), "workers"),
        (("rungs: [", "rungs: [99999999, "), "rungs: must be ascending"),
    ],
)
def test_a_changed_plan_is_refused(change, message, tmp_path) -> None:
    run = RunFolder.create(tmp_path / "run", "search", {})
    write_plan(run, timed(600, 2_400))
    text = (run / "plan.yaml").read_text()
    assert change[0] in text
    run.write_bytes("plan.yaml", text.replace(*change).encode())
    with pytest.raises(LightcnnError, match=message):
        read_plan(run, "a")


def test_a_front_has_no_worker_for_the_first_network_and_several_networks_however_short_the_time() -> None:
    def plan(limit: float) -> Plan:
        return make_plan(
            fingerprint="a", images=50_000, workers=2, finalists=5, limit=limit, epochs=None, images_per_second=2_400,
            evaluation=3.0, spent=1.0, bands=5,
        )  # fmt: skip

    long, short = plan(3_600), plan(30)
    assert not long.first_has_worker(3_600)
    assert long.networks(3_600, None, None) >= 25
    assert short.networks(30, None, None) == 2
    assert short.networks(30, None, 1) == 1
    document = long.document(3_600, None, None)
    assert (document["bands"], document["finalists"]) == (5, 5)
    assert "the range of costs has 5 bands, in which networks are proposed in turn" in plan_lines(document)
    assert "bands" not in timed(600, 2_400).document(600, None, None)


def test_trials_without_a_limit_take_the_time_of_their_rungs_and_of_the_final_trainings() -> None:
    plan = make_plan(fingerprint="a", images=12_800, workers=2, finalists=2, limit=None, epochs=27)
    first, second, third = plan.rungs
    searched = 9 * first + 3 * (second - first) + (third - second)
    assert plan.fixed_seconds(27, 9, 100.0) == pytest.approx((searched / 2 + 27 * 12_800 - second) / 100), "one third"
    assert plan.fixed_seconds(27, 1, 100.0) == pytest.approx(27 * 12_800 / 100)

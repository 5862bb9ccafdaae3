"""Who takes part in a shared search, who leads, and who is dead."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lightcnn.searching.shared import members
from lightcnn.searching.shared.members import Membership, SearchMember, this_process
from lightcnn.searching.shared.place import SharedPlace

pytestmark = pytest.mark.usefixtures("fast")
ELSEWHERE = SearchMember(host="far", machine="another", process="1 1", workers=2, folder="runs/far")


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never held"
        time.sleep(0.02)


def silence(membership: Membership) -> None:
    """Ends the heartbeats of a member, as if its machine had lost its power."""
    membership._left.set()
    membership._thread.join()


def test_the_first_live_member_leads_and_the_next_one_when_it_leaves(place: SharedPlace) -> None:
    with Membership.joined(place, this_process(3, Path("second"))) as second:
        assert second.leads
        with Membership.joined(place, ELSEWHERE) as third:
            assert not third.leads
            assert third.leader == second.live()[0]
            until(lambda: [member.workers for member in second.live()] == [3, 2])
        until(lambda: [member.number for member in second.live()] == [0])
        assert second.gone == {1}
        assert second.count() == 2


def test_a_silent_member_is_dead_and_the_next_one_leads(place: SharedPlace) -> None:
    with Membership.joined(place, ELSEWHERE) as first, Membership.joined(place, ELSEWHERE) as second:
        assert not second.leads
        silence(first)
        until(lambda: second.leads)
        assert second.gone == {0}
        assert first.is_lost
        first.join()
        assert not first.is_lost
        assert first.number == 2
        assert not first.leads


def test_a_process_that_has_ended_on_this_machine_is_dead_at_once(
    place: SharedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "SILENT_SECONDS", 3600.0)
    if not members.this_machine():
        pytest.skip("the numbers of processes are compared on Linux only")
    ended = this_process(1, Path("ended")).model_copy(update={"process": "1 12345"})
    with Membership.joined(place, ended), Membership.joined(place, ELSEWHERE) as second:
        until(lambda: second.leads)
        assert second.gone == {0}


def test_a_member_that_waits_for_a_folder_too_long_is_dead_until_it_continues(
    place: SharedPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "HUNG_SECONDS", 0.3)
    with Membership.joined(place, ELSEWHERE) as first, Membership.joined(place, ELSEWHERE) as second:
        time.sleep(1.5)  # longer than it may be silent: it computes
        assert not second.leads
        with first.waiting():
            until(lambda: second.leads)
        assert first.is_lost
        first.join()
        until(lambda: [member.number for member in second.live()] == [1, 2])
        time.sleep(1.5)
        assert [member.number for member in second.live()] == [1, 2]


def test_studies_of_one_name_have_other_tokens(place: SharedPlace) -> None:
    with Membership.joined(place, ELSEWHERE) as first, Membership.joined(place, ELSEWHERE) as second:
        token = first.token()
        assert second.token() == token
    for study in place.storage.get_all_studies():
        place.storage.delete_study(study._study_id)
    with Membership.joined(place, ELSEWHERE) as later:
        assert later.token() != token


def test_nobody_dies_while_the_observer_sleeps(place: SharedPlace) -> None:
    with Membership.joined(place, ELSEWHERE) as first, Membership.joined(place, ELSEWHERE) as second:
        assert not second.leads
        silence(first)
        time.sleep(1.2)  # longer than a member may be silent; the second one has not looked meanwhile
        assert not second.leads
        until(lambda: second.leads)

"""The search for near duplicates: run once, cached, and in large data sets only if asked for."""

from __future__ import annotations

import itertools

import numpy as np
from helpers.clocks import replace_clocks

from lightcnn.data.grouping import near_duplicates as near_module
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.grouping.near_duplicates import find_near_duplicates
from lightcnn.data.sources.load import load
from lightcnn.output.terminal import announcement
from lightcnn.progress import DUPLICATES_STEP


def test_near_duplicates_are_searched_for_once(photographs, searches, tmp_path):
    first, second = find_groups(load(photographs)), find_groups(load(photographs))
    assert searches == [12]
    assert (first.groups == second.groups).all()
    (kept,) = (tmp_path / "cache" / "groups").iterdir()
    for damaged in (b"", b"PK\x03\x04", kept.read_bytes()[:-40]):
        kept.write_bytes(damaged)
        assert (find_groups(load(photographs)).groups == first.groups).all()
    np.savez(kept, pairs=np.zeros((1, 2), int), strength=np.zeros(1, int), clusters=np.full(12, 99))
    assert (find_groups(load(photographs)).groups == first.groups).all()
    np.savez(kept, pairs=np.array([{}], dtype=object), strength=np.zeros(1, int), clusters=np.zeros(12, int))
    assert (find_groups(load(photographs)).groups == first.groups).all()
    assert len(searches) == 6
    assert [file.name for file in kept.parent.iterdir()] == [kept.name], "no temporary file is left"


def test_the_search_is_announced_and_then_counts_images(photographs, searches):
    steps = []
    find_groups(load(photographs), progress=lambda *step: steps.append(step))
    assert steps == [(DUPLICATES_STEP, 0, 12)]
    find_groups(load(photographs), progress=lambda *step: steps.append(step))
    assert len(steps) == 1, "nothing is searched if the result is in the cache"
    assert announcement(*steps[0]) == "searching for near duplicates among 12 images"
    assert announcement(DUPLICATES_STEP, 1, 12) == announcement("reading images", 0, 12) == ""


def test_the_clock_does_not_end_the_search(photographs, searches, monkeypatch):
    """Each look at a clock sees another hour pass."""
    hours = itertools.count(1)
    replace_clocks(monkeypatch, lambda: 3600.0 * next(hours))
    assert find_groups(load(photographs)).groups_from == "near duplicates"
    assert find_groups(load(photographs)).groups_from == "near duplicates"
    assert searches == [12]


def test_fast_neither_searches_nor_uses_what_an_audit_found(photographs, searches):
    assert find_near_duplicates(load(photographs), "all").similar is not None
    searches.clear()
    data = find_groups(load(photographs), "none")
    assert (searches, data.groups_from) == ([], "none")
    assert "near duplicates were not searched for (--fast)" in data.groups_reason
    (warning,) = data.warnings
    assert (warning.code, warning.count) == ("near_duplicates_not_searched", 12)
    assert warning.message.startswith("Near duplicates were not searched for (--fast): 12 images were not compared")
    assert "both the training set and the test set" in warning.message


def test_fast_is_stated_for_groups_of_the_source(photographs, searches):
    data = load(photographs).with_groups(["a"] * 12, "source")
    assert find_groups(data).warnings == ()
    fast = find_groups(data, "none")
    assert fast.groups_reason.endswith("which is allowed; near duplicates were not searched for (--fast)")
    assert [warning.code for warning in fast.warnings] == ["near_duplicates_not_searched"]
    assert (fast.groups == data.groups).all()


def test_an_audit_is_bounded_too(photographs, searches, monkeypatch):
    monkeypatch.setattr(near_module, "MAX_IMAGES", 12)
    assert find_near_duplicates(load(photographs), "all").warnings == ()
    monkeypatch.setattr(near_module, "MAX_IMAGES", 11)
    monkeypatch.setattr(near_module, "SEARCH_VERSION", 0)
    result = find_near_duplicates(load(photographs), "all")
    assert (result.similar, searches) == (None, [12])
    assert result.reason == "near duplicates were not searched for among more than 11 images"
    assert [warning.count for warning in result.warnings] == [12]


def test_large_sets_are_searched_only_if_asked_for(photographs, searches, monkeypatch):
    monkeypatch.setattr(near_module, "MAX_IMAGES_BY_DEFAULT", 11)
    data = find_groups(load(photographs))
    assert (searches, data.groups_from) == ([], "none")
    assert [(warning.code, warning.count) for warning in data.warnings] == [("near_duplicates_not_searched", 12)]
    assert "not searched for among more than 11 images; --thorough does that" in data.note
    assert data.groups[0] == data.groups[data.paths.index("B/11.png")], (
        "images with equal pixels are one group in any case"
    )
    assert find_groups(load(photographs), "all").groups_from == "near duplicates"
    assert searches == [12]


def test_groups_do_not_depend_on_what_is_in_the_cache(photographs, searches, monkeypatch):
    """An audit in between changes neither groups nor fingerprint, and what it has found is not searched for again."""
    monkeypatch.setattr(near_module, "MAX_IMAGES_BY_DEFAULT", 11)
    before = find_groups(load(photographs))
    assert find_near_duplicates(load(photographs), "all").similar is not None
    after = find_groups(load(photographs))
    assert (after.fingerprint, after.groups_reason) == (before.fingerprint, before.groups_reason)
    thorough = find_groups(load(photographs), "all")
    assert searches == [12]
    assert thorough.fingerprint != before.fingerprint
    monkeypatch.setattr(near_module, "MAX_IMAGES", 11)
    assert find_groups(load(photographs), "all").fingerprint == before.fingerprint


def test_groups_are_found_without_a_writable_cache(photographs, searches, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    assert find_groups(load(photographs)).groups_from == "near duplicates"

"""The search for near duplicates: run once, cached, and left to an audit in large data sets."""

from __future__ import annotations

import numpy as np

from lightcnn.data.grouping import near_duplicates as near_module
from lightcnn.data.grouping.groups import find_groups
from lightcnn.data.grouping.near_duplicates import find_near_duplicates
from lightcnn.data.sources.load import load


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


def test_large_sets_wait_for_an_audit(photographs, searches, monkeypatch):
    monkeypatch.setattr(near_module, "MAX_IMAGES_WITHOUT_AUDIT", 11)
    data = find_groups(load(photographs))
    assert (searches, data.groups_from) == ([], "none")
    assert "not searched for among more than 11 images; `lightcnn audit` does that" in data.note
    assert data.groups[0] == data.groups[data.paths.index("B/11.png")], (
        "images with equal pixels are one group in any case"
    )
    assert find_near_duplicates(load(photographs), "all").similar is not None
    assert find_groups(load(photographs)).groups_from == "near duplicates"
    assert searches == [12]


def test_groups_are_found_without_a_writable_cache(photographs, searches, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LIGHTCNN_CACHE", str(tmp_path / "file"))
    assert find_groups(load(photographs)).groups_from == "near duplicates"

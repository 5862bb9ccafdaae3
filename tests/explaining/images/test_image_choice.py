"""The choice of images from a test set."""

from __future__ import annotations

from lightcnn.explaining.images.image_choice import sample_strata


def test_every_stratum_is_sampled_first_and_then_in_proportion():
    strata = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["d"]
    chosen = sample_strata(strata, 10, 0)
    picked = [strata[place] for place in chosen]
    assert sorted(chosen.tolist()) == chosen.tolist()
    assert len(set(chosen.tolist())) == 10
    assert set(picked) == {"a", "b", "c", "d"}
    assert picked.count("a") in (5, 6)
    assert (sample_strata(strata, 10, 0) == chosen).all()
    assert (sample_strata(strata, 10, 1) != chosen).any()
    assert len(sample_strata(strata, 3, 0)) == 3
    assert (sample_strata(["a", "b"], 9, 0) == [0, 1]).all()

"""Sentences about groups and the positive class, which all reports share."""

from __future__ import annotations

import pytest

from lightcnn.output.caveats import groups_clause, page_cautions
from lightcnn.output.positive_class import positive_sentence


@pytest.mark.parametrize(
    ("known", "source", "clause"),
    [
        (True, "names", "from names: file names contain a patient identifier"),
        (False, "none", "patients are not known: each image is a group of its own"),
        (False, "near duplicates", "patients are not known: each photograph, with its copies, is a group of its own"),
    ],
)
def test_groups_that_are_near_duplicates_only_are_no_patients(known, source, clause):
    groups = {"known": known, "source": source, "why": "file names contain a patient identifier"}
    assert groups_clause(groups) == clause


def test_the_positive_class_is_stated_with_its_reason_and_one_remedy():
    report = {"data": {"classes": ["bar", "disc"]}, "positive": {"class": "disc", "reason": ""}}
    report["positive"]["reason"] = "by alphabetical order; name it with --positive"
    assert positive_sentence(report) == (
        "The positive class is disc (by alphabetical order; name it with --positive, as in --positive bar)."
    )
    report["positive"]["reason"] = "the name of the other class, bar, is that of a negative class"
    assert positive_sentence(report).endswith("negative class); choose the other one with --positive bar.")


def test_a_page_shows_serious_warnings_and_folds_the_others():
    codes = ("batch_adapted", "stand_in", "leak_allowed", "small_test_set")
    entries = [{"code": code, "message": f"{code} text"} for code in codes]
    report = {"data": {"note": "a note"}, "warnings": entries}
    serious = ["small_test_set text"]
    assert page_cautions(report) == (["stand_in text", "leak_allowed text"], serious, ["batch_adapted text", "a note"])
    assert page_cautions(report, omit=("stand_in", "note")) == (["leak_allowed text"], serious, ["batch_adapted text"])

"""Spellings of one name: what is equal for groups and classes, and what is not."""

from __future__ import annotations

import unicodedata

import pytest

from lightcnn.data.files.spelling import require_class_names, same_name, with_one_spelling
from lightcnn.errors import DataError

EQUAL = (
    ("1", "1.0", "01", "+1", " 1", "1.", "1.00", "\uff11"),
    ("0", "-0", "0.0", "00"),
    ("-1", "-1.0", "-01"),
    ("1.5", "1.50", "01.5"),
    ("p10", "P10", "p-10", "P_10", "p 10", "p010", " p10 ", "\ufeffp10", "p\u200b10", "p\xa010"),
    ("Monkey_Pox", "monkey pox", "Monkey-Pox", "monkey  pox"),
    (unicodedata.normalize("NFC", "Näevus"), unicodedata.normalize("NFD", "näevus"), "NÄEVUS"),
)
DIFFERENT = (
    ("1", "10"), ("1", "-1"), ("1.5", "15"), ("1.05", "1.5"), ("p1", "p10"), ("p1", "q1"), ("x -1", "x 1"),
    ("m1-01", "m101"), ("v1.05", "v1.5"), ("C", "C++"), ("naevus", "nävus"), ("a", "a-"), ("", "0"),
)  # fmt: skip


@pytest.mark.parametrize("names", EQUAL)
def test_spellings_of_one_name_are_equal(names):
    assert len({same_name(name) for name in names}) == 1
    for name in names[1:]:
        with pytest.raises(DataError, match="give both the same name"):
            require_class_names("data x", [names[0], name])


@pytest.mark.parametrize("names", DIFFERENT)
def test_other_names_are_different(names):
    assert same_name(names[0]) != same_name(names[1])
    require_class_names("data x", names)


def test_each_name_gets_one_spelling_and_the_others_are_listed():
    assert with_one_spelling(["p10", "q", "P10", "p10"]) == (["P10", "q", "P10", "P10"], [("P10", "p10")])
    assert with_one_spelling(["p1", "p2"]) == (["p1", "p2"], [])

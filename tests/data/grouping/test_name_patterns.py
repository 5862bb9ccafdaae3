"""Patterns of file names: copies and patients are recognised, other names are not."""

from __future__ import annotations

import time

import pytest
from helpers.file_names import COPIES_AND_SOURCES, FILES_AND_PATIENTS, NOT_COPIES, NOT_PATIENTS
from hypothesis import given
from hypothesis import strategies as st

from lightcnn.data.grouping.name_parts import beginnings
from lightcnn.data.grouping.name_patterns import (
    COPIES,
    PATIENTS,
    copy_of,
    folder_pattern,
    pair_of,
    patient_of,
)


@pytest.mark.parametrize(("stem", "source"), COPIES_AND_SOURCES.items())
def test_the_source_of_a_copy(stem, source):
    assert copy_of(stem, frozenset()).source == source


@pytest.mark.parametrize("stem", NOT_COPIES)
def test_other_names_are_not_copies(stem):
    assert copy_of(stem, frozenset()).source == stem


def test_a_source_that_exists_decides_between_patterns():
    assert copy_of("x (2)", {"x"}).source == "x"
    assert copy_of("x (12)", {"x"}).source == "x (12)", "no file is copied twelve times"
    assert copy_of("blur_7_1", {"7_1"}).source == "7_1"
    assert copy_of("aug_IMG_7_3", {"IMG_7"}).source == "IMG_7"
    assert copy_of("aug_IMG_7_3", {"IMG_7_3"}).source == "IMG_7_3"


@pytest.mark.parametrize(("stem", "patient"), FILES_AND_PATIENTS.items())
def test_the_patient_of_a_file(stem, patient):
    assert patient_of(stem, "mpox")[1] == patient


@pytest.mark.parametrize("stem", NOT_PATIENTS)
def test_other_names_contain_no_patient(stem):
    assert patient_of(stem, "mpox") is None


def test_every_pattern_has_an_example():
    patterns = {pattern for stem in COPIES_AND_SOURCES for pattern in copy_of(stem, frozenset()).patterns}
    assert patterns == {name for name, _ in COPIES}
    assert {patient_of(stem, "mpox")[0] for stem in FILES_AND_PATIENTS} == {name for name, _ in PATIENTS}


@given(st.text(alphabet="aug_rotflipcopy0123456789() .-hvx", max_size=255))
def test_adversarial_names_are_read_quickly(stem):
    start = time.monotonic()
    copy_of(stem, frozenset())
    patient_of(stem, stem[:3])
    pair_of(stem, stem[:3])
    beginnings(stem)
    folder_pattern(stem)
    assert time.monotonic() - start < 1
